"""Triton backend "onnxruntime" on the Python backend: for servers that come without NVIDIA's native one.

Reads the same config.pbtxt: model.onnx, threads, graph optimisation, memory, GPU accelerators, the instance's device.
Arrays go into ``run`` and come out of it without a copy. Binding them first (io_binding) was measured on a CPU: 1.5
times the call at batch 1, equal at batch 32. On a GPU ``run`` copies a batch once each way, as a binding of host memory
does. Tensors that are on the GPU already (parameter FORCE_CPU_ONLY_INPUT_TENSORS: no) are bound and never leave it.
"""

import os

import numpy as np
import triton_python_backend_utils as pb_utils
from batch import execute
from batch_memory import STAY_ON_GPU, OnGpu
from batch_settings import BOOLEANS, ConfigError, Settings
from batch_strings import speed_up_strings

# optimization.graph.level of config.pbtxt, as the native backend reads it.
GRAPH_LEVELS = {0: "ORT_ENABLE_ALL", -1: "ORT_ENABLE_BASIC", 1: "ORT_ENABLE_EXTENDED", 2: "ORT_DISABLE_ALL"}
EXECUTION_MODES = {"0": "ORT_SEQUENTIAL", "1": "ORT_PARALLEL"}
PRECISIONS = {"FP32": None, "FP16": "trt_fp16_enable", "BF16": "trt_bf16_enable", "INT8": "trt_int8_enable"}
TENSORRT = {  # names that differ from the provider's own; those that begin with trt_ are the same
    "max_workspace_size_bytes": "trt_max_workspace_size",
    "int8_calibration_table_name": "trt_int8_calibration_table_name",
    "int8_use_native_calibration_table": "trt_int8_use_native_calibration_table",
}
CUDA_CHOICES = {  # numbers in config.pbtxt, names in the provider
    "cudnn_conv_algo_search": ["EXHAUSTIVE", "HEURISTIC", "DEFAULT"],
    "arena_extend_strategy": ["kNextPowerOfTwo", "kSameAsRequested"],
}


class TritonPythonModel:
    def initialize(self, args):
        self.settings = settings = Settings(args)
        self.on_gpu = on_gpu(settings)  # before onnxruntime, which then finds the CUDA libraries that torch has loaded
        import onnxruntime

        speed_up_strings(pb_utils)
        self.texts = [name for name, kind in settings.input_types.items() if kind == np.object_]
        wanted = providers(settings)
        missing = [name for name, _ in wanted if name not in onnxruntime.get_available_providers()]
        if missing:
            raise ConfigError(f"this onnxruntime has no {missing[0]}; a GPU needs the package onnxruntime-gpu")
        self.session = onnxruntime.InferenceSession(_path(settings), _options(onnxruntime, settings), providers=wanted)
        # onnxruntime goes on without a provider that cannot start, and leaves one that failed: neither may go unseen.
        lost = [name for name, _ in wanted if name not in self.session.get_providers()]
        if lost:
            raise ConfigError(f"onnxruntime could not start {lost[0]}; its reason is in the server's log")
        self.session.disable_fallback()
        _check_names(self.session, settings)
        self.run_options = None
        if settings.text("memory.enable_memory_arena_shrinkage"):
            self.run_options = onnxruntime.RunOptions()
            key = "memory.enable_memory_arena_shrinkage"
            self.run_options.add_run_config_entry(key, settings.text(key))
        self.bound = self.on_gpu and Bound(onnxruntime.OrtValue, self.session, settings, self.on_gpu, self.run_options)

    def execute(self, requests):
        memory = self.on_gpu and self.on_gpu.choose
        return execute(requests, self.settings, self._call, pb_utils, memory)

    def _call(self, inputs):
        if self.bound and not all(isinstance(array, np.ndarray) for array in inputs.values()):
            return self.bound(inputs)
        for name in self.texts:
            inputs[name] = _decoded(inputs[name])
        return self.session.run(self.settings.outputs, inputs, self.run_options)

    def is_ready(self):
        return self.session is not None

    def finalize(self):
        self.session = self.bound = None


