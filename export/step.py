"""python -m export.step: one step in a process of its own, as the parent runs it and as a person can repeat it.

golden  the trained model's own answers            (the framework's process)
export  one artifact by one route                  (the framework's process)
verify  that artifact against those answers        (the serving runtime's process)
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from contract.cli import Parser, run
from contract.config import Model, read_config
from contract.errors import LoadproofError, ParityError, ServerError, UsageError, nearest
from contract.files import read_model, write_json
from contract.golden import read_examples
from contract.manifest import EDGES, GOLDEN, SUITE
from contract.table import choose, load
from export.answers import check_numbers
from export.isolation import leave_network
from export.own_code import found_beside
from export.refused import first_words
from export.routes import FILES, ORACLES, RUNTIMES, Route, routes
from export.suite import SuiteFile, make_suite, read_suite
from export.verification import Proof, unreadable, verify


def golden(model: Model, directory: Path) -> None:
    """Let the trained model answer, and write the suite that every artifact is asked."""
    make_suite(model, choose(ORACLES, model.kind, "kind of source")(model), directory)
    check_numbers(read_examples(directory / GOLDEN))


def export(model: Model, form: str, route: Route, directory: Path) -> None:
    """Write the artifact, and its route beside it."""
    suite = read_model(directory / SUITE, SuiteFile, "make export")
    resolved = model.model_copy(update={"inputs": suite.inputs, "outputs": suite.outputs})
    edges = read_examples(directory / EDGES) if (directory / EDGES).is_file() else []
    arguments = [resolved, [*read_examples(directory / GOLDEN), *edges], directory / FILES[form]]
    if route.via:
        arguments.append(directory / FILES[route.via])
    described = load(route.converter)(*arguments)
    if route.via:
        described = f"{route.via}, {described}"
    write_json(directory / f"{form}.route.json", {"route": described})


def prove(form: str, directory: Path, include_payloads: bool = False) -> Proof:
    """Open one artifact as a server would, ask everything, and write ``<format>.proof.json``."""
    suite = read_suite(directory, form)
    try:
        open_artifact = choose(RUNTIMES, form, "format")
    except ImportError as error:
        raise _without_runtime(form, error) from error
    try:
        opened = open_artifact(directory / FILES[form], suite.inputs, suite.outputs)
    except Exception as error:  # what a runtime raises about a broken file has no common base
        return unreadable(error)
    return verify(opened, suite, include_payloads)


def _without_runtime(form: str, error: ImportError) -> ServerError:
    """Says nothing about the artifact: the machine has not what a proof of it takes."""
    package = (error.name or "a package").partition(".")[0]
    why = "is not installed here" if isinstance(error, ModuleNotFoundError) else f"cannot be loaded here ({error})"
    return ServerError(f"{package} {why}, by which {form} is proven; install what the project needs (make env)")


def main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m export.step", description="One step of an export, in this process.")
    parser.add_argument("step", choices=["golden", "export", "verify"])
    parser.add_argument("model", help="name in the configuration")
    parser.add_argument("format", nargs="?", help="for export and verify")
    parser.add_argument(
        "--config", type=Path, default=Path("models.toml"), help="the dial of the run (golden and export)"
    )
    parser.add_argument("--code", type=Path, help="folder of the model's factory (default: beside the configuration)")
    parser.add_argument("--directory", type=Path, required=True, help="where suite, golden.npz and the artifacts are")
    parser.add_argument("--route", help="which way to the format; the first of the table if absent")
    parser.add_argument("--out", type=Path, help="verify: where the proof goes, instead of beside the artifact")
    parser.add_argument("--include-payloads", action="store_true", help="keep the values of the worst element")
    parser.add_argument("--network", action="store_true", help="do not give up the network first")
    options = parser.parse_args(arguments)
    if not options.network:
        kept = leave_network()
        if kept:
            print(f"note: this step has the network ({kept})", file=sys.stderr)
    if options.step != "golden" and options.format is None:
        raise UsageError(f"step '{options.step}' needs a format: one of {', '.join(FILES)}")
    if options.step == "verify":
        return _verify(options.format, options.directory, options.out, options.include_payloads)
    models = read_config(options.config).models
    if options.model not in models:
        raise UsageError(f"{options.config} has no model '{options.model}'{nearest(options.model, list(models))}")
    model = found_beside(models[options.model], (options.code or options.config.parent).resolve())
    try:
        if options.step == "golden":
            golden(model, options.directory)
        else:
            export(model, options.format, _route(model, options.format, options.route), options.directory)
    except LoadproofError:
        raise
    except Exception as error:  # a factory, a network, a converter: not this project's own defect
        traceback.print_exc()
        raise LoadproofError(first_words(error)) from error
    return 0


def _verify(form: str, directory: Path, out: Path | None, include_payloads: bool) -> int:
    proof = prove(form, directory, include_payloads)
    write_json(out or directory / f"{form}.proof.json", proof)
    print(json.dumps(proof.model_dump(mode="json")))
    if not proof.passed:
        raise ParityError(f"{proof.diagnosis}: {proof.sentence}")
    return 0


def _route(model: Model, form: str, name: str | None) -> Route:
    known = {route.name: route for route in routes(model.kind, form)}
    if not known:
        raise UsageError(f"there is no route from {model.kind} to {form}")
    if name is None:
        return next(iter(known.values()))
    if name not in known:
        raise UsageError(
            f"no route '{name}' from {model.kind} to {form}: one of {', '.join(known)}{nearest(name, list(known))}"
        )
    return known[name]


if __name__ == "__main__":
    run(main)
