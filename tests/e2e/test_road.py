"""The whole road once, with real models, the real Triton, real load and a real report; then what must hold of it."""

from __future__ import annotations

import json
import os
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from contract.files import sha256_tree
from tests.conftest import ROOT, run_module

pytestmark = [pytest.mark.e2e]

PROMISED = {
    "sentiment_torch__torchscript__triton__http",
    "sentiment_torch__torchscript__triton__grpc",
    "sentiment_torch__onnx__triton__http",
    "sentiment_torch__onnx__triton__grpc",
    "sentiment_keras__savedmodel__triton__http",
    "sentiment_keras__savedmodel__triton__grpc",
    "sentiment_keras__onnx__triton__http",
    "sentiment_keras__onnx__triton__grpc",
    "sentiment_keras__savedmodel__tfserving__grpc",
    "sentiment_keras__savedmodel__tfserving__rest",
}
# Constraints that another process on the machine can break; a test run cannot promise them.
OF_TIME = {"sent on time", "steady", "client has time", "generator CPU", "kept up", "samples for p99"}


@dataclass(frozen=True)
class Road:
    """A workspace through which the road has gone."""

    root: Path
    config: Path

    def stage(self, *words: str) -> subprocess.CompletedProcess[str]:
        return run_module(*words, "--config", str(self.config), "--workspace", str(self.root))

    def document(self, path: str) -> Any:
        return json.loads((self.root / path).read_text())


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory, copy_zoo: Callable[[Path], None]) -> Iterator[Road]:
    root = tmp_path_factory.mktemp("road")
    copy_zoo(root)
    config = root / "models.toml"
    text = (ROOT / "models.toml").read_text()
    short = "concurrency = [4]\nduration_s = 0.8\nopen_duration_s = 2.0\nwarmup_s = 0.2\nrounds = 1\nattempts = 1\n"
    head, _, rest = text.partition("[load]\n")
    config.write_text(f"{head}[load]\n{short}\n{rest[rest.index('[models.') :]}")
    road = Road(root, config)
    try:
        for words in (["export"], ["serving", "up"], ["loadtest"]):
            result = road.stage(*words)
            assert result.returncode == 0, f"{words}: {result.stderr}"
        result = run_module("report", "--workspace", str(root))
        assert result.returncode == 0, result.stderr
        yield road
    finally:
        road.stage("serving", "stop")


def test_every_format_of_every_model_agrees_with_the_trained_model(road: Road) -> None:
    for model in ("sentiment_torch", "sentiment_keras"):
        manifest = road.document(f"artifacts/{model}/1/manifest.json")
        assert set(manifest["formats"]) == {"torchscript", "savedmodel", "onnx"}
        for record in manifest["formats"].values():
            assert record["status"] == "ok"
            assert record["parity"]["max_abs"] < 1e-4
            assert record["parity"]["agreement"] == 1.0


def test_the_report_holds_every_promised_variant_with_measured_stages(road: Road) -> None:
    report = road.document("reports/latest/report.json")
    variants = {variant["id"]: variant for variant in report["variants"]}
    assert set(variants) == PROMISED
    for variant in variants.values():
        assert variant["complete"]
        assert [stage["name"] for stage in variant["stages"]] == ["closed-4", "open-100"]
        for stage in variant["stages"]:
            assert stage["errors"] == {}
            assert stage["wrong_answers"] == 0
            assert stage["answers_checked"] >= 32
            assert stage["throughput_rps"] > 0
            assert stage["latency_ms"]["p50"]["value"] > 0
            failed = {check["name"] for check in stage["checks"] if not check["passed"]}
            assert failed <= OF_TIME


def test_triton_is_the_real_server_and_tells_its_queue_and_compute_time(road: Road) -> None:
    for variant in road.document("reports/latest/report.json")["variants"]:
        if variant["engine"] == "triton":
            assert (variant["engine_kind"], variant["engine_version"]) == ("real", "2.51.0")
            assert all(stage["attribution_ms"]["compute"] > 0 for stage in variant["stages"])


def test_an_embedded_engine_is_shown_and_never_ranked(road: Road) -> None:
    report = road.document("reports/latest/report.json")
    embedded = [variant for variant in report["variants"] if variant["engine_kind"] == "embedded"]
    for variant in embedded:
        assert not variant["rankable"]
        assert variant["id"] not in [winner["variant"] for winner in report["winners"]]
    recommended = road.document("reports/latest/recommendation.json")["models"].values()
    assert not {variant["id"] for variant in embedded} & {item["variant"] for item in recommended}


def test_a_report_names_the_exact_bytes_that_were_served(road: Road) -> None:
    for variant in road.document("reports/latest/report.json")["variants"]:
        manifest = road.document(f"artifacts/{variant['model']}/1/manifest.json")
        assert variant["artifact_sha256"] == manifest["formats"][variant["format"]]["sha256"]


