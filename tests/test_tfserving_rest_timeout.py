"""The time that a run over REST may take: what is told of one that took longer, and where it is given up before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.tfserving import flags
from serving.tfserving.catalog import Catalog
from serving.tfserving.http11 import Request
from serving.tfserving.model import Endpoint, Signature
from serving.tfserving.rest import PATIENT_MS, RestApi
from serving.tfserving.service import Service
from serving.tfserving.storage import ModelEntry
from serving.tfserving.tensors import DTYPES, Array

OUTPUTS = {"classify": "scores", "regress": "outputs", "predict": "outputs"}
BODIES: dict[str, dict[str, Any]] = {
    "classify": {"examples": [{"x": 1.0}]},
    "regress": {"examples": [{"x": 1.0}]},
    "predict": {"instances": [{"b64": "AAAA"}]},
}


class Slow:
    """A model that takes so many milliseconds for each run, by the clock that it holds."""

    def __init__(self, takes_ms: int) -> None:
        self.takes_ms = takes_ms
        self.now_ns = 0
        self.timeouts: list[int] = []
        self.signatures: Mapping[str, Signature] = {
            verb: Signature(
                verb,
                {"inputs": Endpoint("inputs", "in:0", DTYPES[types_pb2.DT_STRING])},
                {output: Endpoint(output, "out:0", DTYPES[types_pb2.DT_FLOAT])},
                {},
            )
            for verb, output in OUTPUTS.items()
        }
        self.signature_defs: Mapping[str, Any] = {verb: meta_graph_pb2.SignatureDef() for verb in OUTPUTS}

    def run(
        self, signature: Signature, feeds: Mapping[str, Array], aliases: Sequence[str], timeout_ms: int
    ) -> list[Array]:
        self.timeouts.append(timeout_ms)
        self.now_ns += self.takes_ms * 1_000_000
        return [np.ones((1, 1), np.float32)]


def ask(model: Slow, verb: str, timeout_ms: int, folder: Path) -> tuple[int, Any]:
    """Status and answer."""
    (folder / "1").mkdir()
    catalog = Catalog(lambda _: model)
    catalog.apply([ModelEntry("m", folder)])
    api = RestApi(Service(catalog, None), timeout_ms, None, None, clock_ns=lambda: model.now_ns)
    body = json.dumps({"signature_name": verb, **BODIES[verb]}).encode()
    response = api(Request("POST", f"/v1/models/m:{verb}", body))
    return response.status, json.loads(response.body)


@pytest.mark.parametrize("verb", OUTPUTS)
@pytest.mark.parametrize(
    ("takes_ms", "timeout_ms", "status"),
    [(30_000, 30_000, 200), (30_001, 30_000, 504), (51, 50, 504), (50, 50, 200), (10**9, 0, 200)],
)
def test_a_run_that_took_longer_than_it_may_is_504(
    tmp_path: Path, verb: str, takes_ms: int, timeout_ms: int, status: int
) -> None:
    found, answer = ask(Slow(takes_ms), verb, timeout_ms, tmp_path)
    assert found == status, answer
    assert (answer == {"error": "Timed out waiting for notification"}) == (status == 504)


@pytest.mark.parametrize(
    ("timeout_ms", "given_up_ms"),
    [(PATIENT_MS - 1, PATIENT_MS - 1), (PATIENT_MS, 0), (flags.Settings.rest_api_timeout_in_ms, 0), (0, 0)],
)
def test_only_an_impatient_predict_pays_for_being_given_up_in_time(
    tmp_path: Path, timeout_ms: int, given_up_ms: int
) -> None:
    model = Slow(takes_ms=1)
    assert ask(model, "predict", timeout_ms, tmp_path)[0] == 200
    assert model.timeouts == [given_up_ms]
