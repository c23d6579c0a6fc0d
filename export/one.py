"""python -m export SOURCE --name NAME: one model without a models.toml. The one that is written can be kept."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, get_args

from contract.cli import Parser
from contract.config import FACTORY, NAME, SAVED_OTHERWISE, Format, Framework, read_config
from contract.errors import UsageError
from contract.files import write_bytes
from contract.progress import say
from export.described import NAMES, place_in, write_described
from export.job import Job

FRAMEWORKS = {".pt": "pytorch", ".jit": "pytorch", ".pt2": "pytorch", ".keras": "keras", ".onnx": "onnx"}
FACTORY_FILE = re.compile(r"^(?P<folder>.*/)?(?P<module>[A-Za-z_]\w*)\.py:(?P<attribute>[A-Za-z_][\w.]*)$")
TENSOR = re.compile(r"^(?P<name>[^=\s]+?):(?P<dtype>[a-z0-9]+):(?P<dims>[A-Za-z0-9_,]*)(?:@(?P<range>[^@]+))?$")


@contextmanager
def described(arguments: Sequence[str]) -> Iterator[Job]:
    """The job of a command line, for as long as it is carried out.

    Its models.toml in ``DIR/NAME`` stays, and is announced, where the export came to its end; else it is what it was.
    """
    folder = _folder(_parser().parse_args(arguments))
    file = place_in(folder)
    before = file.read_bytes() if file.is_file() else None
    try:
        made = job(arguments)
        yield made
    except BaseException:
        _put_back(file, before)
        raise
    beside = f"; beside {made.model.source.partition(':')[0]}.py its source is found" if made.code else ""
    kept = folder / NAMES[0]
    if file != kept:
        say(f"left {kept} alone, which was edited")
    say(f"wrote {file}: what was asked for, to keep or to put into your own models.toml{beside}")


def _parser() -> Parser:
    parser = Parser(prog="python -m export SOURCE", description="Export one model and prove that the exports agree.")
    parser.add_argument(
        "source",
        help="package.module:factory, folder/module.py:factory, a .pt .jit .pt2 .keras .onnx file, or a SavedModel",
    )
    parser.add_argument("--name", required=True, help="name of the model")
    parser.add_argument("--artifacts", type=Path, required=True, help="folder that receives NAME/VERSION/")
    parser.add_argument("--framework", choices=get_args(Framework), help="of a factory; files tell it by their ending")
    parser.add_argument("--weights", type=Path, help="of a factory")
    parser.add_argument(
        "--input", action="append", default=[], help="NAME:DTYPE:DIMS[@LOW,HIGH], e.g. x:int64:batch,length@0,500"
    )
    parser.add_argument("--output", action="append", default=[], help="NAME:DTYPE:DIMS, where the model does not tell")
    parser.add_argument("--formats", nargs="+", choices=get_args(Format), default=["torchscript", "savedmodel", "onnx"])
    parser.add_argument("--examples", type=Path, help=".npz of real requests")
    parser.add_argument("--validation", type=Path, help=".npz of labelled inputs")
    parser.add_argument("--trust", action="store_true", help="let the source run code of its own")
    return parser


def _folder(options: argparse.Namespace) -> Path:
    if not re.match(NAME, options.name):  # it becomes a folder
        raise UsageError(f"'{options.name}' is not a model name: letters, digits, '.', '-' and single '_' between them")
    folder: Path = options.artifacts.resolve() / options.name
    return folder


def _put_back(file: Path, before: bytes | None) -> None:
    if before is not None:
        write_bytes(file, before)
        return
    file.unlink(missing_ok=True)
    with suppress(OSError):  # it holds versions, or was never made
        file.parent.rmdir()


def job(arguments: Sequence[str]) -> Job:
    """Read the command line, write its models.toml into ``DIR/NAME`` and return the job that it describes."""
    options = _parser().parse_args(arguments)
    folder = _folder(options)
    source, code = _source(options.source)
    factory = bool(FACTORY.match(source))
    entry: dict[str, Any] = {
        "framework": options.framework or _framework(options.source, factory),
        "source": source,
        "weights": _absolute(options.weights),
        "examples": _absolute(options.examples),
        "validation": _absolute(options.validation),
        "formats": options.formats,
        "inputs": [_tensor(text) for text in options.input],
        "outputs": [_tensor(text) for text in options.output],
        "trust": options.trust or None,
    }
    file = write_described(folder, options.name, entry)
    return Job(options.name, read_config(file).models[options.name], file, folder, code)


def _source(text: str) -> tuple[str, Path | None]:
    """What models.toml names, and the folder of a factory that is named by its file."""
    named = FACTORY_FILE.match(text)  # first: churn.py:build has the form of a package's module, too
    if named is None:
        return (text if FACTORY.match(text) else str(Path(text).resolve())), None
    folder = Path(named["folder"] or ".").resolve()
    if not (folder / f"{named['module']}.py").is_file():
        raise UsageError(f"{folder / named['module']}.py does not exist; correct the path")
    return f"{named['module']}:{named['attribute']}", folder


def _framework(source: str, factory: bool) -> str:
    path = Path(source)
    if factory:
        raise UsageError(f"'{source}' is a factory: say --framework pytorch, keras or tensorflow")
    if path.is_dir():
        return "tensorflow"
    if path.suffix not in FRAMEWORKS:
        known = ", ".join(FRAMEWORKS)
        advice = SAVED_OTHERWISE.get(path.suffix, "name a source of these kinds")
        raise UsageError(f"'{source}' is no directory and does not end in {known}: {advice}")
    return FRAMEWORKS[path.suffix]


def _absolute(path: Path | None) -> str | None:
    return str(path.resolve()) if path else None


def _tensor(text: str) -> dict[str, Any]:
    """``x:int64:batch,length@0,500`` -> a TensorSpec's keys."""
    match = TENSOR.match(text)
    if match is None:
        raise UsageError(f"'{text}' is not NAME:DTYPE:DIMS[@LOW,HIGH], such as x:int64:batch,length@0,500")
    dims = [int(dim) if dim.isdigit() else dim for dim in match["dims"].split(",") if dim]
    spec: dict[str, Any] = {"name": match["name"], "dtype": match["dtype"], "dims": dims}
    if match["range"]:
        try:
            low, high = (float(end) for end in match["range"].split(","))
            if not math.isfinite(high - low):
                raise ValueError("no end")
        except ValueError:
            raise UsageError(f"'{match['range']}' in '{text}' is not LOW,HIGH, such as 0,500") from None
        spec["range"] = [low, high]
    return spec
