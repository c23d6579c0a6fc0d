"""python -m zoo: train the example models that are missing, each in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contract.children import at_once, python, run_child, shown
from contract.cli import Parser, run
from contract.config import read_config
from contract.errors import LoadproofError, UsageError, nearest
from contract.files import read_model
from contract.progress import say
from contract.workspace import Workspace
from zoo.card import CARD, Card, trained
from zoo.data import fetch
from zoo.train import MODELS, train


def main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m zoo", description="Train the example models on real data (under a minute each).")
    parser.add_argument("models", nargs="*", default=list(MODELS), help="which ones")
    parser.add_argument("--workspace", type=Path, default=Path("."), help="folder below which stages read and write")
    parser.add_argument("--config", type=Path, help="train only what this models.toml uses")
    parser.add_argument("--retrain", action="store_true", help="train even when the model is there")
    parser.add_argument("--here", action="store_true", help="train in this process (one framework only)")
    options = parser.parse_args(arguments)
    for name in options.models:
        if name not in MODELS:
            raise UsageError(f"the zoo has no '{name}': one of {', '.join(MODELS)}{nearest(name, list(MODELS))}")
    zoo = Workspace(options.workspace.resolve()).zoo
    names = _used(options.models, options.config, zoo)
    if options.here:
        for name in names:
            train(name, zoo / name, zoo / "data")
        return 0
    missing = [name for name in names if options.retrain or not trained(zoo / name)]
    if missing:
        fetch(zoo / "data")
        at_once(lambda name: _train_in_child(name, options.workspace), missing)
    for name in names:
        card = read_model(zoo / name / CARD, Card, "make zoo")
        say(
            f"{name}: accuracy {card.accuracy:.3f} on {card.test_sentences} sentences it never saw "
            f"(majority baseline {card.majority_baseline:.3f}), trained in {card.seconds:.0f} s"
        )
    return 0


def _used(names: list[str], config: Path | None, zoo: Path) -> list[str]:
    """Of these models, the ones whose files the configuration names."""
    if config is None:
        return names
    files = [
        str(path)
        for model in read_config(config).models.values()
        for path in (model.weights, model.examples, model.source)
        if path
    ]
    return [name for name in names if any(file.startswith(f"{zoo / name}/") for file in files)]


def _train_in_child(name: str, workspace: Path) -> None:
    say(f"training {name} (once; 'python -m zoo {name} --retrain' repeats it)")
    command = python("zoo", name, "--here", "--workspace", str(workspace))
    ended = run_child(command)
    if ended.code != 0:
        raise LoadproofError(f"training {name} failed: {ended.reason}; run it alone: {shown(command)}")


if __name__ == "__main__":
    run(main)
