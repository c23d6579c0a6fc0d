"""Export one model: golden batch, every format by the first route that holds, its proof, and last the manifest.

Work happens in a staging folder (`export/staging.py`) that becomes the version by one rename, so that a version either
is complete or does not exist. A version is never rewritten: when anything that the export depends on has changed, the
next one is made.
"""

from __future__ import annotations

import errno
import json
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from contract.children import Ended, python, run_child, shown
from contract.config import Model
from contract.errors import LoadproofError
from contract.files import read_model, sha256_file, sha256_tree, write_json
from contract.machine import versions
from contract.manifest import EDGES, GOLDEN, LOGS, MANIFEST, SUITE, VALIDATION, Attempt, FormatRecord, Manifest
from export.job import Job
from export.refused import UNSUPPORTED
from export.routes import FILES, Route, packages, routes
from export.stated import stated
from export.suite import SuiteFile
from export.verification import Proof

STEP_GIB = 3.0  # a framework, a model and its optimiser's graph: what one step may take while others run
NUMBER_TAKEN = (errno.EEXIST, errno.ENOTEMPTY)  # what a rename to a version that exists ends with


def most_at_once() -> int:
    """How many models may be exported side by side in the memory that is free now."""
    return max(1, int(psutil.virtual_memory().available / 2**30 / STEP_GIB))


class Unanswered(LoadproofError):
    """The trained model did not answer its examples: nothing of it can be exported; other models can be."""


def write_golden(job: Job, folder: Path) -> None:
    """Let the trained model answer the examples, in a process of its own. Raises Unanswered where it does not."""
    ended = _run(job, step_command("golden", job, folder), folder / LOGS / "golden.log")
    if ended.interrupted:
        raise LoadproofError(f"{job.name} was interrupted; nothing was written")
    if ended.code != 0:
        raise Unanswered(f"{job.name}: the trained model did not answer its examples: {ended.reason}")


@dataclass(frozen=True)
class _Tried:
    """How one route ended: `ok`, `failed: why` or `unsupported: why`, and what its steps took."""

    route: Route
    status: str
    described: str
    steps: list[Ended]
    proof: Proof | None


def export_format(job: Job, form: str, folder: Path, known: dict[str, FormatRecord] | None = None) -> FormatRecord:
    """Try the routes to one format until an artifact is proven; failures become the record's status.

    ``known`` holds the formats that have been made, which a route may lead on from; what has to be made first is added.
    """
    known = {} if known is None else known
    started = time.monotonic()
    tried: list[_Tried] = []
    for route in routes(job.model.kind, form):
        if route.via and route.via not in known:
            known[route.via] = export_format(job, route.via, folder, known)
        before = known.get(route.via) if route.via else None
        if before is not None and not before.ok:
            why = before.status.partition(": ")[2]
            tried.append(_Tried(route, f"unsupported: no proven {route.via} to lead on from: {why}", "none", [], None))
            continue
        tried.append(_try(job, form, route, folder))
        if tried[-1].status == "ok":
            break
    if not tried:
        return _no_route(job.model, form)
    last = tried[-1] if tried[-1].status == "ok" else _most_telling(tried)
    artifact = folder / FILES[form]
    there = artifact.exists() and last is tried[-1]
    limits = read_model(folder / SUITE, SuiteFile, "make export").limits[form]
    return FormatRecord(
        status=last.status,
        path=FILES[form] if there else None,
        sha256=sha256_tree(artifact) if there else None,
        bytes=_size(artifact) if there else None,
        route=last.described,
        parity=last.proof.parity if last.proof else None,
        checks=last.proof.checks if last.proof else [],
        diagnosis=last.proof.diagnosis if last.proof else None,
        decisions=last.proof.decisions if last.proof else None,
        facts=last.proof.facts if last.proof else {},
        attempts=[Attempt(route=item.route.name, status=item.status) for item in tried if item is not last],
        atol=limits.atol,
        rtol=limits.rtol,
        versions=versions(packages(job.model.kind, form)),
        seconds=round(time.monotonic() - started, 1),
        export_seconds=round(last.steps[0].seconds, 1) if last.steps else 0.0,
        peak_mib=max((step.peak_mib for item in tried for step in item.steps), default=0),
        reproduce=_reproduce(job, form, last.route, known),
    )


