"""Small, complete border files for the tests: a model, its artifacts, endpoints, plans, records."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from contract.batching import Batching
from contract.compare import Parity
from contract.config import Model, ModelsFile
from contract.endpoints import Configuration, Endpoint, Endpoints, ServerRecord
from contract.files import sha256_file, sha256_tree, write_bytes, write_json
from contract.golden import Example, write_examples
from contract.load import Load
from contract.machine import Machine
from contract.manifest import GOLDEN, MANIFEST, FormatRecord, Manifest
from contract.records import SCHEMA, Plan, Seeds, Stage, VariantPlan
from contract.search import Found, Probe, Search
from contract.slo import Slo
from contract.tensors import Tensors, TensorSpec
from contract.workspace import Workspace
from serving.layout.repository import Served

TOKENS = TensorSpec(name="tokens", dtype="int64", dims=["batch", "length"])
LOGITS = TensorSpec(name="logits", dtype="float32", dims=["batch", 2])
MACHINE = Machine(processor="A processor", cores=2, memory_gib=8.0, kernel="Linux 6", python="3.11.9")
FILES = {"torchscript": "model.pt", "onnx": "model.onnx", "savedmodel": "model.savedmodel"}
MILLISECOND = 1_000_000
SECOND = 1_000_000_000


def answer_of(tokens: np.ndarray[Any, Any]) -> Tensors:
    """The known answer of the test model: sums of the row, as two classes."""
    total = tokens.sum(axis=1, dtype=np.float32)
    return {"logits": np.stack([total, -total], axis=1).astype(np.float32)}


def example(number: int, rows: int = 1, length: int = 3) -> Example:
    """A golden request of a given shape, with its known answer."""
    tokens = (np.arange(rows * length, dtype=np.int64).reshape(rows, length) + number).astype(np.int64)
    return Example(f"r{number:04d}", {"tokens": tokens}, answer_of(tokens))


def examples() -> list[Example]:
    """A golden batch: single rows of several lengths, and two larger requests."""
    return [*(example(number, 1, 2 + number % 4) for number in range(8)), example(8, 3, 5), example(9, 16, 4)]


def parity(passed: bool = True, **changes: Any) -> Parity:
    """A comparison that went well."""
    fields: dict[str, Any] = {
        "passed": passed,
        "max_abs": 1e-7,
        "max_rel": 1e-6,
        "agreement": 1.0,
        "requests": 10,
        "reasons": [] if passed else ["r0001: 'logits' is out of tolerance in 1 of 2 elements"],
    }
    return Parity(**(fields | changes))


def model(**changes: Any) -> Model:
    """A model as models.toml would describe it."""
    fields: dict[str, Any] = {
        "framework": "pytorch",
        "source": "zoo.somewhere:build",
        "formats": ["torchscript", "onnx"],
        "inputs": [TOKENS],
        "outputs": [LOGITS],
    }
    return Model(**(fields | changes))


def config(models: dict[str, Model] | None = None, **changes: Any) -> ModelsFile:
    """A whole models.toml."""
    return ModelsFile(schema_version=1, models=models or {"words": model()}, **changes)


def format_record(status: str = "ok", **changes: Any) -> FormatRecord:
    """One exported format."""
    fields: dict[str, Any] = {
        "status": status,
        "path": None,
        "sha256": None,
        "bytes": None,
        "route": "by hand",
        "parity": parity() if status == "ok" else None,
        "atol": 1e-4,
        "rtol": 1e-3,
        "versions": {},
        "seconds": 0.1,
        "reproduce": [],
    }
    return FormatRecord(**(fields | changes))


def write_artifacts(
    workspace: Workspace,
    name: str = "words",
    formats: Iterable[str] = ("torchscript", "onnx"),
    failed: dict[str, str] | None = None,
    golden: list[Example] | None = None,
    version: int = 1,
) -> Manifest:
    """Write one complete version below ``artifacts/<name>``: tiny files that only look like exports."""
    folder = workspace.artifacts / name / str(version)
    records: dict[str, FormatRecord] = {form: format_record(why) for form, why in (failed or {}).items()}
    for form in formats:
        path = folder / FILES[form]
        if form == "savedmodel":
            write_bytes(path / "saved_model.pb", b"a graph")
            write_bytes(path / "variables" / "variables.index", b"some weights")
        else:
            write_bytes(path, f"the bytes of {name} as {form}".encode())
        records[form] = format_record(path=FILES[form], sha256=sha256_tree(path), bytes=1)
    write_examples(folder / GOLDEN, golden or examples())
    manifest = Manifest(
        schema_version=2,
        model=name,
        version=version,
        created="2026-01-31T12:00:00+00:00",
        fingerprint="f" * 64,
        framework="pytorch",
        source="pytorch",
        inputs=[TOKENS],
        outputs=[LOGITS],
        golden_sha256=sha256_file(folder / GOLDEN),
        files_sha256={},
        notes=[],
        formats=records,
        accuracy={"accuracy": 0.9},
    )
    write_json(folder / MANIFEST, manifest)
    return manifest


def served(workspace: Workspace, name: str = "words__onnx", engine: str = "triton", **changes: Any) -> Served:
    """One artifact that is laid out for an engine; its files are those of `write_artifacts`."""
    manifest = write_artifacts(workspace)
    folder = workspace.artifacts / "words" / "1"
    fields: dict[str, Any] = {
        "name": name,
        "model_name": "words",
        "model": model(),
        "engine": engine,
        "format": "onnx",
        "version": 1,
        "record": manifest.formats["onnx"],
        "manifest": manifest,
        "artifact": folder / "model.onnx",
        "golden": folder / GOLDEN,
    }
    return Served(**(fields | changes))


def server(**changes: Any) -> ServerRecord:
    """A Triton that runs as a process."""
    fields: dict[str, Any] = {
        "engine": "triton",
        "engine_kind": "real",
        "engine_version": "2.51.0",
        "place": "process",
        "pid": None,
        "pid_started": None,
        "container": None,
        "command": ["tritonserver"],
        "ports": {"http": 8000, "grpc": 8001, "metrics": 8002},
        "log": "live/logs/triton.log",
        "shm_prefix": None,
    }
    return ServerRecord(**(fields | changes))


def endpoint(**changes: Any) -> Endpoint:
    """A proven endpoint; its id follows from model, format, engine and protocol."""
    fields: dict[str, Any] = {
        "model": "words",
        "version": 1,
        "format": "onnx",
        "engine": "triton",
        "engine_kind": "real",
        "engine_version": "2.51.0",
        "backend_kind": "python",
        "stand_in_for": None,
        "device": "cpu",
        "protocol": "http",
        "address": "127.0.0.1:8000",
        "configuration": Configuration(max_batch_size=32, max_queue_delay_us=0, instances=1, threads=1),
        "artifact_sha256": "a" * 64,
        "parity_export": parity(),
        "parity_engine": parity(),
        "parity_endpoint": parity(),
        "load_to_ready_s": 1.0,
        "first_request_ms": 5.0,
        "outputs": [LOGITS],
        "golden": "artifacts/words/1/golden.npz",
        "atol": 1e-4,
        "rtol": 1e-3,
        "slo": Slo(),
        "accuracy": {},
    }
    fields |= changes
    fields.setdefault("id", "{model}__{format}__{engine}__{protocol}".format(**fields))
    fields.setdefault("served_name", f"{fields['model']}__{fields['format']}")
    fields.setdefault("payloads", f"payloads/{fields['engine']}/{fields['served_name']}/{fields['protocol']}")
    return Endpoint(**fields)


def endpoints(*items: Endpoint, **changes: Any) -> Endpoints:
    """live/endpoints.json."""
    fields: dict[str, Any] = {
        "schema_version": 1,
        "started": "2026-01-31T12:00:00+00:00",
        "machine": MACHINE,
        "target": "26.08",
        "fingerprint": "f" * 64,
        "unserved": {},
        "servers": [server()],
        "endpoints": list(items or (endpoint(),)),
        "resident": ["words__onnx on triton"],
    }
    return Endpoints(**(fields | changes))


def closed_stage(users: int = 4, duration_s: float = 1.0, warmup_s: float = 0.0) -> Stage:
    """A closed-loop stage."""
    return Stage(
        name=f"closed-{users}",
        mode="closed",
        concurrency=users,
        rate=None,
        duration_s=duration_s,
        warmup_s=warmup_s,
        in_flight=users,
    )


def open_stage(rate: float = 200.0, duration_s: float = 5.0, warmup_s: float = 0.0) -> Stage:
    """An open-loop stage."""
    return Stage(
        name=f"open-{rate:g}",
        mode="open",
        concurrency=None,
        rate=rate,
        duration_s=duration_s,
        warmup_s=warmup_s,
        in_flight=64,
    )


def confirm_stage(rate: float = 400.0, duration_s: float = 5.0) -> Stage:
    """The confirmation of a search."""
    return open_stage(rate, duration_s).model_copy(update={"name": f"confirm-{rate:g}", "purpose": "confirm"})


def probe_stage(rate: float = 400.0, duration_s: float = 1.0) -> Stage:
    """A probe of a search: never judged."""
    changes = {"name": f"probe-{rate:g}", "purpose": "probe", "judged": False}
    return open_stage(rate, duration_s).model_copy(update=changes)


def probe(stage: int, rate: float, outcome: str = "kept", **changes: Any) -> Probe:
    """One step of a search."""
    fields: dict[str, Any] = {"stage": stage, "purpose": "probe", "rate": rate, "outcome": outcome}
    fields |= {"reason": "0.2 % above 50 ms" if outcome == "kept" else "2.3 % above 50 ms, 1 % allowed", "seconds": 2.0}
    return Probe(**(fields | changes))


def found(variant: str = "words__onnx__triton__http", value: float | None = 400.0, **changes: Any) -> Found:
    """A search that ended at the server's limit; its confirmation is stage 1."""
    fields: dict[str, Any] = {
        "variant": variant,
        "knee_rps": 600.0,
        "probes": [] if value is None else [probe(0, value), probe(1, value, purpose="confirm")],
        "confirmed": None if value is None else 1,
        "value": value,
        "high": None if value is None else 1.04 * value,
        "limited_by": "server",
        "seconds": 30.0,
    }
    return Found(**(fields | changes))


