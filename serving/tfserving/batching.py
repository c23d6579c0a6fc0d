"""Joining requests into batches, as TensorFlow Serving's BatchingSession does.

Rows of several requests become one run, and its outputs are cut up again. A signature has a queue of its own;
the queues of all models share a few threads. A batch runs as soon as a thread is free and it is full, or its
first request has waited for the timeout; without a timeout, what has come while the threads were busy runs
together. A queue that is full refuses at once (UNAVAILABLE).

The threads know the queues by weak reference: a request in a queue keeps its model alive, an idle queue does not.
"""

from __future__ import annotations

import functools
import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from serving.tfserving import merging
from serving.tfserving.config import BatchingParameters
from serving.tfserving.errors import Code, StatusError, as_status, invalid
from serving.tfserving.merging import Part, Task
from serving.tfserving.metrics import Metrics
from serving.tfserving.model import Runnable, Signature, check_types
from serving.tfserving.tensors import Array

Clock = Callable[[], float]
POOL = "batch_threads"  # what TensorFlow calls these threads unless somebody names them


class Queue:
    """The batches of one signature, oldest first; the last one is open. Guarded by the scheduler's lock."""

    def __init__(self, parameters: BatchingParameters, run: Callable[[list[Part]], None]) -> None:
        self._parameters = parameters
        self._batches: deque[list[Part]] = deque([[]])
        self._open_rows = 0
        self._opened = 0.0
        self.run = run

    def put(self, task: Task, now: float) -> bool:
        """Enqueue a task, in parts where it may be split; True if there is something new to wait for."""
        self._check(task.rows)
        size = self._parameters.execution
        room = size - self._open_rows
        cuts = [task.rows]
        if self._parameters.splitting and task.rows > room:
            cuts = [*range(room or size, task.rows, size), task.rows]
        news = False
        for part in task.split(cuts):
            if self._open_rows + part.rows > size:
                self._begin()
                news = True
            if not self._batches[-1]:
                self._opened = now
                news = True
            self._batches[-1].append(part)
            self._open_rows += part.rows
        return news or self._open_rows >= size

    def take(self, now: float) -> list[Part] | None:
        """The batch that should run now, if there is one."""
        due = self.due()
        if due is None or due > now:
            return None
        batch = self._batches.popleft()
        if not self._batches:
            self._begin()
        return batch

    def due(self) -> float | None:
        """When the first batch should run; None without one."""
        if len(self._batches) > 1 or self._open_rows >= self._parameters.execution:
            return 0.0
        return self._opened + self._parameters.timeout_micros / 1e6 if self._batches[0] else None

    def _begin(self) -> None:
        self._batches.append([])
        self._open_rows = 0

    def _check(self, rows: int) -> None:
        most, batches = self._parameters.enqueued_batches, len(self._batches)
        if rows > self._parameters.limit:
            raise invalid(f"Task size {rows} is larger than maximum input batch size {self._parameters.limit}")
        full = "The batch scheduling queue to which this task was submitted is full; "
        if self._parameters.splitting:
            size, opened = self._parameters.execution, self._open_rows
            capacity = (most - batches) * size + size - opened
            if rows > capacity:
                raise StatusError(
                    Code.UNAVAILABLE,
                    f"{full}task size is {rows} but scheduling capacity is only {capacity} "
                    f"(num_enqueued_batches={batches}, max_enqueued_batches={most}, "
                    f"open_batch_size={opened}, max_execution_batch_size={size})",
                )
        elif self._open_rows + rows > self._parameters.limit and batches >= most:
            raise StatusError(
                Code.UNAVAILABLE, f"{full}currently {batches} batches enqueued and max_enqueued_batches is {most}"
            )


