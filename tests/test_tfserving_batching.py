"""Requests that are joined: which rows meet in a run, what each gets back, and what is refused."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from serving.tfserving import merging
from serving.tfserving.batching import BatchedModel, Queue, Scheduler
from serving.tfserving.config import BatchingParameters
from serving.tfserving.errors import Code, StatusError
from serving.tfserving.merging import Part, Task
from serving.tfserving.metrics import Metrics
from serving.tfserving.model import Endpoint, Signature
from serving.tfserving.tensors import DTYPES, Array

SECONDS = 10.0
FLOAT = DTYPES[1]
SIGNATURE = Signature(
    "serving_default",
    inputs={"x": Endpoint("x", "in_x:0", FLOAT)},
    outputs={alias: Endpoint(alias, f"out_{alias}:0", FLOAT) for alias in ("double", "rows", "sum")},
    defaults={},
)


class Doubler:
    """A model with a known answer. It stands still until it is let go, and notes the rows of each run."""

    signature_defs: Mapping[str, Any] = {}
    signatures: Mapping[str, Signature] = {SIGNATURE.name: SIGNATURE}

    def __init__(self) -> None:
        self.runs: list[list[Any]] = []
        self.running = threading.Semaphore(0)
        self.free = threading.Event()
        self.free.set()

    def run(
        self, signature: Signature, feeds: Mapping[str, Array], aliases: Sequence[str], timeout_ms: int
    ) -> list[Array]:
        x = feeds["x"]
        self.runs.append(x.tolist())
        self.running.release()
        assert self.free.wait(SECONDS)
        if np.isnan(x).any():
            raise StatusError(Code.INVALID_ARGUMENT, "not a number")
        answers = {"double": 2 * x, "rows": np.float32(len(x)), "sum": x[:1]}
        return [np.asarray(answers[alias]) for alias in aliases]


def floats(*values: Any) -> Array:
    return np.array(values, np.float32)


def ask(model: BatchedModel, x: Array, *aliases: str, timeout_ms: int = 0) -> list[Array]:
    return model.run(SIGNATURE, {"x": x}, aliases or ("double",), timeout_ms)


class Held:
    """A batched model whose only thread is held up, so that what comes now waits in the queue."""

    def __init__(self, **parameters: Any) -> None:
        self.doubler = Doubler()
        self.doubler.free.clear()
        self.model = BatchedModel(self.doubler, BatchingParameters(threads=1, **parameters), Scheduler(1))
        self.pool = ThreadPoolExecutor(8)
        self.first = self.pool.submit(ask, self.model, floats(0))
        assert self.doubler.running.acquire(timeout=SECONDS)

    def submit(self, x: Array, *aliases: str, **options: Any) -> Any:
        """Ask, and return when the request is in the queue."""
        queue = self.model._queues[SIGNATURE.name]
        before = self.waiting(queue)
        future = self.pool.submit(ask, self.model, x, *aliases, **options)
        while self.waiting(queue) == before and not future.done():
            threading.Event().wait(0.001)
        return future

    def waiting(self, queue: Queue) -> int:
        return sum(len(batch) for batch in queue._batches)

    def release(self) -> list[list[Any]]:
        """Let everything run; the rows of each run after the first."""
        self.doubler.free.set()
        self.pool.shutdown(wait=True)
        return self.doubler.runs[1:]


# ---------------------------------------------------------------- runs


def test_requests_that_wait_together_run_together_and_get_their_own_rows() -> None:
    held = Held()
    one, two, three = held.submit(floats(1)), held.submit(floats(2, 3)), held.submit(floats(4))
    assert held.release() == [[1, 2, 3, 4]]
    assert [future.result()[0].tolist() for future in (one, two, three)] == [[2], [4, 6], [8]]


def test_a_batch_never_exceeds_its_size() -> None:
    held = Held(limit=3, execution=3)
    futures = [held.submit(floats(*rows)) for rows in ((1, 1), (2, 2), (3,))]
    assert held.release() == [[1, 1], [2, 2, 3]]
    assert [future.result()[0].tolist() for future in futures] == [[2, 2], [4, 4], [6]]


def test_a_batch_that_is_alone_waits_for_its_timeout_and_not_longer() -> None:
    doubler = Doubler()
    model = BatchedModel(doubler, BatchingParameters(timeout_micros=20_000, threads=2), Scheduler(2))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda value: ask(model, floats(value))[0].tolist(), range(4)))
    assert answers == [[0], [2], [4], [6]]
    assert len(doubler.runs) < 4


def test_a_full_batch_does_not_wait_for_its_timeout() -> None:
    parameters = BatchingParameters(limit=2, timeout_micros=3_600_000_000, execution=2, threads=1)
    assert ask(BatchedModel(Doubler(), parameters, Scheduler(1)), floats(1, 2))[0].tolist() == [2, 4]


def test_rows_fill_a_batch_up_to_an_allowed_size_and_are_cut_off_again() -> None:
    held = Held(limit=8, allowed_sizes=(4, 8), execution=8)
    one, two = held.submit(floats(1, 2)), held.submit(floats(3))
    assert held.release() == [[1, 2, 3, 3]]
    assert (one.result()[0].tolist(), two.result()[0].tolist()) == ([2, 4], [6])


def test_different_lengths_in_one_batch_fail_together_in_the_known_words() -> None:
    held = Held()
    futures = [held.submit(floats([1, 2])), held.submit(floats([1, 2, 3]))]
    assert held.release() == []
    for future in futures:
        error = future.exception()
        assert error.code is Code.FAILED_PRECONDITION
        assert error.message.startswith(
            "Tensors with name 'in_x:0' from different tasks have different shapes and padding is turned off."
        )


def test_shorter_inputs_are_padded_with_their_own_first_element() -> None:
    held = Held(padding=True)
    one = held.submit(floats([1, 2]))
    held.submit(floats([3, 4, 5]))
    assert held.release() == [[[1, 2, 1], [3, 4, 5]]]
    assert one.result()[0].tolist() == [[2, 4, 2]]  # the client sees the padding, as with the original


def test_strings_are_padded_too() -> None:
    pieces = [np.array([[b"a", b"b"]], object), np.array([[b"c"]], object)]
    assert merging._padded(pieces)[1].tolist() == [[b"c", b"c"]]


def test_an_empty_input_cannot_be_padded() -> None:
    held = Held(padding=True)
    empty = held.submit(np.zeros((1, 0), np.float32))
    held.submit(floats([1]))
    held.release()
    assert empty.exception().message == "Got empty tensor in batch of non-empty tensors."


def test_requests_for_different_outputs_share_a_run() -> None:
    held = Held()
    one = held.submit(floats(1), "double")
    two = held.submit(floats(2), "rows", "double")
    assert held.release() == [[1, 2]]
    assert one.result()[0].tolist() == [2]
    assert two.exception().message == "Batched output tensor has 0 dimensions"


def test_an_output_without_a_row_for_each_request_fails_those_who_want_it() -> None:
    held = Held()
    futures = [held.submit(floats(1), "sum"), held.submit(floats(2), "double")]
    held.release()
    assert "0th dimension does not equal the sum" in futures[0].exception().message
    assert futures[1].result()[0].tolist() == [4]


def test_a_run_that_fails_fails_all_its_requests_and_the_next_batch_runs() -> None:
    held = Held()
    bad = [held.submit(floats(np.nan)), held.submit(floats(1))]
    held.release()
    for future in bad:
        assert (future.exception().code, future.exception().message) == (Code.INVALID_ARGUMENT, "not a number")
    assert ask(held.model, floats(3))[0].tolist() == [6]


@pytest.mark.parametrize("answer", [[], [b"no array"]], ids=["no output", "no array"])
def test_an_answer_that_cannot_be_cut_fails_its_requests_and_the_thread_goes_on(answer: list[Any]) -> None:
    doubler = Doubler()
    model = BatchedModel(doubler, BatchingParameters(threads=1), Scheduler(1))
    right, doubler.run = doubler.run, lambda *_: answer  # type: ignore[method-assign]
    with pytest.raises(StatusError, match=r"The embedded server failed on this request; its log says why\."):
        ask(model, floats(1))
    doubler.run = right  # type: ignore[method-assign]
    assert ask(model, floats(3))[0].tolist() == [6]


def test_what_is_joined_waits_and_fills_up_is_counted() -> None:
    metrics = Metrics()
    parameters = BatchingParameters(threads=1, allowed_sizes=(4,), limit=4, execution=4)
    ask(BatchedModel(Doubler(), parameters, Scheduler(1), metrics), floats(1, 2, 3))
    lines = metrics.page().splitlines()
    for line in (
        ":tensorflow:serving:batching_session:input_batch_size_sum{} 3.0",
        ":tensorflow:serving:batching_session:processed_batch_size_sum{} 4.0",
        ':tensorflow:serving:batching_session:padding_size_sum{execution_batch_size="4"} 1.0',
        ':tensorflow:serving:batching_session:queuing_latency_count{thread_pool_name="batch_threads"} 1',
    ):
        assert line in lines


def test_a_large_request_is_split_and_put_together_again() -> None:
    held = Held(limit=10, splitting=True, execution=4)
    small, large = held.submit(floats(0)), held.submit(floats(*range(1, 10)))
    assert held.release() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert small.result()[0].tolist() == [0]
    assert large.result()[0].tolist() == [2 * value for value in range(1, 10)]


def test_requests_that_waited_beyond_their_timeout_are_not_run() -> None:
    held = Held()
    late = held.submit(floats(1), timeout_ms=1)
    threading.Event().wait(0.01)
    assert held.release() == []
    assert late.exception().code is Code.RESOURCE_EXHAUSTED
    assert late.exception().message == "Run() timeout exceeded while waiting in batching queue"


def test_an_idle_scheduler_keeps_no_model() -> None:
    scheduler = Scheduler(2)
    doubler = Doubler()
    model = BatchedModel(doubler, BatchingParameters(threads=2), scheduler)
    ask(model, floats(1))
    gone = weakref.ref(doubler)
    gc.disable()
    try:
        del model, doubler
        for _ in range(1000):
            if gone() is None:
                break
            threading.Event().wait(0.001)  # the thread that ran it may still be on its way back
        assert gone() is None
    finally:
        gc.enable()


def test_many_clients_each_get_their_own_rows() -> None:
    parameters = BatchingParameters(limit=8, timeout_micros=500, execution=8, threads=2, enqueued_batches=1000)
    model = BatchedModel(Doubler(), parameters, Scheduler(2))

    def client(number: int) -> bool:
        return all(ask(model, floats(number, turn))[0].tolist() == [2.0 * number, 2.0 * turn] for turn in range(50))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(client, range(8)))


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([], "Batching Run() must have at least one input tensor"),
        ([np.float32(1)], "Batching Run() input tensors must have at least one dimension"),
        ([floats(1), floats(1, 2)], "Batching Run() input tensors must have equal 0th-dimension size"),
    ],
)
def test_inputs_that_have_no_common_rows_are_refused(arrays: list[Any], message: str) -> None:
    with pytest.raises(StatusError) as caught:
        merging.rows_of([np.asarray(array) for array in arrays])
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, message)


def test_a_wrong_type_is_refused_before_it_meets_others() -> None:
    held = Held()
    with pytest.raises(StatusError, match=r"Expects arg\[0\] to be float but int64 is provided"):
        ask(held.model, np.array([1]))
    held.release()


def refusal(parameters: BatchingParameters, *sizes: int) -> StatusError:
    """What the last of these requests is told by a queue that nobody empties."""
    queue = Queue(parameters, lambda parts: None)
    *before, last = (Task([np.zeros(size, np.float32)], ("double",), 0, 0.0) for size in sizes)
    for task in before:
        queue.put(task, 0.0)
    with pytest.raises(StatusError) as caught:
        queue.put(last, 0.0)
    return caught.value


FULL = "The batch scheduling queue to which this task was submitted is full; "


@pytest.mark.parametrize(
    ("parameters", "sizes", "code", "message"),
    [
        (
            BatchingParameters(limit=2, execution=2),
            (3,),
            Code.INVALID_ARGUMENT,
            "Task size 3 is larger than maximum input batch size 2",
        ),
        (
            BatchingParameters(limit=2, execution=2, enqueued_batches=2),
            (2, 2, 1),
            Code.UNAVAILABLE,
            f"{FULL}currently 2 batches enqueued and max_enqueued_batches is 2",
        ),
        (
            BatchingParameters(limit=9, execution=2, enqueued_batches=2, splitting=True),
            (3, 2),
            Code.UNAVAILABLE,
            f"{FULL}task size is 2 but scheduling capacity is only 1 (num_enqueued_batches=2, "
            "max_enqueued_batches=2, open_batch_size=1, max_execution_batch_size=2)",
        ),
    ],
)
def test_a_queue_refuses_in_the_known_words(
    parameters: BatchingParameters, sizes: tuple[int, ...], code: Code, message: str
) -> None:
    error = refusal(parameters, *sizes)
    assert (error.code, error.message) == (code, message)


@pytest.mark.parametrize(
    ("now", "sizes", "expected"),
    [
        (0.5, (1,), None),  # neither full nor old enough
        (1.0, (1,), [1]),  # the first has waited for a second
        (0.5, (2, 2), [2, 2]),  # full
        (0.5, (2, 3), [2]),  # closed by one that did not fit
        (9.0, (), None),
    ],
)
def test_a_batch_is_taken_when_it_is_full_closed_or_old(
    now: float, sizes: tuple[int, ...], expected: list[int] | None
) -> None:
    queue = Queue(BatchingParameters(limit=4, execution=4, timeout_micros=1_000_000), lambda parts: None)
    for size in sizes:
        queue.put(Task([np.zeros(size, np.float32)], ("double",), 0, 0.0), 0.0)
    taken: list[Part] | None = queue.take(now)
    assert (None if taken is None else [part.rows for part in taken]) == expected
