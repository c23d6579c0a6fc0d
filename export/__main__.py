"""python -m export: export every model of a group, or one model without a file; show and re-prove what was exported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from contract.children import at_once
from contract.cli import Parser, add_common, run, workspace_of
from contract.config import read_config
from contract.errors import LoadproofError, ParityError, UsageError, nearest
from contract.manifest import FormatRecord, Manifest
from contract.progress import Steps, say
from contract.workspace import Workspace
from export import again, one, show
from export.job import Job, up_to_date
from export.pipeline import Unanswered, export_format, most_at_once, publish, write_golden
from export.routes import order
from export.staging import staging

CHECKOUT = Path(__file__).resolve().parents[1]
# The first word of the command line; anything else that is no flag is the source of one model.
COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"show": show.main, "verify": again.main}


def main(arguments: Sequence[str]) -> int:
    first = arguments[0] if arguments else ""
    if first in COMMANDS:
        return COMMANDS[first](arguments[1:])
    if first.isidentifier() and not Path(first).exists():
        known = list(COMMANDS)
        raise UsageError(f"'{first}' is neither a source nor one of {', '.join(known)}{nearest(first, known)}")
    if first and not first.startswith("-"):
        with one.described(arguments) as job:
            manifests, _ = export_all([job], force=True)
        return _outcome(manifests)
    parser = Parser(
        prog="python -m export",
        description="Export trained models and prove that the exports agree.",
        epilog="python -m export show [--json] DIR: the matrix. python -m export verify DIR: prove it again. "
        "python -m export SOURCE --name NAME --artifacts DIR: one model without a file (see --help behind a SOURCE).",
    )
    add_common(parser)
    parser.add_argument("--force", action="store_true", help="make a new version even when nothing has changed")
    options = parser.parse_args(arguments)
    models = read_config(options.config).group(options.group)
    artifacts = workspace_of(options).artifacts
    jobs = [Job(name, model, options.config, artifacts / name) for name, model in models.items()]
    return _outcome(*export_all(jobs, options.force))


def export_all(jobs: list[Job], force: bool) -> tuple[list[Manifest], list[Unanswered]]:
    """Export what is not up to date, models side by side, and print the matrix of all.

    A model that does not answer its examples stops no other one; the reasons are returned, one for each. Raises
    Unanswered where it is the only one.
    """
    known = {job.name: None if force else up_to_date(job) for job in jobs}
    stale = [job for job in jobs if known[job.name] is None]
    for manifest in filter(None, known.values()):
        say(f"{manifest.model}: version {manifest.version} is up to date")
    for job in stale:
        _check_sources(job)
    with Steps("export", sum(1 + len(job.model.formats) for job in stale)) as steps:
        made = at_once(lambda job: _export_or_why(job, steps), stale, most_at_once())
    unanswered = [each for each in made if isinstance(each, Unanswered)]
    if unanswered and len(jobs) == 1:
        raise unanswered[0]
    exported = [each for each in made if isinstance(each, Manifest)]
    by_name = {manifest.model: manifest for manifest in (*filter(None, known.values()), *exported)}
    manifests = [by_name[job.name] for job in jobs if job.name in by_name]
    print(show.matrix(manifests))
    return manifests, unanswered


def _export_or_why(job: Job, steps: Steps) -> Manifest | Unanswered:
    try:
        return _export(job, steps)
    except Unanswered as why:
        steps.ended(str(why))
        return why


def _export(job: Job, steps: Steps) -> Manifest:
    formats: dict[str, FormatRecord] = {}
    before = job.fingerprint
    with staging(job.directory) as folder:
        write_golden(job, folder)
        steps.ended(f"{job.name}: the trained model answered its examples")
        for form in order(list(job.model.formats)):
            formats[form] = record = export_format(job, form, folder, formats)
            steps.ended(
                f"{job.name}: {form} {record.status.partition(':')[0]}, {record.seconds:.0f} s, {record.peak_mib} MiB"
            )
        return publish(job, folder, formats, before)


def _check_sources(job: Job) -> None:
    model = job.model
    for path in (model.weights, model.examples, model.validation, model.path):
        if path and not path.exists():
            hint = "run 'make zoo' first" if _of_the_zoo(path, job.config) else "correct the path"
            raise LoadproofError(f"{job.name}: {path} does not exist; {hint}")


def _of_the_zoo(path: Path, config: Path) -> bool:
    """Whether it is what the example models are trained into, in the checkout or beside the configuration."""
    return any(path.resolve().is_relative_to(Workspace(root).zoo) for root in (CHECKOUT, config.resolve().parent))


def _outcome(manifests: list[Manifest], unanswered: Sequence[Unanswered] = ()) -> int:
    """5 when a model is left without any format that may be served, for which none was made too."""
    bare = [manifest.model for manifest in manifests if not any(record.ok for record in manifest.formats.values())]
    reasons = [f"no format of {', '.join(bare)} may be served; the manifest says why"] if bare else []
    reasons += [f"nothing was exported of {why}" for why in unanswered]
    if reasons:
        raise ParityError("\n".join(reasons))
    return 0


if __name__ == "__main__":
    run(main)
