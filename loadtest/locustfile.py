"""Locust drives one variant: its users are dispatchers, its shape is the plan, its page shows what happens.

    locust -f loadtest/locustfile.py --results results/<id> --variant <variant> [--headless]

Locust's statistics are what its page shows; the raw records are the truth. A user's task goes through a whole stage, so
that Locust's own work between tasks is not in anybody's way.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gevent
from gevent.lock import BoundedSemaphore
from locust import LoadTestShape, User, events, task

from contract.errors import UsageError
from contract.files import read_model
from contract.records import Plan, Stage
from loadtest.arrivals import poisson
from loadtest.clients import Send
from loadtest.variant import Request, Variant, Window, trusted

IDLE_S = 0.02
DRAIN_S = 10.0
SPAWN_RATE = 100.0  # above that Locust warns


@events.init_command_line_parser.add_listener
def _arguments(parser: Any) -> None:
    parser.add_argument("--results", default="", help="folder of the run, with its plan.json")
    parser.add_argument("--live", default="live", help="folder with the serialised requests")
    parser.add_argument("--variant", default="", help="id of the variant in the plan")


@events.init.add_listener
def _prepare(environment: Any, **_: Any) -> None:
    options = environment.parsed_options
    results = Path(options.results)
    plan = read_model(results / "plan.json", Plan, "make loadtest")
    chosen = next((item for item in plan.variants if item.id == options.variant), None)
    if chosen is None:
        raise UsageError(
            f"the plan has no variant '{options.variant}': one of {', '.join(v.id for v in plan.variants)}"
        )
    environment.variant = Variant(plan, chosen, results, Path(options.live))


@events.quitting.add_listener
def _write_rest(environment: Any, **_: Any) -> None:
    variant: Variant | None = getattr(environment, "variant", None)
    if variant is not None:
        variant.finish(complete=variant.complete)


def _report(user: User, name: str, started_ns: int, ended_ns: int, size: int, error: str) -> None:
    """Tell Locust's page."""
    user.environment.events.request.fire(
        request_type="infer",
        name=name,
        response_time=(ended_ns - started_ns) / 1e6,
        response_length=size,
        exception=RuntimeError(error) if error else None,
        context={},
    )


class Dispatcher(User):
    """One dispatcher with connections of its own. Locust starts as many as the stage has users; an open loop, one."""

    numbered = 0

    def on_start(self) -> None:
        self.variant: Variant = self.environment.variant
        Dispatcher.numbered += 1
        self.picks = self.variant.picks(Dispatcher.numbered)
        self.client: Send | None = None

    @task
    def stage(self) -> None:
        window = self.variant.window
        if window is not None:
            stage = self.variant.stages[window.stage]
            if stage.mode == "closed":
                self._closed(window, stage)
            elif not window.dispatched:
                window.dispatched = True
                self._open(window, stage)
        gevent.sleep(IDLE_S)

    def _closed(self, window: Window, stage: Stage) -> None:
        """Send, wait for the answer, send the next."""
        self.client = self.client or self.variant.connect(connections=1)
        while not window.closed_at(now := time.monotonic_ns()):
            reply, sent, done = self.variant.send(window, next(self.picks), now, self.client)
            _report(self, stage.name, sent, done, len(reply.body), reply.error)
            if reply.status == -1:
                gevent.sleep(IDLE_S)  # a dead server must not turn the loop into a spin

    def _open(self, window: Window, stage: Stage) -> None:
        """Send on schedule whether or not earlier requests are answered, up to the in-flight limit."""
        assert stage.rate is not None
        client = self.variant.connect(stage.in_flight)
        free = BoundedSemaphore(stage.in_flight)
        start = time.monotonic_ns()
        for offset in poisson(stage.rate, self.variant.schedule_seed(stage)):
            intended = start + offset
            _sleep_until(intended)
            if window.closed_at(intended):
                break
            request = next(self.picks)
            if not free.acquire(timeout=self._patience(window)):
                self.variant.give_up(window, request, intended)
                continue
            gevent.spawn(self._one, window, stage.name, request, intended, client, free)
        window.drained = True

    def _one(
        self, window: Window, name: str, request: Request, intended: int, client: Send, free: BoundedSemaphore
    ) -> None:
        try:
            reply, _, done = self.variant.send(window, request, intended, client)
            _report(self, name, intended, done, len(reply.body), reply.error)
        finally:
            free.release()

    def _patience(self, window: Window) -> float:
        """Seconds until ``DRAIN_S`` after the window: then what is still waiting is given up."""
        if window.end_ns is None:
            return DRAIN_S
        return max(0.0, (window.end_ns - time.monotonic_ns()) / 1e9 + DRAIN_S)


class Stages(LoadTestShape):
    """The plan's stages. `tick` asks for a stage's users; its next call holds the window open for its whole length."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0
        self._attempt = 0
        self._entering: gevent.Greenlet | None = None

    def tick(self) -> Any:
        assert self.runner is not None
        variant: Variant = self.runner.environment.variant
        if self._entering is not None:
            window, entered = self._entering.get()
            self._measure(variant, window, entered)
            self._attempt += 1
            if not trusted(variant.stages[window.stage], window) and self._attempt < variant.plan.attempts:
                self._next = window.stage
            else:
                self._attempt = 0
        if self._next == len(variant.stages):
            return None
        users = variant.stages[self._next].concurrency or 1
        self._entering = gevent.spawn(self._enter, variant, self._next, users)
        self._next += 1
        return users, SPAWN_RATE

    def _enter(self, variant: Variant, stage: int, users: int) -> tuple[Window, float]:
        """Wait until Locust has exactly the stage's users, those that it stops being gone, then let them send."""
        assert self.runner is not None
        while self.runner.user_count != users:
            gevent.sleep(IDLE_S)
        return variant.begin(stage), time.monotonic()

    def _measure(self, variant: Variant, window: Window, entered: float) -> None:
        warm_up = variant.stages[window.stage].warmup_s - (time.monotonic() - entered)
        gevent.sleep(max(0.0, warm_up))
        variant.open_window(window)
        assert window.end_ns is not None
        _sleep_until(window.end_ns)
        variant.end_window(window)
        given_up = time.monotonic() + DRAIN_S + 1.0
        while not variant.quiet(window) and time.monotonic() < given_up:
            gevent.sleep(IDLE_S)
        variant.close_window(window)


def _sleep_until(when_ns: int) -> None:
    left = (when_ns - time.monotonic_ns()) / 1e9
    if left > 0:
        gevent.sleep(left)
