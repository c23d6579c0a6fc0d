"""What is said of a run while it goes on, by what its master has written down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contract.certificate import Certificate, Setting
from contract.errors import ServerError
from contract.files import write_json
from contract.load import Affinity
from contract.records import Observation, VariantPlan
from loadtest.certification import measuring
from loadtest.driving import Shown, say_what_is_missing
from loadtest.launching import PROGRESS
from loadtest.showing.live import Live
from tests.builders import closed_stage, endpoint, open_stage, plan
from tests.certificates import certificate, setting


class Said:
    """A view that remembers what it was told."""

    wants_figures = False

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def move_to(self, seconds: float) -> None:
        """The bar is none of its business."""

    def show(self, live: Live) -> None:
        raise AssertionError("it wants no figures")


def told(folder: Path, *steps: tuple[int, int, int, int]) -> list[str]:
    """What is said of these steps: round, variant, stage and attempt."""
    item = endpoint()
    variants = [
        VariantPlan(id=name, endpoint=item, stages=[closed_stage(), open_stage()], repeat_of=None)
        for name in ("a", "b")
    ]
    said = Said()
    shown = Shown(plan(*variants, rounds=2, attempts=3), said)
    for step in steps:
        line = dict(zip(("round", "variant", "stage", "attempt"), step, strict=True))
        (folder / PROGRESS).write_text(json.dumps(line))
        shown.look(folder / PROGRESS)
        shown.look(folder / PROGRESS)  # nothing new is nothing to say
    return said.notes


def test_a_variant_is_told_once_in_each_round(tmp_path: Path) -> None:
    notes = told(tmp_path, (1, 0, 0, 1), (1, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, 1), (2, 0, 0, 1))
    assert [note.partition(" (")[0] for note in notes] == [
        "round 1/2 [1/2] a",
        "round 1/2 [2/2] b",
        "round 2/2 [1/2] a",
    ]


def test_a_stage_that_is_measured_again_is_told_with_the_reason(tmp_path: Path) -> None:
    _, again, once_more = told(tmp_path, (1, 0, 0, 1), (1, 0, 0, 2), (1, 0, 0, 3))
    assert again.startswith(f"round 1/2 [1/2] a: {closed_stage().name} again (2 of at most 3), the machine was busy")
    assert "(3 of at most 3)" in once_more


def test_the_stage_after_one_that_was_measured_again_is_told(tmp_path: Path) -> None:
    *_, last = told(tmp_path, (1, 0, 0, 1), (1, 0, 0, 2), (1, 0, 1, 1))
    assert last == f"round 1/2 [1/2] a: {open_stage().name}"


def test_a_certificate_that_is_measured_again_is_told_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    busy = certificate(ceiling_of="machine")

    def measured(*_: object) -> Certificate:
        return busy

    monkeypatch.setattr(measuring, "_measure", measured)
    wanted: Setting = setting()
    assert measuring.certify(endpoint(), tmp_path, tmp_path / "c", tmp_path / "answer", wanted, Affinity()) == busy
    assert capsys.readouterr().err == "certify, again (2 of 2): other work on the machine was the limit\n"


@pytest.mark.parametrize(
    ("complete", "said"),
    [
        ({"a": True, "b": True}, ""),
        ({"a": True}, "not measured: b; the reason is in locust.log, and in the report\n"),
        ({"a": True, "b": False}, "not measured in every round: b; the reason is in locust.log, and in the report\n"),
    ],
)
def test_a_variant_that_was_not_measured_in_every_round_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], complete: dict[str, bool], said: str
) -> None:
    for name, whole in complete.items():
        seen = Observation(schema_version=1, variant=name, complete=whole, stages=[])
        write_json(tmp_path / f"server-stats-{name}.json", seen)
    variants = [VariantPlan(id=name, endpoint=endpoint(), stages=[], repeat_of=None) for name in ("a", "b")]
    say_what_is_missing(plan(*variants), tmp_path, Path("locust.log"))
    assert capsys.readouterr().err == said


def test_a_run_of_which_nothing_was_measured_is_an_error(tmp_path: Path) -> None:
    only = VariantPlan(id="a", endpoint=endpoint(), stages=[], repeat_of=None)
    with pytest.raises(ServerError, match=r"nothing was recorded for a; see locust\.log"):
        say_what_is_missing(plan(only), tmp_path, Path("locust.log"))
