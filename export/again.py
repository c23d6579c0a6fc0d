"""python -m export verify: prove an artifacts folder again, at any time and on any machine; find a flipped byte."""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contract.children import Ended, python, run_child
from contract.cli import Parser
from contract.errors import LoadproofError, ParityError, ServerError, UsageError
from contract.manifest import Manifest
from contract.progress import say
from export.job import damaged
from export.show import folders, read


@dataclass
class Found:
    """Sentences about what is wrong with artifacts, and about those on which the machine let nobody come to an end."""

    wrong: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="python -m export verify",
        description="Check every hash of an artifacts folder and let every artifact answer its suite again.",
    )
    parser.add_argument("directory", type=Path, help="artifacts, the folder of one model, or one version of it")
    parser.add_argument("--hashes-only", action="store_true", help="do not run the models")
    parser.add_argument("--include-payloads", action="store_true", help="keep the values of the worst element")
    parser.add_argument("--time-limit", type=float, default=600.0, help="seconds that one artifact may take")
    options = parser.parse_args(arguments)
    if not 0 < options.time_limit <= threading.TIMEOUT_MAX:  # NaN is in no order
        raise UsageError(
            f"--time-limit {options.time_limit:g} is no limit; say a number of seconds above 0, such as 600"
        )
    found = Found()
    for directory in folders(options.directory):
        try:
            manifest = read(directory)
        except UsageError as error:
            found.wrong.append(str(error))
            continue
        broken = damaged(directory, manifest)
        found.wrong += [f"{directory / name} is not what its manifest says" for name in broken]
        if not broken:
            say(f"{manifest.model} version {manifest.version}: every file is what its manifest says")
        if not broken and not options.hashes_only:
            _prove(directory, manifest, options.include_payloads, options.time_limit, found)
    for sentence in (*found.wrong, *found.unproven):
        print(sentence)
    if found.wrong:
        count = "1 defect" if len(found.wrong) == 1 else f"{len(found.wrong)} defects"
        raise ParityError(f"{count} in {options.directory}; export again with 'make export'")
    if found.unproven:
        count = "1 artifact was" if len(found.unproven) == 1 else f"{len(found.unproven)} artifacts were"
        raise ServerError(
            f"{count} not proven in {options.directory}, and no defect was found; the lines above say what to do"
        )
    return 0


def _prove(directory: Path, manifest: Manifest, include_payloads: bool, limit_s: float, found: Found) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for form, record in manifest.formats.items():
            if not record.ok:
                continue
            words = ["verify", manifest.model, form, "--directory", str(directory), "--out", f"{folder}/{form}.json"]
            words += ["--include-payloads"] if include_payloads else []
            ended = run_child(python("export.step", *words), echo=False, limit_s=limit_s)
            if ended.interrupted:
                raise LoadproofError(f"{manifest.model} {form} was interrupted")
            print(f"{manifest.model} {form}: {'proven again' if ended.code == 0 else ended.reason}")
            remedy = _remedy(ended)
            if remedy is not None:
                found.unproven.append(f"{manifest.model} {form} was not proven: {ended.reason}; {remedy}")
            elif ended.code != 0:
                found.wrong.append(f"{manifest.model} {form}: {ended.reason}")


def _remedy(ended: Ended) -> str | None:
    """What to do where the machine ended a proof before the artifact was judged; None where it was."""
    if ended.timed_out_s is not None:
        return "raise --time-limit"
    if ended.code == -signal.SIGKILL:  # as the kernel ends a process when memory is short
        return "free memory"
    if ended.code == ServerError.exit_code:  # a full disk, say: its sentence has the next step
        return "then verify again"
    return None
