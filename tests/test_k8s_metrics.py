"""What the real Triton exports: the series that rules and dashboard ask for, and what it calls a failure."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from urllib.error import HTTPError

import pytest

from tests.k8s_pod import Pod, running
from tests.test_k8s_dashboard import TRITON

pytestmark = [pytest.mark.e2e]

NEWER = {name for name in TRITON if "histogram" in name}  # of 26.01; the wheel's server is 24.10
GPU = {name for name in TRITON if name.startswith("nv_gpu")}


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    with running(tmp_path_factory.mktemp("pod")) as pod:
        yield pod


def ask(pod: Pod, number: float, shape: list[int] | None = None) -> None:
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": shape or [1, 1], "data": [number]}]}
    url = f"http://127.0.0.1:{pod.ports['http']}/v2/models/slow/infer"
    with suppress(HTTPError):
        urllib.request.urlopen(url, data=json.dumps(body).encode(), timeout=10).close()


def counts(pod: Pod) -> tuple[int, int]:
    """(answered, failed) as the metrics say."""
    page = pod.get("/metrics", "metrics")
    answered = re.findall(r"^nv_inference_request_success\{.*\} (\d+)", page, re.MULTILINE)
    failed = re.findall(r"^nv_inference_request_failure\{.*\} (\d+)", page, re.MULTILINE)
    return sum(map(int, answered)), sum(map(int, failed))


def test_triton_exports_every_series_that_the_rules_ask_for_before_the_first_request(pod: Pod) -> None:
    exported = set(re.findall(r"^(nv_\w+)[{ ]", pod.get("/metrics", "metrics"), re.MULTILINE))
    assert exported >= TRITON - NEWER - GPU


@pytest.mark.parametrize(
    ("number", "shape", "counted"),
    [
        (1.0, None, (1, 0)),
        (-99.0, None, (0, 1)),
        # What the rules cannot see: an error that a python-based backend answers with is a success to Triton
        # (server#7713), and what is refused before it reaches the model is nothing at all.
        (-1.0, None, (1, 0)),
        (1.0, [1, 1, 1], (0, 0)),
    ],
    ids=["an answer", "an exception of the backend", "an error as an answer", "a request of the wrong shape"],
)
def test_what_triton_counts(pod: Pod, number: float, shape: list[int] | None, counted: tuple[int, int]) -> None:
    answered, failed = counts(pod)
    ask(pod, number, shape)
    after = counts(pod)
    assert (after[0] - answered, after[1] - failed) == counted
