"""Users for Locust files of your own: they send what `make serve` has serialised, and Locust counts as it always does.

    from locust import constant
    from loadtest.users import TritonHttpUser

    class Mine(TritonHttpUser):
        host = "127.0.0.1:8000"
        payloads = "live/payloads/triton/sentiment_torch__onnx/http"
        wait_time = constant(0.1)

    locust -f mine.py --headless --users 4 --run-time 10s

A host beyond loopback has to be named in ``allowed_hosts``, and needs a ceiling, ``max_rps``: load is an attack where
nobody expects it. Without them the run ends before the first request, with exit code 2. It ends by itself, with exit
code 3, when more than ``abort_error_rate`` of the last 200 requests failed: beyond loopback a fifth unless you say
otherwise. On loopback both are yours to set, and off until then. Ctrl-C ends it with 130. Of several load processes it
is the master that exits so, and what your file sets as ``process_exit_code`` while Locust quits wins. The ceiling is
kept by all users of a class together; several load processes have equal parts of it, so their number has to be known
(--processes or --expect-workers).

``infer()`` sends one request when it is its turn, fires Locust's ``request`` event and returns the raw answer; without
a task of your own it is the task. A wait time makes a rate that the server can slow down, and Locust rounds its
percentiles: for figures that are to be judged, use `python -m loadtest`.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import gevent
from locust import User, events, task
from locust.env import Environment
from locust.exception import StopTest, StopUser
from locust.runners import WorkerRunner

from contract.client import Client
from contract.elsewhere import ADDRESS
from contract.errors import ServerError, UsageError
from contract.hosts import beyond_loopback
from loadtest.clients import Connection, Reply, connect
from loadtest.exit_code import begin_anew, decides, end_with, follow, note_interruption
from loadtest.plan.admission import refuse_foreign, refuse_unbounded
from loadtest.plan.arrivals import choices
from loadtest.plan.payloads import Request, Requests, read_requests
from loadtest.plan.preparing import MOST_ERRORS_AWAY
from loadtest.restraint import Restraint

logger = logging.getLogger(__name__)


@events.init.add_listener
def _watch(environment: Environment, **_: Any) -> None:
    """Once per process, before its first user: all hear of Ctrl-C, who decides the exit code of load processes too."""
    if environment.parsed_options is None:  # Locust is a library in somebody's own program
        return
    gevent.signal_handler(signal.SIGINT, _interrupt, environment)
    if decides(environment):
        follow(environment)
        environment.events.test_start.add_listener(begin_anew)


def _interrupt(environment: Environment) -> None:
    """Python would raise it in whichever greenlet is on; Locust waits for it in the first one."""
    if decides(environment):
        note_interruption(environment)
    gevent.get_hub().handle_system_error(KeyboardInterrupt, KeyboardInterrupt())


class InferenceUser(User):
    """What the users of every protocol share. Each has one connection of its own."""

    abstract = True
    protocol: ClassVar[str] = ""
    payloads: ClassVar[str] = ""  # folder with index.json, as `make serve` writes it
    allowed_hosts: ClassVar[Sequence[str]] = ()  # beyond loopback, that may be put under load
    max_rps: ClassVar[float | None] = None  # requests per second of all users of this class in all load processes
    abort_error_rate: ClassVar[float | None] = None  # share of the last 200 requests that may fail, from 0 to 1
    settings: ClassVar[Client] = Client()  # time limits, TLS, headers: as [client] of models.toml
    seed: ClassVar[int] = 20240

    _numbered: ClassVar[int] = 0
    _restraints: ClassVar[dict[type[InferenceUser], Restraint]] = {}  # one for all users of a class
    _read: ClassVar[dict[tuple[str, str], Requests]] = {}  # by folder and address: prepared once for all users

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        try:
            self.address = self._admitted()
            self._restraint = InferenceUser._restraints.get(type(self)) or self._restrained()
        except UsageError as error:
            end_with(environment, UsageError.exit_code)
            raise StopTest(str(error)) from None  # of a constructor, as with Locust's HttpUser, it ends the whole run

    def _admitted(self) -> str:
        """``host:port``. Raises UsageError where it or the payloads are missing, or nobody allowed that host."""
        address = (self.host or "").removeprefix("http://").removeprefix("https://").rstrip("/")
        if not self.payloads or not ADDRESS.fullmatch(address):
            raise UsageError(
                f'{type(self).__name__} needs host ("127.0.0.1:8000") and payloads (a folder below live/payloads)'
            )
        refuse_foreign([address], self.allowed_hosts, leave=f'allowed_hosts = ["{{host}}"] in {type(self).__name__}')
        refuse_unbounded([address], self.max_rps, leave=f"max_rps = N in {type(self).__name__}")
        return address

    def _restrained(self) -> Restraint:
        """This load process' part of the ceiling. Raises UsageError where nobody could keep it."""
        runner: Any = self.environment.runner
        processes = 1
        if self.max_rps is not None and isinstance(runner, WorkerRunner):
            processes = max(1, self.environment.parsed_options.expect_workers)
            if runner.worker_index >= processes:
                raise UsageError(
                    f"max_rps of {type(self).__name__} is shared by {processes} load processes, and more have joined; "
                    "say with --expect-workers at the master how many there are"
                )
        if self.max_rps is not None and self.settings.retries:
            raise UsageError(f"what is sent again is not below max_rps; set retries = 0 in {type(self).__name__}")
        away = MOST_ERRORS_AWAY if beyond_loopback(self.address) else None
        most = away if self.abort_error_rate is None else self.abort_error_rate
        restraint = Restraint(None if self.max_rps is None else self.max_rps / processes, most)
        return InferenceUser._restraints.setdefault(type(self), restraint)

    def on_start(self) -> None:
        requests = read_requests(Path(self.payloads))
        self.connection: Connection = connect(self.protocol, self.address, requests.target, 1, self.settings)
        key = self.payloads, self.address
        if key not in InferenceUser._read:
            InferenceUser._read[key] = requests.prepared(self.connection.prepare)
        self.requests = InferenceUser._read[key].requests
        InferenceUser._numbered += 1
        self._picks = choices(len(self.requests), self.seed + InferenceUser._numbered)

    def on_stop(self) -> None:
        self.connection.close()

    @task
    def one(self) -> None:
        """The task of a class that has none of its own."""
        self.infer()

    def infer(self, request: Request | None = None, name: str | None = None) -> Reply:
        """Send a request, or one drawn by the seed, and tell Locust how it went."""
        chosen = request or self.requests[next(self._picks)]
        self._restraint.wait()
        sent = time.perf_counter()
        reply = self.connection.send(chosen.prepared)
        self.environment.events.request.fire(
            request_type=self.protocol,
            name=name or self.payloads.rstrip("/").split("/")[-2],
            response_time=(time.perf_counter() - sent) * 1e3,
            response_length=len(reply.body),
            exception=InferenceFailed(reply) if reply.error else None,
            context={},
        )
        if self._restraint.seen(bool(reply.error)):
            self._abort(reply.error)
        return reply

    def _abort(self, last: str) -> None:
        """End the run, that of all users: with the page it can be started again, else Locust ends with it.

        A load process leaves that to its master, and ends its own users.
        """
        InferenceUser._restraints.pop(type(self), None)
        logger.error("%s fails too often (%s, say): the run ends here; see to it", self.address, last)
        runner, options = self.environment.runner, self.environment.parsed_options
        end_with(self.environment, ServerError.exit_code)
        if runner is not None:
            quits = not isinstance(runner, WorkerRunner) and options is not None and options.headless
            gevent.spawn(runner.quit if quits else runner.stop)  # not from here, for it ends this user too
        raise StopUser


class InferenceFailed(Exception):
    """A request that was not answered well, by its class."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.error)
        self.reply: Any = reply


class TritonHttpUser(InferenceUser):
    """Triton (or any KServe v2 server), HTTP with binary tensors."""

    abstract = True
    protocol = "http"


class TritonGrpcUser(InferenceUser):
    """Triton (or any KServe v2 server), gRPC with raw tensors."""

    abstract = True
    protocol = "grpc"


class TFServingGrpcUser(InferenceUser):
    """TF Serving's PredictionService."""

    abstract = True
    protocol = "grpc"


class TFServingRestUser(InferenceUser):
    """TF Serving's REST interface."""

    abstract = True
    protocol = "rest"
