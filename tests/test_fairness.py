"""The fairness sheet: what differs between the engines of a model is marked, and no name breaks the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.batching import Batching, Queue
from contract.load import Affinity
from report.fairness import sheets
from report.page.html import render_html
from serving.conditions import conditions
from tests.builders import config, model, served, server, workspace
from tests.report_samples import INJECTION, report, variant

SAME = {"threads": "1", "batching": "up to 32"}


def test_formats_stand_side_by_side_and_what_differs_is_marked() -> None:
    found = report(
        variants=[
            variant("m", "onnx", "triton", "http", conditions=SAME | {"library": "onnxruntime 1"}),
            variant("m", "onnx", "triton", "grpc", conditions=SAME | {"library": "onnxruntime 1"}),
            variant("m", "savedmodel", "tfserving", "grpc", conditions=SAME | {"library": "tensorflow 2"}),
        ]
    )
    (sheet,) = sheets(found)
    assert sheet.columns == ["onnx on Triton", "savedmodel on TF Serving (embedded)"]
    assert [(line.name, line.values, line.differs) for line in sheet.lines] == [
        ("threads", ["1", "1"], False),
        ("batching", ["up to 32", "up to 32"], False),
        ("library", ["onnxruntime 1", "tensorflow 2"], True),
    ]
    page = render_html(found)
    assert page.count("≠ differs") == 1
    assert "tensorflow 2" in page


def test_a_condition_that_only_one_engine_has_differs() -> None:
    found = report(
        variants=[
            variant("m", "onnx", "triton", "http", conditions={"queue": "at most 4"}),
            variant("m", "savedmodel", "triton", "http", conditions={"cores": "0"}),
        ]
    )
    assert [(line.name, line.differs) for line in sheets(found)[0].lines] == [("queue", True), ("cores", True)]


def test_older_results_have_no_sheet() -> None:
    assert sheets(report()) == []


def test_a_condition_cannot_break_the_page() -> None:
    page = render_html(report(variants=[variant("m", "onnx", "triton", "http", conditions={INJECTION: INJECTION})]))
    assert INJECTION not in page


def test_what_models_toml_says_is_what_the_sheet_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batching = Batching(max_batch_size=8, max_queue_delay_us=100, threads=2, queue=Queue(max_size=16, timeout_us=9))
    item = served(workspace(tmp_path), model=model(batching=batching))
    whole = config(affinity=Affinity(servers=[0], load=[1]))
    found = conditions(whole, item, server(), native=False)
    assert found["batching"] == "up to 8, waits 100 µs"
    assert found["queue"] == "at most 16, reject after 9 µs"
    assert (found["intra-op threads"], found["cores"], found["load's cores"]) == ("2", "0", "1")
    assert found["library"].startswith("onnxruntime 1.")
    saved = served(workspace(tmp_path), format="savedmodel")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert conditions(whole, saved, server(), native=False)["oneDNN"] == "TF_ENABLE_ONEDNN_OPTS=0"


def test_a_native_backend_names_the_library_of_its_release(tmp_path: Path) -> None:
    item = served(workspace(tmp_path))
    found = conditions(config(target="25.04"), item, server(place="docker"), native=True)
    assert found["library"] == "onnxruntime 1.21.0 (of release 25.03)"


def test_the_library_of_a_server_elsewhere_has_no_version_of_this_environment(tmp_path: Path) -> None:
    item = served(workspace(tmp_path))
    assert conditions(config(), item, server(place="url"), native=False)["library"] == "onnxruntime"
