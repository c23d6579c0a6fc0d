"""Take what the climbs found over into tuned.toml. models.toml is a person's and is only read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from contract.config import ModelsFile
from contract.files import write_text
from contract.machine import this_machine
from contract.trials import Climb, Trials
from tune.configuration.space import now
from tune.configuration.trials import UNITS, worth
from tune.configuration.tuned import block, changed, difference, with_block

RAGGED = "ragged = true is for the python-based backend: it is then what has to be deployed, not NVIDIA's native one"


def take_over(trials: Trials, config: ModelsFile, file: Path, results: Path) -> list[str]:
    """Write the best of each model into ``file`` and return what a person should read: a diff, or why there is none.

    ``config`` is models.toml as it is written. It has one configuration for all formats of a model, so of several that
    were tried the one with the best figure decides.
    """
    texts = []
    for name in dict.fromkeys(climb.model for climb in trials.climbs):
        climbs = [climb for climb in trials.climbs if climb.model == name]
        better = [climb for climb in climbs if climb.best is not None]
        if not better:
            texts += [f"{climb.endpoint}: the configuration stays: {climb.ended}" for climb in climbs]
            continue
        climb = max(better, key=lambda each: worth(each.trials[-1], trials.objective) or 0.0)
        texts += _written(climb, config, file, _words(climb, trials, results))
    return texts


def _written(climb: Climb, config: ModelsFile, file: Path, words: list[str]) -> list[str]:
    """Put one model's best into the file, and show it."""
    assert climb.best is not None
    model = config.models[climb.model]
    start = now(model.batching, model)
    settings = changed(start, climb.best)
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    write_text(file, with_block(text, climb.model, block(climb.model, settings, words)))
    warning = [f"warning: {RAGGED}"] if settings.get("ragged") else []
    return [difference(climb.model, start, climb.best), *words, *warning, f"{file} holds it; models.toml is as it was"]


def _words(climb: Climb, trials: Trials, results: Path) -> list[str]:
    """What measured it, as comments."""
    machine = this_machine()
    return [
        _gain(climb, trials),
        f"measured with {climb.endpoint}, {len(climb.trials)} trials, results {results.name}, "
        f"{datetime.now(UTC).date().isoformat()}",
        f"on {machine.processor}, {machine.cores} cores, {machine.memory_gib:g} GiB",
    ]


def _gain(climb: Climb, trials: Trials) -> str:
    before, after = climb.trials[-2:]
    unit = UNITS[trials.objective]
    old = "no figure" if before.value is None else f"{before.value:,.4g}"
    share = "" if climb.gain is None else f" ({climb.gain:+.0%}, differences up to {climb.noise:.0%} are noise)"
    at = f" at {trials.at_rate:g}/s" if trials.at_rate else ""
    return f"{old} -> {after.value:,.4g} {unit}{at}{share}, both measured once more at the end"
