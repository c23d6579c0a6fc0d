"""The conditions under which a served model runs, as far as they can differ between two engines: the fairness sheet."""

from __future__ import annotations

import importlib.metadata
import os

import psutil

from contract.batching import Batching, Queue
from contract.config import ModelsFile
from contract.endpoints import ServerRecord
from serving.engines.model_processes import model_processes
from serving.engines.tfserving_told import Told, told
from serving.layout import releases
from serving.layout.repository import Served

LIBRARIES = {
    "onnx": "onnxruntime",
    "onnx-fp16": "onnxruntime",
    "onnx-int8": "onnxruntime",
    "torchscript": "torch",
    "savedmodel": "tensorflow",
}
LIBRARY_DEFAULT, NOT_KNOWN, NO_LIMIT, OFF = "library's default", "not known", "no limit", "off"
# Who decides about oneDNN where it is not the environment, which a process of ours inherits from us.
ONEDNN_BY_PLACE = {"docker": "as the server's image has it", "url": NOT_KNOWN}
# Which environment variable turns oneDNN on or off, and what is said where nobody set it: what that amounts to depends
# on the library's build and the processor, and nobody asked the server's process.
ONEDNN = {
    "onnxruntime": ("", "not used (MLAS)"),
    "torch": ("", LIBRARY_DEFAULT),
    "tensorflow": ("TF_ENABLE_ONEDNN_OPTS", LIBRARY_DEFAULT),
}
MIB = 2**20


def conditions(config: ModelsFile, item: Served, server: ServerRecord, native: bool) -> dict[str, str]:
    """Name -> value, in the order of reading."""
    library = LIBRARIES[item.format]
    return {
        "server": ", ".join(filter(None, [f"{server.engine} {server.engine_version}", server.place, server.image])),
        "library": _library(library, item, server, native, config.target),
        "oneDNN": _onednn(library, server),
        **(_on_triton(item) if item.engine == "triton" else _on_tfserving(told(server))),
        "graph optimisations": item.model.triton.graph_level if library == "onnxruntime" else LIBRARY_DEFAULT,
        "cores": NOT_KNOWN if server.place == "url" else ", ".join(map(str, config.affinity.servers)) or "all",
        "load's cores": ", ".join(map(str, config.affinity.load)) or "all",
    }


def _on_triton(item: Served) -> dict[str, str]:
    """What models.toml says of the model, which has settings of its own."""
    batching = item.model.batching
    return {
        "intra-op threads": str(batching.threads),
        "inter-op threads": str(item.model.triton.inter_op_threads or LIBRARY_DEFAULT),
        "instances": str(batching.instances),
        "batching": _batching(batching),
        "queue": _queue(batching.queue),
    }


def _on_tfserving(found: Told | None) -> dict[str, str]:
    """What the server was told for all its models."""
    if found is None:
        return dict.fromkeys(("intra-op threads", "inter-op threads", "instances", "batching", "queue"), NOT_KNOWN)
    return {
        "intra-op threads": str(found.threads),
        "inter-op threads": LIBRARY_DEFAULT,
        "instances": "1",
        "batching": _told_batching(found.batching),
        "queue": _told_queue(found),
    }


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


def _onednn(library: str, server: ServerRecord) -> str:
    if server.place in ONEDNN_BY_PLACE:
        return ONEDNN_BY_PLACE[server.place]
    variable, otherwise = ONEDNN[library]
    value = os.environ.get(variable, "") if variable else ""
    return f"{variable}={value}" if value else otherwise


def _batching(batching: Batching) -> str:
    if not batching.dynamic:
        return OFF
    text = f"up to {batching.max_batch_size}, waits {batching.max_queue_delay_us} µs"
    if batching.preferred_batch_sizes:
        text += f", prefers {', '.join(map(str, batching.preferred_batch_sizes))}"
    if batching.ragged:
        text += ", different lengths together"
    if batching.length_buckets:
        text += f", padded to lengths of {', '.join(map(str, batching.length_buckets))}"
    return text


def _queue(queue: Queue) -> str:
    parts = [f"at most {queue.max_size}"] if queue.max_size else []
    if queue.timeout_us:
        parts.append(f"{queue.timeout_action} after {queue.timeout_us} µs")
    return ", ".join(parts) or NO_LIMIT


def _told_batching(found: dict[str, int] | None) -> str:
    if found is None:
        return OFF
    text = "up to {max_batch_size}, waits {batch_timeout_micros} µs, {num_batch_threads} at a time"
    return text.format(**found)


def _told_queue(found: Told) -> str:
    if found.batching is None:
        return "none: each request runs as it came"
    return f"at most {found.most_waiting_batches} batches" if found.most_waiting_batches else NO_LIMIT
