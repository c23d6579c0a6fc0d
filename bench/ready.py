"""From nothing to every endpoint proven: python -m bench.ready [--group default] [--rounds 5]

Timed is the whole command `python -m serving up`, exports there and nothing running: the repository is written, the
servers start, every model loads, every golden request is answered over every protocol. Floor: the same starts without
anything of ours, tritonserver with an empty repository and, for each model that is served, a Python process that
imports the framework, opens the file and answers once; one after the other, and side by side on all cores, which is the
least that anybody could do here. Rounds take turns; one start before them warms the caches and tells what a first one
takes. Where the time goes is read from the command's own lines; CPU time stands beside it, which busy neighbours change
less. The exports are taken from --workspace; without one they are made first. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.peers.figures import Spread, rotated, spread
from bench.preparing import prepare_group
from bench.starting.bare import bare_open, bare_triton
from bench.starting.command import Start, ours
from bench.starting.took import Took, total
from contract.children import at_once
from contract.cli import Parser, run
from contract.endpoints import Endpoint
from contract.manifest import Manifest
from contract.progress import say
from contract.workspace import Workspace

WANTED_S = 20.0
Pieces = dict[str, Callable[[], Took]]


def served(endpoints: Sequence[Endpoint]) -> dict[str, Endpoint]:
    """One endpoint of each model on each server, by a name for the tables."""
    return {f"{item.served_name} on {item.engine}": item for item in reversed(endpoints)}


def pieces(endpoints: Sequence[Endpoint], made: dict[str, tuple[Path, Manifest]], work: Path) -> Pieces:
    """What the floor starts: Triton with nothing to load, and each model's framework alone."""

    def opens(item: Endpoint) -> Callable[[], Took]:
        return lambda: bare_open(item, made[item.model], work)

    return {"tritonserver": lambda: bare_triton(work / "bare")} | {
        name: opens(item) for name, item in served(endpoints).items()
    }


def one_by_one(bare: Pieces) -> dict[str, Took]:
    """What each piece takes, one after the other."""
    return {name: start() for name, start in bare.items()}


def side_by_side(bare: Pieces) -> float:
    """Seconds until all pieces have started, as many at a time as there are cores."""
    started = time.monotonic()
    at_once(lambda start: start(), list(bare.values()))
    return time.monotonic() - started


def spreads(rounds: Sequence[dict[str, float]]) -> dict[str, Spread]:
    """Each key over the rounds."""
    return {key: spread([found[key] for found in rounds]) for key in rounds[0]}


def document(
    first: Start, starts: Sequence[Start], bare: Sequence[dict[str, Took]], together: Sequence[float]
) -> dict[str, Any]:
    """What the last line says."""
    whole = spread([start.took.seconds for start in starts])
    sums = [total(list(found.values())) for found in bare]
    pairs = list(zip(starts, sums, together, strict=True))
    each = spreads([{name: took.seconds for name, took in found.items()} for found in bare])
    by_name = [served(start.endpoints) for start in starts]
    figures = {
        "bare_one_by_one_s": spread([alone.seconds for alone in sums]),
        "bare_side_by_side_s": spread(together),
        "over_one_by_one": spread([start.took.seconds / alone.seconds for start, alone, _ in pairs]),
        "over_side_by_side": spread([start.took.seconds / least for start, _, least in pairs]),
        "cpu_s": spread([start.took.cpu_s for start in starts]),
        "command_cpu_s": spread([start.command_cpu_s for start in starts]),
        "bare_cpu_s": spread([alone.cpu_s for alone in sums]),
        "cpu_over_bare": spread([start.took.cpu_s / alone.cpu_s for start, alone, _ in pairs]),
        "bare_triton_s": each["tritonserver"],
    }
    return {
        "rounds": len(starts),
        "cores": len(os.sched_getaffinity(0)),
        "first_s": round(first.took.seconds, 2),
        "ready_s": whole.rounded(2) | {"wanted": WANTED_S, "reached": whole.median <= WANTED_S},
        **{name: found.rounded(2) for name, found in figures.items()},
        "parts_s": {name: found.rounded(2) for name, found in spreads([start.parts for start in starts]).items()},
        "server_mib": {name: found.rounded(0) for name, found in spreads([s.server_mib for s in starts]).items()},
        "served": [
            {
                "name": name,
                "engine": item.engine,
                "format": item.format,
                "load_to_ready_s": spread([found[name].load_to_ready_s for found in by_name]).rounded(2),
                "bare_s": each[name].rounded(2),
                "instance_mib": item.instance_mib,
            }
            for name, item in by_name[-1].items()
        ],
    }


