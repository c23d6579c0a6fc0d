"""python -m serving.attach: prove one model that somebody else serves, a cluster as a rule, so that it can be loaded.

The model is there already: nothing is laid out, started, loaded or watched, for that is the cluster's own work. What is
left behind is what `serving up` leaves: live/endpoints.json, and the requests as bytes.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from contract.cli import Parser, run, workspace_of
from contract.config import Engine, ModelsFile, read_config
from contract.endpoints import Endpoints, Servers
from contract.errors import ServerError, UsageError, nearest
from contract.files import read_model, write_json
from contract.progress import say
from contract.workspace import Workspace
from serving import fleet, supervise
from serving.choice import Choice
from serving.engines.tensorflow_serving import USUAL_PORTS as TFSERVING_PORTS
from serving.engines.triton import USUAL_PORTS as TRITON_PORTS
from serving.layout import repository
from serving.places.addresses import parse_addresses
from serving.places.ports import answers, host_port

# The scheme that only one of the two has -> the engine, and its ports by purpose.
ENGINES: dict[str, tuple[Engine, dict[str, int]]] = {
    "http": ("triton", TRITON_PORTS),
    "rest": ("tfserving", TFSERVING_PORTS),
}
DEVICE = re.compile(r"cpu|gpu:\S.*|unknown")
EVERY_S = 5.0  # between two looks at what is not there yet


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    if not DEVICE.fullmatch(options.device):
        raise UsageError(f"--device is '{options.device}'; it is cpu, unknown, or gpu:NAME, e.g. gpu:NVIDIA-L4")
    engine, _ = engine_of(options.server)
    config, workspace = narrowed(read_config(options.config), options.model, engine), workspace_of(options)
    address = patiently(partial(one_pod if options.one_pod else answering, options.server), options.wait_s)
    endpoints = attach(config, engine, address, workspace)
    write_json(workspace.endpoints, on_device(endpoints, options.device))
    for item in endpoints.endpoints:
        print(f"proven  {item.id} at {item.address}, {item.parity_endpoint.requests} requests, {options.device}")
    return 0


def engine_of(address: str) -> tuple[Engine, dict[str, int]]:
    """Which engine an address is of, with its usual ports. Raises UsageError where the address does not say."""
    scheme = address.partition("://")[0]
    if scheme not in ENGINES:
        known = "http://HOST:8000,grpc://HOST:8001 for Triton, rest://HOST:8501,grpc://HOST:8500 for TF Serving"
        raise UsageError(f"--server is '{address}'; it is {known}")
    return ENGINES[scheme]


def patiently(find: Callable[[], str], wait_s: float) -> str:
    """What is found, sought again for ``wait_s`` seconds: a Job is applied together with what it is to measure."""
    until, said = time.monotonic() + wait_s, ""
    while True:
        try:
            return find()
        except ServerError as error:
            if time.monotonic() >= until:
                raise
            if str(error) != said:  # once, not at every look
                say(f"waiting: {error}")
            said = str(error)
            time.sleep(EVERY_S)


def answering(address: str) -> str:
    """The address, once somebody listens there. Raises ServerError where nobody does."""
    host, ports = parse_addresses(address, engine_of(address)[1])
    port = ports[address.partition("://")[0]]
    if not answers(host, port):
        raise ServerError(f"nobody listens on {host_port(host, port)}: is the server up, and is this client let in?")
    return address


def one_pod(address: str) -> str:
    """The address of the first pod behind a headless Service, whose name has one for every pod that is ready.

    Raises ServerError where the name has none.
    """
    host, ports = parse_addresses(address, engine_of(address)[1])
    try:
        pods = sorted({str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)})
    except socket.gaierror as error:
        raise ServerError(f"{host} has no address ({error.strerror}): is a pod of it ready?") from None
    say(f"{host} has {len(pods)} ready; {pods[0]} is asked, alone")
    return ",".join(f"{purpose}://{host_port(pods[0], port)}" for purpose, port in ports.items())


def narrowed(config: ModelsFile, served: str, engine: Engine) -> ModelsFile:
    """models.toml with nothing but what has this name on the server. Raises UsageError for a name that is not in it."""
    known = {
        (name if engine == "tfserving" else repository.served_name(name, form)): (name, form)
        for name, model in config.models.items()
        for form in (["savedmodel"] if engine == "tfserving" else model.formats)
        if form in model.formats
    }
    if served not in known:
        of = f"{engine} would serve {len(known)} of its models and formats"
        raise UsageError(f"models.toml has no '{served}'{nearest(served, list(known))}; {of}")
    name, form = known[served]
    model = config.models[name].model_copy(update={"serve": [form], "engines": [engine], "elsewhere": []})
    return config.model_copy(update={"models": {name: model}})


def attach(config: ModelsFile, engine: Engine, address: str, workspace: Workspace) -> Endpoints:
    """Ask the one model of ``config`` every golden request at ``address`` and write down that it answers.

    Raises UsageError for an export that may not be served, ServerError for a server without it, ParityError for other
    answers than the trained model's.
    """
    if workspace.servers.is_file():
        raise UsageError(f"{workspace.root} has servers of its own; take another folder with --workspace")
    served, refused = repository.plan(config, "all", workspace)
    if not served:
        raise UsageError(f"not proven, so not asked: {'; '.join(f'{name}: {why}' for name, why in refused.items())}")
    for item in served:
        repository.check_files(item)
    choice = Choice(triton=address) if engine == "triton" else Choice(tfserving=address)
    endpoints = fleet.up(config, served, refused, workspace, choice)
    supervise.stop(read_model(workspace.servers, Servers, "make serve").supervisor)  # the cluster watches it
    return endpoints


def on_device(endpoints: Endpoints, device: str) -> Endpoints:
    """The endpoints on the device that their pods asked for, which nothing here can see."""
    items = [item.model_copy(update={"device": device}) for item in endpoints.endpoints]
    return endpoints.model_copy(update={"endpoints": items})


def _parser() -> Parser:
    parser = Parser(
        prog="python -m serving.attach", description="Prove one model that a cluster serves, so that it can be loaded."
    )
    parser.add_argument("--config", type=Path, default=Path("models.toml"), help="the dial of the run")
    parser.add_argument("--workspace", type=Path, default=Path("."), help="folder with artifacts/, which gets live/")
    parser.add_argument("--server", required=True, help="http://HOST:8000,grpc://HOST:8001, or rest:// and grpc://")
    parser.add_argument("--model", required=True, help="its name on the server, e.g. sentiment_torch__onnx")
    parser.add_argument(
        "--device", default="unknown", help="what it runs on: cpu, or gpu:NAME as its nodes' label says"
    )
    parser.add_argument("--one-pod", action="store_true", help="HOST is a headless Service: ask one of its pods only")
    parser.add_argument(
        "--wait-s", type=float, default=0.0, help="seconds to wait for the server, if it is not there yet"
    )
    return parser


if __name__ == "__main__":
    run(main)
