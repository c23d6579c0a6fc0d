"""What a person sees while a run goes on."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from loadtest.showing.live import FILE, Live, read_live, validity, write_live
from loadtest.showing.view import Board, figures
from tests.conftest import ROOT
from tests.known_latency import known_latency

LIVE = Live(
    variant="words__onnx__triton__http",
    stage="open-100",
    seconds=2.5,
    length_s=6.5,
    rate_rps=99.6,
    good=1234,
    failed=2,
    late=3,
    latency_ms={"p50": 1.5, "p90": 2.25, "p99": 9.0, "p999": 12.0},
    slo="SLO, so far kept: p99 9.00 of at most 20 ms",
    kept=True,
)


def shown(live: Live, width: int = 100) -> str:
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(*figures(live))
    return console.export_text()


def test_the_table_says_in_words_what_its_colours_say() -> None:
    text = shown(LIVE)
    for word in ("words__onnx__triton__http, open-100", "2/6", "100", "9.00", "1,234", "so far kept", "valid so far"):
        assert word in text
    assert "so far missed" in shown(LIVE.model_copy(update={"slo": "SLO, so far missed", "kept": False}))


def test_late_sends_are_what_makes_a_stage_invalid_so_far() -> None:
    assert validity(LIVE) == "valid so far"
    late = LIVE.model_copy(update={"late": 124})
    assert validity(late) == "INVALID so far: 10.0% were sent late, 5% are allowed"
    assert validity(LIVE.model_copy(update={"good": 0, "failed": 0})) == "nothing was answered yet"


def test_a_run_of_no_figures_yet_has_its_bar() -> None:
    board = Board("load", 60.0)
    board.note("round 1/2")
    board.move_to(20.0)
    board.move_to(10.0)  # never back
    console = Console(width=100, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(board.render())
    assert "40 s left round 1/2" in console.export_text()


def test_what_is_not_there_or_not_whole_is_no_figure(tmp_path: Path) -> None:
    assert read_live(tmp_path) is None
    write_live(tmp_path, LIVE)
    assert read_live(tmp_path) == LIVE
    (tmp_path / FILE).write_text("{")
    assert read_live(tmp_path) is None


@pytest.mark.e2e
def test_on_a_terminal_a_run_shows_its_percentiles_while_it_goes_on(tmp_path: Path) -> None:
    with known_latency(tmp_path, delay_ms=3.0) as known:
        known.configure(concurrency=[2], closed_s=1.0, open_s=2.5, rate=200)
        ours, theirs = pty.openpty()
        environment = os.environ | {"COLUMNS": "120", "LINES": "40", "TERM": "xterm"}
        child = subprocess.Popen(known.command(), cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        seen = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            seen += piece
        assert child.wait() == 0, seen[-2000:]
    text = seen.decode(errors="replace")
    assert "p99.9 ms" in text and "so far kept" in text and "valid so far" in text
    results = Path(text.strip().splitlines()[-1].strip())
    assert not (results / FILE).exists()
