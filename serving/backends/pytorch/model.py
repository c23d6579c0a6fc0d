"""Triton backend "pytorch" (TorchScript) on the Python backend: for servers that come without NVIDIA's native one.

Inputs and outputs are matched as the native backend does: inputs by forward()'s argument names, else both by
``name__index``, else in the order of config.pbtxt. Host tensors are shared with numpy. Tensors that are on the GPU
already (parameter FORCE_CPU_ONLY_INPUT_TENSORS: no) come and go by dlpack and never leave it.
"""

import os
import re
import warnings

import triton_python_backend_utils as pb_utils
from batch import execute
from batch_memory import OnGpu
from batch_settings import ConfigError, Settings
from batch_strings import speed_up_strings

INDEXED = re.compile(r"__(\d+)$")


class TritonPythonModel:
    def initialize(self, args):
        import torch

        warnings.filterwarnings("ignore", category=FutureWarning)  # TorchScript is deprecated and says so at every load
        # Inputs are views on shared memory: read, never written.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        speed_up_strings(pb_utils)
        self.torch = torch
        self.settings = settings = Settings(args)
        self.optimized = not settings.flag("DISABLE_OPTIMIZED_EXECUTION", False)
        self.mode = torch.inference_mode if settings.flag("INFERENCE_MODE", True) else torch.no_grad
        self.clean = settings.flag("ENABLE_CACHE_CLEANING", False) and settings.gpu is not None
        _set_process(torch, settings)
        self.on_gpu = None if settings.gpu is None else OnGpu.of(torch, settings)
        self.device = self.on_gpu and self.on_gpu.device
        path = os.path.join(pb_utils.get_model_dir(), settings.filename or "model.pt")
        self.module = torch.jit.load(path, map_location=self.device or "cpu").eval()
        arguments = [argument.name for argument in self.module.forward.schema.arguments[1:]]
        if len(arguments) != len(settings.inputs):
            raise ConfigError(
                f"config.pbtxt has {len(settings.inputs)} inputs, "
                f"forward() takes {len(arguments)}: {', '.join(arguments)}"
            )
        named = set(arguments) == set(settings.inputs)
        self.inputs = arguments if named else in_order(settings.inputs)
        self.positions = [in_order(settings.outputs).index(name) for name in settings.outputs]

    def execute(self, requests):
        memory = self.on_gpu and self.on_gpu.choose
        responses = execute(requests, self.settings, self._call, pb_utils, memory)
        if self.clean:
            self.torch.cuda.empty_cache()
        return responses

    def _call(self, inputs):
        torch = self.torch
        tensors = [inputs[name] for name in self.inputs]
        stay = any(isinstance(tensor, torch.Tensor) for tensor in tensors)
        tensors = [tensor if isinstance(tensor, torch.Tensor) else torch.from_numpy(tensor) for tensor in tensors]
        if self.device is not None:
            tensors = [tensor.to(self.device) for tensor in tensors]
        with self.mode():
            if self.optimized:
                result = self.module.forward(*tensors)
            else:  # torch keeps this switch for each thread, so it is set where the call is made
                with torch.jit.optimized_execution(False):
                    result = self.module.forward(*tensors)
        values = result if isinstance(result, (tuple, list)) else (result,)
        if len(values) == len(self.positions):
            values = [values[position] for position in self.positions]
        return values if stay else [value.detach().cpu().numpy() for value in values]

    def is_ready(self):
        return self.module is not None

    def finalize(self):
        self.module = None
        if self.device is not None:
            self.torch.cuda.empty_cache()


def in_order(names):
    """The names by their ``__index``, where all have one; else as they are."""
    found = [INDEXED.search(name) for name in names]
    return sorted(names, key=lambda name: int(INDEXED.search(name)[1])) if all(found) else list(names)


def _set_process(torch, settings):
    """What torch has once per process. Each instance is a process of its own, so it is this model's alone."""
    threads = settings.number("INTRA_OP_THREAD_COUNT", "NUM_THREADS")
    if threads:
        torch.set_num_threads(threads)
    threads = settings.number("INTER_OP_THREAD_COUNT", "NUM_INTEROP_THREADS")
    if threads:
        torch.set_num_interop_threads(threads)
    if settings.flag("DISABLE_CUDNN", False):
        torch.backends.cudnn.enabled = False
    for name, switch in (
        ("ENABLE_JIT_EXECUTOR", torch._C._jit_set_profiling_executor),
        ("ENABLE_JIT_PROFILING", torch._C._jit_set_profiling_mode),
        ("ENABLE_TENSOR_FUSER", torch._C._jit_set_texpr_fuser_enabled),
    ):
        wanted = settings.flag(name)
        if wanted is not None:
            switch(wanted)
