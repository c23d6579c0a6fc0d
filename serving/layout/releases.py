"""What a Triton release takes and runs by itself, and so what the local python-based backends stand in for.

Versions are those of NVIDIA's release notes and container manifests. What an ONNX Runtime loads is the least that is
known of it: a newer opset may work and is warned of.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from contract.errors import UsageError

LAST_WITH_TENSORFLOW = (25, 2)
FIRST_WITHOUT_KNOWN_FLAWS = (25, 7)
NATIVE = {
    "onnx": "NVIDIA's native onnxruntime backend",
    "onnx-fp16": "NVIDIA's native onnxruntime backend",
    "onnx-int8": "NVIDIA's native onnxruntime backend",
    "torchscript": "NVIDIA's native pytorch (libtorch) backend",
    "savedmodel": "NVIDIA's native tensorflow backend",
}
RELEASE = re.compile(r"^(\d\d)\.(0[1-9]|1[0-2])$")


@dataclass(frozen=True)
class Release:
    """A container of Triton: its server, its ONNX Runtime, and the newest ONNX that this is known to load."""

    name: str
    triton: str
    onnxruntime: str
    opset: int
    ir: int


# The ones whose contents are known; a release between two of them has at least what the earlier one has.
KNOWN = (
    Release("24.10", "2.51.0", "1.19.2", 21, 10),
    Release("25.02", "2.55.0", "1.20.1", 21, 10),
    Release("25.03", "2.56.0", "1.21.0", 22, 10),
    Release("25.06", "2.59.0", "1.22.0", 22, 10),
    Release("25.10", "2.62.0", "1.23.1", 23, 11),
    Release("26.01", "2.65.0", "1.23.2", 23, 11),
    Release("26.04", "2.68.0", "1.24.4", 23, 11),
    Release("26.07", "2.71.0", "1.27.0", 23, 11),
    Release("26.08", "2.72.0", "1.28.0", 23, 11),
)
# Flags that an older server refuses to start with.
FLAGS_SINCE = {
    "--grpc-max-response-pool-size": (25, 3),
    "--grpc-infer-thread-count": (25, 4),
    "--http-max-input-size": (25, 6),
    "--allow-client-shm": (26, 4),
}


def parse(release: str) -> tuple[int, int]:
    """``"25.03"`` -> (25, 3). Raises UsageError for what is no release."""
    found = RELEASE.match(release)
    if not found:
        raise UsageError(f"'{release}' is not a Triton release: year and month, like {KNOWN[-1].name}")
    return int(found[1]), int(found[2])


def release(target: str) -> Release:
    """The newest known release that is not newer than ``target``; the oldest known one for older targets."""
    return max((item for item in KNOWN if parse(item.name) <= parse(target)), key=_age, default=KNOWN[0])


def flags(target: str, wanted: dict[str, str]) -> list[str]:
    """Those of the ``wanted`` flags that the release takes, as words of its command line."""
    return [f"{name}={value}" for name, value in wanted.items() if parse(target) >= FLAGS_SINCE.get(name, (0, 0))]


def stand_in_for(form: str, backend_kind: str, target: str, python_runtime: bool = False) -> str | None:
    """What a deployment on release ``target`` would run instead of the backend that was measured, or None.

    From 25.03 on no release has a TensorFlow backend: there the python-based one is what would be deployed. So it is
    where the configuration names the python runtime.
    """
    if backend_kind == "native" or python_runtime or (form == "savedmodel" and not _has_tensorflow(target)):
        return None
    return f"{NATIVE[form]} of release {target}"


def warnings(target: str) -> list[str]:
    """What a person should know before deploying on a release."""
    found = []
    if parse(target) < FIRST_WITHOUT_KNOWN_FLAWS:
        found.append(
            f"target {target} is older than 25.07 and has published unauthenticated remote flaws "
            "(CVE-2025-23310, 23311, 23319, 23320, 23334): deploy 25.07 or newer, where SavedModels have no native "
            "backend any more (25.02 was the last with one)"
        )
    if parse(target) < parse(KNOWN[0].name):
        found.append(f"target {target} is older than {KNOWN[0].name}, the oldest release that is known here")
    if parse(target) > parse(KNOWN[-1].name):
        found.append(f"target {target} is not known here yet; what is true of {KNOWN[-1].name} is taken to be of it")
    return found


def format_warnings(target: str, form: str, facts: dict[str, int | str]) -> list[str]:
    """What of one exported format the release may not take; ``facts`` are those of the manifest."""
    if form == "savedmodel" and not _has_tensorflow(target):
        return [
            f"target {target} has no TensorFlow backend (25.02 was the last with one): put serving/backends/tensorflow "
            "into its image, as docs/serving.md shows, or deploy on TF Serving"
        ]
    if not form.startswith("onnx"):
        return []
    known = release(target)
    opset, ir = int(facts.get("opset", 0)), int(facts.get("ir", 0))
    if opset <= known.opset and ir <= known.ir:
        return []
    return [
        f"opset {opset}, IR version {ir}: ONNX Runtime {known.onnxruntime} of target {target} is known to load "
        f"opset {known.opset}, IR version {known.ir}"
    ]


def _has_tensorflow(target: str) -> bool:
    return parse(target) <= LAST_WITH_TENSORFLOW


def _age(item: Release) -> tuple[int, int]:
    return parse(item.name)