class Bound:
    """The session's call for tensors on a device: its inputs are bound where they are, its outputs made beside them.

    Nothing is copied. Both sides keep alive what they were given by dlpack, for as long as they use it.
    """

    def __init__(self, values, session, settings, on_gpu, run_options=None):
        """``values`` is onnxruntime's OrtValue. Raises ConfigError where the model or this onnxruntime cannot do it."""
        types = [*settings.input_types.items(), *zip(settings.outputs, settings.output_types, strict=True)]
        texts = [name for name, kind in types if kind == np.object_]
        if texts:
            raise ConfigError(f"'{texts[0]}' is a text, which onnxruntime cannot bind; leave out {STAY_ON_GPU}")
        if not hasattr(values, "from_dlpack"):
            raise ConfigError(
                f"this onnxruntime takes no tensors by dlpack; install a newer one or leave out {STAY_ON_GPU}"
            )
        booleans = [name for name, kind in types if kind == np.bool_]
        if booleans and not _passes_booleans(values, on_gpu.torch):
            raise ConfigError(
                f"'{booleans[0]}' is a boolean, which this onnxruntime does not pass by dlpack; "
                f"install 1.32 or newer, or leave out {STAY_ON_GPU}"
            )
        self.values, self.session, self.outputs = values, session, settings.outputs
        self.on_gpu, self.run_options = on_gpu, run_options

    def __call__(self, inputs):
        device = self.on_gpu.device
        binding = self.session.io_binding()
        for name, tensor in inputs.items():
            binding.bind_ortvalue_input(name, self.values.from_dlpack(tensor.contiguous()))
        for name in self.outputs:  # without a shape: onnxruntime allocates when it knows it
            binding.bind_output(name, device.type, device.index or 0)
        self.on_gpu.settle()
        self.session.run_with_iobinding(binding, self.run_options)
        binding.synchronize_outputs()
        return [self.on_gpu.torch.from_dlpack(value) for value in binding.get_outputs()]


def _passes_booleans(values, torch):
    """Whether a boolean tensor goes into onnxruntime and comes back as one: 1.31 refuses it and answers with bytes."""
    try:
        returned = torch.from_dlpack(values.from_dlpack(torch.zeros(1, dtype=torch.bool)))
    except RuntimeError:
        return False
    return returned.dtype == torch.bool


def on_gpu(settings):
    """How tensors that are on the GPU already are treated; None where Triton copies them to the host, as by default."""
    if settings.gpu is None or settings.text(STAY_ON_GPU) != "no":
        return None
    try:
        import torch
    except ImportError as error:
        raise ConfigError(f"{STAY_ON_GPU} is no: requests are joined by torch there; install it ({error})") from None
    return OnGpu.of(torch, settings)


def providers(settings):
    """[(provider, options)] in the order in which onnxruntime shall try them."""
    accelerators = settings.config.get("optimization", {}).get("execution_accelerators", {})
    on_gpu = {item["name"]: item.get("parameters", {}) for item in accelerators.get("gpu_execution_accelerator", [])}
    on_cpu = {item["name"]: item.get("parameters", {}) for item in accelerators.get("cpu_execution_accelerator", [])}
    for names, known in ((on_gpu, ("tensorrt", "cuda")), (on_cpu, ("openvino",))):
        for name in names:
            if name not in known:
                raise ConfigError(f"unknown execution accelerator '{name}'; one of {', '.join(known)}")
    # Checked on a CPU too, so that a mistake is found before the GPU is paid for.
    tensorrt = _tensorrt_options(on_gpu["tensorrt"]) if "tensorrt" in on_gpu else None
    cuda = _cuda_options(on_gpu.get("cuda", {}), settings)
    found = []
    if settings.gpu is not None:
        if tensorrt is not None:
            found.append(("TensorrtExecutionProvider", {**tensorrt, "device_id": str(settings.gpu)}))
        found.append(("CUDAExecutionProvider", {**cuda, "device_id": str(settings.gpu)}))
    elif on_cpu:
        found.append(("OpenVINOExecutionProvider", {"device_type": "CPU"}))
    return [*found, ("CPUExecutionProvider", {})]