class Scheduler:
    """The threads that run the batches of all queues in turn; they start with the first queue."""

    def __init__(self, threads: int, clock: Clock = time.monotonic) -> None:
        self._threads = threads
        self._clock = clock
        self._changed = threading.Condition()
        self._queues: deque[weakref.ref[Queue]] = deque()
        self._started = False

    def add(self, queue: Queue) -> None:
        with self._changed:
            self._queues.append(weakref.ref(queue))
            if not self._started:
                self._started = True
                for number in range(self._threads):
                    threading.Thread(target=self._work, name=f"batch-{number}", daemon=True).start()

    def put(self, queue: Queue, task: Task) -> None:
        """Enqueue and return; StatusError if the queue does not take it."""
        with self._changed:
            if queue.put(task, self._clock()):
                self._changed.notify()

    def _work(self) -> None:
        while True:
            self._work_once()

    def _work_once(self) -> None:
        # a frame of its own, so that a waiting thread holds no queue and thereby no model
        queue, batch = self._next()
        queue.run(batch)

    def _next(self) -> tuple[Queue, list[Part]]:
        with self._changed:
            while True:
                found, wait = self._scan(self._clock())
                if found is not None:
                    self._changed.notify()  # this thread is busy now: let another watch what is still waiting
                    return found
                self._changed.wait(wait)

    def _scan(self, now: float) -> tuple[tuple[Queue, list[Part]] | None, float | None]:
        """The next batch to run, the queues taking turns; or else how long to wait (None: until a change)."""
        dues = []
        for _ in range(len(self._queues)):
            reference = self._queues.popleft()
            queue = reference()
            if queue is None:
                continue
            self._queues.append(reference)
            batch = queue.take(now)
            if batch is not None:
                return (queue, batch), None
            due = queue.due()
            if due is not None:
                dues.append(due - now)
        return None, max(min(dues), 0.0) if dues else None


class BatchedModel:
    """A Model whose runs are joined; the signatures are the Model's."""

    def __init__(
        self, model: Runnable, parameters: BatchingParameters, scheduler: Scheduler, metrics: Metrics | None = None
    ) -> None:
        self._model = model
        self._parameters = parameters
        self._scheduler = scheduler
        self._metrics = metrics
        self._making = threading.Lock()
        self._queues: dict[str, Queue] = {}
        self.signature_defs = model.signature_defs
        self.signatures = model.signatures

    def run(
        self, signature: Signature, feeds: Mapping[str, Array], aliases: Sequence[str], timeout_ms: int
    ) -> list[Array]:
        """As Model.run, for inputs that agree in their first dimension: the rows of the request."""
        check_types(signature, feeds)
        deadline = time.monotonic() + timeout_ms / 1000 if timeout_ms else math.inf
        task = Task([feeds[alias] for alias in signature.inputs], tuple(aliases), timeout_ms, deadline)
        if self._metrics is not None:
            self._metrics.enqueued(task.rows)
        self._scheduler.put(self._queue(signature), task)
        return task.result()

    def _queue(self, signature: Signature) -> Queue:
        queue = self._queues.get(signature.name)
        if queue is None:
            with self._making:
                queue = self._queues.get(signature.name)
                if queue is None:
                    # holds the Model and not this object, so that no cycle keeps an unloaded model
                    run = functools.partial(run_batch, self._model, signature, self._parameters, self._metrics)
                    queue = self._queues[signature.name] = Queue(self._parameters, run)
                    self._scheduler.add(queue)
        return queue


def run_batch(
    model: Runnable,
    signature: Signature,
    parameters: BatchingParameters,
    metrics: Metrics | None,
    parts: list[Part],
) -> None:
    """Run parts together and tell each of them what came of it."""
    try:
        tasks = [part.task for part in parts]
        now = time.monotonic()
        if now > max(task.deadline for task in tasks):
            raise StatusError(Code.RESOURCE_EXHAUSTED, "Run() timeout exceeded while waiting in batching queue")
        merged = merging.merge(parts, [endpoint.tensor for endpoint in signature.inputs.values()], parameters)
        if metrics is not None:
            for task in tasks:
                metrics.waited(POOL, (now - task.began) * 1e6)
            rows = sum(part.rows for part in parts)
            metrics.batch(rows, len(merged[0]) - rows)
        aliases = sorted({alias for task in tasks for alias in task.aliases})
        # the most patient decides; a timeout of its own for each batch would cost a new callable each
        patience = 0 if any(not task.timeout_ms for task in tasks) else max(task.timeout_ms for task in tasks)
        outputs = model.run(signature, dict(zip(signature.inputs, merged, strict=True)), aliases, patience)
        merging.cut(parts, aliases, outputs, len(merged[0]))
    except Exception as error:  # a thread of the scheduler outlives every fault
        status = as_status(error)
        for part in parts:
            part.fail(status.code, status.message)