def search(*items: Found, **changes: Any) -> Search:
    """results/<id>/search.json."""
    fields: dict[str, Any] = {
        "schema_version": 1,
        "resolution": 0.05,
        "probe_s": 6.0,
        "confirm_s": 20.0,
        "complete": True,
        "found": list(items or (found(),)),
        "seconds": 60.0,
        "grid_seconds": 300.0,
    }
    return Search(**(fields | changes))


def plan(*variants: VariantPlan, **changes: Any) -> Plan:
    """results/<id>/plan.json."""
    fields: dict[str, Any] = {
        "schema_version": 1,
        "id": "20260131-120000",
        "started": "2026-01-31T12:00:00+00:00",
        "machine": MACHINE,
        "same_machine": True,
        "versions": {},
        "target": "26.08",
        "seeds": Seeds(schedule=1, payload=2, sampling=3),
        "answers": 8,
        "servers": [server()],
        "resident": ["words__onnx on triton"],
        "unserved": {},
        "variants": list(variants),
    }
    return Plan(**(fields | changes))


def records(
    rows: Iterable[tuple[float, float, float]],
    stage: int = 0,
    variant: str = "words__onnx__triton__http",
    errors: dict[int, str] | None = None,
    start_ns: int = 0,
) -> pa.Table:
    """Records from (intended, sent, done) in milliseconds since ``start_ns``; ``errors`` by row."""
    listed = list(rows)
    failures = [(errors or {}).get(index, "") for index in range(len(listed))]
    count = len(listed)
    columns: dict[str, Any] = {
        "variant": [variant] * count,
        "worker": [0] * count,
        "stage": [stage] * count,
        "payload": ["r0000"] * count,
        "rows": [1] * count,
        "status": [-1 if failure else 200 for failure in failures],
        "error": failures,
        "first_byte_ns": [0] * count,
        "retries": [0] * count,
        "bytes_sent": [10] * count,
        "bytes_received": [20] * count,
    }
    for position, name in enumerate(("intended_ns", "sent_ns", "done_ns")):
        columns[name] = [start_ns + round(row[position] * MILLISECOND) for row in listed]
    return pa.table({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA)


def load(**changes: Any) -> Load:
    """The [load] section."""
    return Load(**changes)


def batching(**changes: Any) -> Batching:
    """A [batching] section."""
    return Batching(**changes)


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Poll until ``true()`` or the deadline; says which it was."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def workspace(path: Path) -> Workspace:
    """A workspace in a test's own folder."""
    return Workspace(path.resolve())
