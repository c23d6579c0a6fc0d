"""The master's way through a plan or what is asked for: order of steps, attempts, rates, what is lost or cut."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
import pytest

from contract.endpoints import Endpoint
from contract.errors import ServerError
from contract.events import read_events
from contract.files import read_model, write_json
from contract.load import Load
from contract.records import Observation, Plan
from contract.shapes import LoadPlan
from loadtest.master import conductor
from loadtest.master.asked import AskedFor
from loadtest.master.asking import ASKED, TOLD, Asked, Lines, Told, append
from loadtest.master.conductor import Conductor
from loadtest.master.steps import Planned, Step, in_order
from loadtest.plan.planning import Choice, make_plan
from loadtest.process.orders import Done, Order, Progress, packed, unpacked
from tests.builders import MACHINE, endpoint, endpoints

SHORT: dict[str, Any] = {"duration_s": 0.05, "warmup_s": 0.0}


def plan_of(*shapes: dict[str, Any], rounds: int = 1, models: int = 1, attempts: int = 3) -> Plan:
    chosen = [endpoint(model=f"m{number}", engine_kind="embedded") for number in range(models)]
    choice = Choice("mine", LoadPlan.model_validate({"stages": [SHORT | shape for shape in shapes], "rounds": rounds}))
    load = Load(attempts=attempts)
    return make_plan("x", "x", load, endpoints(*chosen, servers=[]), chosen, MACHINE, {}, choice)


class Crew:
    """Load processes that report at once what they were told to; those that are not there are not alive either."""

    def __init__(self, plan: Plan, results: Path, says: Callable[[Order, str], Done | None]) -> None:
        self.orders: list[Order] = []
        self.conductor = Conductor(Planned(plan), results, tell=self.take)
        self.alive = ["a", "b"]
        self._says = says

    def take(self, order: Order) -> None:
        self.orders.append(order)
        for name in order.workers:
            done = self._says(order, name)
            if done is not None:
                self.conductor.hear(replace(done, end_ns=order.end_ns))

    def run(self) -> list[Step]:
        taken = []
        while (step := self.conductor.next()) is not None:
            taken.append(step)
            self.conductor.measure(step, ["a", "b"], lambda: self.alive)
        return taken


def steady(order: Order, name: str) -> Done:
    return Done(order.number, name, cpu=0.5, due=100, late=0, good=[10, 10, 10])


def observed(results: Path, plan: Plan, variant: int = 0) -> Observation:
    return read_model(results / f"server-stats-{plan.variants[variant].id}.json", Observation, "make loadtest")


def test_in_each_round_every_variant_goes_through_its_stages() -> None:
    plan = plan_of({"shape": "closed", "users": 1}, {"shape": "steady"}, rounds=2, models=2)
    assert [(step.round, step.variant, step.stage) for step in in_order(plan)] == [
        (turn, variant, stage) for turn in (1, 2) for variant in (0, 1) for stage in (0, 1)
    ]


def test_a_run_is_complete_when_every_stage_was_measured_in_every_round(tmp_path: Path) -> None:
    plan = plan_of({"shape": "closed", "users": 1}, rounds=2)
    crew = Crew(plan, tmp_path, steady)
    step = crew.conductor.next()
    assert step is not None
    crew.conductor.measure(step, ["a", "b"], lambda: crew.alive)
    assert not observed(tmp_path, plan).complete
    assert len(crew.run()) == 1
    assert observed(tmp_path, plan).complete
    assert [item.round for item in observed(tmp_path, plan).stages] == [1, 2]


def test_a_stage_is_measured_again_while_the_machine_spoils_it_and_no_more_often_than_allowed(tmp_path: Path) -> None:
    plan = plan_of({"shape": "steady"}, attempts=3)

    def late(order: Order, name: str) -> Done:
        return Done(order.number, name, cpu=0.5, due=100, late=6 if order.number < 3 else 0, good=[1, 1, 1])

    assert len(Crew(plan, tmp_path, late).run()) == 3
    assert [item.attempt for item in observed(tmp_path, plan).stages] == [1, 2, 3]
    always = Crew(plan, tmp_path, lambda order, name: Done(order.number, name, 0.5, 100, 50, [1, 1, 1]))
    assert len(always.run()) == 3


def test_what_the_server_held_up_is_measured_once_and_told(tmp_path: Path) -> None:
    """A stall of it fills the in-flight limit; a second attempt without the stall would hide it."""
    plan = plan_of({"shape": "steady"}, attempts=3)
    crew = Crew(plan, tmp_path, lambda order, name: replace(steady(order, name), late=5, held=14))
    assert [step.attempt for step in crew.run()] == [1]
    assert [item.held for item in observed(tmp_path, plan).stages] == [28]  # of both load processes


def test_whether_a_closed_loop_was_steady_is_seen_over_all_load_processes(tmp_path: Path) -> None:
    plan = plan_of({"shape": "closed", "users": 2})

    def lopsided(order: Order, name: str) -> Done:
        return Done(order.number, name, 0.5, 100, 0, [30, 10, 10] if name == "a" else [10, 30, 30])

    assert len(Crew(plan, tmp_path, lopsided).run()) == 1


def test_a_rate_of_the_most_follows_from_the_best_closed_stage_before_it(tmp_path: Path) -> None:
    plan = plan_of(
        {"shape": "closed", "users": 1}, {"shape": "closed", "users": 9}, {"shape": "steady", "of_maximum": 1.5}
    )

    def quicker(order: Order, name: str) -> Done:
        return Done(order.number, name, 0.5, 100, 0, [10, 10, 10] if order.stage == 0 else [20, 20, 20])

    crew = Crew(plan, tmp_path, quicker)
    crew.run()
    assert crew.orders[-1].rate == pytest.approx(1.5 * 120 / 0.05)  # both processes' answers of the second stage
    assert observed(tmp_path, plan).stages[-1].rate == crew.orders[-1].rate


def test_a_load_process_that_is_gone_is_named_and_not_waited_for(tmp_path: Path) -> None:
    plan = plan_of({"shape": "closed", "users": 2}, attempts=1)
    crew = Crew(plan, tmp_path, lambda order, name: steady(order, name) if name == "a" else None)
    crew.alive = ["a"]
    crew.run()
    (seen,) = observed(tmp_path, plan).stages
    assert (seen.lost, seen.workers) == (["b"], 2)


def test_a_load_process_that_is_there_but_silent_is_waited_for_no_longer_than_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conductor, "DRAIN_S", 0.1)
    monkeypatch.setattr(conductor, "GRACE_S", 0.1)
    plan = plan_of({"shape": "closed", "users": 2}, attempts=1)
    Crew(plan, tmp_path, lambda order, name: steady(order, name) if name == "a" else None).run()
    assert observed(tmp_path, plan).stages[0].lost == ["b"]


def test_a_report_of_an_earlier_order_is_not_taken_for_this_one(tmp_path: Path) -> None:
    plan = plan_of({"shape": "closed", "users": 2}, attempts=1)
    crew = Crew(plan, tmp_path, lambda order, name: Done(order.number - 1, name, 0.5, 9, 9, [9, 9, 9]))
    crew.alive = []
    crew.run()
    assert observed(tmp_path, plan).stages[0].lost == ["a", "b"]


def test_users_that_could_not_be_started_are_said(tmp_path: Path) -> None:
    plan = plan_of({"shape": "closed", "users": 9}, attempts=1)
    crew = Crew(plan, tmp_path, steady)
    step = crew.conductor.next()
    assert step is not None
    crew.conductor.measure(step, ["a", "b"], lambda: crew.alive, missing_users=4)
    assert observed(tmp_path, plan).stages[0].lost == ["4 users"]


def test_a_load_process_that_was_lost_before_a_stage_is_missed_in_it(tmp_path: Path) -> None:
    """The others report all that was asked of them; it is not the load that was asked for."""
    plan = plan_of({"shape": "steady"}, attempts=1)
    crew = Crew(plan, tmp_path, steady)
    step = crew.conductor.next()
    assert step is not None
    crew.conductor.measure(step, ["a"], lambda: ["a"], missing_workers=2)
    (seen,) = observed(tmp_path, plan).stages
    assert (seen.lost, seen.workers) == (["2 of 3 load processes"], 1)


def test_a_variant_that_cannot_be_loaded_is_left_out_of_its_round_and_the_others_go_on(tmp_path: Path) -> None:
    plan = plan_of({"shape": "closed", "users": 1}, {"shape": "steady"}, rounds=2, models=2)
    refused = iter([True])

    def prepare(item: Endpoint) -> None:
        if item.model == "m0" and next(refused, False):
            raise ServerError("failed to load")

    crew = Crew(plan, tmp_path, steady)
    crew.conductor = Conductor(Planned(plan), tmp_path, tell=crew.take, prepare=prepare)
    crew.run()
    assert [(order.round, order.variant, order.stage) for order in crew.orders] == [
        (turn, variant, stage) for turn in (1, 2) for variant in (0, 1) for stage in (0, 1) if (turn, variant) != (1, 0)
    ]
    assert not observed(tmp_path, plan, 0).complete
    assert observed(tmp_path, plan, 1).complete
    (event,) = read_events(tmp_path / "events.jsonl")
    assert event.what == "not measured" and event.detail.endswith("failed to load")


def test_the_times_of_an_order_follow_each_other_and_are_the_stages(tmp_path: Path) -> None:
    plan = plan_of({"shape": "steady", "duration_s": 0.2, "warmup_s": 0.1})
    crew = Crew(plan, tmp_path, steady)
    crew.run()
    (order,) = crew.orders
    assert order.told_ns < order.begin_ns
    assert (order.start_ns - order.begin_ns, order.end_ns - order.start_ns) == (100_000_000, 200_000_000)
    assert order.shift_ns() == 0
    assert unpacked(Order, packed(order)) == order  # as it reaches the load processes


def no_pause() -> None:
    raise AssertionError("nothing is asked for, and nobody says that it is over")


def test_what_is_asked_for_is_measured_in_turn_each_by_a_draw_of_its_own(tmp_path: Path) -> None:
    plan = plan_of({"shape": "steady"}, {"shape": "steady"}, models=2)
    write_json(tmp_path / "plan.json", plan)
    for number, (variant, stage) in enumerate([(0, 0), (1, 0), (0, 1)], 1):
        append(tmp_path / ASKED, Asked(number=number, variant=variant, stage=stage))
    append(tmp_path / ASKED, Asked(number=4, end=True))
    crew = Crew(plan, tmp_path, steady)
    crew.conductor = Conductor(AskedFor(plan, tmp_path, no_pause), tmp_path, tell=crew.take)
    taken = crew.run()
    assert [(step.variant, step.stage, step.draw) for step in taken] == [(0, 0, 0), (1, 0, 0), (0, 1, 1)]
    lines = Lines(tmp_path / TOLD)
    told = [item for item in iter(lambda: lines.next(Told), None) if item]
    assert [item.number for item in told] == [1, 2, 3]
    assert all(item.measured and (item.measured.due, item.measured.good) == (200, 60) for item in told)
    assert observed(tmp_path, plan, 0).complete
    assert not observed(tmp_path, plan, 1).complete


def test_a_question_counts_once_its_line_is_whole(tmp_path: Path) -> None:
    lines = Lines(tmp_path / ASKED)
    assert lines.next(Asked) is None
    text = Asked(number=7).model_dump_json()
    (tmp_path / ASKED).write_text(text[:9])
    assert lines.next(Asked) is None
    with (tmp_path / ASKED).open("a") as file:
        file.write(text[9:] + "\n")
    assert lines.next(Asked) == Asked(number=7)
    assert lines.next(Asked) is None


def test_nothing_more_is_asked_for_when_the_process_that_asks_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = AskedFor(plan_of({"shape": "steady"}), tmp_path, no_pause)
    monkeypatch.setattr("os.getppid", lambda: 1)
    assert steps.next() is None


def test_a_file_does_not_say_that_all_was_measured_while_one_more_stage_is_on(tmp_path: Path) -> None:
    plan = plan_of({"shape": "steady"}, {"shape": "steady"})
    first = plan.variants[0].model_copy(update={"stages": plan.variants[0].stages[:1]})
    one = plan.model_copy(update={"variants": [first]})
    crew = Crew(one, tmp_path, lambda order, name: None)
    crew.conductor = Conductor(AskedFor(one, tmp_path, no_pause), tmp_path, tell=crew.take)
    said = []

    def alive() -> list[str]:
        """Asked for while a stage is on."""
        if crew.orders[-1].stage == 1:
            said.append(observed(tmp_path, plan).complete)
        crew.conductor.hear(replace(steady(crew.orders[-1], "a"), end_ns=crew.orders[-1].end_ns))
        return ["a"]

    for number, now in enumerate([one, plan]):
        write_json(tmp_path / "plan.json", now)
        append(tmp_path / ASKED, Asked(number=number, stage=number))
        step = crew.conductor.next()
        assert step is not None
        crew.conductor.measure(step, ["a"], alive)
        assert observed(tmp_path, plan).complete
    assert said[0] is False


@pytest.mark.parametrize(("early", "cut"), [(True, "hopeless"), (False, "")])
def test_a_hopeless_window_is_cut_where_that_was_asked_for_and_ends_with_its_last_load_process(
    tmp_path: Path, early: bool, cut: str
) -> None:
    plan = plan_of({"shape": "steady", "rate": 100.0, "duration_s": 30.0 if early else 0.3})
    write_json(tmp_path / "plan.json", plan)
    append(tmp_path / ASKED, Asked(number=1, early=early))
    crew = Crew(plan, tmp_path, lambda order, name: None)

    def tell(order: Order) -> None:
        crew.orders.append(order)
        slow = {"p99": 25}  # of 3,219 there may be 32 over the limit: only both together have more
        for name in order.workers:
            heard = Progress(order.number, name, due=30, late=0, failed=0, over=slow, near=slow, in_flight=3)
            crew.conductor.hear_progress(heard)

    def end(number: int, drain_s: float) -> None:
        for later_ns, name in enumerate("ab"):
            ended_ns = crew.orders[0].start_ns + later_ns + 9
            crew.conductor.hear(replace(steady(crew.orders[0], name), index=later_ns, end_ns=ended_ns))

    crew.conductor = Conductor(AskedFor(plan, tmp_path, no_pause), tmp_path, tell=tell, cut=end)
    step = crew.conductor.next()
    assert step is not None
    crew.conductor.measure(step, ["a", "b"], lambda: [])
    told = Lines(tmp_path / TOLD).next(Told)
    assert told is not None and told.measured is not None
    assert (told.measured.cut, told.measured.lost) == (cut, [] if early else ["a", "b"])
    (seen,) = observed(tmp_path, plan).stages
    start_ns = seen.window_start_ns
    assert seen.window_end_ns == (start_ns + 10 if early else crew.orders[0].end_ns)
    assert seen.worker_ends_ns == ({0: start_ns + 9, 1: start_ns + 10} if early else {})


def test_a_stage_says_how_many_of_its_load_processes_are_on_other_machines(tmp_path: Path) -> None:
    plan = plan_of({"shape": "closed", "users": 2})
    crew = Crew(plan, tmp_path, lambda order, name: replace(steady(order, name), elsewhere=name == "b"))
    crew.run()
    assert [(stage.workers, stage.elsewhere) for stage in observed(tmp_path, plan).stages] == [(2, 1)]


def test_who_reads_the_clock_that_the_order_names_is_on_the_masters_machine(tmp_path: Path) -> None:
    crew = Crew(plan_of({"shape": "closed", "users": 2}), tmp_path, steady)
    crew.run()
    (order,) = crew.orders
    assert not order.from_elsewhere and order.shift_ns() == 0
    assert replace(order, clock="another boot").from_elsewhere


@pytest.mark.parametrize(("after_s", "told"), [(0.6, True), (0.001, False)])
def test_what_an_interrupted_window_has_measured_is_kept_and_nothing_comes_after_it(
    tmp_path: Path, after_s: float, told: bool
) -> None:
    plan = plan_of({"shape": "steady", "duration_s": 30.0}, {"shape": "steady"})
    crew = Crew(plan, tmp_path, lambda order, name: None)
    asked_for: list[float] = []

    def tell(order: Order) -> None:
        crew.orders.append(order)
        gevent.spawn_later(0.05, crew.conductor.interrupt)

    def end(number: int, drain_s: float) -> None:
        asked_for.append(drain_s)
        for name in crew.orders[0].workers:
            ended = crew.orders[0].start_ns + int(after_s * 1e9)
            crew.conductor.hear(replace(steady(crew.orders[0], name), end_ns=ended))

    crew.conductor = Conductor(Planned(plan), tmp_path, tell=tell, cut=end)
    began = time.monotonic()
    assert [step.stage for step in crew.run()] == [0]
    assert time.monotonic() - began < 10  # of 30 s
    assert asked_for == [conductor.HASTE_S]
    crew.conductor.finish()
    if told:
        seen = observed(tmp_path, plan)
        assert [stage.interrupted for stage in seen.stages] == [True] and not seen.complete
        assert seen.stages[0].window_end_ns - seen.stages[0].window_start_ns == int(after_s * 1e9)
    else:  # too short to say anything
        assert not (tmp_path / f"server-stats-{plan.variants[0].id}.json").exists()


def test_a_plan_of_one_stage_is_not_complete_where_that_one_was_interrupted(tmp_path: Path) -> None:
    plan = plan_of({"shape": "steady", "duration_s": 30.0})
    crew = Crew(plan, tmp_path, lambda order, name: None)

    def end(number: int, drain_s: float) -> None:
        for name in crew.orders[0].workers:
            crew.conductor.hear(replace(steady(crew.orders[0], name), end_ns=crew.orders[0].end_ns - 1))

    crew.conductor = Conductor(Planned(plan), tmp_path, tell=crew.take, cut=end)
    gevent.spawn_later(0.1, crew.conductor.interrupt)
    crew.run()
    assert not observed(tmp_path, plan).complete


def test_a_measurement_in_which_requests_failed_is_not_thrown_away_for_another(tmp_path: Path) -> None:
    """The machine was late too; but a second one, in which the server was up again, would hide that it was down."""
    plan = plan_of({"shape": "steady"})
    crew = Crew(plan, tmp_path, lambda order, name: replace(steady(order, name), late=90, failed=1))
    assert [step.attempt for step in crew.run()] == [1]
    crew = Crew(plan, tmp_path, lambda order, name: replace(steady(order, name), late=90))
    assert [step.attempt for step in crew.run()] == [1, 2, 3]


@pytest.mark.parametrize("early", [False, True])
def test_a_window_whose_load_processes_have_all_reported_is_not_sat_out(tmp_path: Path, early: bool) -> None:
    """They stop when too many requests fail."""
    plan = plan_of({"shape": "steady", "duration_s": 60.0})
    write_json(tmp_path / "plan.json", plan)
    append(tmp_path / ASKED, Asked(number=1, early=early))
    append(tmp_path / ASKED, Asked(number=2, end=True))
    crew = Crew(plan, tmp_path, lambda order, name: None)

    def give_up(order: Order) -> None:
        crew.orders.append(order)
        for name in order.workers:
            stopped = replace(steady(order, name), aborted=True, failed=99, end_ns=order.start_ns + 5)
            gevent.spawn_later(0.1, crew.conductor.hear, stopped)

    crew.conductor = Conductor(AskedFor(plan, tmp_path, no_pause), tmp_path, tell=give_up)
    began = time.monotonic()
    crew.run()
    assert time.monotonic() - began < 30  # of 60 s
    (seen,) = observed(tmp_path, plan).stages
    assert (seen.aborted, seen.lost, seen.window_end_ns - seen.window_start_ns) == (True, [], 5)


def test_while_one_load_process_is_still_at_it_the_window_goes_on(tmp_path: Path) -> None:
    plan = plan_of({"shape": "steady", "duration_s": 0.4}, attempts=1)
    crew = Crew(plan, tmp_path, lambda order, name: replace(steady(order, name), aborted=True) if name == "a" else None)
    crew.alive = ["a"]
    crew.run()
    assert time.monotonic_ns() >= crew.orders[0].end_ns
    assert observed(tmp_path, plan).stages[0].lost == ["b"]


def test_whoever_asks_for_a_closed_stage_that_was_aborted_is_told_no_rate(tmp_path: Path) -> None:
    plan = plan_of({"shape": "closed", "users": 1}, attempts=1)
    write_json(tmp_path / "plan.json", plan)
    append(tmp_path / ASKED, Asked(number=1))
    append(tmp_path / ASKED, Asked(number=2, end=True))
    crew = Crew(plan, tmp_path, lambda order, name: replace(steady(order, name), aborted=True))
    crew.conductor = Conductor(AskedFor(plan, tmp_path, no_pause), tmp_path, tell=crew.take)
    crew.run()
    told = Lines(tmp_path / TOLD).next(Told)
    assert told is not None and told.measured is not None
    assert (told.measured.good, told.measured.answered_rps) == (60, 0.0)


def test_a_closed_stage_that_was_aborted_shows_no_maximum(tmp_path: Path) -> None:
    """What was answered in the instant before would be a rate that nobody ever sent."""
    plan = plan_of({"shape": "closed", "users": 1}, {"shape": "steady", "of_maximum": 1.5})
    crew = Crew(plan, tmp_path, lambda order, name: replace(steady(order, name), aborted=order.stage == 0))
    crew.run()
    assert crew.orders[-1].rate == 1.0
