"""The commands in a manifest repeat what was done: by the routes that led to the artifact, not the first ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.children import Ended
from export import pipeline
from export.job import Job
from export.refused import UNSUPPORTED
from tests.builders import model
from tests.test_export_pipeline import Children, export, good


@pytest.mark.parametrize("refused", [[], ["dynamo"]], ids=["the first route", "the second route"])
def test_what_an_artifact_leads_on_from_is_repeated_by_the_route_that_was_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: list[str]
) -> None:
    def act(step: str, form: str | None, folder: Path) -> Ended | None:
        if step == "export" and children.routes[-1] in refused:
            return Ended(UNSUPPORTED, ["error: it said no"])
        return good(step, form, folder)

    children = Children(act)
    monkeypatch.setattr(pipeline, "run_child", children)
    job = Job("words", model(formats=["savedmodel"]), tmp_path / "models.toml", tmp_path / "artifacts" / "words")
    lines = export(job).formats["savedmodel"].reproduce
    proven = [route for route in children.routes if route not in refused]
    assert [line.split("--route ")[1].split()[0] for line in lines if "--route" in line] == proven


def test_a_golden_step_that_is_interrupted_is_no_fault_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "run_child", Children(lambda step, form, folder: Ended(130, ["interrupted"])))
    job = Job("words", model(), tmp_path / "models.toml", tmp_path / "artifacts" / "words")
    with pytest.raises(Exception, match="interrupted") as caught:
        export(job)
    assert "did not answer its examples" not in str(caught.value)
