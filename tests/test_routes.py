"""The tables of the export name what exists: every row has its function, every route its neighbours."""

from __future__ import annotations

import ast
from typing import get_args

import pytest

from contract.config import SOURCE_FILES, Format
from export.routes import (
    FILES,
    FORMAT_PACKAGES,
    FROM_ONNX,
    ORACLES,
    ROUTES,
    RUNTIMES,
    SOURCE_PACKAGES,
    order,
    packages,
    routes,
)
from tests.conftest import ROOT

FORMATS = get_args(Format)
KINDS = sorted(ROUTES)
TARGETS = {
    *ORACLES.values(),
    *RUNTIMES.values(),
    *(route.converter for kind in KINDS for form in FORMATS for route in routes(kind, form)),
}


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_every_row_names_a_function_that_exists(target: str) -> None:
    module, _, name = target.partition(":")
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("target", sorted(TARGETS - {*ORACLES.values(), *RUNTIMES.values()}))
def test_a_converter_takes_what_its_routes_give_it(target: str) -> None:
    """(model, examples, path), and the file that it leads on from where its route does."""
    module, _, name = target.partition(":")
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    via = {
        bool(route.via)
        for kind in KINDS
        for form in FORMATS
        for route in routes(kind, form)
        if route.converter == target
    }
    assert via == {len(function.args.args) == 4}
    assert [argument.arg for argument in function.args.args][:3] == ["model", "examples", "path"]


def test_every_kind_of_source_has_an_oracle_and_packages() -> None:
    assert set(KINDS) == set(ORACLES) == set(SOURCE_PACKAGES)
    assert {kind for endings in SOURCE_FILES.values() for kind in endings.values()} <= set(KINDS)


def test_every_format_has_a_file_a_runtime_and_packages() -> None:
    assert set(FORMATS) == set(FILES) == set(RUNTIMES) == set(FORMAT_PACKAGES)
    assert len(set(FILES.values())) == len(FILES)


@pytest.mark.parametrize("kind", KINDS)
def test_every_source_leads_to_torchscript_savedmodel_and_onnx(kind: str) -> None:
    assert all(routes(kind, form) for form in ("torchscript", "savedmodel", "onnx"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMATS)
def test_native_routes_come_first_and_have_unlike_names(kind: str, form: str) -> None:
    known = routes(kind, form)
    assert len({route.name for route in known}) == len(known)
    led_on = [route.via is not None for route in known]
    assert led_on == sorted(led_on)


def test_what_others_lead_on_from_leads_on_from_nothing() -> None:
    vias = {route.via for rows in FROM_ONNX.values() for route in rows}
    assert vias == {"onnx"}
    assert all(route.via is None for kind in KINDS for route in routes(kind, "onnx"))


def test_names_of_routes_can_stand_in_the_name_of_a_log() -> None:
    names = {route.name for kind in KINDS for form in FORMATS for route in routes(kind, form)}
    assert all(name.replace("-", "").isalnum() for name in names)


@pytest.mark.parametrize(
    ("formats", "wanted"),
    [
        (["torchscript", "savedmodel", "onnx"], ["onnx", "torchscript", "savedmodel"]),
        (["onnx-int8", "onnx"], ["onnx", "onnx-int8"]),
        (["savedmodel", "torchscript"], ["savedmodel", "torchscript"]),
    ],
)
def test_onnx_is_made_first_and_the_rest_in_the_order_in_which_it_was_asked_for(
    formats: list[str], wanted: list[str]
) -> None:
    assert order(formats) == wanted


def test_the_packages_of_a_record_are_those_of_source_and_format_once_each() -> None:
    for kind in KINDS:
        for form in FORMATS:
            found = packages(kind, form)
            assert found == sorted(set(found))
            assert {*SOURCE_PACKAGES[kind], *FORMAT_PACKAGES[form]} == set(found)


def test_an_onnx_file_that_others_lead_on_from_counts_with_the_runtime_that_proves_it() -> None:
    """savedmodel from pytorch leads on from a proven ONNX file: another onnxruntime may prove another file."""
    assert "onnxruntime" in packages("pytorch", "savedmodel")
