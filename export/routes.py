"""The tables of this stage: who answers for a source, which routes lead to a format, who opens it to verify it.

A route is one call of one converter. Native ones come first; the next is tried only where the one before did not lead
to an artifact that is proven. After the native routes come those that lead on from the source's proven ONNX file.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# kind of source -> (model) -> the trained model's own answers
ORACLES = {
    "pytorch": "export.from_pytorch:trained",
    "torchscript": "export.from_pytorch:trained",
    "torch.export": "export.from_pytorch:trained",
    "keras": "export.from_keras:trained",
    "keras-factory": "export.from_keras:trained",
    "tensorflow": "export.from_tensorflow:trained",
    "savedmodel": "export.from_tensorflow:savedmodel_trained",
    "onnx": "export.from_onnx:trained",
}


@dataclass(frozen=True)
class Route:
    """One way to a format: who converts, from the source or from a proven file of another format."""

    name: str
    converter: str
    via: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


TORCH_BACKEND = {"KERAS_BACKEND": "torch"}
KERAS: dict[str, list[Route]] = {
    "savedmodel": [Route("keras", "export.from_keras:to_savedmodel")],
    "onnx": [Route("tf2onnx", "export.from_keras:to_onnx")],
    "torchscript": [Route("keras-torch", "export.from_keras_torch:to_torchscript", environment=TORCH_BACKEND)],
}
# kind of source -> format -> routes, the best first
ROUTES: dict[str, dict[str, list[Route]]] = {
    "pytorch": {
        "torchscript": [
            Route("script", "export.from_pytorch:to_torchscript"),
            Route("trace", "export.from_pytorch:traced_to_torchscript"),
        ],
        "onnx": [
            Route("dynamo", "export.from_pytorch:to_onnx"),
            Route("scripted", "export.from_pytorch:scripted_to_onnx"),
        ],
        "pt2": [Route("aoti", "export.from_pytorch:to_pt2")],
    },
    "torchscript": {
        "torchscript": [
            Route("copy", "export.from_pytorch:copied_torchscript"),
            Route("trace", "export.from_pytorch:traced_to_torchscript"),
        ],
        "onnx": [Route("scripted", "export.from_pytorch:scripted_to_onnx")],
    },
    "torch.export": {
        "torchscript": [Route("trace", "export.from_pytorch:traced_to_torchscript")],
        "onnx": [Route("dynamo", "export.from_pytorch:to_onnx")],
        "pt2": [Route("aoti", "export.from_pytorch:to_pt2")],
    },
    "keras": KERAS,
    "keras-factory": KERAS,
    "tensorflow": {
        "savedmodel": [Route("autograph", "export.from_tensorflow:to_savedmodel")],
        "onnx": [Route("tf2onnx", "export.from_tensorflow:to_onnx")],
    },
    "savedmodel": {
        "savedmodel": [Route("copy", "export.from_tensorflow:copied_savedmodel")],
        "onnx": [
            Route("tf2onnx", "export.from_tensorflow:savedmodel_to_onnx"),
            Route("session", "export.from_tensorflow:session_to_onnx"),
        ],
    },
    "onnx": {
        "onnx": [Route("copy", "export.from_onnx:copied")],
    },
}
# format -> routes that lead on from a proven ONNX file
FROM_ONNX: dict[str, list[Route]] = {
    "torchscript": [Route("onnx2torch", "export.onnx_torchscript:to_torchscript", via="onnx")],
    "savedmodel": [Route("onnx-tensorflow", "export.onnx_savedmodel:to_savedmodel", via="onnx")],
    "onnx-fp16": [Route("float16", "export.onnx_precision:to_fp16", via="onnx")],
    "onnx-int8": [Route("dynamic-int8", "export.onnx_precision:to_int8", via="onnx")],
}
# format -> who opens the artifact as a serving engine would
RUNTIMES = {
    "torchscript": "export.runtime_torchscript:open_artifact",
    "savedmodel": "export.runtime_savedmodel:open_artifact",
    "onnx": "export.runtime_onnx:open_artifact",
    "onnx-fp16": "export.runtime_onnx:open_artifact",
    "onnx-int8": "export.runtime_onnx:open_artifact",
    "pt2": "export.runtime_pt2:open_artifact",
}
# format -> name of the artifact beside the manifest
FILES = {
    "torchscript": "model.pt",
    "savedmodel": "model.savedmodel",
    "onnx": "model.onnx",
    "onnx-fp16": "model-fp16.onnx",
    "onnx-int8": "model-int8.onnx",
    "pt2": "model.pt2",
}
# packages whose versions decide what an export looks like
SOURCE_PACKAGES = {
    "pytorch": ["torch", "onnx", "onnxscript"],
    "torchscript": ["torch", "onnx"],
    "torch.export": ["torch", "onnx", "onnxscript"],
    "keras": ["tensorflow", "keras", "tf2onnx", "onnx", "torch"],
    "keras-factory": ["tensorflow", "keras", "tf2onnx", "onnx", "torch"],
    "tensorflow": ["tensorflow", "tf2onnx", "onnx"],
    "savedmodel": ["tensorflow", "tf2onnx", "onnx"],
    "onnx": ["onnx"],
}
ONNX_RUNTIMES = ["onnxruntime", "onnxruntime-gpu"]  # either proves the file that others lead on from
FORMAT_PACKAGES = {
    "torchscript": ["torch", "onnx2torch", *ONNX_RUNTIMES],
    "savedmodel": ["tensorflow", *ONNX_RUNTIMES],
    "onnx": ONNX_RUNTIMES,
    "onnx-fp16": ONNX_RUNTIMES,
    "onnx-int8": ONNX_RUNTIMES,
    "pt2": ["torch"],
}


def routes(kind: str, form: str) -> list[Route]:
    """Every route from a kind of source to a format, in the order in which they are tried."""
    own = ROUTES[kind].get(form, [])
    return [*own, *(FROM_ONNX.get(form, []) if form != "onnx" else [])]


def packages(kind: str, form: str) -> list[str]:
    """Distributions whose versions belong into the record of a format."""
    return sorted({*SOURCE_PACKAGES[kind], *FORMAT_PACKAGES[form]})


def order(formats: list[str]) -> list[str]:
    """The formats in the order of work: others lead on from ONNX."""
    return sorted(formats, key=lambda form: (form != "onnx", formats.index(form)))
