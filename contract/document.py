"""docs/formats.md from the models themselves, so that the page cannot lie. `python -m contract.document` writes it."""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from contract import (
    batching,
    certificate,
    client,
    compare,
    config,
    elsewhere,
    endpoints,
    events,
    load,
    machine,
    manifest,
    prices,
    recommendation,
    records,
    samples,
    scaling,
    search,
    shapes,
    slo,
    tensors,
    trials,
    verdict,
)
from contract.files import write_text
from contract.statistics import PERCENTILES

PAGE = Path(__file__).parents[1] / "docs" / "formats.md"
# (heading, words, models in the order of reading)
FILES: list[tuple[str, str, list[type[BaseModel]]]] = [
    (
        "models.toml",
        "Written by you, read by every stage, never rewritten. Paths are relative to the file. Unknown keys are errors "
        "that name the nearest known key.",
        [
            config.ModelsFile,
            config.Model,
            tensors.TensorSpec,
            config.Closeness,
            batching.Batching,
            batching.Queue,
            batching.Triton,
            batching.TensorRT,
            batching.Cuda,
            batching.TfServing,
            slo.Slo,
            elsewhere.Elsewhere,
            load.Load,
            load.OwnSeeds,
            load.Affinity,
            client.Client,
            prices.Price,
            shapes.LoadPlan,
            shapes.Closed,
            shapes.Steady,
            shapes.Ramp,
            shapes.Step,
            shapes.Spike,
            shapes.Sine,
            shapes.Trace,
            shapes.Payloads,
        ],
    ),
    (
        "artifacts/&lt;model&gt;/&lt;version&gt;/manifest.json",
        "Written by export, last and by one rename with its folder: its existence means complete. "
        "A version is never rewritten.",
        [
            manifest.Manifest,
            manifest.FormatRecord,
            compare.Parity,
            compare.Worst,
            manifest.Check,
            manifest.Decisions,
            manifest.Attempt,
        ],
    ),
    (
        "live/servers.json",
        "Written by serving as soon as a server runs, so that `make stop` finds it.",
        [endpoints.Servers, endpoints.ServerRecord, endpoints.Supervisor],
    ),
    (
        "live/events.jsonl",
        "Written by serving, one line per thing that happened to a server or a model; `make status` shows it. A new "
        "`make serve` begins a new file. What happened during a run is copied to results/&lt;id&gt;/events.jsonl.",
        [events.Event],
    ),
    (
        "live/endpoints.json",
        "Written by serving when every endpoint has answered the golden batch; read by loadtest.",
        [endpoints.Endpoints, endpoints.Endpoint, endpoints.Configuration, machine.Machine],
    ),
    (
        "live/payloads/&lt;engine&gt;/&lt;served model&gt;/&lt;protocol&gt;/index.json",
        "Written by serving: the golden requests as bytes, one `.bin` file per body, so that load workers only send.",
        [endpoints.PayloadIndex, endpoints.PayloadEntry],
    ),
    (
        "results/&lt;id&gt;/plan.json",
        "Written by loadtest before the first request. `golden-<model>-<version>.npz` beside it is a copy, so that "
        "results can be judged alone.",
        [records.Plan, records.VariantPlan, records.Stage, records.Seeds],
    ),
    (
        "results/&lt;id&gt;/server-stats-&lt;variant&gt;.json",
        "Written by loadtest after each stage of a variant.",
        [records.Observation, records.StageObservation, records.ServerCounters],
    ),
    (
        "certificates/&lt;key&gt;.json",
        "Written by `python -m loadtest certify`, and by loadtest for a kind of request that has none yet; every later "
        "run of which the same setting is true uses it. Plan, records and logs of its measurement are in a folder of "
        "the same name. [measurement.md](measurement.md) says what it is good for.",
        [certificate.Certificate, certificate.Setting, certificate.OpenCeiling, certificate.Added],
    ),
    (
        "results/&lt;id&gt;/certificate.json",
        "Written by loadtest: copies of the certificates that hold for the run.",
        [certificate.Certificates],
    ),
    (
        "results/&lt;id&gt;/search.json",
        "Written by `python -m tune search` beside the records of its probes. While stages are asked for one at a "
        "time, `asked.jsonl` and `told.jsonl` carry them to Locust and back; a clean end removes both.",
        [search.Search, search.Found, search.Probe],
    ),
    (
        "results/&lt;id&gt;/trials.json",
        "Written by `python -m tune configure` beside the records of its trials.",
        [trials.Trials, trials.Climb, trials.Trial],
    ),
    (
        "results/&lt;id&gt;/scaling.json",
        "Written by `python -m tune scale` beside the records of its stages.",
        [scaling.Scaling, scaling.Point, scaling.Prediction],
    ),
    (
        "reports/&lt;id&gt;/report.json",
        "Written by report. The contract that others build on; `report.html` and `report.md` show the same figures, "
        "`comparison.csv` has a row per variant and stage, `junit.xml` a test per objective, `slo.yaml` the objectives "
        "as OpenSLO. [report.schema.json](report.schema.json) is its JSON Schema, made by `python -m report schema`.",
        [
            verdict.Report,
            verdict.Variant,
            verdict.VariantParity,
            verdict.StageResult,
            verdict.Check,
            verdict.Percentiles,
            verdict.Percentile,
            verdict.Attribution,
            verdict.Point,
            verdict.ServerSide,
            verdict.Used,
            verdict.Slope,
            verdict.GpuUse,
            verdict.ServerPoint,
            verdict.Endurance,
            verdict.Slice,
            verdict.SloResult,
            verdict.MaxRate,
            verdict.Winner,
            verdict.Noise,
        ],
    ),
    (
        "reports/&lt;id&gt;/recommendation.json",
        "Written by report: what to deploy.",
        [recommendation.Recommendation, recommendation.Recommended],
    ),
    (
        "reports/compared/&lt;ids&gt;/comparison.json, reports/history.html",
        "Written by `python -m report RUN RUN …` (with `comparison.md` beside it) and by `python -m report history`.",
        [],
    ),
]
HEAD = """# Border files

The stages meet only in these files; a person can open every one. Made from the models in `contract/` by
`python -m contract.document`; a test keeps it true. Every JSON document carries `schema_version`. The JSON Schema of
report.json is `docs/report.schema.json` (`python -m report schema`); that of another is
`python -c "from contract.records import Plan; print(Plan.model_json_schema())"`, and so on. `tuned.toml`, which
`python -m tune configure` writes and `--use` reads, has tables `[models.NAME.batching]`, may have
`[models.NAME.triton]`, as below, and nothing else. What lies in `live/` and is not listed here is private to serving.
"""
BINARY = """## artifacts/&lt;model&gt;/&lt;version&gt;/golden.npz

Written by export; read by serving, loadtest (as a copy) and report. numpy's `.npz`, nothing pickled. Entries are
`r0007/in/<name>` and `r0007/out/<name>`: requests of any batch size and length, and the trained model's own answers.
Strings are two entries, `….bytes` (u32 little-endian length, then the bytes, per element) and `….shape`.
A file of examples that you bring (`examples` in models.toml) has the `in` entries only.
`edges.npz` beside it has the same form: `shortest-0000`, `longest-0000`, `lowest-0000`, `highest-0000` and
`padded-0007` are requests that prove an artifact and are never part of a load.

## artifacts/&lt;model&gt;/&lt;version&gt;/validation.npz

Labelled inputs: `in/<name>` with one row per case, `labels` (int64) and, written by export, `decisions` (int64), the
trained model's own classes. The file that you bring (`validation` in models.toml) has no `decisions`.

## artifacts/&lt;model&gt;/&lt;version&gt;/suite.json, logs/

`suite.json` holds the signature, the limits of every format and what of the checks was left out; with it and the files
above `python -m export verify` needs nothing else. `logs/` holds the output of every step, its command in the first
line.

## results/&lt;id&gt;/requests-&lt;variant&gt;-&lt;worker&gt;-&lt;part&gt;.parquet

Written by loadtest while running, one row per request. Times are nanoseconds of CLOCK_MONOTONIC on the client's
machine: latency counts from `intended_ns`, service time from `sent_ns`.

| column | type | meaning |
|---|---|---|
{columns}

## results/&lt;id&gt;/server-samples-&lt;part&gt;.parquet

Written by loadtest while running, twice a second one row per subject; a part per minute. A subject that cannot be read
has rows that say why. Columns that do not apply to a subject are null. Times are the clock of the records.

| column | type | meaning |
|---|---|---|
{samples}

## results/&lt;id&gt;/answers-&lt;variant&gt;-&lt;worker&gt;.bin

Sampled raw answers, one frame after the other: u32 header length, u32 body length (little-endian), a JSON header
(`stage`, `payload`, `headers`), the body as the server sent it. A frame that is cut off at the end is ignored.
"""


