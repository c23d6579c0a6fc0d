"""python -m tune.measuring: measure what is attached by a search, and print what a deployment is sized by.

It is the Job of k8s/components/measure, after `python -m serving.attach`: whoever deployed unmeasured reads the values,
and recommendation.json between two lines of their own, from the Job's log, and needs nothing else from the cluster.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from contract.cli import Parser, run
from contract.endpoints import Endpoints
from contract.files import read_model
from contract.hosts import beyond_loopback, host_of
from contract.recommendation import Recommendation, Recommended
from contract.workspace import Workspace
from tune.search.command import main as search

BEGIN, END = "-----BEGIN recommendation.json-----", "-----END recommendation.json-----"
CUT = "sed -n '/^-----BEGIN/,/^-----END/{//!p}'"
NAMESPACE = "loadproof"  # of the overlays, where nobody chose another; the Job is told its own
MISSED = 1  # as an SLO that is missed
# name -> unit and meaning, in the order of printing; None of them is made up where the server does not tell it.
VALUES = {
    "max_rps": "requests/s that one pod holds within its objectives",
    "p99_ms": "ms, p99 at that rate",
    "queue_us": "µs, mean time in the queue at that rate: the autoscaler's averageValue",
    "server_cores": "cores that it used at that rate",
    "server_mib": "MiB, most memory of the server",
}
UNKNOWN = {
    "server_cores": "not told: k8s/components/usage was not beside it; kubectl top pod tells it while it is under load",
    "server_mib": "not told: k8s/components/usage was not beside it; kubectl top pod --containers tells it under load",
}


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    workspace = Workspace(options.workspace.resolve())
    endpoints = read_model(workspace.endpoints, Endpoints, "python -m serving.attach")
    # Whoever attached them gave their addresses to be measured: that was the permission.
    allowed = [f"--allow-host={host}" for host in hosts(endpoints)]
    code = search([f"--config={options.config}", f"--workspace={workspace.root}", *allowed, *options.search])
    file = workspace.reports / "latest" / "recommendation.json"
    found = read_model(file, Recommendation, "python -m tune.measuring")
    missing = sorted({item.model for item in endpoints.endpoints} - found.models.keys())
    for name in missing:
        print(
            f"{name}: no rate was found that keeps its objectives, so there is nothing to fill in; see the table above"
        )
    for name, item in found.models.items():
        print("\n".join(["", *values(name, item)]))
    print("\n".join(["", BEGIN, file.read_text().rstrip(), END]))
    for name, item in found.models.items():
        print("\n".join(["", *commands(name, item, os.environ.get("NAMESPACE", NAMESPACE))]))
    return code or (MISSED if missing else 0)


def hosts(endpoints: Endpoints) -> list[str]:
    """The hosts beyond this machine that are to be asked, each once."""
    addresses = dict.fromkeys(item.address for item in endpoints.endpoints)
    return list(dict.fromkeys(host_of(item) for item in addresses if beyond_loopback(item)))


def values(model: str, item: Recommended) -> list[str]:
    """What to fill in, a line each."""
    kept = ", ".join(f"{name} {value:g}" for name, value in item.objectives.items())
    return [
        f"{model} as {item.format} over {item.protocol} on {item.engine} {item.engine_version}, {item.device} ({kept})",
        *(_value(name, getattr(item, name), meaning) for name, meaning in VALUES.items()),
        *_doubts(item),
    ]


def commands(model: str, item: Recommended, namespace: str = NAMESPACE) -> list[str]:
    """What to type, outside, with this log."""
    deploy = ["python", "-m", "serving", "deploy", "--from", "recommendation.json", "--model", model]
    deploy += [] if item.device == "unknown" else ["--device", item.device]
    deploy += [] if namespace == NAMESPACE else ["--namespace", namespace]
    return [
        "next, where models.toml and the repository are:",
        f"  kubectl -n {namespace} logs job/measure | {CUT} > recommendation.json",
        f"  {shlex.join(deploy)}",
    ]


def _value(name: str, value: float | None, meaning: str) -> str:
    shown = "-" if value is None else f"{value:.4g}" if value < 1000 else f"{value:.0f}"
    return f"  {name:13} {shown:>9}  {UNKNOWN.get(name, meaning) if value is None else meaning}"


def _doubts(item: Recommended) -> Iterable[str]:
    """Why these values would not be deployed by."""
    if item.stand_in_for:
        yield f"  it ran on a stand-in for {item.stand_in_for}: these values do not size what would run instead"
    if item.device == "unknown":
        yield "  nobody said what it ran on: say it as DEVICE in the ConfigMap measure, and measure again"


def _parser() -> Parser:
    parser = Parser(
        prog="python -m tune.measuring",
        description="Measure what is attached by a search, and print what a deployment is sized by.",
    )
    parser.add_argument("--config", type=Path, default=Path("models.toml"), help="the dial of the run")
    parser.add_argument("--workspace", type=Path, default=Path("."), help="folder with live/, which gets the report")
    parser.add_argument("search", nargs="*", help="after --, flags of python -m tune search")
    return parser


if __name__ == "__main__":
    run(main)
