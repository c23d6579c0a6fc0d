"""The servers' repositories: our backends, the peers on Triton's Python backend, and the embedded TF Serving's."""

from __future__ import annotations

from pathlib import Path

from contract.batching import Batching
from contract.errors import UsageError
from contract.manifest import Manifest
from serving.layout.triton_config import BACKENDS, model_config, to_text

LARGEST = 64  # rows of a batch that Triton may form
FORMATS = {"onnxruntime": "onnx", "pytorch": "torchscript", "tensorflow": "savedmodel"}
EMBEDDED = "embedded"  # the model's name on the embedded TF Serving

NAMES = """
import json, os, numpy, triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.inputs = [item["name"] for item in config["input"]]
        self.outputs = [item["name"] for item in config["output"]]
        self.parameters = {name: item["string_value"] for name, item in config.get("parameters", {}).items()}
        self.made = [(pb_utils.triton_string_to_numpy(item["data_type"]), item["dims"]) for item in config["output"]]
        self.prepare()
    def execute(self, requests):
        responses = []
        for request in requests:
            asked = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
            answers = map(pb_utils.Tensor, self.outputs, self.answer(asked))
            responses.append(pb_utils.InferenceResponse(output_tensors=list(answers)))
        return responses
"""
# As most examples do: one call for each request.
SIMPLE_SOURCE = """
    def prepare(self):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = os.path.join(pb_utils.get_model_dir(), "model.onnx")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    def answer(self, asked):
        return self.session.run(self.outputs, asked)
"""
# Zeros: what no backend in Python can undercut.
EMPTY_SOURCE = """
    def prepare(self):
        pass
    def answer(self, asked):
        rows = len(asked[self.inputs[0]])
        return [numpy.zeros((rows, *dims), kind) for kind, dims in self.made]
"""
EMPTY = "empty"  # its name: a Triton without a model
PEERS = {"simple": NAMES + SIMPLE_SOURCE, EMPTY: NAMES + EMPTY_SOURCE}


def lay_out(repository: Path, artifacts: Path, manifest: Manifest) -> None:
    """Triton's: each of our backends and each peer with the same model. Raises UsageError for one `empty` cannot be."""
    for name, form in {**FORMATS, **dict.fromkeys(PEERS, "onnx")}.items():
        add(repository, name, form, artifacts / str(manifest.formats[form].path), manifest)


def add(repository: Path, name: str, form: str, file: Path, manifest: Manifest) -> None:
    """One model, a backend of ours or a peer by its name. Raises UsageError for one that `empty` cannot be."""
    dynamic = [spec.name for spec in manifest.outputs if -1 in spec.shape[1:]]
    if name == EMPTY and dynamic:
        raise UsageError(f"output {', '.join(dynamic)} has more dynamic axes than the batch: give another --model")
    batching = Batching(max_batch_size=LARGEST, threads=1)
    config = model_config(name, form, manifest.inputs, manifest.outputs, batching, [], "")
    version = repository / name / "1"
    version.mkdir(parents=True)
    (version / BACKENDS[form].filename).symlink_to(file)
    if name in PEERS:
        config.backend, config.platform, config.default_model_filename = "python", "", ""
        (version / "model.py").write_text(PEERS[name])
    (repository / name / "config.pbtxt").write_text(to_text(config))


def lay_out_embedded(repository: Path, artifacts: Path, manifest: Manifest) -> Path:
    """The embedded TF Serving's; returns its model's base path."""
    base = repository / EMBEDDED
    base.mkdir(parents=True)
    (base / "1").symlink_to(artifacts / str(manifest.formats["savedmodel"].path))
    return base