# A key that means the same in several files is described once.
_MEANINGS = (
    {
        name: field.description
        for model in (endpoints.Endpoint, records.Plan, verdict.Winner)
        for name, field in model.model_fields.items()
        if field.description
    }
    | {
        "schema_version": "of this file",
        "parity": "against the trained model, three times",
        "stages": "one entry per finished stage",
        "verdict": "of the run",
        "variants": "one entry per endpoint",
        "winners": "per model and class of equals",
        "noise": "below which a difference means nothing",
    }
    | {name: f"{float(p) * 100:g}th percentile" for name, p in PERCENTILES.items()}
    | {"max": "the slowest"}
)


def formats_page() -> str:
    """The whole page."""
    columns, sampled = (_columns(of.COLUMNS) for of in (records, samples))
    parts = [HEAD]
    for heading, words, models in FILES:
        parts.append(f"## {heading}\n\n{words}\n")
        parts += [_table(model) for model in models]
    parts.append(BINARY.format(columns=columns, samples=sampled))
    return "\n".join(parts)


def _columns(columns: dict[str, tuple[Any, str]]) -> str:
    return "\n".join(f"| `{name}` | {kind} | {_cell(words)} |" for name, (kind, words) in columns.items())


def _table(model: type[BaseModel]) -> str:
    rows = [_row(name, field) for name, field in model.model_fields.items()]
    about = (model.__doc__ or "").strip().splitlines()[0]
    return (
        f"### {model.__name__}\n\n{about}\n\n| key | type | default | meaning |\n|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def _row(name: str, field: FieldInfo) -> str:
    if field.is_required():
        default = "required"
    elif isinstance(field.default, BaseModel):
        default = "all defaults"
    else:
        value = [] if field.default is PydanticUndefined else field.default
        default = f"`{value!r}`".replace("'", '"').replace("None", "none")
    meaning = _cell(field.description or _MEANINGS.get(name, ""))
    return f"| `{name}` | {_kind(field.annotation)} | {default} | {meaning} |"


def _cell(words: str) -> str:
    """Words of a table: a bar would end the cell."""
    return words.replace("|", "\\|")


def _kind(annotation: Any) -> str:
    """A type in a reader's words."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return _kind(parts[0])
    if origin is Literal:
        return " \\| ".join(f"`{part}`" for part in parts)
    if origin in (Union, types.UnionType):
        return " or ".join("null" if part is type(None) else _kind(part) for part in parts)
    if origin is list or (origin is tuple and Ellipsis in parts):
        return f"list of {_kind(parts[0])}"
    if origin is tuple:
        return f"[{', '.join(_kind(part) for part in parts)}]"
    if origin is dict:
        return f"table of {_kind(parts[1])}"
    if isinstance(annotation, type):
        words = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "Path": "path"}
        return words.get(annotation.__name__, annotation.__name__)
    return str(annotation)


if __name__ == "__main__":
    write_text(PAGE, formats_page())