def _tensorrt_options(parameters):
    options = {}
    for name, value in parameters.items():
        if name == "precision_mode":
            if value not in PRECISIONS:
                raise ConfigError(f"tensorrt: precision_mode is '{value}'; one of {', '.join(PRECISIONS)}")
            if PRECISIONS[value]:
                options[PRECISIONS[value]] = "1"
            continue
        if name not in TENSORRT and not name.startswith("trt_"):
            raise ConfigError(f"tensorrt: unknown parameter '{name}'")
        if name == "max_workspace_size_bytes" and not value.isdigit():
            raise ConfigError(f"tensorrt: max_workspace_size_bytes is '{value}'; give a number of bytes")
        options[TENSORRT.get(name, name)] = _one_or_zero(name, value)
    return options


def _one_or_zero(name, value):
    """onnxruntime takes 1 and True for switches; config.pbtxt may also say true."""
    if name.endswith(("_enable", "_native_calibration_table", "_fallback", "_log", "_build")):
        if value.lower() not in BOOLEANS:
            raise ConfigError(f"tensorrt: {name} is '{value}'; give 1 or 0")
        return "1" if BOOLEANS[value.lower()] else "0"
    return value


def _cuda_options(parameters, settings):
    """The accelerator's parameters, and the older way of giving four of them: as parameters of the model."""
    options = {name: settings.text(name) for name in (*CUDA_CHOICES, "gpu_mem_limit", "do_copy_in_default_stream")}
    options = {name: value for name, value in (options | parameters).items() if value}
    for name, choices in CUDA_CHOICES.items():
        value = options.get(name)
        if value is None or value in choices:
            continue
        if not value.isdigit() or int(value) >= len(choices):
            known = ", ".join(f"{number} ({choice})" for number, choice in enumerate(choices))
            raise ConfigError(f"cuda: {name} is '{value}'; one of {known}")
        options[name] = choices[int(value)]
    return options


def _options(onnxruntime, settings):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.number("intra_op_thread_count")
    options.inter_op_num_threads = settings.number("inter_op_thread_count")
    level = int(settings.config.get("optimization", {}).get("graph", {}).get("level", 0))
    if level not in GRAPH_LEVELS:
        raise ConfigError(
            f"optimization.graph.level is {level}; give -1 (basic), 1 (extended) or 2 (off), or leave it out"
        )
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, GRAPH_LEVELS[level])
    mode = settings.text("execution_mode", "0")
    if mode not in EXECUTION_MODES:
        raise ConfigError(f"parameter execution_mode is '{mode}'; give 0 (one operator at a time) or 1 (side by side)")
    options.execution_mode = getattr(onnxruntime.ExecutionMode, EXECUTION_MODES[mode])
    options.enable_cpu_mem_arena = settings.flag("enable_mem_arena", True)
    options.enable_mem_pattern = settings.flag("enable_mem_pattern", True)
    initializers = "session.use_device_allocator_for_initializers"
    if settings.flag(initializers) is not None:
        options.add_session_config_entry(initializers, "1" if settings.flag(initializers) else "0")
    return options


def _path(settings):
    path = os.path.join(pb_utils.get_model_dir(), settings.filename or "model.onnx")
    return os.path.join(path, "model.onnx") if os.path.isdir(path) else path  # a folder holds external data too


def _check_names(session, settings):
    for what, given, tensors in (
        ("input", settings.inputs, session.get_inputs()),
        ("output", settings.outputs, session.get_outputs()),
    ):
        known = [tensor.name for tensor in tensors]
        for name in given:
            if name not in known:
                raise ConfigError(f"config.pbtxt names {what} '{name}'; the model has {', '.join(known)}")


def _decoded(array):
    """onnxruntime's strings are text; from bytes it would make their Python notation."""
    texts = np.empty(array.size, dtype=object)
    texts[:] = list(map(bytes.decode, array.ravel().tolist()))
    return texts.reshape(array.shape)