def _try(job: Job, form: str, route: Route, folder: Path) -> _Tried:
    """One route: convert, then verify, each in a process of its own."""
    for leftover in (folder / f"{form}.route.json", folder / f"{form}.proof.json"):
        leftover.unlink(missing_ok=True)
    _remove(folder / FILES[form])
    steps: list[Ended] = []
    status = "ok"
    for step in ("export", "verify"):
        log = folder / LOGS / f"{form}-{route.name}-{step}.log"
        ended = _run(
            job, step_command(step, job, folder, form, route), log, route.environment if step == "export" else {}
        )
        if ended.interrupted:
            raise LoadproofError(f"{job.name}: {form} was interrupted; nothing was written")
        steps.append(ended)
        if ended.code != 0:
            status = f"{'unsupported' if ended.code == UNSUPPORTED else 'failed'}: {ended.reason}"
            break
    route_file, proof_file = folder / f"{form}.route.json", folder / f"{form}.proof.json"
    described = json.loads(route_file.read_text())["route"] if route_file.is_file() else route.name
    proof = read_model(proof_file, Proof, "make export") if proof_file.is_file() else None
    return _Tried(route, status, described, steps, proof)


def _run(job: Job, command: list[str], log: Path, environment: dict[str, str] | None = None) -> Ended:
    return run_child(command, echo=False, limit_s=job.model.time_limit_s, log=log, environment=environment)


def _most_telling(tried: list[_Tried]) -> _Tried:
    """Of routes that all failed, the one that came furthest: an artifact that is wrong says more than a refusal."""
    return max(tried, key=lambda item: (item.proof is not None, item.status.startswith("failed"), -tried.index(item)))


def _no_route(model: Model, form: str) -> FormatRecord:
    return FormatRecord(
        status=f"unsupported: there is no route from {model.kind} to {form}",
        path=None,
        sha256=None,
        bytes=None,
        route="none",
        parity=None,
        atol=0,
        rtol=0,
        versions={},
        seconds=0,
        reproduce=[],
    )


def _reproduce(job: Job, form: str, route: Route, known: dict[str, FormatRecord]) -> list[str]:
    here = Path("DIR")
    commands = [shown(step_command("golden", job, here))]
    if route.via and known[route.via].ok:
        proven = routes(job.model.kind, route.via)[len(known[route.via].attempts)]
        commands.append(shown(step_command("export", job, here, route.via, proven)))
    environment = "".join(f"{name}={value} " for name, value in route.environment.items())
    commands.append(environment + shown(step_command("export", job, here, form, route)))
    return [*commands, shown(step_command("verify", job, here, form, route))]


def publish(job: Job, folder: Path, formats: dict[str, FormatRecord], fingerprint: str) -> Manifest:
    """Write the manifest and rename the staging folder to the next version.

    ``fingerprint`` is from before the export began: what has changed since is exported again.
    """
    wanted = {formats[form].path for form in job.model.formats}
    for form, file in FILES.items():
        for leftover in (folder / f"{form}.route.json", folder / f"{form}.proof.json"):
            leftover.unlink(missing_ok=True)
        if file not in wanted:
            _remove(folder / file)
    number = max((int(item.name) for item in job.directory.iterdir() if item.name.isdigit()), default=0) + 1
    while True:
        manifest = _manifest(job, folder, formats, fingerprint, number)
        write_json(folder / MANIFEST, manifest)
        try:
            folder.rename(job.directory / str(number))
        except OSError as error:
            if error.errno not in NUMBER_TAKEN:
                raise
            number += 1  # another export of this model came first
        else:
            return manifest


def _manifest(job: Job, folder: Path, formats: dict[str, FormatRecord], fingerprint: str, number: int) -> Manifest:
    suite = read_model(folder / SUITE, SuiteFile, "make export")
    return Manifest(
        schema_version=2,
        model=job.name,
        version=number,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        fingerprint=fingerprint,
        framework=job.model.framework,
        source=job.model.kind,
        inputs=suite.inputs,
        outputs=suite.outputs,
        golden_sha256=sha256_file(folder / GOLDEN),
        files_sha256={
            name: sha256_file(folder / name) for name in (SUITE, EDGES, VALIDATION) if (folder / name).is_file()
        },
        notes=suite.notes,
        formats={form: formats[form] for form in job.model.formats},
        accuracy=stated(job.model),
    )


def step_command(step: str, job: Job, folder: Path, form: str | None = None, route: Route | None = None) -> list[str]:
    """The command line of one step; 'golden' takes no format, only 'export' takes a route."""
    words = [step, job.name, *([form] if form and step != "golden" else [])]
    if route and step == "export":
        words += ["--route", route.name]
    if step != "verify":
        words += ["--config", str(job.config), *(["--code", str(job.code)] if job.code else [])]
    return python("export.step", *words, "--directory", str(folder))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return (
        path.stat().st_size
        if path.is_file()
        else sum(item.stat().st_size for item in path.rglob("*") if item.is_file())
    )
