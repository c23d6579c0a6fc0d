"""Locust's own loop and statistics over our client: what is left of it when Locust counts every request."""

from __future__ import annotations

import os
import time
from pathlib import Path

from locust import User, task

from bench.generators.question import read
from loadtest.clients import connect

QUESTION = read(Path(os.environ["QUESTION"]))
CALL = QUESTION.calls["http"]


class Ours(User):  # type: ignore[misc]
    """One connection for each user."""

    def on_start(self) -> None:
        self.connection = connect("http", CALL.address, CALL.target, 1)
        self.prepared = self.connection.prepare(CALL.data, CALL.headers)

    @task  # type: ignore[untyped-decorator]
    def ask(self) -> None:
        began = time.perf_counter()
        reply = self.connection.send(self.prepared)
        self.environment.events.request.fire(
            request_type="infer",
            name="infer",
            response_time=(time.perf_counter() - began) * 1e3,
            response_length=len(reply.body),
            exception=RuntimeError(reply.error) if reply.error else None,
            context={},
        )
