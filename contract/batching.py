"""How a server runs a model, as models.toml says it: batches, queues, instances, devices, accelerators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from contract.section import Count, Natural, Section
from contract.versions import Versions

GraphLevel = Literal["all", "extended", "basic", "off"]
Precision = Literal["fp32", "fp16", "bf16", "int8"]
ConvolutionSearch = Literal["exhaustive", "heuristic", "default"]
ArenaGrowth = Literal["next-power-of-two", "same-as-requested"]
CUDA_KEYS = {  # option of the CUDA provider -> key of its own
    "gpu_mem_limit": "gpu_mem_limit_mib",
    **{name: name for name in ("cudnn_conv_algo_search", "arena_extend_strategy", "do_copy_in_default_stream")},
}
TENSORRT_KEYS = {  # option of the TensorRT provider, as Triton or as the provider calls it -> key of its own
    **dict.fromkeys(("precision_mode", "trt_fp16_enable", "trt_bf16_enable", "trt_int8_enable"), "precision"),
    **dict.fromkeys(("max_workspace_size_bytes", "trt_max_workspace_size"), "workspace_mib"),
    **dict.fromkeys(("trt_engine_cache_enable", "trt_engine_cache_path"), "engine_cache"),
}
GIVEN_BY_TRITON = ("device_id", "has_user_compute_stream", "user_compute_stream")
VERSIONS = (
    "which proven versions are served: a number is so many of the newest, `all` is every one that has the newest's "
    "signature, a list is just these, the newest of which endpoints name; laid out by a start, left by `make roll`"
)
Options = dict[str, Annotated[str, Field(min_length=1)]]  # of a provider, by its own names
Value = bool | int | tuple[int, ...]  # of a setting that may be tried out


class Queue(Section):
    """What happens to requests that wait (Triton's default queue policy; TF Serving takes `max_size`)."""

    max_size: Natural = Field(
        0,
        description="most waiting requests; one more is refused at once (503, UNAVAILABLE); 0: no limit. A full queue "
        "stalls Triton's batcher: prefer `timeout_us` there",
    )
    timeout_us: Natural = Field(
        0, description="how long a request may wait (503, UNAVAILABLE after that); 0: as long as it takes"
    )
    timeout_action: Literal["reject", "delay"] = Field(
        "reject", description="a request that waited too long is refused, or answered after the others"
    )
    allow_timeout_override: bool = Field(False, description="a request's own timeout counts where it is shorter")


class Batching(Section):
    """How a server joins requests and runs them (`config.pbtxt`, `batching.config`)."""

    dynamic: bool = Field(
        True, description="join waiting requests; false: Triton runs each as it came, however many rows it has"
    )
    max_batch_size: Count = Field(32, description="largest batch that the server may form")
    max_queue_delay_us: Natural = Field(0, description="how long a request may wait for others")
    preferred_batch_sizes: list[Count] = Field(
        [], description="sizes that are sent off at once (TensorRT profiles, say); any size when empty"
    )
    ragged: bool = Field(
        False,
        description="join requests of different lengths: they are padded as `padding` says. Triton's native backends "
        "cannot, so the python-based one is then what is deployed",
    )
    length_buckets: list[Count] = Field(
        [],
        description="lengths that `ragged` requests are padded to: a batch, and a request alone, to the next of them "
        "that holds its longest; beyond the last, and when empty, to the longest itself. Few shapes reach the model",
    )
    instances: Count = Field(
        1, description="instances per server; each is a process of its own with a python-based backend"
    )
    threads: Count = Field(1, description="intra-op threads of one instance")
    queue: Queue = Field(Queue(), description="see below")

    @model_validator(mode="after")
    def _within_the_batch(self) -> Batching:
        for size in self.preferred_batch_sizes:
            if size > self.max_batch_size:
                raise ValueError(f"preferred_batch_sizes holds {size}, max_batch_size is {self.max_batch_size}")
        return self

    @model_validator(mode="after")
    def _buckets_rise(self) -> Batching:
        lengths = self.length_buckets
        if lengths != sorted(set(lengths)):
            raise ValueError(f"length_buckets is {lengths}; give lengths that rise, the shortest first")
        if lengths and not self.ragged:
            raise ValueError(
                f"length_buckets is {lengths}, and ragged is false: requests keep their lengths then; set ragged = true"
            )
        return self

    @model_validator(mode="after")
    def _nothing_waits_for_nobody(self) -> Batching:
        set_too = {
            "max_queue_delay_us": self.max_queue_delay_us,
            "preferred_batch_sizes": self.preferred_batch_sizes,
            "ragged": self.ragged,
            "queue": self.queue != Queue(),
        }
        idle = next((name for name, value in set_too.items() if value), None)
        if not self.dynamic and idle:
            raise ValueError(f"{idle} is about requests that are joined, and dynamic is false; leave one of them out")
        return self


class TensorRT(Section):
    """ONNX Runtime's TensorRT provider in Triton's native backend, on GPUs only."""

    precision: Precision = Field("fp16", description="what TensorRT may compute in; parity is judged again")
    workspace_mib: Count = Field(1024, description="memory that TensorRT may use while it builds an engine")
    engine_cache: str | None = Field(
        None, description="folder inside the container where built engines are kept; built at every start when absent"
    )
    options: Options = Field(
        {},
        description="further options by the names of Triton's accelerator, e.g. trt_timing_cache_enable, or "
        "trt_profile_min_shapes, _opt_shapes and _max_shapes: all three or none",
    )

    @model_validator(mode="after")
    def _each_in_its_place(self) -> TensorRT:
        _in_their_place(self.options, TENSORRT_KEYS)
        for name in self.options:
            if not name.startswith(("trt_", "int8_")):  # as all that Triton's accelerator takes
                raise ValueError(f"options holds '{name}'; TensorRT's begin with trt_ or int8_, CUDA's go below cuda")
        return self


class Cuda(Section):
    """ONNX Runtime's CUDA provider, on GPUs only; what is absent is as the provider has it."""

    gpu_mem_limit_mib: Count | None = Field(None, description="memory that the arena of one instance may take")
    cudnn_conv_algo_search: ConvolutionSearch = Field(
        "exhaustive", description="how the algorithm of a convolution is found: tried out, guessed, or cuDNN's default"
    )
    arena_extend_strategy: ArenaGrowth = Field(
        "next-power-of-two", description="how the arena grows; `same-as-requested` takes less memory, more often"
    )
    do_copy_in_default_stream: bool = Field(True, description="copy in the stream that computes; false: beside it")
    options: Options = Field(
        {}, description="further options by the provider's own names, e.g. use_tf32 or cudnn_conv_use_max_workspace"
    )

    @model_validator(mode="after")
    def _each_in_its_place(self) -> Cuda:
        _in_their_place(self.options, CUDA_KEYS)
        return self


def _in_their_place(options: Mapping[str, str], keys: Mapping[str, str]) -> None:
    """Raise ValueError for an option that has a key of its own in ``keys``, or that Triton decides."""
    for name in options:
        if name in keys:
            raise ValueError(f"options holds '{name}', which has a key: write {keys[name]} beside options")
        if name in GIVEN_BY_TRITON:
            raise ValueError(f"options holds '{name}', which Triton decides for each instance; leave it out")


class Triton(Section):
    """What only Triton knows (`config.pbtxt`)."""

    device: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="`auto`: GPUs where there are any; `gpu` does not load on a machine without one"
    )
    gpus: list[Natural] = Field([], description="ids of the GPUs to use, `instances` on each; all of them when empty")
    versions: Versions = Field(1, description=VERSIONS)
    inter_op_threads: Natural = Field(0, description="operators side by side; 0: the framework decides")
    graph_level: GraphLevel = Field("all", description="ONNX Runtime's graph optimisations")
    tensorrt: TensorRT | None = Field(None, description="ONNX formats on GPUs: TensorRT first, then CUDA; see below")
    cuda: Cuda | None = Field(
        None, description="ONNX formats on GPUs: CUDA's options, for what TensorRT leaves too; see below"
    )
    parameters: dict[str, dict[str, Annotated[str, Field(min_length=1)]]] = Field(
        {}, description="format -> further parameters of the backend, e.g. ENABLE_JIT_PROFILING for torchscript"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Triton:
        if self.gpus and self.device == "cpu":
            raise ValueError(f"gpus names {self.gpus}, device is 'cpu'")
        if self.tensorrt and self.device == "cpu":
            raise ValueError("tensorrt needs a GPU, device is 'cpu'")
        if self.cuda and self.device == "cpu":
            raise ValueError("cuda needs a GPU, device is 'cpu'")
        if len(set(self.gpus)) != len(self.gpus):
            raise ValueError(f"gpus holds an id twice: {self.gpus}")
        return self


class TfServing(Section):
    """What only TF Serving knows (`models.config`)."""

    versions: Versions = Field(1, description=VERSIONS)
