"""Triton counts answers within each objective where production's release can, and the local server is never told to."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from contract.slo import Slo
from serving.layout.latency_buckets import buckets_of, latency_buckets
from serving.monitoring.recordings import HISTOGRAM, bucket
from tests.deployments import TARGET, site


def config_of(folder: Path, release: str | None, name: str = "words__onnx") -> pb.ModelConfig:
    root = site(folder, release, slo=Slo(p50_ms=12.5, p99_ms=50.0)).workspace.triton_repository
    return text_format.Parse((root / name / "config.pbtxt").read_text(), pb.ModelConfig())


@pytest.mark.parametrize(
    ("slo", "bounds"),
    [
        (Slo(p99_ms=50.0), [10.0, 25.0, 50.0, 100.0, 250.0]),
        (Slo(p50_ms=12.5, p99_ms=50.0), [2.5, 6.25, 10.0, 12.5, 25.0, 50.0, 62.5, 100.0, 250.0]),
        (Slo(p99_ms=33.3), [6.66, 16.6, 33.3, 66.6, 166.0]),
        (Slo(p99_ms=0.7), [0.14, 0.35, 0.7, 1.4, 3.5]),
    ],
)
def test_a_bucket_ends_at_every_objective_and_others_around_it(slo: Slo, bounds: list[float]) -> None:
    found = latency_buckets(slo)
    assert found == pytest.approx(bounds, rel=0.005)
    assert set(slo.latency_ms.values()) <= set(found) and found == sorted(set(found))


@pytest.mark.parametrize("name", ["words__onnx", "words__torchscript", "words__savedmodel"])
def test_every_backend_is_laid_out_with_the_objectives_buckets(tmp_path: Path, name: str) -> None:
    config = config_of(tmp_path, TARGET, name)
    assert buckets_of(config) == latency_buckets(Slo(p50_ms=12.5, p99_ms=50.0))
    assert [item.metric_identifier.family for item in config.model_metrics.metric_control] == [HISTOGRAM]


def test_the_alerts_ask_for_a_bucket_that_is_there(tmp_path: Path) -> None:
    for limit in Slo(p50_ms=12.5, p99_ms=50.0).latency_ms.values():
        assert limit in buckets_of(config_of(tmp_path / f"{limit:g}", TARGET))
        assert f"{limit:g}".replace(".", r"\\.") in bucket(limit)


@pytest.mark.parametrize("release", [None, "24.10", "25.10", "25.12"])
def test_a_server_that_would_refuse_the_file_gets_none(tmp_path: Path, release: str | None) -> None:
    config = config_of(tmp_path, release)
    assert buckets_of(config) == [] and not config.HasField("model_metrics")


def test_the_artifact_is_the_same_for_production_and_for_the_local_server(tmp_path: Path) -> None:
    assert site(tmp_path / "here", None).shas == site(tmp_path / "there", TARGET).shas
    here, there = (
        (tmp_path / where / "work" / "model_repository" / "triton" / "words__onnx" / "1" / "model.onnx").read_bytes()
        for where in ("here", "there")
    )
    assert here == there
