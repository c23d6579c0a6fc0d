"""Several models in one export: one that cannot be exported costs the others nothing, and is told at the end."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from contract.children import Ended
from contract.errors import LoadproofError, ParityError
from contract.manifest import versions_of
from export import __main__ as command
from export import pipeline
from export.job import Job
from export.pipeline import Unanswered
from tests.builders import model
from tests.test_export_pipeline import Children, good

WHY = "the model has no output 'logits'; it has scores"


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    names = ("first", "mute", "last")
    return [Job(name, model(), tmp_path / "models.toml", tmp_path / "artifacts" / name) for name in names]


@pytest.fixture
def mute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children of which that of one model ends in an error, before the others have answered."""
    gone = threading.Event()

    def act(step: str, form: str | None, folder: Path) -> Ended | None:
        if step != "golden":
            return good(step, form, folder)
        if "mute" in folder.parts:
            gone.set()
            return Ended(2, ["some line", f"error: {WHY}"])
        assert gone.wait(60)
        return good(step, form, folder)

    monkeypatch.setattr(pipeline, "run_child", Children(act))
    monkeypatch.setattr(command, "most_at_once", lambda: 3)


@pytest.mark.usefixtures("mute")
def test_a_model_that_does_not_answer_its_examples_costs_the_others_nothing(
    jobs: list[Job], capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [jobs[1], jobs[0], jobs[2]]  # the one that fails first, whatever the number of cores
    manifests, unanswered = command.export_all(jobs, force=False)
    assert [manifest.model for manifest in manifests] == ["first", "last"]
    assert [versions_of(job.directory) for job in jobs] == [[], [1], [1]]
    said = capsys.readouterr()
    assert "first" in said.out and "last" in said.out
    assert f"mute: the trained model did not answer its examples: {WHY}" in said.err
    with pytest.raises(ParityError, match=rf"nothing was exported of mute: the trained model did not .*: {WHY}"):
        command._outcome(manifests, unanswered)


@pytest.mark.usefixtures("mute")
def test_a_model_that_was_asked_for_alone_is_its_own_error(jobs: list[Job]) -> None:
    with pytest.raises(Unanswered, match=f"mute: the trained model did not answer its examples: {WHY}"):
        command.export_all(jobs[1:2], force=False)


def test_whatever_else_fails_ends_them_all(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "run_child", Children(lambda step, form, folder: Ended(130, ["interrupted"])))
    with pytest.raises(LoadproofError, match="interrupted; nothing was written"):
        command.export_all(jobs, force=False)


@pytest.mark.parametrize(
    ("weights", "hint"),
    [
        ("zoo/out/words/weights.safetensors", "run 'make zoo' first"),
        ("my/zoo/weights.safetensors", "correct the path"),
        ("zoo/weights.safetensors", "correct the path"),
    ],
)
def test_only_what_the_example_models_are_trained_into_is_made_by_make_zoo(
    tmp_path: Path, weights: str, hint: str
) -> None:
    job = Job("words", model(weights=tmp_path / weights), tmp_path / "models.toml", tmp_path / "artifacts" / "words")
    with pytest.raises(LoadproofError, match=f"weights.safetensors does not exist; {hint}$"):
        command.export_all([job], force=False)
