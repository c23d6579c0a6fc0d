"""python -m serving: lay out the model repository, start the servers, tell how they are, stop them."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from contract.cli import Parser, add_common, run, workspace_of
from contract.config import ModelsFile, read_config
from contract.endpoints import Endpoints, ServerRecord
from contract.errors import ServerError, UsageError
from contract.files import read_model, write_json
from contract.progress import say
from contract.workspace import Workspace
from serving import choosing, fleet
from serving.choice import fingerprint, keep_word, kept, read_choice
from serving.choosing import Ways, choice_of
from serving.deploying import command as deploying
from serving.engines import tensorflow_serving, triton
from serving.layout import releases, repository
from serving.layout.repository import Served
from serving.layout.triton_config import PADS
from serving.places.turn import turn
from serving.proof import elsewhere, foreign
from serving.rolling import models
from serving.rolling.one_version import load_version, reload_version, unload_version
from serving.rolling.roll import roll
from serving.status import read_status, ready, render_json, render_terminal
from serving.supervise import MOST_RESTARTS


def main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m serving", description="Artifacts -> model repository -> running endpoints.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)
    for name, about in (
        ("repository", "write model_repository/ from the newest artifacts"),
        ("up", "write the repository, start the servers in the background, prove every endpoint"),
        ("roll", "serve newer exports instead of the older ones, without a moment in which nothing answers"),
        ("load", "load one served model of Triton and ask it again"),
        ("unload", "unload one served model of Triton"),
        ("reload", "load one served model once more, while what is loaded goes on answering"),
        ("status", "tell what runs"),
        ("stop", "stop what was started"),
        ("deploy", "write what a report recommends as an overlay of k8s/, or say why it cannot be deployed"),
    ):
        command = commands.add_parser(name, help=about, description=about)
        add_common(command)
        if name == "deploy":
            deploying.add_arguments(command)
        if name in (*MODEL_CONTROL, "reload"):
            command.add_argument("model", help="its name on the server, e.g. sentiment_torch__onnx")
            command.add_argument("--version", type=int, help="this one of its versions alone")
        if name in ("repository", "up", "roll"):
            command.add_argument("--use", type=Path, help="a tuned.toml, whose settings go on top of models.toml's")
        if name in ("repository", "up"):
            command.add_argument("--target", help="the Triton release that production runs, instead of models.toml's")
        if name in OURS:
            command.add_argument(
                "--tfserving-ours",
                action="store_true",
                help=f"the TF Serving at an address has no models but ours, so that {OURS[name]} may configure it",
            )
        if name == "status":
            command.add_argument("--json", action="store_true", help="print one JSON document instead of lines")
        if name == "up":
            command.add_argument("--place", help=f"where all servers run: {choosing.PLACES}")
            command.add_argument(
                "--triton",
                default=argparse.SUPPRESS,
                help="of Triton alone, counts instead of --place: process, docker, or the address of one that runs: "
                f"http://HOST:8000,grpc://HOST:8001 (default: {Ways.triton})",
            )
            command.add_argument("--triton-image", help="image of Triton in Docker, instead of NVIDIA's of the target")
            flavours = ", ".join(["auto", *tensorflow_serving.FLAVOURS])
            command.add_argument(
                "--tfserving",
                default=argparse.SUPPRESS,
                help=f"of TF Serving alone, counts instead of --place: {flavours}, or an address: "
                f"rest://HOST:8501,grpc://HOST:8500 (default: {Ways.tfserving})",
            )
            command.add_argument(
                "--restarts", type=int, default=MOST_RESTARTS, help="most restarts of a server or model that dies"
            )
            command.add_argument(
                "--one-at-a-time",
                action="store_true",
                help="let Triton hold the formats of one model at a time (always so where all would not fit)",
            )
            command.add_argument(
                "--allow-host",
                action="append",
                default=[],
                help="host of a server under [[models.NAME.elsewhere]], beyond loopback, that may be asked",
            )
    options = parser.parse_args(arguments)
    return COMMANDS[options.command](options)


def _repository(options: argparse.Namespace) -> int:
    config, workspace = _config(options), workspace_of(options)
    served, refused = repository.plan(config, options.group, workspace)
    _warn(config.target, served, refused)
    if options.target and fleet.running(workspace):
        raise UsageError(f"servers run from this repository that cannot read {config.target}'s; run 'make stop' first")
    if fleet.laid_out_otherwise(config, served, workspace):
        raise UsageError(
            "servers run here with other exports or settings; run 'make roll' for newer exports, 'make serve' for "
            "other settings, or 'make stop' first"
        )
    repository.lay_out(served, workspace, options.target)
    for item in served:
        print(f"{item.engine:9} {item.name} version {item.version} ({item.format})")
    names = [f"--load-model={item.name}" for item in served if item.engine == "triton"]
    if options.target and names:
        command = ["tritonserver", *triton.command_flags(workspace, config.target), *names]
        say(f"a Triton {config.target} takes it as: {shlex.join(command)}")
    return 0


def _up(options: argparse.Namespace) -> int:
    with turn(workspace_of(options), "up"):
        return _up_alone(options)


def _up_alone(options: argparse.Namespace) -> int:
    config, workspace = _config(options), workspace_of(options)
    served, refused = repository.plan(config, options.group, workspace)
    places, unproven = foreign.plan(config, options.group, workspace)
    if not served and not places:
        raise UsageError(f"no export of group '{options.group}' may be served; 'make export' says why")
    foreign.refuse_hosts(places, options.allow_host)
    _warn(config.target, served, refused | unproven)
    choice = choice_of(options, served)
    found = elsewhere.prove_all(config, places, workspace)  # first: where one is not there, nothing is started
    if _already_up(workspace, fingerprint(config, served, choice)):
        say("the servers already run with these models")
        if sentence := kept(choice, read_choice(workspace)):
            say(sentence)
        keep_word(choice, workspace)
        fleet.watch(workspace)  # whoever watched them may have been killed
    else:
        repository.check(served, workspace)  # first: what cannot be served ends nothing that runs
        fleet.stop(workspace)
        repository.lay_out(served, workspace, checked=True)
        if choice.one_at_a_time:
            say("Triton holds the formats of one model at a time: the load test loads and unloads them")
        fleet.up(config, served, refused, workspace, choice)
    known = read_model(workspace.endpoints, Endpoints, "make serve")
    write_json(workspace.endpoints, elsewhere.joined(known, found, refused | unproven))
    for line in ready(read_model(workspace.endpoints, Endpoints, "make serve").endpoints):
        print(line)
    return 0


def _already_up(workspace: Workspace, wanted: str) -> bool:
    if not workspace.endpoints.is_file():
        return False
    known = read_model(workspace.endpoints, Endpoints, "make serve")
    ours = [server for server in known.servers if server.engine != foreign.ENGINE]
    running = bool(ours) and known.fingerprint == wanted and len(fleet.running(workspace)) == len(ours)
    return running and fleet.still_loaded(known, workspace)


def _roll(options: argparse.Namespace) -> int:
    config, ours = read_config(options.config, options.use), options.tfserving_ours
    events = roll(config, options.group, workspace_of(options), ours)
    if not events:
        print("every model already serves its newest export, or the newest that is listed for it")
    refused = [event for event in events if event.what == "refused"]
    if refused:
        raise ServerError(f"{len(refused)} of {len(events)} new versions were refused; 'make status' shows why")
    return 0


def _control_model(options: argparse.Namespace) -> int:
    name, version, workspace = options.model, options.version, workspace_of(options)
    whole, one = MODEL_CONTROL[options.command]
    print(whole(name, workspace) if version is None else one(name, version, workspace))
    return 0


def _reload(options: argparse.Namespace) -> int:
    name, version, workspace, ours = options.model, options.version, workspace_of(options), options.tfserving_ours
    done = models.reload(name, workspace, ours) if version is None else reload_version(name, version, workspace, ours)
    print(done)
    return 0


def _status(options: argparse.Namespace) -> int:
    found = read_status(workspace_of(options))
    print(render_json(found) if options.json else render_terminal(found))
    return 0


def _stop(options: argparse.Namespace) -> int:
    workspace = workspace_of(options)
    if ours := _ours(fleet.running(workspace)):  # what is busy takes its time
        say(f"stopping {ours}")
    stopped = fleet.stop(workspace)
    for server in stopped:
        if server.place == "url":
            print(f"{server.engine} at {server.host} goes on: it was started by somebody else")
    if ours := _ours(stopped):
        print(f"stopped {ours}")
    if not stopped:
        print("nothing was running")
    return 0


def _ours(servers: Sequence[ServerRecord]) -> str:
    """The engines of those that a stop ends."""
    return ", ".join(server.engine for server in servers if server.place != "url")


def _config(options: argparse.Namespace) -> ModelsFile:
    """models.toml, with the target that the command line names."""
    config = read_config(options.config, options.use)
    target = options.target or config.target
    releases.parse(target)
    return config.model_copy(update={"target": target})


def _warn(target: str, served: list[Served], refused: dict[str, str]) -> None:
    for sentence in releases.warnings(target):
        say(f"warning: {sentence}")
    concerned: dict[str, list[str]] = {}
    for item in served:
        if item.engine == "triton":
            for sentence in releases.format_warnings(target, item.format, item.record.facts):
                concerned.setdefault(sentence, []).append(item.name)
        if item.engine == "triton" and item.model.batching.ragged:
            concerned.setdefault(PADS, []).append(item.name)
        if item.engine == "triton" and item.model.batching.queue.max_size:
            concerned.setdefault(FULL_QUEUE, []).append(item.name)
    for sentence, names in concerned.items():
        say(f"warning: {', '.join(names)}: {sentence}")
    for name, status in refused.items():
        say(f"not served: {name}: {status}")


FULL_QUEUE = (
    "queue.max_size: only a request that enters its queue wakes Triton's batcher, so a full queue stalls it "
    "(measured: 20 answers per second of 190); shed load with queue.timeout_us instead"
)
OURS = {"up": "a roll or a reload", "roll": "it", "reload": "it"}  # who takes the word, and what then may
MODEL_CONTROL = {"load": (models.load, load_version), "unload": (models.unload, unload_version)}  # all, or one version
COMMANDS = {
    "repository": _repository,
    "up": _up,
    "roll": _roll,
    **dict.fromkeys(MODEL_CONTROL, _control_model),
    "reload": _reload,
    "status": _status,
    "stop": _stop,
    "deploy": deploying.deploy,
}

if __name__ == "__main__":
    run(main)
