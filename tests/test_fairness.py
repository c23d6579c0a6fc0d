"""The fairness sheet: what differs between the engines of a model is marked, and no name breaks the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract.batching import Batching, Queue
from contract.endpoints import ServerRecord
from contract.load import Affinity
from contract.records import VariantPlan
from report.beside.fairness import sheets
from report.beside.neighbours import neighbours, with_neighbours
from report.page.html import render_html
from serving.proof.conditions import conditions
from tests.builders import config, endpoint, model, plan, served, server, workspace
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
        ("protocol", ["HTTP, gRPC", "gRPC"], True),
        ("threads", ["1", "1"], False),
        ("batching", ["up to 32", "up to 32"], False),
        ("library", ["onnxruntime 1", "tensorflow 2"], True),
    ]
    page = render_html(found)
    assert page.count("≠ differs") == 2
    assert "tensorflow 2" in page


def test_a_condition_that_only_one_engine_has_differs() -> None:
    found = report(
        variants=[
            variant("m", "onnx", "triton", "http", conditions={"queue": "at most 4"}),
            variant("m", "savedmodel", "triton", "http", conditions={"cores": "0"}),
        ]
    )
    lines = {line.name: line.differs for line in sheets(found)[0].lines}
    assert lines == {"protocol": False, "queue": True, "cores": True}


def test_protocols_in_another_order_are_the_same_protocols() -> None:
    keys = [("onnx", "http"), ("onnx", "grpc"), ("torchscript", "grpc"), ("torchscript", "http")]
    found = report(variants=[variant("m", form, "triton", protocol, conditions=SAME) for form, protocol in keys])
    line = sheets(found)[0].lines[0]
    assert (line.name, line.values, line.differs) == ("protocol", ["HTTP, gRPC"] * 2, False)


SERVED = {  # model and format by engine and served name: two models, of which one is on both engines
    ("triton", "words__onnx"): ("words", "onnx"),
    ("triton", "words__torchscript"): ("words", "torchscript"),
    ("tfserving", "words"): ("words", "savedmodel"),
    ("triton", "digits__onnx"): ("digits", "onnx"),
    ("triton", "digits__onnx-int8"): ("digits", "onnx-int8"),
}


def beside(**changes: Any) -> dict[str, str]:
    """What is resident beside each served model, in a run that measured all of them but the last."""
    served = [
        endpoint(served_name=name, engine=engine, model=model, format=form)
        for (engine, name), (model, form) in SERVED.items()
    ]
    variants = [VariantPlan(id=item.id, endpoint=item, stages=[], repeat_of=None) for item in served[:-1]]
    resident = [f"{item.served_name} on {item.engine}" for item in served]
    whole = plan(*variants, resident=resident, **changes)
    return {f"{item.format} of {item.model}": neighbours(whole, item) for item in served}


def test_where_all_are_loaded_the_formats_of_a_model_have_the_same_neighbours() -> None:
    of_words, of_digits = (
        "2 more exports of this model; of others 2 on Triton",
        "of others 2 on Triton, 1 on TF Serving",
    )
    assert beside() == {
        "onnx of words": of_words,
        "torchscript of words": of_words,
        "savedmodel of words": of_words,
        "onnx of digits": f"1 more export of this model; {of_digits}",
        "onnx-int8 of digits": f"1 more export of this model; {of_digits}",
    }


def test_a_variant_that_triton_holds_alone_has_other_neighbours_than_one_on_another_engine() -> None:
    found = beside(isolate=True)
    assert found["onnx of words"] == found["torchscript of words"] == "1 more export of this model"
    assert found["savedmodel of words"] == "nothing"
    assert found["onnx of digits"] == "of others 1 on TF Serving"


def test_one_model_at_a_time_has_its_own_formats_beside_it_on_triton() -> None:
    found = beside(one_at_a_time=True)
    assert {found[f"{form} of words"] for form in ("onnx", "torchscript", "savedmodel")} == {
        "2 more exports of this model"
    }
    assert found["onnx of digits"] == "1 more export of this model; of others 1 on TF Serving"


def test_what_is_beside_a_model_on_another_machine_is_not_known() -> None:
    assert neighbours(plan(), endpoint(served_name="words", engine="kserve")) == "not known"


FOREIGN = server(place="url", host="10.0.0.7")


@pytest.mark.parametrize(
    ("servers", "address"),
    [([FOREIGN], "10.0.0.7:8000"), ([server(place="url")], "127.0.0.1:8000"), ([server()], "10.0.0.7:8000")],
    ids=["on another machine", "on this one", "reached elsewhere"],
)
def test_what_is_beside_a_model_on_somebody_elses_triton_is_not_known(
    servers: list[ServerRecord], address: str
) -> None:
    asked = endpoint(served_name="words__onnx", address=address)
    resident = ["words__onnx on triton", "words__torchscript on triton"]
    assert neighbours(plan(resident=resident, servers=servers), asked) == "not known"


def test_what_another_machine_holds_is_no_neighbour() -> None:
    here = endpoint(served_name="words", engine="tfserving", address="127.0.0.1:8500")
    servers = [FOREIGN, server(engine="tfserving")]
    whole = plan(resident=["words__onnx on triton", "words on tfserving"], servers=servers)
    assert neighbours(whole, here) == "nothing"


def test_what_model_an_unmeasured_name_of_a_foreign_server_is_nobody_guesses() -> None:
    here, there = endpoint(served_name="words__onnx"), endpoint(served_name="a__b", engine="kserve")
    measured = [VariantPlan(id=item.id, endpoint=item, stages=[], repeat_of=None) for item in (here, there)]
    resident = ["words__onnx on triton", "a__b on kserve", "words__v2 on kserve"]
    found = neighbours(plan(*measured, resident=resident), here)
    assert found == "1 more export of this model; 1 on KServe v2, of which model is not known"


def test_what_else_is_resident_is_one_of_the_conditions_where_there_are_any() -> None:
    alone = endpoint(conditions=SAME)
    assert with_neighbours(plan(), alone) == SAME | {"also resident": "nothing"}
    assert with_neighbours(plan(), endpoint()) == {}, "older results have no sheet"


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
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    assert conditions(whole, saved, server(), native=False)["oneDNN"] == "library's default", "nobody asked it"
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert conditions(whole, saved, server(), native=False)["oneDNN"] == "TF_ENABLE_ONEDNN_OPTS=0"


@pytest.mark.parametrize(
    ("place", "native", "expected"),
    [
        ("process", True, "TF_ENABLE_ONEDNN_OPTS=0"),  # tensorflow_model_server inherits what is set here
        ("process", False, "TF_ENABLE_ONEDNN_OPTS=0"),
        ("docker", True, "as the server's image has it"),
        ("docker", False, "as the server's image has it"),
        ("url", True, "not known"),
        ("url", False, "not known"),
    ],
)
def test_what_this_environment_says_of_onednn_is_said_only_of_servers_that_inherit_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, native: bool, expected: str
) -> None:
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    item = served(workspace(tmp_path), "words", "tfserving", format="savedmodel")
    record = server(engine="tfserving", place=place, command=[])
    assert conditions(config(), item, record, native)["oneDNN"] == expected


@pytest.mark.parametrize(
    ("place", "pinned", "free"),
    [("process", "0", "all"), ("docker", "0", "all"), ("url", "not known", "not known")],
)
def test_nobody_knows_the_cores_of_a_server_that_is_not_started_here(
    tmp_path: Path, place: str, pinned: str, free: str
) -> None:
    item, record = served(workspace(tmp_path)), server(place=place)
    affine = config(affinity=Affinity(servers=[0], load=[1]))
    assert conditions(affine, item, record, native=False)["cores"] == pinned
    assert conditions(config(), item, record, native=False)["cores"] == free
    assert conditions(affine, item, record, native=False)["load's cores"] == "1", "the load is ours wherever it goes"


def test_a_native_backend_names_the_library_of_its_release(tmp_path: Path) -> None:
    item = served(workspace(tmp_path))
    found = conditions(config(target="25.04"), item, server(place="docker"), native=True)
    assert found["library"] == "onnxruntime 1.21.0 (of release 25.03)"


def test_the_library_of_a_server_elsewhere_has_no_version_of_this_environment(tmp_path: Path) -> None:
    item = served(workspace(tmp_path))
    assert conditions(config(), item, server(place="url"), native=False)["library"] == "onnxruntime"


def test_two_images_of_one_version_are_told_apart(tmp_path: Path) -> None:
    item = served(workspace(tmp_path))
    ran = [server(place="docker", image=f"triton:mine (sha256:{number})") for number in (1, 2)]
    sheets = [conditions(config(), item, record, native=False) for record in ran]
    assert [sheet["server"] for sheet in sheets] == [
        f"triton 2.51.0, docker, triton:mine (sha256:{number})" for number in (1, 2)
    ]
