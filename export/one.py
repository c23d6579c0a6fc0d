"""python -m export SOURCE --name NAME: one model without a models.toml. The one that is written can be kept."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from contract.cli import Parser
from contract.config import FACTORY, NAME, Format, Framework, read_config
from contract.errors import UsageError
from contract.files import write_text
from contract.progress import say
from export.job import Job

FRAMEWORKS = {".pt": "pytorch", ".jit": "pytorch", ".pt2": "pytorch", ".keras": "keras", ".onnx": "onnx"}
TENSOR = re.compile(r"^(?P<name>[^=\s]+?):(?P<dtype>[a-z0-9]+):(?P<dims>[A-Za-z0-9_,]*)(?:@(?P<range>[^@]+))?$")


def job(arguments: Sequence[str]) -> Job:
    """Read the command line, write ``DIR/NAME/models.toml`` and return the job that it describes."""
    parser = Parser(prog="python -m export SOURCE", description="Export one model and prove that the exports agree.")
    parser.add_argument("source", help="package.module:factory, or a .pt .jit .pt2 .keras .onnx file, or a SavedModel")
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
    options = parser.parse_args(arguments)
    if not re.match(NAME, options.name):  # it becomes a folder
        raise UsageError(f"'{options.name}' is not a model name: letters, digits, '.', '-' and single '_' between them")
    factory = bool(FACTORY.match(options.source))
    source = options.source if factory else str(Path(options.source).resolve())
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
    file = options.artifacts.resolve() / options.name / "models.toml"
    write_text(file, toml(options.name, entry))
    say(f"wrote {file}: what was asked for, to keep or to put into your own models.toml")
    if factory:
        sys.path.append(str(Path.cwd()))
    return Job(options.name, read_config(file).models[options.name], file, file.parent)


def _framework(source: str, factory: bool) -> str:
    path = Path(source)
    if factory:
        raise UsageError(f"'{source}' is a factory: say --framework pytorch, keras or tensorflow")
    if path.is_dir():
        return "tensorflow"
    if path.suffix not in FRAMEWORKS:
        known = ", ".join(FRAMEWORKS)
        raise UsageError(f"'{source}' is no directory and does not end in {known}: name a source of these kinds")
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


def toml(name: str, entry: dict[str, Any]) -> str:
    """One model as a models.toml; keys without a value are left out. JSON's strings, numbers and lists are TOML's."""
    lines = ["schema_version = 1", "", f"[models.{json.dumps(name)}]"]
    lines += [f"{key} = {_value(value)}" for key, value in entry.items() if value not in (None, [])]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    # TOML takes no surrogate pairs, by which JSON would escape what lies beyond 16 bits, and no DEL as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
