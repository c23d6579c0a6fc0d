"""What a Triton release runs by itself, and so what the python-based backends of the local server stand in for."""

from __future__ import annotations

LAST_WITH_TENSORFLOW = (25, 2)
FIRST_WITHOUT_KNOWN_FLAWS = (25, 7)
NATIVE = {
    "onnx": "NVIDIA's native onnxruntime backend",
    "onnx-fp16": "NVIDIA's native onnxruntime backend",
    "onnx-int8": "NVIDIA's native onnxruntime backend",
    "torchscript": "NVIDIA's native pytorch (libtorch) backend",
    "savedmodel": "NVIDIA's native tensorflow backend",
}


def parse(release: str) -> tuple[int, int]:
    """``"25.03"`` -> (25, 3)."""
    year, month = release.split(".")
    return int(year), int(month)


def stand_in_for(form: str, backend_kind: str, target: str) -> str | None:
    """What a deployment on release ``target`` would run instead of the backend that was measured, or None.

    From 25.03 on no release has a TensorFlow backend: there the python-based one is what would be deployed.
    """
    if backend_kind == "native" or (form == "savedmodel" and parse(target) > LAST_WITH_TENSORFLOW):
        return None
    return f"{NATIVE[form]} of release {target}"


def warnings(target: str) -> list[str]:
    """What a person should know before deploying on a release."""
    found = []
    if parse(target) < FIRST_WITHOUT_KNOWN_FLAWS:
        found.append(
            f"target {target} is older than 25.07 and has published unauthenticated remote flaws "
            "(CVE-2025-23310, 23311, 23319, 23320, 23334): deploy 25.07 or newer"
        )
    return found
