"""The conditions under which a served model runs, as far as they can differ between two engines: the fairness sheet."""

from __future__ import annotations

import importlib.metadata
import os

import psutil

from contract.config import ModelsFile
from contract.endpoints import ServerRecord
from serving import releases
from serving.model_processes import model_processes
from serving.repository import Served
from serving.tensorflow_serving import BATCHES

LIBRARIES = {
    "onnx": "onnxruntime",
    "onnx-fp16": "onnxruntime",
    "onnx-int8": "onnxruntime",
    "torchscript": "torch",
    "savedmodel": "tensorflow",
}
# Which environment variable turns oneDNN off, and what is said where nobody set it.
ONEDNN = {
    "onnxruntime": ("", "not used (MLAS)"),
    "torch": ("", "on (the library's default)"),
    "tensorflow": ("TF_ENABLE_ONEDNN_OPTS", "on (the library's default)"),
}
MIB = 2**20


def conditions(config: ModelsFile, item: Served, server: ServerRecord, native: bool) -> dict[str, str]:
    """Name -> value, in the order of reading."""
    batching, triton = item.model.batching, item.model.triton
    library = LIBRARIES[item.format]
    found = {
        "server": f"{server.engine} {server.engine_version}, {server.place}",
        "library": _library(library, item, server, native, config.target),
        "oneDNN": _onednn(library, native),
        "intra-op threads": str(batching.threads),
        "inter-op threads": str(triton.inter_op_threads or "library's default"),
        "instances": str(batching.instances if item.engine == "triton" else 1),
        "batching": _batching(item) if joins(item, server) else "off",
        "queue": _queue(item),
        "graph optimisations": triton.graph_level if library == "onnxruntime" else "library's default",
        "cores": ", ".join(map(str, config.affinity.servers)) or "all",
        "load's cores": ", ".join(map(str, config.affinity.load)) or "all",
    }
    return found


def joins(item: Served, server: ServerRecord) -> bool:
    """Whether the server joins requests into batches; of a TF Serving at an address nobody knows."""
    return item.engine == "triton" or BATCHES in server.command


def instance_mib(item: Served, server: ServerRecord) -> float | None:
    """Memory that one more instance takes (its processes' own pages, USS); None where it shares a server's process."""
    if item.engine != "triton" or server.place != "process":
        return None
    sizes = []
    for pid, model in model_processes(server).items():
        if model == (item.name, item.version):
            try:
                sizes.append(psutil.Process(pid).memory_full_info().uss)
            except psutil.Error:
                continue
    return round(sum(sizes) / len(sizes) / MIB, 1) if sizes else None


def _library(library: str, item: Served, server: ServerRecord, native: bool, target: str) -> str:
    """The framework, with its version where it can be known: of our own processes, and of what a release brings."""
    if server.engine_kind == "real" and native and library == "onnxruntime":
        known = releases.release(target)
        return f"onnxruntime {known.onnxruntime} (of release {known.name})"
    if native or server.place != "process":
        return library
    package = "onnxruntime-gpu" if library == "onnxruntime" and not _installed(library) else library
    return f"{library} {importlib.metadata.version(package)}"


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _onednn(library: str, native: bool) -> str:
    if native:
        return "as the server's image has it"
    variable, otherwise = ONEDNN[library]
    value = os.environ.get(variable, "") if variable else ""
    return f"{variable}={value}" if value else otherwise


def _batching(item: Served) -> str:
    batching = item.model.batching
    if item.engine == "triton" and not batching.dynamic:
        return "off"
    text = f"up to {batching.max_batch_size}, waits {batching.max_queue_delay_us} µs"
    if item.engine == "triton" and batching.preferred_batch_sizes:
        text += f", prefers {', '.join(map(str, batching.preferred_batch_sizes))}"
    if item.engine == "triton" and batching.ragged:
        text += ", different lengths together"
    return text


def _queue(item: Served) -> str:
    queue = item.model.batching.queue
    parts = [f"at most {queue.max_size}"] if queue.max_size else []
    if queue.timeout_us and item.engine == "triton":
        parts.append(f"{queue.timeout_action} after {queue.timeout_us} µs")
    return ", ".join(parts) or "no limit"
