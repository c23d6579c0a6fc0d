"""What config.pbtxt tells Triton's onnxruntime backend alone: graph optimisations, TensorRT, CUDA.

The native backend and the python-based one read the same. Accelerators count on GPU instances only.
"""

from __future__ import annotations

from collections.abc import Mapping

from tritonclient.grpc import model_config_pb2 as pb

from contract.batching import Cuda, TensorRT, Triton
from serving.layout.tensorrt_profiles import check_profiles

GRAPH_LEVELS = {"extended": 1, "basic": -1, "off": 2}  # the backend's default is everything
CONVOLUTION_SEARCHES = {"exhaustive": 0, "heuristic": 1, "default": 2}
ARENA_GROWTHS = {"next-power-of-two": 0, "same-as-requested": 1}
PRECISION = "precision_mode"  # of the TensorRT accelerator


def optimise(config: pb.ModelConfig, triton: Triton) -> None:
    """Write the optimization block: the graph's level, TensorRT, and what CUDA is told as an accelerator.

    Raises UsageError where TensorRT is given shapes that are not those of the model's inputs, which are written by now.
    """
    if triton.graph_level != "all":
        config.optimization.graph.level = GRAPH_LEVELS[triton.graph_level]
    if triton.tensorrt:
        check_profiles(config, triton.tensorrt.options)
        _accelerate(config, "tensorrt", _tensorrt(triton.tensorrt))
    if triton.cuda and triton.cuda.options:
        _accelerate(config, "cuda", triton.cuda.options)


def cuda_parameters(wanted: Cuda) -> dict[str, str]:
    """Four options of the CUDA provider, as parameters of the model.

    As the accelerator's they would be lost: of these four the native backend takes its defaults instead, as soon as the
    model has any parameter at all (onnxruntime_backend, src/onnxruntime.cc, LoadModel).
    """
    found = {
        "cudnn_conv_algo_search": str(CONVOLUTION_SEARCHES[wanted.cudnn_conv_algo_search]),
        "arena_extend_strategy": str(ARENA_GROWTHS[wanted.arena_extend_strategy]),
        "do_copy_in_default_stream": str(int(wanted.do_copy_in_default_stream)),
    }
    if wanted.gpu_mem_limit_mib:
        found["gpu_mem_limit"] = str(wanted.gpu_mem_limit_mib * 2**20)
    return found


def _tensorrt(wanted: TensorRT) -> dict[str, str]:
    found = {
        PRECISION: wanted.precision.upper(),
        "max_workspace_size_bytes": str(wanted.workspace_mib * 2**20),
    }
    if wanted.engine_cache:
        found |= {"trt_engine_cache_enable": "true", "trt_engine_cache_path": wanted.engine_cache}
    return found | wanted.options


def _accelerate(config: pb.ModelConfig, name: str, parameters: Mapping[str, str]) -> None:
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name=name)
    for key, value in parameters.items():
        accelerator.parameters[key] = value
