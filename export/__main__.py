"""python -m export: export every model of a group, prove each format, write the manifests."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from contract.children import at_once
from contract.cli import Parser, add_common, run, workspace_of
from contract.config import read_config
from contract.errors import LoadproofError, ParityError
from contract.manifest import FormatRecord, Manifest
from contract.progress import Steps, say
from export.pipeline import Job, export_format, publish, staging, up_to_date, write_golden


def main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m export", description="Export trained models and prove that the exports agree.")
    add_common(parser)
    parser.add_argument("--force", action="store_true", help="make a new version even when nothing has changed")
    options = parser.parse_args(arguments)
    sys.path.append(str(options.config.resolve().parent))  # a user's own factory is found beside models.toml
    models = read_config(options.config).group(options.group)
    artifacts = workspace_of(options).artifacts
    jobs = [Job(name, model, options.config, artifacts / name) for name, model in models.items()]
    known = {job.name: None if options.force else up_to_date(job) for job in jobs}
    stale = [job for job in jobs if known[job.name] is None]
    for manifest in filter(None, known.values()):
        say(f"{manifest.model}: version {manifest.version} is up to date")
    for job in stale:
        _check_sources(job)
    with Steps("export", sum(1 + len(job.model.formats) for job in stale)) as steps:
        made = at_once(lambda job: _export(job, steps), stale)
    manifests = [*filter(None, known.values()), *made]
    for manifest in manifests:
        _print(manifest)
    return _outcome(manifests)


def _export(job: Job, steps: Steps) -> Manifest:
    formats: dict[str, FormatRecord] = {}
    with staging(job) as folder:
        write_golden(job, folder)
        steps.ended(f"{job.name}: the trained model answered its examples")
        for form in job.model.formats:
            formats[form] = export_format(job, form, folder)
            steps.ended(f"{job.name}: {form} {formats[form].status.partition(':')[0]}, {formats[form].seconds:.0f} s")
        return publish(job, folder, formats)


def _check_sources(job: Job) -> None:
    for path in (
        job.model.weights,
        job.model.examples,
        Path(job.model.source) if job.model.framework == "keras" else None,
    ):
        if path and not path.is_file():
            hint = "; run 'make zoo' first" if "zoo" in path.parts else "; correct the path in models.toml"
            raise LoadproofError(f"{job.name}: {path} does not exist{hint}")


def _print(manifest: Manifest) -> None:
    print(f"{manifest.model} version {manifest.version}")
    for form, record in manifest.formats.items():
        print(f"  {form:12} {record.status}{_figures(record)}")


def _figures(record: FormatRecord) -> str:
    parity = record.parity
    if parity is None or parity.max_abs is None:
        return ""
    agreement = "" if parity.agreement is None else f", {parity.agreement:.1%} equal classes"
    return f"  max |difference| {parity.max_abs:.1e} over {parity.requests} requests{agreement}  ({record.route})"


def _outcome(manifests: list[Manifest]) -> int:
    """5 when a model is left without any format that may be served."""
    bare = [manifest.model for manifest in manifests if not any(record.ok for record in manifest.formats.values())]
    if bare:
        raise ParityError(f"no format of {', '.join(bare)} may be served; the manifest says why")
    return 0


if __name__ == "__main__":
    run(main)
