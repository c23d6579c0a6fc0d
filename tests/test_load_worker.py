"""One load process by itself: what its users send below a ceiling, and a stage that is over before its window."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import gevent
import pytest

from contract.client import Client
from contract.records import Stage, VariantPlan
from loadtest.clients import Connection, Reply
from loadtest.plan.payloads import Request, Requests
from loadtest.process import worker as process
from loadtest.process.orders import Done, Order, clock
from loadtest.process.worker import Worker
from tests.builders import closed_stage, endpoint, open_stage, plan

RPS, USERS, WINDOW_S = 100.0, 50, 3.0
BURST = 25  # what is made up for (0.1 s of the rate), and retries whose room was taken ahead
REFUSED_S = 0.6  # longer than the half second in which each user has one request of the ceiling
WELL, BUSY = b"well", b"busy"
REQUESTS = Requests("/", [Request(f"r{number}", 1, body, {}) for number, body in enumerate([BUSY, *[WELL] * 7])])


class Server(Connection):
    """Answers at once, but for what it is too busy to do, which it says late."""

    def __init__(self, client: Client, sent: list[int]) -> None:
        super().__init__(client)
        self._sent = sent

    def prepare(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        return body

    def close(self) -> None:
        """There is nothing to close."""

    def _ask(self, prepared: bytes, deadline_ns: int) -> Reply:
        self._sent.append(time.monotonic_ns())
        if prepared == WELL:
            gevent.sleep(0)
            return Reply(200, "", b"")
        gevent.sleep(REFUSED_S)
        return Reply(503, "http 503", b"")


def begun(stage: Stage, folder: Path) -> tuple[Worker, Order]:
    """The only load process of a run, and its order to measure the stage now."""
    item = VariantPlan(id="words", endpoint=endpoint(), stages=[stage], repeat_of=None)
    planned = plan(item, max_rps=RPS, client=Client(retries=3, timeout_s=30.0))
    now = time.monotonic_ns()
    start = now + int(stage.warmup_s * 1e9)
    order = Order(
        number=1,
        round=1,
        variant=0,
        stage=0,
        item=item,
        draw=0,
        rate=stage.rate,
        begin_ns=now,
        start_ns=start,
        end_ns=start + int(stage.duration_s * 1e9),
        early=False,
        workers=["a"],
        clock=clock(),
        told_ns=now,
    )
    return Worker(planned, folder, folder, "a", 0, lambda *_: None, lambda *_: None), order


def test_users_of_a_closed_loop_send_again_only_what_the_others_leave_of_the_ceiling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for a late refusal leaves the turns to the others, who take them all."""
    sent: list[int] = []  # when (CLOCK_MONOTONIC)
    monkeypatch.setattr(process, "connect", lambda *words: Server(words[-1], sent))
    monkeypatch.setattr(process, "requests_of", lambda *_: REQUESTS)
    worker, order = begun(closed_stage(USERS, WINDOW_S, 0.0), tmp_path)
    worker.begin(order)
    users = [gevent.spawn(worker.serve) for _ in range(USERS)]
    gevent.sleep(max(0.0, order.end_ns - time.monotonic_ns()) / 1e9)
    gevent.killall(users)
    assert 50 <= sum(moment < order.end_ns for moment in sent) <= RPS * WINDOW_S + BURST


def test_a_stage_that_is_aborted_in_its_warm_up_is_not_waited_for_until_its_window_begins(tmp_path: Path) -> None:
    worker, order = begun(open_stage(50.0, 60.0, warmup_s=60.0), tmp_path)

    def fail() -> None:
        assert worker.window is not None
        worker.window.aborted = worker.window.drained = True
        worker.window.end(time.monotonic_ns())

    gevent.spawn_later(0.1, fail)
    began = time.monotonic()
    done = worker.carry_out(order)
    assert time.monotonic() - began < 30  # of a minute of warm-up
    assert isinstance(done, Done) and done.aborted
    assert 0 < done.end_ns - order.start_ns < 1e9
