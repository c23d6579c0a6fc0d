"""Locust's FastHttpUser with a body that is ready."""

from __future__ import annotations

import os
from pathlib import Path

from locust import FastHttpUser, task

from bench.generators.question import read

QUESTION = read(Path(os.environ["QUESTION"]))
CALL = QUESTION.calls["http"]
BODY = CALL.data


class Fast(FastHttpUser):  # type: ignore[misc]
    """One connection for each user."""

    host = f"http://{CALL.address}"

    @task  # type: ignore[untyped-decorator]
    def ask(self) -> None:
        self.client.post(CALL.target, data=BODY, headers=CALL.headers)
