"""What the measuring job prints: values that were measured and none that were not, doubts, and what to type next."""

from __future__ import annotations

from typing import Any

import pytest

from contract.endpoints import Configuration
from contract.recommendation import Recommended
from tests.builders import endpoint, endpoints
from tune.measuring import commands, hosts, values


def recommended(**changes: Any) -> Recommended:
    fields: dict[str, Any] = {
        "variant": "words__onnx__triton__grpc",
        "format": "onnx",
        "engine": "triton",
        "engine_kind": "real",
        "engine_version": "2.60.0",
        "backend_kind": "native",
        "stand_in_for": None,
        "device": "gpu:NVIDIA-L4",
        "protocol": "grpc",
        "configuration": Configuration(max_batch_size=32, max_queue_delay_us=0, instances=1, threads=1),
        "artifact_sha256": "a" * 64,
        "objectives": {"rate": 100, "p99_ms": 50},
        "max_rps": 1234.5,
        "p99_ms": 48.25,
        "queue_us": 1830.0,
        "server_cores": None,
        "server_mib": None,
        "load_to_ready_s": 0.0,
    }
    return Recommended(**(fields | changes))


def test_the_values_to_fill_in_are_a_line_each_with_their_units() -> None:
    first, *lines = values("words", recommended())
    assert first == "words as onnx over grpc on triton 2.60.0, gpu:NVIDIA-L4 (rate 100, p99_ms 50)"
    figures = {line.split()[0]: line.split()[1] for line in lines}
    assert figures == {
        "max_rps": "1234",
        "p99_ms": "48.25",
        "queue_us": "1830",
        "server_cores": "-",
        "server_mib": "-",
    }


def test_memory_that_no_server_tells_is_not_made_up_and_its_source_is_named() -> None:
    (line,) = (line for line in values("words", recommended()) if "server_mib" in line)
    assert "kubectl top pod --containers" in line
    (line,) = (line for line in values("words", recommended(server_mib=812.4)) if "server_mib" in line)
    assert "812.4" in line and "kubectl" not in line


@pytest.mark.parametrize(
    ("changes", "doubt"),
    [
        ({"stand_in_for": "NVIDIA's native backend"}, "it ran on a stand-in for NVIDIA's native backend"),
        ({"device": "unknown"}, "nobody said what it ran on: say it as DEVICE in the ConfigMap measure"),
    ],
)
def test_values_that_would_not_be_deployed_by_say_so(changes: dict[str, Any], doubt: str) -> None:
    assert any(doubt in line for line in values("words", recommended(**changes)))
    assert not any(doubt in line for line in values("words", recommended()))


def test_what_to_type_next_names_model_and_device() -> None:
    last = commands("words", recommended(device="gpu:NVIDIA L4"))[-1]
    deploy = "python -m serving deploy --from recommendation.json --model words"
    assert last.strip() == f"{deploy} --device 'gpu:NVIDIA L4'"
    assert commands("words", recommended(device="unknown"))[-1].strip() == deploy
    elsewhere = commands("words", recommended(device="unknown"), "second")
    assert "kubectl -n second logs" in elsewhere[1] and elsewhere[2].endswith("--namespace second")


def test_only_hosts_beyond_this_machine_need_a_permission() -> None:
    attached = endpoints(
        endpoint(address="10.0.3.7:8000"),
        endpoint(id="b", address="10.0.3.7:8001"),
        endpoint(id="c", address="127.0.0.1:8000"),
    )
    assert hosts(attached) == ["10.0.3.7"]
