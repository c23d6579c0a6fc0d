"""python -m zoo: train the example models that are missing, each in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contract.children import at_once, python, run_child, shown
from contract.cli import Parser, run
from contract.config import read_config
from contract.errors import LoadproofError
from contract.files import read_model
from contract.progress import say
from contract.workspace import Workspace
from zoo.card import CARD, Card, trained
from zoo.fetch import fetch
from zoo.recipes import RECIPES
from zoo.train import recipe, train


def main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m zoo", description="Train the example models on real data (under a minute each).")
    parser.add_argument("models", nargs="*", help="which ones; without names, all but the optional ones")
    parser.add_argument("--workspace", type=Path, default=Path("."), help="folder below which stages read and write")
    parser.add_argument("--config", type=Path, help="train only what this models.toml uses")
    parser.add_argument("--group", default="all", help="with --config: only what this group of models uses")
    parser.add_argument("--retrain", action="store_true", help="train even when the model is there")
    parser.add_argument("--here", action="store_true", help="train in this process (one framework only)")
    options = parser.parse_args(arguments)
    zoo = Workspace(options.workspace.resolve()).zoo
    names = _chosen(options.models, options.config, zoo, options.group)
    if options.here:
        for name in names:
            train(name, zoo / name, zoo / "data")
        return 0
    missing = [name for name in names if options.retrain or not trained(zoo / name)]
    for archive in dict.fromkeys(archive for name in missing for archive in recipe(name).subject.archives):
        fetch(archive, zoo / "data")
    at_once(lambda name: _train_in_child(name, options.workspace), missing)
    for name in names:
        card = read_model(zoo / name / CARD, Card, "make zoo")
        say(
            f"{name}: accuracy {card.accuracy:.3f} on {card.test_rows} cases it never saw "
            f"(majority baseline {card.majority_baseline:.3f}), made in {card.seconds:.0f} s"
        )
    return 0


def _chosen(named: list[str], config: Path | None, zoo: Path, group: str = "all") -> list[str]:
    """The models that were named, or all; of these, the ones whose files the configuration names, if there is one."""
    for name in named:
        recipe(name)
    if config is None:
        return named or [name for name, row in RECIPES.items() if not row.optional]
    files = [
        str(path)
        for model in read_config(config).group(group).values()
        for path in (model.weights, model.examples, model.source)
        if path
    ]
    return [name for name in named or RECIPES if any(file.startswith(f"{zoo / name}/") for file in files)]


def _train_in_child(name: str, workspace: Path) -> None:
    say(f"training {name} (once; 'python -m zoo {name} --retrain' repeats it)")
    command = python("zoo", name, "--here", "--workspace", str(workspace))
    ended = run_child(command)
    if ended.code != 0:
        raise LoadproofError(f"training {name} failed: {ended.reason}; run it alone: {shown(command)}")


if __name__ == "__main__":
    run(main)