def test_records_hold_one_row_per_request_with_times_in_order(road: Road) -> None:
    files = sorted((road.root / "results" / "latest").glob("requests-*.parquet"))
    assert files
    for file in files:
        table = pq.read_table(file)
        intended, sent, done = (table.column(name).to_numpy() for name in ("intended_ns", "sent_ns", "done_ns"))
        assert (intended <= sent).all()
        assert (sent <= done).all()


def test_the_page_opens_from_disk_and_asks_nobody(road: Road) -> None:
    page = (road.root / "reports" / "latest" / "report.html").read_text()
    assert len(page) < 6_000_000
    assert "<script src=" not in page
    assert "<link" not in page


def test_servers_listen_on_loopback_only(road: Road) -> None:
    servers = road.document("live/servers.json")["servers"]
    assert {server["engine"] for server in servers} == {"triton", "tfserving"}
    listening = 0
    for server in servers:
        for process in (psutil.Process(server["pid"]), *psutil.Process(server["pid"]).children(recursive=True)):
            for connection in process.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN:
                    listening += 1
                    assert connection.laddr.ip.removeprefix("::ffff:") == "127.0.0.1"
    assert listening >= 4


def test_exporting_again_changes_nothing(road: Road) -> None:
    before = sha256_tree(road.root / "artifacts")
    result = road.stage("export")
    assert result.returncode == 0
    assert "up to date" in result.stderr
    assert sha256_tree(road.root / "artifacts") == before


def test_serving_again_keeps_the_servers_that_run(road: Road) -> None:
    before = [server["pid"] for server in road.document("live/servers.json")["servers"]]
    result = road.stage("serving", "up")
    assert result.returncode == 0
    assert "already run" in result.stderr
    assert [server["pid"] for server in road.document("live/servers.json")["servers"]] == before


def test_judging_again_gives_the_same_report(road: Road) -> None:
    before = (road.root / "reports" / "latest" / "report.json").read_bytes()
    assert run_module("report", "--workspace", str(road.root)).returncode == 0
    assert (road.root / "reports" / "latest" / "report.json").read_bytes() == before


def test_the_gate_exits_with_the_code_of_the_verdict(road: Road) -> None:
    report = road.document("reports/latest/report.json")
    result = run_module("report", "--verdict", "--workspace", str(road.root))
    assert result.returncode == {"PASS": 0, "FAIL": 1, "INVALID": 4}[report["verdict"]]
    assert report["sentence"] in result.stdout


@pytest.mark.parametrize("model", ["sentiment_torch", "sentiment_keras"])
def test_the_same_text_padded_longer_has_the_same_answer_in_every_format(road: Road, model: str) -> None:
    for record in road.document(f"artifacts/{model}/1/manifest.json")["formats"].values():
        checks = {check["name"]: check for check in record["checks"]}
        assert checks["padding invariance"]["passed"]
        assert "over 6 requests" in checks["padding invariance"]["detail"]
        assert all(check["passed"] for check in checks.values())


def test_the_zoo_beats_the_majority_baseline_clearly(road: Road) -> None:
    for model, described in tomllib.loads(road.config.read_text())["models"].items():
        if "group" in described:  # not of the default group, and not trained here
            continue
        card = road.document(f"zoo/out/{model}/card.json")
        assert card["accuracy"] > card["majority_baseline"] + 0.15
        assert card["seconds"] < 60


def test_stopping_leaves_no_process_no_port_and_no_shared_memory(road: Road) -> None:
    servers = road.document("live/servers.json")["servers"]
    sessions = {server["pid"] for server in servers}
    began = time.time()
    result = road.stage("serving", "stop")
    assert result.returncode == 0
    assert [process.pid for process in psutil.process_iter() if os.getsid(process.pid) in sessions] == []
    ports = {port for server in servers for port in server["ports"].values()}
    # Servers of a test beside this one may have taken a port that became free; they are younger.
    listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port in ports]
    older = {process.pid for process in psutil.process_iter(["create_time"]) if process.info["create_time"] < began}
    assert [c for c in listening if c.pid in older] == []
    prefixes = [server["shm_prefix"] for server in servers if server["shm_prefix"]]
    assert prefixes
    assert [file for prefix in prefixes for file in Path("/dev/shm").glob(f"{prefix}*")] == []
    assert not (road.root / "live" / "endpoints.json").exists()
    assert "nothing runs" in road.stage("serving", "status").stdout


def test_loading_without_servers_says_what_to_run_first(road: Road, tmp_path: Path) -> None:
    result = run_module("loadtest", "--config", str(road.config), "--workspace", str(tmp_path))
    assert result.returncode == 2
    assert "run 'make serve' first" in result.stderr
