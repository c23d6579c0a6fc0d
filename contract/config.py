"""models.toml: the one dial. Which models, from where, which formats, how served, which objectives.

Unknown keys are errors that name the nearest known key. The file is never rewritten by the project.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from contract.batching import Batching, Cuda, Queue, TensorRT, TfServing, Triton
from contract.client import Client
from contract.compare import Tolerance
from contract.elsewhere import Elsewhere
from contract.errors import UsageError, nearest
from contract.load import Affinity, Load
from contract.prices import Price
from contract.section import NotNegative, Number, Positive, Section
from contract.shapes import BUILT_IN, Closed, LoadPlan, Payloads, Ramp, Sine, Spike, Steady, Step, Trace
from contract.slo import Slo
from contract.tensors import TensorSpec
from contract.tolerances import default_tolerance
from contract.tuned import read_merged

NAME = r"^[A-Za-z0-9][A-Za-z0-9.-]*(_[A-Za-z0-9.-]+)*$"
Format = Literal["torchscript", "savedmodel", "onnx", "onnx-fp16", "onnx-int8", "pt2"]
FACTORY = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")  # package.module:attribute
Engine = Literal["triton", "tfserving"]
Framework = Literal["pytorch", "keras", "tensorflow", "onnx"]
# framework -> ending of the source's path -> kind of source; a source with a colon is a factory
SOURCE_FILES: dict[str, dict[str, str]] = {
    "pytorch": {".pt": "torchscript", ".jit": "torchscript", ".pt2": "torch.export"},
    "keras": {".keras": "keras"},
    "tensorflow": {"": "savedmodel"},
    "onnx": {".onnx": "onnx"},
}
# ending of a source that nothing here opens -> what to do
SAVED_OTHERWISE = dict.fromkeys((".h5", ".hdf5"), "load it with Keras and save it as .keras")


class Closeness(Section):
    """How far one format's answers may be from the trained model's; what is absent keeps its default."""

    atol: NotNegative | None = Field(None, description="absolute tolerance")
    rtol: NotNegative | None = Field(None, description="relative tolerance")
    agreement: Annotated[Number, Field(ge=0, le=1)] | None = Field(None, description="least share of equal classes")


def _not_all(group: str) -> str:
    if group == "all":
        raise ValueError("it means every group; choose another name")
    return group


class Model(Section):
    """One trained model."""

    framework: Framework = Field(description="which framework trained it; `onnx` for an ONNX file")
    source: str = Field(
        description="`package.module:factory`, or a file: `.pt`, `.jit` (TorchScript), `.pt2` (torch.export), "
        "`.keras`, `.onnx`, or a SavedModel directory"
    )
    weights: Path | None = Field(
        None, description="of a factory: `.safetensors`, `.pt` (state_dict, weights only) or `.weights.h5` (Keras)"
    )
    examples: Path | None = Field(None, description="`.npz` of real requests; made up from dims and ranges if absent")
    validation: Path | None = Field(None, description="`.npz` of labelled inputs: decisions and accuracy are compared")
    formats: Annotated[list[Format], Field(min_length=1)] = Field(description="what to export to")
    inputs: list[TensorSpec] = Field(
        [], description="tensors of the signature; read from an ONNX file or a SavedModel when absent"
    )
    outputs: list[TensorSpec] = Field([], description="tensors of the signature; read from the model when absent")
    padding: dict[str, Number] = Field(
        {}, description="dynamic axis -> value: a request that is padded with it along this axis has the same answer"
    )
    pad_with: dict[str, Number] = Field(
        {}, description="input -> value that it is padded with instead: tokens with 1, say, and their mask with 0"
    )
    serve: list[Format] | None = Field(
        None, description="which of the formats to serve; all that are proven when absent"
    )
    engines: Annotated[list[Engine], Field(min_length=1)] = Field(
        ["triton", "tfserving"], description="where to serve it; TF Serving takes the SavedModel only"
    )
    group: Annotated[str, Field(min_length=1), AfterValidator(_not_all)] = Field(
        "default",
        description="`make … GROUP=name` works on one group; what loads takes all that is up unless it is named",
    )
    atol: NotNegative | None = Field(
        None, description="absolute tolerance of parity, where no precision is given up; by dtype when absent"
    )
    rtol: NotNegative | None = Field(None, description="relative tolerance of parity, likewise")
    tolerances: dict[Format, Closeness] = Field({}, description="by format, e.g. for `onnx-int8`")
    trust: bool = Field(False, description="let the source run code of its own (Keras Lambda layers, pickled modules)")
    time_limit_s: Positive = Field(600.0, description="of one step of the export")
    batching: Batching = Field(Batching(), description="see below")
    triton: Triton = Field(Triton(), description="see below")
    tfserving: TfServing = Field(TfServing(), description="see below")
    slo: Slo = Field(Slo(), description="see below")
    elsewhere: list[Elsewhere] = Field([], description="servers that are not ours and hold it too; see below")

    @property
    def path(self) -> Path | None:
        """Where the source is, when it is a file or a directory and not a factory."""
        return None if FACTORY.match(self.source) else Path(self.source)

    @property
    def kind(self) -> str:
        """What the source is: `pytorch`, `keras` or `tensorflow` for a factory, else by the ending of its path."""
        if self.path is None:
            return self.framework if self.framework != "keras" else "keras-factory"
        return SOURCE_FILES[self.framework][self.path.suffix if self.framework != "tensorflow" else ""]

    @property
    def batched(self) -> bool:
        """Whether every tensor's first axis is the same named one, so that a server may join requests along it."""
        first = {spec.dims[0] if spec.dims else 0 for spec in (*self.inputs, *self.outputs)}
        return len(first) == 1 and isinstance(next(iter(first)), str)

    def tolerance(self, form: str, outputs: list[TensorSpec]) -> Tolerance:
        """How far the answers of one format may be off: what is written, else the default of precision and dtype."""
        default, full = default_tolerance(form, [spec.dtype for spec in outputs])
        own = self.tolerances.get(form, Closeness())  # type: ignore[call-overload]
        atol = own.atol if own.atol is not None else self.atol if full else None
        rtol = own.rtol if own.rtol is not None else self.rtol if full else None
        return Tolerance(
            atol=default.atol if atol is None else atol,
            rtol=default.rtol if rtol is None else rtol,
            agreement=default.agreement if own.agreement is None else own.agreement,
        )

    @model_validator(mode="after")
    def _consistent(self) -> Model:
        for side, specs in (("inputs", self.inputs), ("outputs", self.outputs)):
            names = [spec.name for spec in specs]
            if len(set(names)) != len(names):
                raise ValueError(f"{side} holds a name twice: {', '.join(names)}")
        self._check_batch_axis()
        if len(set(self.formats)) != len(self.formats):
            raise ValueError(f"formats holds a format twice: {', '.join(self.formats)}")
        for form in self.serve or ():
            if form not in self.formats:
                raise ValueError(f"serve names '{form}', formats has {', '.join(self.formats)}")
        for other in self.elsewhere:
            if other.format not in self.formats:
                raise ValueError(f"elsewhere names '{other.format}', formats has {', '.join(self.formats)}")
        known = SOURCE_FILES[self.framework]
        if self.path is not None and self.framework != "tensorflow" and self.path.suffix not in known:
            advice = SAVED_OTHERWISE.get(self.path.suffix)
            raise ValueError(
                f"source '{self.source}' is neither package.module:factory nor a file that ends in {', '.join(known)}"
                f"{f'; {advice}' if advice else ''}"
            )
        if self.path is None and self.framework == "onnx":
            raise ValueError(f"source '{self.source}' is not the path of an .onnx file")
        for name in self.triton.parameters:
            if name not in self.formats:
                raise ValueError(f"triton.parameters names '{name}', formats has {', '.join(self.formats)}")
        if self.batching.ragged and not self.padding:
            raise ValueError("batching.ragged needs padding: what to fill the shorter requests of a batch with")
        named = {dim for spec in self.inputs for dim in spec.dims if isinstance(dim, str)}
        for axis in self.padding if self.inputs else ():
            if axis not in named:
                raise ValueError(f"padding names the axis '{axis}', inputs have {', '.join(sorted(named))}")
        for name in self.pad_with if self.inputs else ():
            if not any(spec.name == name and set(spec.dims) & set(self.padding) for spec in self.inputs):
                raise ValueError(f"pad_with names '{name}', which is no input with an axis that padding names")
        return self

    def _check_batch_axis(self) -> None:
        """A tensor without the batch axis that others have is refused; a scalar has no axis to name."""
        specs = [*self.inputs, *self.outputs]
        batch = {spec.dims[0] for spec in specs if spec.dims and isinstance(spec.dims[0], str)}
        for spec in specs:
            if batch and spec.dims and not batch & set(spec.dims):
                raise ValueError(
                    f"the first of the dims of '{spec.name}' is {spec.dims[0]}; "
                    'it is the batch axis, name it ("batch")'
                )


