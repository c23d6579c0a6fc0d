"""Sampled answers count for the server that gave them, whatever another one of its kind is called."""

from __future__ import annotations

from pathlib import Path

from contract.files import write_bytes
from contract.golden import write_examples
from contract.records import answer_frame, golden_name
from report.figures.answers import judge
from tests.builders import examples
from tests.report_runs import answer, real

NAME = "words__onnx__kserve__http"


def test_a_wrong_answer_of_a_second_server_of_one_kind_is_not_counted_against_the_first(tmp_path: Path) -> None:
    item = real()
    write_examples(tmp_path / golden_name(item), examples())
    for name, wrong in ((NAME, False), (f"{NAME}-2", True)):
        write_bytes(tmp_path / f"answers-{name}-0.bin", answer_frame(1, "r0000", *answer(wrong)))
    first, second = (judge(tmp_path, name, item)[1] for name in (NAME, f"{NAME}-2"))
    assert (first.checked, first.wrong) == (1, 0)
    assert (second.checked, second.wrong) == (1, 1)


def test_answers_of_every_load_process_are_counted(tmp_path: Path) -> None:
    item = real()
    write_examples(tmp_path / golden_name(item), examples())
    for worker in (0, 2, 11):
        write_bytes(tmp_path / f"answers-{NAME}-{worker}.bin", answer_frame(1, "r0000", *answer(worker == 11)))
    found = judge(tmp_path, NAME, item)[1]
    assert (found.checked, found.wrong) == (3, 1)
