"""What a person sees of searches that go on: each one's bracket, what comes next, and the window that is on."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from contract.records import VariantPlan
from loadtest.master.asking import Measured
from loadtest.showing.live import FILE
from tests.builders import endpoint
from tests.null_latency import null_latency
from tests.on_terminal import on_terminal
from tune.search.max_rate import MaxRate
from tune.search.method import Method
from tune.search.seeking import Seeker
from tune.search.view import SearchView, drawn, standing

SLOW = 0.5  # share of the requests that are too slow where a rate is missed
METHOD = Method(users=(16,), probe_s=6.0, confirm_s=20.0)


def seeker(tmp_path: Path, name: str) -> Seeker:
    variant = VariantPlan(id=name, endpoint=endpoint(), stages=[], repeat_of=None)
    return Seeker(variant, MaxRate(variant.endpoint.slo, METHOD), tmp_path, 0.5, 64)


def seen(**changes: Any) -> Measured:
    fields: dict[str, Any] = {
        "stage": 0,
        "due": 2000,
        "failed": 0,
        "over": {"p99": 0},
        "late": 0,
        "good": 2000,
        "answered_rps": 1000.0,
        "client_cpu": 0.1,
        "lost": [],
        "aborted": False,
        "cut": "",
        "window_s": 2.0,
        "seconds": 2.5,
    }
    return Measured(**(fields | changes))


def text(*renderables: Any) -> str:
    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(*renderables)
    return console.export_text()


def test_a_search_is_shown_from_its_closed_loop_to_its_bracket(tmp_path: Path) -> None:
    one, other = seeker(tmp_path, "one"), seeker(tmp_path, "other")
    (row, _) = standing([one, other], "one")
    assert (row.on, row.knee, row.kept, row.not_kept, row.steps) == (True, "-", "-", "-", 0)
    assert row.next == "16 users, 1.5 s"
    one.search.tell(seen())
    one.search.tell(seen())
    one.search.tell(seen(over={"p99": round(SLOW * 2000)}))
    first, second = standing([one, other], "other")
    assert (first.on, second.on) == (False, True)
    assert first.knee == "1,000" and first.kept == "750" and float(first.not_kept) > 750 and first.steps == 2
    assert first.next.startswith("probe ")


def test_whose_limit_it_was_is_said_where_it_was_not_the_servers(tmp_path: Path) -> None:
    spoiled = seeker(tmp_path, "spoiled")
    spoiled.search.tell(seen())
    for _ in range(3):
        spoiled.search.tell(seen(late=2000))
    (row,) = standing([spoiled], "")
    assert row.not_kept == "750 (load generator)"


def test_a_search_that_is_over_says_what_came_of_it(tmp_path: Path) -> None:
    done, gone = seeker(tmp_path, "done"), seeker(tmp_path, "gone")
    while (wanted := done.search.next()) is not None:
        slow = (wanted.rate or 0.0) > 900
        done.search.tell(seen(over={"p99": round(SLOW * 2000) if slow else 0}), {"p99": 10.0})
    gone.failure = "the server is gone"
    rows = standing([done, gone], "")
    value = done.found().value
    assert value is not None and rows[0].next == f"done: {value:,.4g}/s"
    assert rows[1].next == "left out: its server failed"


def test_the_table_says_in_words_what_its_style_says(tmp_path: Path) -> None:
    shown = text(drawn(standing([seeker(tmp_path, "one"), seeker(tmp_path, "other")], "other")))
    lines = [line for line in shown.splitlines() if "users" in line]
    assert ["▶" in line for line in lines] == [False, True]
    assert "what comes next" in shown and "not kept" in shown


def test_without_a_terminal_nobody_asks_for_figures(tmp_path: Path) -> None:
    with SearchView([seeker(tmp_path, "one")], 60.0) as view:
        assert not view.wants_figures
        view.begins("one")
        view.over(2.0)


@pytest.mark.e2e
@pytest.mark.slow
def test_on_a_terminal_a_search_shows_its_bracket_and_its_percentiles_while_it_goes_on(tmp_path: Path) -> None:
    with null_latency(tmp_path, "http", "--delay-ms", "5") as nulled:
        nulled.configure(concurrency=[1], closed_s=1.0, open_s=1.0, rate=100.0)
        command = [sys.executable, "-m", "tune", "search", "--workspace", str(tmp_path), "--uncertified"]
        command += ["--config", str(tmp_path / "models.toml"), "--variant", nulled.endpoint.id, "--max-rps", "120"]
        command += ["--resolution", "0.2", "--probe-s", "1.5", "--confirm-s", "4"]
        _, told = on_terminal(command)
    for words in ("▶", "not kept", "16 users", "confirm ", "p99.9 ms", "so far kept", "s left", "/s confirmed ("):
        assert words in told, told[-3000:]
    assert not list((tmp_path / "results").glob(f"*/{FILE}"))
