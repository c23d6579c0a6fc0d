"""The threads that answer gRPC: who is held up does not count, who works does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from serving.tfserving.call_threads import CallThreads, change
from tests.builders import wait_until

SECONDS = 10.0
BY_HAND = 1e6  # seconds: the test looks itself


@pytest.mark.parametrize(
    ("size", "waiting", "held", "present", "added"),
    [
        pytest.param(8, 0, 0, 8, 0, id="nobody waits"),
        pytest.param(8, 5, 0, 8, 0, id="the messages will come"),
        pytest.param(8, 3, 3, 8, 3, id="one more for each that is held"),
        pytest.param(8, 8, 8, 8, 8, id="all are held"),
        pytest.param(8, 100, 100, 100, 100, id="all of many are held, so many more come at once"),
        pytest.param(8, 200, 100, 200, 0, id="those that have come wait too, perhaps in vain"),
        pytest.param(8, 100, 100, 200, -92, id="the burst is over, so those that it took too many go"),
        pytest.param(8, 0, 0, 208, -200, id="nobody is held any more"),
        pytest.param(8, 9, 9, 8, 10, id="one that is to go is held before it hears of it"),
        pytest.param(8, 900, 900, 900, 124, id="there is an end to it"),
        pytest.param(2000, 2000, 2000, 2000, 0, id="whoever asks for more threads than that gets them"),
    ],
)
def test_a_thread_that_is_held_up_does_not_count(size: int, waiting: int, held: int, present: int, added: int) -> None:
    assert change(size, waiting, held, present, most=1024) == added


class Calls:
    """Calls of which the test decides when their message comes, and when they have been answered."""

    def __init__(self, size: int, most: int) -> None:
        self.threads = CallThreads(size, most, look_seconds=BY_HAND)
        self.message, self.answered = threading.Event(), threading.Event()
        self._begun = threading.Semaphore(0)
        self._told = threading.Semaphore(0)

    def held_up(self) -> Future[None]:
        """A call whose message has not come."""
        return self.threads.submit(self._call)

    def begun(self, count: int) -> bool:
        """Whether so many have got a thread."""
        return all(self._begun.acquire(timeout=SECONDS) for _ in range(count))

    def told(self, count: int) -> bool:
        """Whether so many have their message."""
        return all(self._told.acquire(timeout=SECONDS) for _ in range(count))

    def _call(self) -> None:
        self._begun.release()
        assert self.message.wait(SECONDS)
        self.threads.message_came()
        self._told.release()
        assert self.answered.wait(SECONDS)


@pytest.fixture
def calls() -> Iterator[Calls]:
    made = Calls(size=2, most=9)
    made.threads.start()
    yield made
    made.message.set()
    made.answered.set()
    made.threads.shutdown()


def test_others_are_answered_while_messages_do_not_come(calls: Calls) -> None:
    for _ in range(6):
        calls.held_up()
    other = calls.threads.submit(lambda: "answered")
    assert calls.begun(2)
    calls.threads.look()
    calls.threads.look()  # both are held, as at the look before: two more come
    assert calls.begun(2)
    calls.threads.look()
    calls.threads.look()
    assert other.result(SECONDS) == "answered"
    assert calls.threads.present == 8


def test_a_moment_without_the_message_is_not_held_up(calls: Calls) -> None:
    calls.held_up()
    calls.held_up()
    calls.threads.submit(lambda: None)
    assert calls.begun(2)
    calls.threads.look()
    assert calls.threads.present == 2


def test_who_works_is_not_replaced(calls: Calls) -> None:
    calls.message.set()
    for _ in range(6):
        calls.held_up()
    assert calls.told(2)
    for _ in range(5):
        calls.threads.look()
    assert calls.threads.present == 2


def test_no_more_threads_come_than_there_is_something_to_do_for(calls: Calls) -> None:
    calls.held_up()
    calls.held_up()
    assert calls.begun(2)
    for _ in range(5):
        calls.threads.look()
    assert calls.threads.present == 2


def test_there_is_an_end_to_replacing(calls: Calls) -> None:
    for _ in range(20):
        calls.held_up()
    expected = 2
    for count in (2, 2, 4, 1):  # 2, 4, 8, and the 9 that are the most
        assert calls.begun(count)
        calls.threads.look()
        calls.threads.look()
        expected = min(2 * expected, 9)
        assert calls.threads.present == expected


def test_the_additional_threads_go_when_the_messages_have_come(calls: Calls) -> None:
    before = threading.active_count()
    waiting = [calls.held_up() for _ in range(4)]
    assert calls.begun(2)
    calls.threads.look()
    calls.threads.look()
    assert calls.begun(2)
    assert threading.active_count() == before + 2
    calls.message.set()
    calls.answered.set()
    for call in waiting:
        call.result(SECONDS)
    calls.threads.look()
    assert calls.threads.present == 2
    assert wait_until(lambda: threading.active_count() == before, SECONDS)


def test_the_threads_look_after_themselves() -> None:
    threads, held = CallThreads(1, look_seconds=0.001), threading.Event()
    threads.start()
    stuck = [threads.submit(held.wait, SECONDS) for _ in range(50)]
    assert threads.submit(lambda: "answered").result(SECONDS) == "answered"
    held.set()
    assert all(call.result(SECONDS) for call in stuck)
    threads.shutdown()
    assert wait_until(lambda: threads.present == 0, SECONDS)


def test_what_a_call_raises_ends_no_thread(calls: Calls) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            calls.threads.submit(lambda: 1 // 0).result(SECONDS)
    assert calls.threads.submit(lambda: "answered").result(SECONDS) == "answered"
