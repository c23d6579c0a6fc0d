"""python -m tune compare BASE NEW: is the newer run slower? 0: not as far as is seen; 1: yes; 2: they cannot tell."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from contract.cli import Parser
from contract.errors import UsageError
from tune.comparison.pairing import pair_up
from tune.comparison.regression import LEAST, Judged, judge
from tune.comparison.runs import Run, read_run
from tune.comparison.text import render_json, render_markdown, render_terminal

DESCRIPTION = f"""Say whether a newer run is slower than an older one, per variant that both measured.
Each round of a run is one replication: plan at least {LEAST} (rounds = {LEAST} in [load]), better 10.
With --more-base and --more-new each run is one, which also sees what differs between two runs of the same thing.
Of fewer searches for the highest rate it is said whether they differ by more than their noise; that is no verdict."""


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    paths = [[options.base, *options.more_base], [options.new, *options.more_new]]
    _different([path for side in paths for path in side])
    base, new = ([read_run(path) for path in side] for side in paths)
    pairing = pair_up(base, new, options.any_machine)
    found = judge(pairing.pairs, options.min_effect)
    render = render_json if options.json else render_markdown if options.markdown else render_terminal
    print(render(pairing, found, options.min_effect), end="")
    return _code(found, [*base, *new])


def _parser() -> Parser:
    parser = Parser(prog="python -m tune compare", description=DESCRIPTION)
    parser.add_argument("base", type=Path, help="the older run: a folder of results, or a report.json")
    parser.add_argument("new", type=Path, help="the newer run")
    parser.add_argument("--more-base", nargs="+", type=Path, default=[], metavar="RUN", help="more older runs")
    parser.add_argument("--more-new", nargs="+", type=Path, default=[], metavar="RUN", help="more newer runs")
    parser.add_argument(
        "--min-effect", type=_share, default="5%", metavar="PERCENT", help="the smallest change that counts"
    )
    parser.add_argument("--any-machine", action="store_true", help="compare runs of different machines, too")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help="print Markdown for a pull request")
    return parser


def _share(text: str) -> float:
    """``5`` and ``5%`` are 0.05."""
    try:
        value = float(text.removesuffix("%").strip()) / 100
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no percentage; write e.g. 5%") from None
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0% and 100%")
    return value


def _different(paths: Sequence[Path]) -> None:
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise UsageError(f"{path} is named twice; a run cannot be compared with itself")
        seen.add(path.resolve())


def _code(found: Sequence[Judged], runs: Sequence[Run]) -> int:
    """1 where something is slower. Otherwise a variant of which nothing could be judged must not pass for one."""
    if any(item.outcome == "regression" for item in found):
        return 1
    judged = {item.pair.variant for item in found if item.outcome != "not judged"}
    silent = [item for item in dict.fromkeys(item.pair.variant for item in found) if item not in judged]
    if silent or not found:
        names = ", ".join(silent) or " and ".join(run.report.id for run in runs)
        raise UsageError(
            f"nothing could be judged of {names}, so that the comparison cannot pass; the reasons stand beside the "
            f"figures. Where replications are missing, measure with rounds = {LEAST} or more under [load], or name "
            "more runs with --more-base and --more-new"
        )
    return 0
