"""The verdict of a run, as a word and as one sentence. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from contract.verdict import Variant, Word
from report import words
from report.judging.advice import order
from report.judging.equal_load import claimable
from report.judging.merit import Merit
from report.judging.ranking import NO_OBJECTIVES

MOST_NAMES = 3  # of models in a sentence


def decide(
    variants: list[Variant],
    unserved: Iterable[str] = (),
    merit: Merit | None = None,
    objectives: Mapping[str, Mapping[str, float]] = NO_OBJECTIVES,
) -> tuple[Word, str]:
    """INVALID if a model has no rankable variant; else FAIL if some model's best misses an objective; else PASS.

    ``merit`` is given where the highest rates were sought: the sentence then names them. ``objectives`` are by model:
    where too few requests were measured to claim what was kept, the sentence says so.
    """
    models = sorted({variant.model for variant in variants} | set(unserved))
    if not variants:
        return "INVALID", "INVALID: nothing was measured."
    without = [model for model in models if not any(v.rankable for v in variants if v.model == model)]
    if without:
        return "INVALID", f"INVALID: no variant of {_some(without)} was measured well enough for a verdict."
    missing = [model for model in models if not any(v.slo.passed for v in variants if v.model == model and v.rankable)]
    if missing:
        return "FAIL", f"FAIL: no variant of {_some(missing)} keeps its objectives."
    best = [order([v for v in variants if v.model == model], merit)[0] for model in models] if merit else []
    rates = [f"{v.model} up to {words.number(v.slo.max_rps.value)} requests/s" for v in best]
    kept = f"PASS: every model ({_some(rates or models, 'and')}) has a variant that keeps its objectives"
    keeping = {model: [v for v in variants if v.model == model and v.rankable and v.slo.passed] for model in models}
    as_measured = [m for m in models if not any(claimable(v, objectives.get(m, {})) for v in keeping[m])]
    if as_measured:
        whose = "" if as_measured == models else f" for {_some(as_measured, 'and')} only"
        kept += f",{whose} as measured: a claim at 99 % confidence needs more requests"
    return "PASS", f"{kept}."


def _some(models: list[str], word: str = "or") -> str:
    """A few names in full; of many the first ones and how many more."""
    if len(models) > MOST_NAMES + 1:
        models = [*models[:MOST_NAMES], f"{len(models) - MOST_NAMES} more"]
    return f" {word} ".join(filter(None, [", ".join(models[:-1]), models[-1]]))
