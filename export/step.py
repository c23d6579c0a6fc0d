"""python -m export.step: one step in a process of its own, as the parent runs it and as a person can repeat it.

golden  the trained model's own answers            (the framework's process)
export  one artifact                               (the framework's process)
verify  that artifact against the golden batch     (the serving runtime's process)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from contract.cli import Parser, run
from contract.compare import Parity, compare
from contract.config import Model, read_config
from contract.errors import ParityError, UsageError, nearest
from contract.files import write_json
from contract.golden import Example, check_inputs, read_examples, synthesize, write_examples
from contract.manifest import GOLDEN
from contract.table import choose
from export.routes import EXPORTERS, FILES, ORACLES, RUNTIMES

MADE_UP_EXAMPLES = 48
SEED = 11


def golden(model: Model, directory: Path) -> None:
    """Write golden.npz: the examples with the trained model's own answers."""
    if model.examples:
        examples = read_examples(model.examples, "make zoo")
        check_inputs(examples, model.inputs, model.examples)
    else:
        examples = synthesize(model.inputs, MADE_UP_EXAMPLES, SEED)
    outputs = choose(ORACLES, model.framework, "framework")(model, examples)
    for example, answer in zip(examples, outputs, strict=True):
        for spec in model.outputs:
            if spec.name not in answer:
                raise UsageError(f"the model has no output '{spec.name}'; it has {', '.join(answer)}")
            reason = spec.mismatch(answer[spec.name])
            if reason:
                raise UsageError(f"the trained model's own answer to {example.key}: {reason}; correct models.toml")
    declared = [spec.name for spec in model.outputs]
    answered = [
        Example(example.key, example.inputs, {name: answer[name] for name in declared})
        for example, answer in zip(examples, outputs, strict=True)
    ]
    write_examples(directory / GOLDEN, answered)


def export(model: Model, form: str, directory: Path) -> None:
    """Write the artifact, and its route beside it."""
    exporter = choose(EXPORTERS, f"{model.framework}/{form}", "route")
    route = exporter(model, read_examples(directory / GOLDEN), directory / FILES[form])
    write_json(directory / f"{form}.route.json", {"route": route})


def verify(model: Model, form: str, directory: Path) -> Parity:
    """Compare the artifact's answers with the golden batch; the figures go into ``<format>.parity.json``."""
    opener = choose(RUNTIMES, form, "format")
    inputs, outputs, call = opener(directory / FILES[form], model.inputs, model.outputs)
    for side, actual, specs in (("inputs", inputs, model.inputs), ("outputs", outputs, model.outputs)):
        declared = sorted(spec.name for spec in specs)
        if sorted(actual) != declared:
            raise ParityError(
                f"the artifact's {side} are {', '.join(sorted(actual))}, declared are {', '.join(declared)}"
            )
    examples = read_examples(directory / GOLDEN)
    parity = compare(((item.key, item.outputs, call(item.inputs)) for item in examples), model.tolerance)
    write_json(directory / f"{form}.parity.json", parity)
    return parity


def main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m export.step", description="One step of an export, in this process.")
    parser.add_argument("step", choices=["golden", "export", "verify"])
    parser.add_argument("model", help="name in the configuration")
    parser.add_argument("format", nargs="?", help="for export and verify")
    parser.add_argument("--config", type=Path, default=Path("models.toml"), help="the dial of the run")
    parser.add_argument("--directory", type=Path, required=True, help="where golden.npz and the artifacts are")
    options = parser.parse_args(arguments)
    sys.path.append(str(options.config.resolve().parent))  # a user's own factory is found beside models.toml
    models = read_config(options.config).models
    if options.model not in models:
        raise UsageError(f"{options.config} has no model '{options.model}'{nearest(options.model, list(models))}")
    model = models[options.model]
    if options.step == "golden":
        golden(model, options.directory)
    elif options.format is None:
        raise UsageError(f"step '{options.step}' needs a format: one of {', '.join(model.formats)}")
    elif options.step == "export":
        export(model, options.format, options.directory)
    else:
        parity = verify(model, options.format, options.directory)
        print(json.dumps(parity.model_dump(mode="json")))
        if not parity.passed:
            raise ParityError("; ".join(parity.reasons))
    return 0


if __name__ == "__main__":
    run(main)
