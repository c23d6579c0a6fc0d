"""python -m export verify: prove an artifacts folder again, at any time and on any machine; find a flipped byte."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from contract.children import python, run_child
from contract.cli import Parser
from contract.errors import LoadproofError, ParityError, UsageError
from contract.manifest import Manifest
from contract.progress import say
from export.job import damaged
from export.show import folders, read


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
    wrong: list[str] = []
    for directory in folders(options.directory):
        try:
            manifest = read(directory)
        except UsageError as error:
            wrong.append(str(error))
            continue
        broken = damaged(directory, manifest)
        wrong += [f"{directory / name} is not what its manifest says" for name in broken]
        if not broken:
            say(f"{manifest.model} version {manifest.version}: every file is what its manifest says")
        if not broken and not options.hashes_only:
            wrong += _prove(directory, manifest, options.include_payloads, options.time_limit)
    for sentence in wrong:
        print(sentence)
    if wrong:
        count = "1 defect" if len(wrong) == 1 else f"{len(wrong)} defects"
        raise ParityError(f"{count} in {options.directory}; export again with 'make export'")
    return 0


def _prove(directory: Path, manifest: Manifest, include_payloads: bool, limit_s: float) -> list[str]:
    wrong = []
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
            if ended.code != 0:
                wrong.append(f"{manifest.model} {form}: {ended.reason}")
    return wrong
