"""Certificates of a workspace: which one an endpoint needs, whether it is there, and measuring it where it is not."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from contract.certificate import Certificate, Certificates, Setting, size_class
from contract.config import ModelsFile
from contract.endpoints import Endpoint
from contract.errors import LoadproofError, UsageError
from contract.files import read_model, write_json
from contract.machine import this_machine, versions
from contract.progress import say
from contract.records import read_answers
from contract.workspace import Workspace
from loadtest.certification.asking import ask, what_is_sent
from loadtest.certification.measuring import certify

COMMAND = "python -m loadtest certify --again"
# What the client's speed depends on; Python's own version is a fact of the machine.
PACKAGES = ["locust", "gevent", "hpack"]
LEAST_USERS = 16  # fewer spend more time waiting than the client does working: what they reach is no ceiling
OTHERS_TLS = {"ca": None, "certificate": None, "key": None, "server_name": None}  # a null server shows its own
SOURCES = Path(__file__).parents[1]
NONE: Mapping[str, Certificate] = {}


def certificates_for(
    endpoints: Iterable[Endpoint],
    workspace: Workspace,
    config: ModelsFile,
    ready: Callable[[Endpoint], None],
    concurrency: int | None = None,
    again: bool = False,
    lenient: bool = False,
    tls: bool = False,
) -> Certificates:
    """The certificates that hold for endpoints; one serves all that are asked and answer alike.

    ``ready`` makes an endpoint able to answer before it is asked. ``concurrency`` is that of the run's largest closed
    loop, by default of [load]. ``lenient`` leaves out what cannot be certified and says so; else its error goes on.
    ``tls`` is for the client under TLS, though [client] does not say so.
    """
    found: dict[str, Certificate] = {}
    keys: dict[str, str] = {}
    for endpoint in endpoints:
        try:
            ready(endpoint)
            certificate = certificate_for(endpoint, workspace, config, concurrency, again, found, tls)
        except LoadproofError as error:
            if not lenient:
                raise
            say(f"not certified: {error}")
            continue
        key = certificate.setting.key
        found[key], keys[endpoint.id] = certificate, key
    return Certificates(schema_version=1, certificates=found, endpoints=keys)


def certificate_for(
    endpoint: Endpoint,
    workspace: Workspace,
    config: ModelsFile,
    concurrency: int | None = None,
    again: bool = False,
    known: Mapping[str, Certificate] = NONE,
    tls: bool = False,
) -> Certificate:
    """The certificate that holds for an endpoint, from the workspace or, where there is none (or ``again``), measured.

    ``known`` are those that the same command has measured already, by key: they are not measured a second time. The
    endpoint is asked one golden request, so it has to be up. Raises ServerError when it is not, LoadproofError when the
    measurement went wrong.
    """
    folder = workspace.root / "certificates"
    answer = folder / "answers" / f"{endpoint.id}.bin"
    ask(endpoint, workspace.live, config.client, answer)
    setting = setting_of(endpoint, workspace.live, answer, config, concurrency, tls)
    file = folder / f"{setting.key}.json"
    kept = known.get(setting.key) or (None if again else _kept(file))
    if kept is not None:
        return kept
    say(f"certifying the load generator for {endpoint.id} and its like")
    measured = certify(endpoint, workspace.live, folder / setting.key, answer, setting, config.affinity)
    write_json(file, measured)
    return measured


def setting_of(
    endpoint: Endpoint,
    live: Path,
    answer: Path,
    config: ModelsFile,
    concurrency: int | None = None,
    tls: bool = False,
) -> Setting:
    """Everything that an endpoint's certificate depends on."""
    _, _, _, body = next(read_answers(answer))
    return Setting(
        machine=this_machine(),
        versions=versions(PACKAGES),
        code=_digest_of_sources(),
        protocol=endpoint.protocol,
        request_class=size_class(what_is_sent(live / endpoint.payloads).mean_bytes),
        answer_class=size_class(len(body)),
        client=config.client.model_copy(update=OTHERS_TLS | {"tls": tls or config.client.tls}),
        concurrency=max(LEAST_USERS, concurrency or max(config.load.concurrency)),
        processes=config.load.processes,
        cores=config.affinity.load or sorted(os.sched_getaffinity(0)),
    )


def _kept(file: Path) -> Certificate | None:
    """What an earlier run has measured; a file that is none, of an older version say, is measured anew."""
    try:
        return read_model(file, Certificate, COMMAND)
    except UsageError:
        return None


def _digest_of_sources() -> str:
    """Another client is another ceiling, also while it is being written."""
    digest = hashlib.sha256()
    for file in sorted(SOURCES.rglob("*.py")):
        digest.update(f"{file.relative_to(SOURCES).as_posix()}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]
