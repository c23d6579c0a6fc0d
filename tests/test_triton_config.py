"""config.pbtxt: what Triton would read is what was meant."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from contract.batching import Batching, Cuda, Queue, TensorRT, Triton
from contract.golden import Example
from contract.tensors import DTYPES, TensorSpec
from serving.layout.triton_config import (
    BACKENDS,
    WARM_UP_REQUESTS,
    model_config,
    model_type,
    to_text,
    warm_up_examples,
    warm_up_file,
)
from tests.builders import LOGITS, TOKENS, example, examples


def parsed(form: str = "onnx", **changes: Any) -> pb.ModelConfig:
    """The configuration after a trip through the text that Triton reads."""
    fields: dict[str, Any] = {
        "name": "words__onnx",
        "form": form,
        "inputs": [TOKENS],
        "outputs": [LOGITS],
        "batching": Batching(),
        "warm_up": [],
        "artifact_sha256": "a" * 64,
    }
    built = model_config(**(fields | changes))
    read = text_format.Parse(to_text(built), pb.ModelConfig())
    assert read == built
    return read


@pytest.mark.parametrize(
    ("form", "backend", "platform", "filename"),
    [
        ("torchscript", "pytorch", "pytorch_libtorch", "model.pt"),
        ("onnx", "onnxruntime", "onnxruntime_onnx", "model.onnx"),
        ("savedmodel", "tensorflow", "tensorflow_savedmodel", "model.savedmodel"),
    ],
)
def test_backend_and_platform_are_a_pair_that_triton_knows(
    form: str, backend: str, platform: str, filename: str
) -> None:
    read = parsed(form)
    assert (read.backend, read.platform, read.default_model_filename) == (backend, platform, filename)


def test_every_served_format_has_a_backend() -> None:
    assert set(BACKENDS) == {"torchscript", "onnx", "onnx-fp16", "onnx-int8", "savedmodel"}


@pytest.mark.parametrize("form", BACKENDS)
def test_one_text_serves_a_cpu_and_a_gpu(form: str) -> None:
    read = parsed(form, batching=Batching(instances=3))
    assert [(group.kind, group.count) for group in read.instance_group] == [(pb.ModelInstanceGroup.KIND_AUTO, 3)]
    assert list(read.instance_group[0].gpus) == []
    assert "KIND_GPU" not in to_text(read)


@pytest.mark.parametrize("form", BACKENDS)
def test_the_count_is_always_written_since_triton_would_start_two_of_some(form: str) -> None:
    assert "count: 1" in to_text(parsed(form))


@pytest.mark.parametrize("form", BACKENDS)
def test_no_runtime_is_named_so_that_a_native_backend_is_taken_where_there_is_one(form: str) -> None:
    assert parsed(form).runtime == ""


def test_dims_leave_out_the_batch_axis() -> None:
    read = parsed()
    assert [(item.name, list(item.dims)) for item in (*read.input, *read.output)] == [("tokens", [-1]), ("logits", [2])]
    assert read.max_batch_size == 32
    assert not any(item.HasField("reshape") for item in (*read.input, *read.output))


def test_a_scalar_per_row_becomes_dims_one_with_an_empty_reshape() -> None:
    price = TensorSpec(name="price", dtype="float32", dims=["batch"])
    read = parsed(inputs=[price], outputs=[price.model_copy(update={"name": "sum"})])
    for tensor in (read.input[0], read.output[0]):
        assert list(tensor.dims) == [1]
        assert tensor.HasField("reshape")
        assert list(tensor.reshape.shape) == []
    assert "reshape {\n" in to_text(read)


@pytest.mark.parametrize("delay", [0, 500])
def test_dynamic_batching_is_written_even_where_nobody_waits(delay: int) -> None:
    read = parsed(batching=Batching(max_batch_size=8, max_queue_delay_us=delay))
    assert read.HasField("dynamic_batching")
    assert read.dynamic_batching.max_queue_delay_microseconds == delay
    assert read.max_batch_size == 8


def test_without_dynamic_batching_requests_may_still_have_rows() -> None:
    read = parsed(batching=Batching(max_batch_size=8, dynamic=False))
    assert not read.HasField("dynamic_batching")
    assert read.max_batch_size == 8


def test_a_server_that_batches_nothing_still_gets_a_batch_size_of_one() -> None:
    read = parsed(batching=Batching(max_batch_size=1))
    assert read.max_batch_size == 1
    assert read.HasField("dynamic_batching")


@pytest.mark.parametrize(
    ("form", "parameter"),
    [
        ("torchscript", "INTRA_OP_THREAD_COUNT"),
        ("onnx", "intra_op_thread_count"),
        ("savedmodel", "TF_NUM_INTRA_THREADS"),
    ],
)
def test_threads_travel_in_the_parameter_that_the_native_backend_reads(form: str, parameter: str) -> None:
    assert parsed(form, batching=Batching(threads=5)).parameters[parameter].string_value == "5"


def test_the_artifacts_hash_travels_with_it() -> None:
    assert parsed(artifact_sha256="c" * 64).parameters["artifact_sha256"].string_value == "c" * 64


def test_only_the_newest_version_is_served() -> None:
    assert parsed().version_policy.latest.num_versions == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_of_the_project_has_a_name_in_triton(dtype: str) -> None:
    spec = TensorSpec(name="x", dtype=dtype, dims=["batch", 2])
    read = parsed(inputs=[spec], outputs=[spec])
    name = pb.DataType.Name(read.input[0].data_type)
    assert name == ("TYPE_STRING" if dtype == "string" else f"TYPE_{DTYPES[dtype].triton}")
    assert read.input[0].data_type == read.output[0].data_type == model_type(dtype) != pb.DataType.TYPE_INVALID


def test_warm_up_names_golden_requests_within_the_batch_limit() -> None:
    golden = examples()
    chosen = warm_up_examples(golden, 8)
    read = parsed(batching=Batching(max_batch_size=8), warm_up=chosen)
    by_key = {item.key: item for item in golden}
    assert read.model_warmup
    for entry in read.model_warmup:
        asked = by_key[entry.name]
        assert 1 <= entry.batch_size == asked.rows <= 8
        assert set(entry.inputs) == {"tokens"}
        assert list(entry.inputs["tokens"].dims) == list(asked.inputs["tokens"].shape[1:])
        assert entry.inputs["tokens"].data_type == pb.DataType.TYPE_INT64
        assert entry.inputs["tokens"].input_data_file == warm_up_file(asked, "tokens")


def test_warm_up_takes_a_few_requests_of_different_shapes_the_larger_ones_first() -> None:
    golden = [example(number, rows=1 + number % 3, length=2 + number) for number in range(40)]
    chosen = warm_up_examples([*golden, *golden], 32)
    shapes = [item.inputs["tokens"].shape for item in chosen]
    sizes = [rows * length for rows, length in shapes]
    assert len(chosen) == WARM_UP_REQUESTS
    assert len(set(shapes)) == len(shapes)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == max(item.inputs["tokens"].size for item in golden)


def test_a_batch_limit_below_every_request_leaves_no_warm_up() -> None:
    assert warm_up_examples([example(0, rows=4), example(1, rows=2)], 1) == []


def test_a_scalar_per_row_is_warmed_up_with_dims_one() -> None:
    price = TensorSpec(name="price", dtype="float32", dims=["batch"])
    asked = Example("r0000", {"price": np.ones(4, dtype=np.float32)})
    read = parsed(inputs=[price], outputs=[price], warm_up=[asked])
    assert list(read.model_warmup[0].inputs["price"].dims) == [1]
    assert read.model_warmup[0].batch_size == 4


def test_string_inputs_are_typed_as_strings_in_the_warm_up_too() -> None:
    text = TensorSpec(name="text", dtype="string", dims=["batch", 1])
    asked = Example("r0003", {"text": np.array([[b"good"], [b"bad"]], dtype=object)})
    read = parsed(inputs=[text], outputs=[LOGITS], warm_up=[asked])
    assert read.input[0].data_type == pb.DataType.TYPE_STRING
    entry = read.model_warmup[0].inputs["text"]
    assert (entry.data_type, list(entry.dims), entry.input_data_file) == (pb.DataType.TYPE_STRING, [1], "r0003.text")


def test_several_inputs_and_outputs_keep_their_order() -> None:
    specs = [TensorSpec(name=name, dtype="float32", dims=["batch", 2]) for name in ("zebra", "apple", "middle")]
    read = parsed(inputs=specs, outputs=list(reversed(specs)))
    assert [item.name for item in read.input] == ["zebra", "apple", "middle"]
    assert [item.name for item in read.output] == ["middle", "apple", "zebra"]


def test_devices_and_gpus_are_named_where_they_are_asked_for() -> None:
    group = parsed(triton=Triton(device="gpu", gpus=[0, 2]), batching=Batching(instances=2)).instance_group[0]
    assert (group.kind, group.count, list(group.gpus)) == (pb.ModelInstanceGroup.KIND_GPU, 2, [0, 2])
    assert parsed(triton=Triton(device="cpu")).instance_group[0].kind == pb.ModelInstanceGroup.KIND_CPU


def test_preferred_sizes_and_versions_and_operators_side_by_side_are_written() -> None:
    read = parsed(
        batching=Batching(preferred_batch_sizes=[8, 16]), triton=Triton(versions=2, inter_op_threads=3), form="onnx"
    )
    assert list(read.dynamic_batching.preferred_batch_size) == [8, 16]
    assert read.version_policy.latest.num_versions == 2
    assert read.parameters["inter_op_thread_count"].string_value == "3"


def test_a_queue_policy_is_written_only_where_one_is_set() -> None:
    assert not parsed().dynamic_batching.HasField("default_queue_policy")
    queue = Queue(max_size=64, timeout_us=5000, timeout_action="delay", allow_timeout_override=True)
    policy = parsed(batching=Batching(queue=queue)).dynamic_batching.default_queue_policy
    assert (policy.max_queue_size, policy.default_timeout_microseconds) == (64, 5000)
    assert (policy.timeout_action, policy.allow_timeout_override) == (pb.ModelQueuePolicy.DELAY, True)


@pytest.mark.parametrize(("level", "number"), [("extended", 1), ("basic", -1), ("off", 2)])
def test_graph_levels_have_the_numbers_of_the_onnxruntime_backend(level: Any, number: int) -> None:
    assert parsed("onnx", triton=Triton(graph_level=level)).optimization.graph.level == number
    assert not parsed("torchscript", triton=Triton(graph_level=level)).HasField("optimization")
    assert not parsed("onnx").HasField("optimization")


def test_tensorrt_is_an_accelerator_of_gpu_instances_of_onnx_only() -> None:
    wanted = Triton(tensorrt=TensorRT(precision="bf16", workspace_mib=2, engine_cache="/cache"))
    (accelerator,) = parsed("onnx", triton=wanted).optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert dict(accelerator.parameters) == {
        "precision_mode": "BF16",
        "max_workspace_size_bytes": "2097152",
        "trt_engine_cache_enable": "true",
        "trt_engine_cache_path": "/cache",
    }
    assert not parsed("savedmodel", triton=wanted).HasField("optimization")


def test_further_options_of_tensorrt_are_written_beside_its_own_keys() -> None:
    profiles = {
        "trt_profile_min_shapes": "tokens:1x1",
        "trt_profile_opt_shapes": "tokens:8x16",
        "trt_profile_max_shapes": "tokens:32x64",
    }
    options = profiles | {"trt_cuda_graph_enable": "true", "int8_calibration_table_name": "calibration.flatbuffers"}
    read = parsed("onnx-int8", triton=Triton(tensorrt=TensorRT(precision="int8", workspace_mib=1, options=options)))
    (accelerator,) = read.optimization.execution_accelerators.gpu_execution_accelerator
    own = {"precision_mode": "INT8", "max_workspace_size_bytes": "1048576"}
    assert dict(accelerator.parameters) == own | options


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"precision_mode": "FP16"}, "options holds 'precision_mode', which has a key: write precision beside options"),
        ({"trt_bf16_enable": "1"}, "options holds 'trt_bf16_enable', .* write precision beside options"),
        ({"trt_max_workspace_size": "1"}, "options holds 'trt_max_workspace_size', .* write workspace_mib"),
        ({"trt_engine_cache_path": "/tmp"}, "options holds 'trt_engine_cache_path', .* write engine_cache"),
        ({"device_id": "1"}, "options holds 'device_id', which Triton decides for each instance"),
        ({"use_tf32": "1"}, "options holds 'use_tf32'; TensorRT's begin with trt_ or int8_, CUDA's go below cuda"),
        ({"trt_dla_core": ""}, "at least 1 character"),
    ],
)
def test_an_option_of_tensorrt_that_would_be_lost_is_refused_with_its_place(
    options: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        TensorRT(options=options)


def test_what_the_native_backend_would_overwrite_in_the_accelerator_is_a_parameter_of_the_model() -> None:
    wanted = Cuda(
        gpu_mem_limit_mib=2,
        cudnn_conv_algo_search="heuristic",
        arena_extend_strategy="same-as-requested",
        do_copy_in_default_stream=False,
        options={"use_tf32": "0", "cudnn_conv_use_max_workspace": "1"},
    )
    read = parsed("onnx-fp16", triton=Triton(cuda=wanted))
    (accelerator,) = read.optimization.execution_accelerators.gpu_execution_accelerator
    assert (accelerator.name, dict(accelerator.parameters)) == ("cuda", wanted.options)
    assert {name: value.string_value for name, value in read.parameters.items()} == {
        "intra_op_thread_count": "1",
        "artifact_sha256": "a" * 64,
        "gpu_mem_limit": "2097152",
        "cudnn_conv_algo_search": "1",
        "arena_extend_strategy": "1",
        "do_copy_in_default_stream": "0",
    }
    assert parsed("torchscript", triton=Triton(cuda=wanted)) == parsed("torchscript")


def test_cuda_follows_tensorrt_and_needs_no_accelerator_of_its_own_where_it_has_no_further_options() -> None:
    both = Triton(tensorrt=TensorRT(), cuda=Cuda(options={"use_tf32": "0"}))
    accelerators = parsed("onnx", triton=both).optimization.execution_accelerators.gpu_execution_accelerator
    assert [item.name for item in accelerators] == ["tensorrt", "cuda"]
    assert not parsed("onnx", triton=Triton(cuda=Cuda())).HasField("optimization")
    assert "gpu_mem_limit" not in parsed("onnx", triton=Triton(cuda=Cuda())).parameters


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (
            {"options": {"gpu_mem_limit": "1"}},
            "options holds 'gpu_mem_limit', .* write gpu_mem_limit_mib beside options",
        ),
        ({"options": {"device_id": "1"}}, "options holds 'device_id', which Triton decides for each instance"),
        ({"options": {"use_tf32": ""}}, "at least 1 character"),
        ({"cudnn_conv_algo_search": "fast"}, "'exhaustive', 'heuristic' or 'default'"),
    ],
)
def test_an_option_of_cuda_that_would_be_lost_is_refused_with_its_place(table: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Cuda.model_validate(table)


def test_cuda_without_a_gpu_is_refused() -> None:
    with pytest.raises(ValueError, match="cuda needs a GPU, device is 'cpu'"):
        Triton(device="cpu", cuda=Cuda())


def test_further_parameters_reach_their_format_only_and_win() -> None:
    wanted = Triton(parameters={"torchscript": {"ENABLE_JIT_PROFILING": "false", "INTRA_OP_THREAD_COUNT": "7"}})
    read = parsed("torchscript", triton=wanted)
    assert read.parameters["ENABLE_JIT_PROFILING"].string_value == "false"
    assert read.parameters["INTRA_OP_THREAD_COUNT"].string_value == "7"
    assert "ENABLE_JIT_PROFILING" not in parsed("onnx", triton=wanted).parameters


def test_ragged_requests_are_padded_as_the_model_says_by_the_backend_that_can() -> None:
    tags = TensorSpec(name="tags", dtype="float32", dims=["batch", "length", 4])
    read = parsed(outputs=[LOGITS, tags], batching=Batching(ragged=True), padding={"length": 0.0})
    assert read.runtime == "model.py"
    assert [tensor.allow_ragged_batch for tensor in read.input] == [True]
    assert json.loads(read.parameters["padding"].string_value) == {"tokens": {"1": 0.0}}
    assert json.loads(read.parameters["unpad"].string_value) == {"tags": {"1": ["tokens", 1]}}


def test_an_input_may_be_padded_with_another_value_than_its_axis() -> None:
    mask = TensorSpec(name="mask", dtype="int64", dims=["batch", "length"])
    wanted: dict[str, Any] = {"padding": {"length": 0.0}, "pad_with": {"tokens": 1.0}}
    read = parsed(inputs=[TOKENS, mask], batching=Batching(ragged=True), **wanted)
    assert json.loads(read.parameters["padding"].string_value) == {"tokens": {"1": 1.0}, "mask": {"1": 0.0}}


def test_length_buckets_reach_the_backend_that_pads() -> None:
    wanted = Batching(ragged=True, length_buckets=[16, 64])
    read = parsed(batching=wanted, padding={"length": 0.0})
    assert read.runtime == "model.py"
    assert json.loads(read.parameters["length_buckets"].string_value) == [16, 64]
    for unpadded in ({"batching": wanted}, {"batching": Batching(ragged=True), "padding": {"length": 0.0}}):
        assert "length_buckets" not in parsed(**unpadded).parameters


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"length_buckets": [16, 32]}, r"length_buckets is \[16, 32\], and ragged is false.*set ragged = true"),
        ({"ragged": True, "length_buckets": [32, 16]}, r"length_buckets is \[32, 16\]; give lengths that rise"),
        ({"ragged": True, "length_buckets": [16, 16]}, "give lengths that rise"),
        ({"ragged": True, "length_buckets": [0, 16]}, "greater than or equal to 1"),
        ({"dynamic": False, "ragged": True, "length_buckets": [16]}, "ragged is about requests that are joined"),
    ],
)
def test_buckets_that_nothing_could_be_padded_to_are_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Batching.model_validate(fields)


def test_tensors_stay_on_the_gpu_only_for_the_backend_that_takes_them_there() -> None:
    parameter = "FORCE_CPU_ONLY_INPUT_TENSORS"
    assert parsed("torchscript").parameters[parameter].string_value == "no"
    assert parameter not in parsed("onnx").parameters
    assert parameter not in parsed("torchscript", triton=Triton(device="cpu")).parameters
