"""What "How to reproduce" prints can be typed: every command is taken by the parser of the command that it names."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from contract.verdict import Report
from loadtest import __main__ as loading
from report.beside import reproduce
from report.forms.markdown import render_markdown
from report.page.html import render_html
from tests import report_samples as samples
from tests.report_rare_samples import scaled
from tests.report_search_samples import search_report
from tune.configuration import command as configuring
from tune.scale import command as scaling
from tune.search import command as searching

PARSERS: dict[tuple[str, ...], Callable[[Sequence[str]], Any]] = {
    ("loadtest",): loading._parser().parse_args,
    ("tune", "search"): searching._parser().parse_args,
    ("tune", "configure"): configuring._options,
    ("tune", "scale"): scaling._options,
}
COMMON = ["--config", "mine.toml", "--group", "all"]
TYPED = {
    "slo": ["tune", "search", *COMMON, "--variant", "a", "--variant=b", "--budget-s", "600", "--max-rps", "50"],
    "loadtest": ["loadtest", *COMMON, "--plan", "map", "--allow-host", "gpu.lan", "--max-rps=50", "--workers", "2"],
    "configure": ["tune", "configure", "words", *COMMON, "--trials", "4", "--use", "old tuned.toml"],
    "scale": ["tune", "scale", *COMMON, "--replicas", "1..3", "--deployment", "prod/triton", "--users", "4", "8"],
}
PLANS = {"slo": "search", "loadtest": "map", "configure": "configure", "scale": "scale"}


def typed(kind: str) -> Report:
    """A report of a run that was started by such a command."""
    report = search_report() if kind in ("slo", "configure") else samples.report()
    return report.model_copy(update={"load_plan": PLANS[kind], "command": ["python", "-m", *TYPED[kind]]})


def parsed(command: str) -> tuple[tuple[str, ...], Any]:
    """The command's name and its options. Fails where the shell's words are none of a command."""
    words = shlex.split(command)
    assert words[:2] == ["python", "-m"], command
    name = next(name for name in PARSERS if tuple(words[2 : 2 + len(name)]) == name)
    return name, PARSERS[name](words[2 + len(name) :])


@pytest.mark.parametrize("kind", TYPED)
def test_the_command_that_is_printed_is_the_one_that_was_typed(kind: str) -> None:
    report = typed(kind)
    asked = parsed(shlex.join(["python", "-m", *TYPED[kind]]))
    (measuring,) = [step.command for step in reproduce.steps(report) if step.anchor == "comparison"]
    assert parsed(measuring) == asked
    assert parsed(reproduce.road(report)[1][0]) == asked


@pytest.mark.parametrize("kind", ["slo", "loadtest"])
def test_a_variant_alone_is_measured_by_the_same_command_with_its_name(kind: str) -> None:
    report = typed(kind)
    for variant, command in reproduce.alone(report):
        name, options = parsed(command)
        before, whole = parsed(shlex.join(report.command))
        assert (name, options.variant) == (before, [variant])
        assert vars(options) == vars(whole) | {"variant": [variant]}
    assert [variant for variant, _ in reproduce.alone(report)] == [item.id for item in report.variants]


@pytest.mark.parametrize("kind", ["configure", "scale"])
def test_a_step_of_a_climb_or_a_curve_is_not_promised_alone(kind: str) -> None:
    assert reproduce.alone(typed(kind)) == []


def test_the_stages_before_are_told_the_files_that_the_command_names() -> None:
    report = typed("configure")
    start = reproduce.road(report)[0][0]
    assert shlex.split(start) == ["make", "export", "serve", "CONFIG=mine.toml", "GROUP=all", "USE=old tuned.toml"]
    plain = report.model_copy(update={"command": shlex.split("python -m tune search --config models.toml")})
    assert reproduce.road(plain)[0][0] == "make export serve"


@pytest.mark.parametrize("kind", TYPED)
def test_of_older_results_a_command_is_put_together_that_can_be_typed(kind: str) -> None:
    report = typed(kind).model_copy(update={"command": [], "scaling": scaled() if kind == "scale" else None})
    (measuring,) = [step.command for step in reproduce.steps(report) if step.anchor == "comparison"]
    for command in (measuring, *(command for _, command in reproduce.alone(report))):
        parsed(command)


def test_of_an_older_curve_the_numbers_and_what_they_count_are_told() -> None:
    older = {"load_plan": "scale", "scaling": scaled(numbers=(1, 2, 4), unit="replicas")}
    road = reproduce.road(samples.report().model_copy(update=older))
    _, options = parsed(road[1][0])
    assert (options.variant, options.replicas) == (scaled().endpoint, "1,2,4")


@pytest.mark.parametrize("words", [["--workspace", "/srv/my runs"], ["--workspace=/srv/my runs/"]])
def test_the_records_are_judged_again_in_the_workspace_that_was_typed(words: list[str]) -> None:
    report = samples.report(command=["python", "-m", "loadtest", *words])
    told = shlex.split(reproduce.road(report)[-1][0])
    assert told[:4] == ["python", "-m", "report", f"/srv/my runs/results/{report.id}"]
    assert told[4] == "--workspace" and told[5].rstrip("/") == "/srv/my runs"
    plain = samples.report(command=["python", "-m", "loadtest"])
    assert reproduce.steps(plain)[-1].command == f"python -m report results/{plain.id}"


def test_every_form_says_which_python_is_meant() -> None:
    report = typed("slo")
    assert ".venv/bin/python" in render_markdown(report).split("### How to reproduce")[1]
    section = render_html(report).split('id="reproduce"')[1].split("</section>")[0]
    assert ".venv/bin/python" in section
