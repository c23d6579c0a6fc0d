"""Triton backend "pytorch" (TorchScript) on the Python backend: for servers that come without NVIDIA's native one.

Inputs are matched as the native backend does: by forward()'s argument names, else in the order of config.pbtxt.
"""

import os
import warnings

import triton_python_backend_utils as pb_utils
from batch import Settings, execute


class TritonPythonModel:
    def initialize(self, args):
        import torch

        warnings.filterwarnings("ignore", category=FutureWarning)  # TorchScript is deprecated and says so at every load
        # Inputs are views on shared memory: read, never written.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        self.torch = torch
        self.settings = settings = Settings(args)
        threads = settings.threads("INTRA_OP_THREAD_COUNT", "NUM_THREADS")
        if threads:
            torch.set_num_threads(threads)
        self.device = torch.device("cpu" if settings.gpu is None else f"cuda:{settings.gpu}")
        path = os.path.join(pb_utils.get_model_dir(), settings.filename or "model.pt")
        self.module = torch.jit.load(path, map_location=self.device).eval()
        names = [argument.name for argument in self.module.forward.schema.arguments[1:]]
        self.order = names if set(names) == set(settings.inputs) else settings.inputs

    def execute(self, requests):
        return execute(requests, self.settings, self._call, pb_utils)

    def _call(self, inputs):
        torch = self.torch
        with torch.inference_mode():
            result = self.module(*[self._tensor(inputs[name]) for name in self.order])
        values = result if isinstance(result, (tuple, list)) else (result,)
        return [value.cpu().numpy() for value in values]

    def _tensor(self, array):
        return self.torch.from_numpy(array).to(self.device)

    def finalize(self):
        self.module = None
