"""Which load processes a master counts on: what was lost or never became ready is missed, and waited for once."""

from __future__ import annotations

from dataclasses import dataclass, field

from loadtest.master.roster import Roster


@dataclass(frozen=True)
class Client:
    id: str


@dataclass
class Clients:
    """Locust's nodes by their state."""

    ready: list[Client] = field(default_factory=list)
    spawning: list[Client] = field(default_factory=list)
    running: list[Client] = field(default_factory=list)


@dataclass
class Master:
    clients: Clients = field(default_factory=Clients)


@dataclass
class Alone:
    client_id: str = "me"


def master(*names: str) -> Master:
    return Master(Clients(running=[Client(name) for name in names]))


def test_a_load_process_that_is_lost_is_missed_from_then_on() -> None:
    runner = master("a", "b")
    roster = Roster(runner, expected=2)
    for name in ("b", "a"):
        roster.enter(name)
    assert (roster.able(), roster.missing(), roster.incomplete()) == (["b", "a"], 0, False)
    runner.clients.running.pop()
    assert (roster.able(), roster.missing(), roster.present()) == (["a"], 1, 1)
    assert not roster.incomplete()  # nobody waits for who is gone


def test_of_those_that_join_the_most_that_were_there_are_expected() -> None:
    runner = master("a", "b", "c")
    roster = Roster(runner, expected=1)
    for name in ("a", "b", "c"):
        roster.enter(name)
    roster.incomplete()
    runner.clients.running.clear()
    runner.clients.ready.append(Client("a"))
    assert (roster.able(), roster.missing()) == (["a"], 2)


def test_one_that_never_becomes_ready_is_waited_for_once_and_missed_in_every_stage() -> None:
    roster = Roster(master("a", "b"), expected=1)
    roster.enter("a")
    assert roster.incomplete()
    assert roster.give_up() == {"b"}
    assert (roster.able(), roster.missing(), roster.incomplete()) == (["a"], 1, False)
    assert roster.present() == 2  # it gets one of Locust's users, too
    assert roster.give_up() == set()  # said once
    roster.enter("b")
    assert (roster.able(), roster.missing()) == (["a", "b"], 0)


def test_a_master_waits_while_nobody_is_there() -> None:
    assert Roster(master(), expected=1).incomplete()


def test_a_process_that_is_master_and_load_process_misses_nobody_whatever_locust_was_told_to_expect() -> None:
    roster = Roster(Alone(), expected=3)
    roster.enter("me")
    assert (roster.able(), roster.missing(), roster.incomplete()) == (["me"], 0, False)
