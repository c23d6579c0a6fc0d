"""Triton backend "onnxruntime" on the Python backend: for servers that come without NVIDIA's native one.

Reads the same config.pbtxt: model.onnx, the thread parameters, the instance's device.
"""

import os

import triton_python_backend_utils as pb_utils
from batch import Settings, execute


class TritonPythonModel:
    def initialize(self, args):
        import onnxruntime

        self.settings = settings = Settings(args)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads("intra_op_thread_count")
        options.inter_op_num_threads = settings.threads("inter_op_thread_count")
        providers = ["CPUExecutionProvider"]
        if settings.gpu is not None:
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": settings.gpu}))
        path = os.path.join(pb_utils.get_model_dir(), settings.filename or "model.onnx")
        self.session = onnxruntime.InferenceSession(path, options, providers=providers)
        if settings.gpu is not None and "CUDAExecutionProvider" not in self.session.get_providers():
            raise pb_utils.TritonModelException(
                "the instance is on a GPU but onnxruntime has no CUDAExecutionProvider; install onnxruntime-gpu"
            )

    def execute(self, requests):
        return execute(requests, self.settings, self._call, pb_utils)

    def _call(self, inputs):
        return self.session.run(self.settings.outputs, inputs)

    def finalize(self):
        self.session = None