class ModelsFile(Section):
    """The whole of models.toml."""

    schema_version: Literal[1] = Field(description="of this file")
    target: Annotated[str, Field(pattern=r"^\d\d\.\d\d$")] = Field(
        "26.08", description="Triton release that production runs; decides what stands in for what"
    )
    load: Load = Field(Load(), description="see below")
    affinity: Affinity = Field(Affinity(), description="see below")
    client: Client = Field(Client(), description="how the load generator calls endpoints; see below")
    plans: dict[Annotated[str, Field(pattern=NAME)], LoadPlan] = Field(
        {}, description="load plans of your own, beside `soak`, `overload` and `map`"
    )
    prices: list[Price] = Field([], description="what machines cost; see below")
    measured_on: str | None = Field(
        None, description="which of `prices` this machine is, if it is one: without it nothing has a cost"
    )
    models: dict[Annotated[str, Field(pattern=NAME)], Model] = Field(
        description="by name: letters, digits, `.`, `-`, single `_`"
    )

    def group(self, name: str) -> dict[str, Model]:
        """The models of one group; ``all`` means every model."""
        groups = sorted({model.group for model in self.models.values()})
        if name != "all" and name not in groups:
            raise UsageError(f"no model is in group '{name}': one of {', '.join([*groups, 'all'])}")
        return {key: model for key, model in self.models.items() if name in ("all", model.group)}

    @property
    def price(self) -> Price | None:
        """What the machine costs that is measured; None where nobody said which it is."""
        return next((item for item in self.prices if item.instance == self.measured_on), None)

    @model_validator(mode="after")
    def _priced(self) -> ModelsFile:
        names = [item.instance for item in self.prices]
        if len(set(names)) != len(names):
            raise ValueError(f"prices holds an instance twice: {', '.join(names)}")
        if self.measured_on is not None and self.price is None:
            raise ValueError(f"measured_on is '{self.measured_on}', prices has {', '.join(names) or 'nothing'}")
        return self

    def plan(self, name: str) -> LoadPlan:
        """A load plan by its name: one of this file, or one that every file has."""
        known = BUILT_IN | self.plans
        if name not in known:
            raise UsageError(f"no load plan '{name}'{nearest(name, list(known))}: one of {', '.join(known)}")
        return known[name]


