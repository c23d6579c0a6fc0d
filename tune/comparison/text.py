"""What a comparison found, in words: for a terminal, for a pull request, for programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from contract.statistics import Floats
from report.forms.markdown import escape
from report.forms.terminal import WIDTH
from report.words import counted, number, share
from tune.comparison.pairing import Pairing
from tune.comparison.regression import LEAST, LEVEL, UNTESTED, Judged

MARKS = {
    "regression": "✗",
    "improvement": "✓",
    "no difference": "=",
    "within noise": "≈",
    "beyond noise": "!",
    "not judged": "?",
}
SIDES = {
    "rounds": "rounds of each run",
    "blocks of time": "consecutive blocks of time of each run",
    "runs": "whole runs",
}
MEANS = "Figures are geometric means over these; a report pools their requests, so that its figures differ a little."


def sentence(found: Sequence[Judged]) -> str:
    """The verdict in one sentence, and what could not be tested in another."""
    worse = [item for item in found if item.outcome == "regression"]
    judged = [item for item in found if item.change is not None]
    untested = _untested([item for item in found if item.outcome in UNTESTED])
    if worse:
        variants = list(dict.fromkeys(item.pair.variant for item in worse))
        return f"REGRESSION: {', '.join(variants)} {'is' if len(variants) == 1 else 'are'} slower than before."
    if not judged:
        return f"NO VERDICT: {untested}" if untested else "NOT COMPARABLE: no figure could be judged."
    better = sum(item.outcome == "improvement" for item in judged)
    also = f", {counted(better, 'figure')} improved" if better else ""
    passed = f"No regression in {counted(len(judged), 'figure')} of {_variants(judged)}{also}{_hidden(judged)}."
    return f"{passed} Not tested: {untested}" if untested else passed


def method(pairing: Pairing, found: Sequence[Judged], min_effect: float) -> str:
    """How it was judged, with the figures that a reader needs to judge the judgement."""
    over = " and ".join(SIDES[unit] for unit in pairing.units) or "nothing"
    tested = (
        f"Bootstrap over {over}; the intervals hold together at {share(LEVEL)}. A difference counts when its "
        f"interval excludes zero and it is at least {share(min_effect)}, or the noise of the runs where that is larger."
    )
    untested = (
        f"With fewer than {LEAST} searches on each side a highest rate is not tested: its difference is held against "
        f"the resolution, the noise (one variant sought twice within a run) and {share(min_effect)}."
    )
    some = any(item.outcome in UNTESTED for item in found)
    shown = [MEANS] if any(item.change for item in found) else []
    return " ".join(
        [*([tested] if not some or any(item.change for item in found) else []), *([untested] * some), *shown]
    )


def render_terminal(pairing: Pairing, found: Sequence[Judged], min_effect: float) -> str:
    """Plain text, the verdict last."""
    blocks = [[f"! {warning}" for warning in pairing.warnings]]
    for (model, variant), items in groupby(found, key=lambda item: (item.pair.model, item.pair.variant)):
        blocks.append([f"{model}, {variant}", *(f"  {MARKS[item.outcome]} {_line(item)}" for item in items)])
    blocks += [textwrap.wrap(method(pairing, found, min_effect), WIDTH), [sentence(found)]]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def render_markdown(pairing: Pairing, found: Sequence[Judged], min_effect: float) -> str:
    """For a pull request, the verdict first; every text of a run is escaped."""
    parts = [[f"**{escape(sentence(found))}**"]]
    if pairing.warnings:
        parts.append([f"- {escape(warning)}" for warning in pairing.warnings])
    rows = [["", "Variant", "Figure", "Before", "After", "Change", "Verdict"], ["---"] * 3 + ["--:"] * 3 + ["---"]]
    for item in found:
        about = " ".join(filter(None, [item.pair.stage, item.pair.figure]))
        figures = [_middle(item.pair.base), _middle(item.pair.new)]
        cells = [MARKS[item.outcome], item.pair.variant, f"{about}, {item.pair.unit}", *figures, _change(item)]
        rows.append([escape(cell) for cell in [*cells, _verdict(item)]])
    parts.append([f"| {' | '.join(row)} |" for row in rows])
    parts.append([escape(method(pairing, found, min_effect))])
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def render_json(pairing: Pairing, found: Sequence[Judged], min_effect: float) -> str:
    """The same figures for programs."""
    document = {
        "schema_version": 1,
        "regression": any(item.outcome == "regression" for item in found),
        "sentence": sentence(found),
        "min_effect": min_effect,
        "level": LEVEL,
        "replications": pairing.units,
        "warnings": pairing.warnings,
        "figures": [_plain(item) for item in found],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _untested(items: Sequence[Judged]) -> str:
    """What too few searches allow to say; empty where there are none of these."""
    if not items:
        return ""
    beyond = [
        f"{item.pair.variant} ({_share(item.difference or 0.0)})" for item in items if item.outcome == "beyond noise"
    ]
    what = (
        f"the highest rate of {', '.join(beyond)} changed by more than noise and resolution explain"
        if beyond
        else f"no highest rate of {_variants(items)} changed by more than noise and resolution explain"
    )
    return f"{what}; so few searches test nothing, {LEAST} runs on each side do (--more-base, --more-new)."


def _hidden(judged: Sequence[Judged]) -> str:
    """What a pass may have missed: an interval that holds zero holds more than zero."""
    widest = max(judged, key=lambda item: item.hidden)
    if not widest.hidden:
        return ""
    size = _share(widest.hidden).removeprefix("+")
    return f"; up to {size} may be hidden ({widest.pair.figure} of {widest.pair.variant})"


def _plain(item: Judged) -> dict[str, object]:
    pair, change = item.pair, item.change
    ends = [change.estimate, change.low, change.high] if change else []
    known = [value if np.isfinite(value) else None for value in ends]
    return {
        "model": pair.model,
        "variant": pair.variant,
        "stage": pair.stage,
        "figure": pair.figure,
        "unit": pair.unit,
        "outcome": item.outcome,
        "reason": item.reason,
        "change": dict(zip(("estimate", "low", "high"), known, strict=True)) if change else None,
        "difference": item.difference,
        "hidden": item.hidden if np.isfinite(item.hidden) else None,
        "noise": pair.noise,
        "base": pair.base.tolist(),
        "new": pair.new.tolist(),
    }


def _line(item: Judged) -> str:
    pair = item.pair
    about = f"{' '.join(filter(None, [pair.stage, pair.figure]))}, {pair.unit}"
    figures = f"{_middle(pair.base):>8} -> {_middle(pair.new):>8}"
    return f"{about:<28} {figures}  {_change(item):<28} {_verdict(item)}".rstrip()


def _middle(values: Floats) -> str:
    """The geometric mean: what the change is the change of."""
    return number(float(np.exp(np.log(values).mean()))) if len(values) else number(None)


def _change(item: Judged) -> str:
    """E.g. ``+12.3 % [+4.0 %, +21.4 %]``; without an interval where nothing was tested."""
    if item.change is None:
        return "" if item.difference is None else _share(item.difference)
    return f"{_share(item.change.estimate)} [{_share(item.change.low)}, {_share(item.change.high)}]"


def _share(value: float) -> str:
    return f"{round(100 * value, 1) + 0.0:+.1f} %" if abs(value) < 100 else f"{'+' if value > 0 else '-'}∞ %"


def _verdict(item: Judged) -> str:
    return item.outcome if item.outcome in ("regression", "improvement") else f"{item.outcome}: {item.reason}"


def _variants(judged: Sequence[Judged]) -> str:
    return counted(len({item.pair.variant for item in judged}), "variant")
