"""Open-loop load for the tests: requests leave on time whatever the server does, and every answer is judged."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from contract.codecs import codec_for
from contract.codecs.tfserving_messages import PredictRequest
from contract.golden import Example
from contract.tensors import Tensors, TensorSpec
from serving.proof.probe import TRANSPORTS, Send

WORKERS = 256
CLOSE = 1e-3


@dataclass
class Outcome:
    """What came of one request: when it was due, ``v1``/``v2`` by the answer, ``wrong``, or the error."""

    due: float
    what: str


@dataclass
class OpenLoop:
    """``rate`` requests per second to one endpoint, addressed without a version, until the block ends."""

    engine: str
    protocol: str
    address: str
    name: str
    outputs: list[TensorSpec]
    versions: dict[str, list[Example]]  # label -> golden requests with that version's answers
    rate: float
    outcomes: list[Outcome] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __enter__(self) -> OpenLoop:
        self._stopping = threading.Event()
        self._local = threading.local()
        first = next(iter(self.versions.values()))
        self._singles = [example for example in first if example.rows == 1]
        self._expected = {
            label: {example.key: example.outputs for example in examples} for label, examples in self.versions.items()
        }
        codec = codec_for(self.engine, self.protocol)
        self._bodies = [codec.encode(self.name, 1, example.inputs, self.outputs) for example in self._singles]
        self._target = _without_version(codec.target(self.name, 1))
        self._pool = ThreadPoolExecutor(WORKERS)
        self._thread = threading.Thread(target=self._dispatch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def counted(self, since: float = 0.0) -> Counter[str]:
        """How many of what, of the requests that were due after a moment (time.monotonic)."""
        return Counter(outcome.what for outcome in list(self.outcomes) if outcome.due >= since)

    def _dispatch(self) -> None:
        due, number = time.monotonic(), 0
        while not self._stopping.is_set():
            if self._stopping.wait(max(0.0, due - time.monotonic())):
                return
            self._pool.submit(self._one, due, number % len(self._singles))
            due, number = due + 1 / self.rate, number + 1

    def _one(self, due: float, number: int) -> None:
        self.outcomes.append(Outcome(due, self.ask(number)))

    def ask(self, number: int) -> str:
        """Send one request now and judge its answer."""
        body = self._bodies[number].body
        if self.protocol == "grpc":
            body = LATEST[self.engine](body)
        try:
            if not hasattr(self._local, "send"):
                connect = _grpc if self.protocol == "grpc" else TRANSPORTS[self.protocol]
                self._local.send = connect(self.address, self._target)
            data, headers = self._local.send(body, self._bodies[number].headers)
            answer = codec_for(self.engine, self.protocol).decode(data, headers, self.outputs)
        except Exception as error:
            self.errors.append(str(error))
            if not isinstance(error, RuntimeError | grpc.RpcError):  # a refusal leaves the connection whole
                self._local.__dict__.pop("send", None)
            return f"error: {_kind(error)}"
        key = self._singles[number].key
        return next((label for label, known in self._expected.items() if _equal(answer, known[key])), "wrong")


def capacity_of(load: OpenLoop, users: int = 6, seconds: float = 2.0) -> float:
    """Right answers per second with a few users that wait for theirs; ``load`` itself sends next to nothing."""
    done: list[str] = []
    ending = time.monotonic() + seconds
    with load:

        def user(number: int) -> None:
            while time.monotonic() < ending:
                done.append(load.ask(number))

        threads = [threading.Thread(target=user, args=(number,)) for number in range(users)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return done.count("right") / seconds


def only_right_for(load: OpenLoop, seconds: float) -> bool:
    """Whether every request that was due in the newest ``seconds`` and is answered was answered right."""
    now = time.monotonic()
    oldest = min((outcome.due for outcome in list(load.outcomes)), default=now)
    return now - oldest > seconds and set(load.counted(since=now - seconds)) == {"right"}


def _grpc(address: str, method: str) -> Send:
    """A client that does not wait for a server that is away, and looks for it again soon."""
    options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 300)]
    call = grpc.insecure_channel(address, options=options).unary_unary(method)

    def send(body: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        return call(body, timeout=30), {}

    return send


def _kind(error: Exception) -> str:
    """E.g. ``UNAVAILABLE``, ``RuntimeError 503``, ``ConnectionResetError``."""
    if isinstance(error, grpc.RpcError) and hasattr(error, "code"):
        return str(error.code().name)
    text = type(error).__name__
    return f"{text} {str(error)[5:8]}" if str(error).startswith("HTTP ") else text


def _equal(answer: Tensors, known: Tensors) -> bool:
    return all(np.allclose(answer[name], known[name], rtol=CLOSE, atol=CLOSE) for name in known)


def _without_version(target: str) -> str:
    return target.replace("/versions/1", "")


def _latest_on_tfserving(body: bytes) -> bytes:
    request = PredictRequest.FromString(body)
    request.model_spec.ClearField("version")
    return bytes(request.SerializeToString())


def _latest_on_triton(body: bytes) -> bytes:
    request = service_pb2.ModelInferRequest.FromString(body)
    request.ClearField("model_version")
    return bytes(request.SerializeToString())


LATEST = {"triton": _latest_on_triton, "tfserving": _latest_on_tfserving}


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()
