"""Locust with plain tritonclient.http, as people write it: tensors are ready, the client serialises each request."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import tritonclient.http as triton
from locust import User, task

from bench.generators.question import read

QUESTION = read(Path(os.environ["QUESTION"]))


class Plain(User):  # type: ignore[misc]
    """One client for each user."""

    def on_start(self) -> None:
        self.client = triton.InferenceServerClient(QUESTION.calls["http"].address)
        self.inputs = []
        for name, rows in QUESTION.tensors.items():
            array = np.array(rows, dtype=np.int64)
            self.inputs.append(triton.InferInput(name, array.shape, "INT64"))
            self.inputs[-1].set_data_from_numpy(array)

    @task  # type: ignore[untyped-decorator]
    def ask(self) -> None:
        began, error = time.perf_counter(), None
        try:
            self.client.infer(QUESTION.model, self.inputs, model_version=str(QUESTION.version))
        except Exception as failure:  # Locust counts it
            error = failure
        taken = (time.perf_counter() - began) * 1e3
        self.environment.events.request.fire(
            request_type="infer", name="infer", response_time=taken, response_length=0, exception=error, context={}
        )