def show(found: dict[str, Any]) -> None:
    """Tables for a person."""

    def shown(value: dict[str, float], digits: int = 1) -> str:
        return Spread(value["median"], value["min"], value["max"]).shown(digits)

    ready = found["ready_s"]
    print(f"start to ready: {shown(ready)} s, wanted {WANTED_S:g}: {'reached' if ready['reached'] else 'MISSED'}")
    print(f"the first start, before the rounds: {found['first_s']:.1f} s")
    for name, words in (("one_by_one", "one after the other"), ("side_by_side", "side by side")):
        print(f"bare, {words}: {shown(found[f'bare_{name}_s'])} s; ours over it {shown(found[f'over_{name}'], 2)}x")
    print(
        f"CPU time: {shown(found['cpu_s'])} s, of which the command {shown(found['command_cpu_s'])} s; "
        f"bare {shown(found['bare_cpu_s'])} s; ours over it {shown(found['cpu_over_bare'], 2)}x"
    )
    for name, seconds in found["parts_s"].items():
        print(f"  {name:30} {shown(seconds, 2)} s")
    print(f"{'served':40}{'format':12}{'load to ready, s':26}{'bare start, s':26}{'an instance, MiB'}")
    for row in found["served"]:
        memory = "in the server" if row["instance_mib"] is None else f"{row['instance_mib']:.0f}"
        load, bare = shown(row["load_to_ready_s"], 2), shown(row["bare_s"], 2)
        print(f"{row['name']:40}{row['format']:12}{load:26}{bare:26}{memory}")
    for name, mib in found["server_mib"].items():
        print(f"{name}'s own process: {shown(mib, 0)} MiB")
    print(f"tritonserver with nothing to load, bare: {shown(found['bare_triton_s'], 2)} s")


def main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m bench.ready", description="From nothing to every endpoint proven.")
    parser.add_argument("--config", type=Path, default=Path("models.toml"))
    parser.add_argument("--group", default="default")
    parser.add_argument("--workspace", type=Path, help="where artifacts/ is; without it they are made first")
    parser.add_argument("--rounds", type=int, default=5)
    options: argparse.Namespace = parser.parse_args(arguments)
    starts: list[Start] = []
    bare: list[dict[str, Took]] = []
    together: list[float] = []
    with tempfile.TemporaryDirectory(prefix="loadproof-bench-", ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        workspace = Workspace(work / "workspace")
        made = prepare_group(options.config, options.workspace, workspace.root, options.group)
        first = ours(workspace, options.group)
        say(f"the first start: {first.took.seconds:.1f} s")
        without = pieces(first.endpoints, made, work)
        turns: dict[str, Callable[[], None]] = {
            "ours": lambda: starts.append(ours(workspace, options.group)),
            "one by one": lambda: bare.append(one_by_one(without)),
            "side by side": lambda: together.append(side_by_side(without)),
        }
        for number in range(options.rounds):
            for name in rotated(list(turns), number):
                turns[name]()
            alone = total(list(bare[-1].values())).seconds
            figures = f"{starts[-1].took.seconds:.1f} s, bare {alone:.1f} and {together[-1]:.1f} s"
            say(f"round {number + 1} of {options.rounds}: {figures}; load average {os.getloadavg()[0]:.1f}")
    found = {"group": options.group, **document(first, starts, bare, together)}
    show(found)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    run(main)