def read_config(path: Path, tuned: Path | None = None) -> ModelsFile:
    """Read models.toml, with the settings of a tuned.toml on top where one is named.

    Raises UsageError with a sentence for the first thing that is wrong.
    """
    try:
        config = ModelsFile.model_validate(read_merged(path, tuned))
    except ValidationError as error:
        files = path if tuned is None else f"{path} with {tuned}"
        raise UsageError(f"{files}: {_sentence(error)}") from None
    if not config.models:
        raise UsageError(f"{path} declares no models; add a table [models.NAME]")
    folder = path.resolve().parent
    models = {name: _rooted(model, folder) for name, model in config.models.items()}
    plans = {name: plan.rooted(folder) for name, plan in config.plans.items()}
    return config.model_copy(update={"models": models, "plans": plans, "client": config.client.rooted(folder)})


def _rooted(model: Model, folder: Path) -> Model:
    """Paths in models.toml are relative to it."""
    update: dict[str, object] = {
        name: folder / getattr(model, name) for name in ("weights", "examples", "validation") if getattr(model, name)
    }
    if model.path is not None:
        update["source"] = str(folder / model.source)
    return model.model_copy(update=update)


def _sentence(error: ValidationError) -> str:
    found = error.errors(include_url=False)
    # A misspelt key is both unknown and missing; the first is what the person can see.
    first = next((item for item in found if item["type"] == "extra_forbidden"), found[0])
    parts = [part for part in first["loc"] if part != "[key]"]
    where = ".".join(str(part) for part in parts)
    if first["type"] == "extra_forbidden":
        known = _known_keys(parts[:-1])
        hint = nearest(str(parts[-1]), known) or f"; known keys: {', '.join(known)}"
        return f"unknown key '{where}'{hint}"
    if first["type"] == "missing":
        return f"key '{where}' is missing"
    if first["type"] == "literal_error":
        choices = [choice.strip(" '") for choice in first["ctx"]["expected"].replace(" or ", ",").split(",")]
        return f"'{where}' is '{first['input']}': one of {', '.join(choices)}{nearest(str(first['input']), choices)}"
    if first["loc"] and first["loc"][-1] == "[key]":
        return f"'{parts[-1]}' is not a model name: letters, digits, '.', '-' and single '_' between them"
    message = first["msg"].removeprefix("Value error, ")
    value = first["input"]
    shown = f" (got {value!r})" if isinstance(value, str | int | float | bool) else ""
    return f"'{where}': {message[0].lower() + message[1:]}{shown}"


SECTIONS: dict[Any, type[BaseModel]] = {
    "batching": Batching,
    "queue": Queue,
    "triton": Triton,
    "tfserving": TfServing,
    "tensorrt": TensorRT,
    "cuda": Cuda,
    "slo": Slo,
    "elsewhere": Elsewhere,
    "load": Load,
    "client": Client,
    "plans": LoadPlan,
    "prices": Price,
    "payloads": Payloads,
    "closed": Closed,
    "steady": Steady,
    "ramp": Ramp,
    "step": Step,
    "spike": Spike,
    "sine": Sine,
    "trace": Trace,
    "affinity": Affinity,
    "tolerances": Closeness,
}


def _known_keys(path: list[Any]) -> list[str]:
    """Walk the sections along an error's location and list the keys that are known there."""
    section: type[BaseModel] = ModelsFile
    if path[:1] == ["models"]:
        section, path = Model, path[2:]
    for part in path:
        if part in ("inputs", "outputs"):
            section = TensorSpec
        elif part in SECTIONS:
            section = SECTIONS[part]
    return list(section.model_fields)
