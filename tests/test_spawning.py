"""Locust's users come and go a hundred at a time, as many as a stage wants, and only who is not coming is given up."""

from __future__ import annotations

import pytest

from loadtest.master import spawning
from loadtest.master.spawning import missing_users


class Runner:
    """Locust's without a master: after ``start`` others have to run until it knows its target, then has its users.

    It never has more than ``most`` of them.
    """

    def __init__(self, users: int = 0, most: int = 1_000_000) -> None:
        self.user_count = self.target_user_count = users
        self.started: list[tuple[int, float]] = []
        self._most = most

    def start(self, users: int, rate: float) -> None:
        assert self.user_count == self.target_user_count, "the last ones are not there yet"
        assert len(self.started) < 1_000, "there is no end"
        self.started.append((users, rate))

    def look(self) -> None:
        if self.target_user_count != self.started[-1][0]:
            self.target_user_count = self.started[-1][0]
        else:
            self.user_count = min(self.target_user_count, self._most)


def test_a_stage_of_many_users_gets_them_all() -> None:
    runner = Runner()
    assert missing_users(runner, 10_000, runner.look) == 0
    assert (runner.user_count, len(runner.started)) == (10_000, 100)


@pytest.mark.parametrize(
    ("before", "users", "targets"),
    [
        (0, 3, [3]),
        (0, 250, [100, 200, 250]),
        (250, 1, [150, 50, 1]),
        (7, 7, []),
    ],
)
def test_they_come_and_go_at_once_up_to_what_locust_warns_of(before: int, users: int, targets: list[int]) -> None:
    runner = Runner(before)
    assert missing_users(runner, users, runner.look) == 0
    assert runner.user_count == users
    assert runner.started == [(target, 100) for target in targets]  # so no step is longer than Locust's one second


class Master(Runner):
    worker_count = 3


def test_a_master_has_so_many_at_once_in_each_of_its_load_processes() -> None:
    runner = Master()
    assert missing_users(runner, 700, runner.look) == 0
    assert runner.started == [(300, 300), (600, 300), (700, 300)]


def test_those_that_are_not_coming_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawning, "WAIT_S", 0.05)
    runner = Runner(most=230)
    assert missing_users(runner, 700, runner.look) == 470
    assert runner.started[-1] == (300, 100)  # nor is anything else asked for


def test_those_that_were_there_and_are_gone_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawning, "WAIT_S", 0.05)
    runner = Runner(10)
    runner.user_count = 6
    assert missing_users(runner, 10, pause=lambda: None) == 4
