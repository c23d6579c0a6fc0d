"""The requests that a SavedModel brings along for its warm-up: run at load time, and what fails a load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.tfserving import flags, loading, plan
from serving.tfserving.errors import Code, StatusError
from serving.tfserving.metrics import Metrics
from serving.tfserving.model import Endpoint, Signature
from serving.tfserving.tensors import DTYPES, Array
from serving.tfserving.warmup import FILE, MAX_RECORDS, warm_up

FLOAT = DTYPES[1]


class Listener:
    """A model that notes what it is asked."""

    signature_defs: Mapping[str, Any] = {}
    signatures: Mapping[str, Signature] = {
        "serving_default": Signature(
            "serving_default", {"x": Endpoint("x", "x:0", FLOAT)}, {"y": Endpoint("y", "y:0", FLOAT)}, {}
        )
    }

    def __init__(self) -> None:
        self.asked: list[list[float]] = []

    def run(
        self, signature: Signature, feeds: Mapping[str, Array], aliases: Sequence[str], timeout_ms: int
    ) -> list[Array]:
        self.asked.append(feeds["x"].tolist())
        return [feeds["x"]]


def predict_log(*values: float, signature: str = "", alias: str = "x") -> Any:
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.name = "whatever"
    log.predict_log.request.model_spec.signature_name = signature
    log.predict_log.request.inputs[alias].CopyFrom(tf.make_tensor_proto(np.array(values, np.float32)))
    return log


def write(version: Path, *records: Any) -> Path:
    file = version / FILE
    file.parent.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in records:
            writer.write(record if isinstance(record, bytes) else record.SerializeToString())
    return file


def test_a_version_without_the_file_is_not_warmed_up(tmp_path: Path) -> None:
    listener = Listener()
    assert warm_up(listener, tmp_path) == []
    assert listener.asked == []


def test_every_record_is_run_as_often_as_asked_for(tmp_path: Path) -> None:
    write(tmp_path, predict_log(1), predict_log(2, 3, signature="serving_default"))
    listener = Listener()
    warm_up(listener, tmp_path, iterations=2)
    assert listener.asked == [[1], [1], [2, 3], [2, 3]]


def test_kinds_of_records_that_cannot_be_run_are_named_once(tmp_path: Path) -> None:
    classify = prediction_log_pb2.PredictionLog()
    classify.classify_log.request.model_spec.name = "whatever"
    write(tmp_path, classify, classify, predict_log(1), prediction_log_pb2.PredictionLog())
    listener = Listener()
    assert warm_up(listener, tmp_path, runs={"predict_log": lambda model, request: None}) == ["classify_log"]


@pytest.mark.parametrize(
    ("record", "code", "message"),
    [
        (predict_log(1, alias="z"), Code.INVALID_ARGUMENT, "not found in request"),
        (predict_log(1, signature="none"), Code.FAILED_PRECONDITION, 'Serving signature key "none" not found.'),
        (b"\xff\xff", Code.INVALID_ARGUMENT, "Failed to parse warmup record"),
        (
            prediction_log_pb2.PredictionLog(session_run_log=prediction_log_pb2.SessionRunLog()),
            Code.UNIMPLEMENTED,
            "Unsupported log_type for warmup: 5",
        ),
    ],
)
def test_a_record_that_fails_fails_the_load(tmp_path: Path, record: Any, code: Code, message: str) -> None:
    write(tmp_path, record)
    with pytest.raises(StatusError) as caught:
        warm_up(Listener(), tmp_path)
    assert caught.value.code is code
    assert message in caught.value.message


def test_a_file_that_is_no_tfrecord_fails_the_load(tmp_path: Path) -> None:
    write(tmp_path).write_bytes(b"these are requests, but not as TFRecords")
    with pytest.raises(StatusError, match="Please verify your warmup data is in TFRecord format") as caught:
        warm_up(Listener(), tmp_path)
    assert caught.value.code is Code.DATA_LOSS


@pytest.mark.parametrize(("records", "fails"), [(MAX_RECORDS, False), (MAX_RECORDS + 1, True)])
def test_more_than_a_thousand_records_fail_the_load(tmp_path: Path, records: int, fails: bool) -> None:
    write(tmp_path, *[predict_log(1).SerializeToString()] * records)
    if not fails:
        warm_up(Listener(), tmp_path)
        return
    with pytest.raises(StatusError, match=r"Number of warmup records exceeds the maximum \(1000\)"):
        warm_up(Listener(), tmp_path)


# ---------------------------------------------------------------- with a real SavedModel


class Half(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def half(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x / 2}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel with a warm-up request that it cannot answer."""
    path = tmp_path_factory.mktemp("half") / "1"
    module = Half()
    tf.saved_model.save(module, str(path), signatures=module.half)
    write(path, predict_log(1, 2), predict_log(1, alias="z"))
    return path


def loader(*arguments: str) -> loading.Loader:
    return loading.Loader(plan.read_plan(flags.parse(["--model_base_path=/m", *arguments])), print)


def test_a_load_runs_the_warm_up_unless_it_is_turned_off(saved: Path) -> None:
    with pytest.raises(StatusError, match="not found in request"):
        loader()(saved)
    assert "serving_default" in loader("--enable_model_warmup=false")(saved).signatures


def test_a_loaded_model_batches_when_asked_to_and_only_with_its_own_file_if_so_configured(saved: Path) -> None:
    off = ("--enable_model_warmup=false",)
    each = (*off, "--enable_batching", "--enable_per_model_batching_parameters")
    kinds = [type(loader(*arguments)(saved)).__name__ for arguments in (off, (*off, "--enable_batching"), each)]
    assert kinds == ["Model", "BatchedModel", "Model"]
    (saved / loading.PER_MODEL_FILE).write_text("max_batch_size { value: 2 }")
    model = loader(*each)(saved)
    signature = model.signatures["serving_default"]
    assert model.run(signature, {"x": np.array([2, 4], np.float32)}, ["y"], 0)[0].tolist() == [1, 2]
    with pytest.raises(StatusError, match="Task size 3 is larger than maximum input batch size 2"):
        model.run(signature, {"x": np.zeros(3, np.float32)}, ["y"], 0)
    (saved / loading.PER_MODEL_FILE).write_text("max_batch_size { value: -2 }")
    with pytest.raises(StatusError, match="max_batch_size must be at least 1"):
        loader(*each)(saved)


def test_a_session_is_configured_by_the_file_and_the_flags_take_precedence(tmp_path: Path) -> None:
    file = tmp_path / "session.cfg"
    file.write_text("intra_op_parallelism_threads: 3 inter_op_parallelism_threads: 4 log_device_placement: true")
    arguments = [f"--tensorflow_session_config_file={file}", "--tensorflow_intra_op_parallelism=1"]
    settings = flags.parse(["--model_base_path=/m", *arguments, "--per_process_gpu_memory_fraction=0.25"])
    config = loading.session_options(plan.read_plan(settings)).config()
    assert (config.intra_op_parallelism_threads, config.inter_op_parallelism_threads) == (1, 4)
    assert config.log_device_placement and config.allow_soft_placement
    assert config.gpu_options.per_process_gpu_memory_fraction == 0.25


class Known(Listener):
    """Classifies and regresses tf.Examples, and notes how many it was given."""

    STRING = DTYPES[7]
    signatures: Mapping[str, Signature] = {
        "classes": Signature(
            "classes", {"inputs": Endpoint("inputs", "in:0", STRING)}, {"scores": Endpoint("scores", "s:0", FLOAT)}, {}
        ),
        "values": Signature(
            "values", {"inputs": Endpoint("inputs", "in:0", STRING)}, {"outputs": Endpoint("outputs", "o:0", FLOAT)}, {}
        ),
    }

    def __init__(self) -> None:
        self.runs: list[tuple[str, int]] = []

    def run(
        self, signature: Signature, feeds: Mapping[str, Array], aliases: Sequence[str], timeout_ms: int
    ) -> list[Array]:
        self.runs.append((signature.name, len(feeds["inputs"])))
        return [np.zeros((len(feeds["inputs"]), 1), np.float32) for _ in aliases]


def test_records_of_examples_are_run_too_each_task_of_several(tmp_path: Path) -> None:
    records = []
    for kind, signature in (("classify_log", "classes"), ("regress_log", "values"), ("multi_inference_log", "")):
        log = prediction_log_pb2.PredictionLog()
        request = getattr(log, kind).request
        request.input.example_list.examples.add()
        if signature:
            request.model_spec.name, request.model_spec.signature_name = "m", signature
        else:
            for method, name in (("classify", "classes"), ("regress", "values")):
                task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
                task.model_spec.name, task.model_spec.signature_name = "m", name
        records.append(log)
    write(tmp_path, *records)
    known = Known()
    assert warm_up(known, tmp_path) == []
    assert known.runs == [("classes", 1), ("values", 1), ("classes", 1), ("values", 1)]


def test_how_long_a_warm_up_took_and_how_it_ended_is_in_the_metrics(saved: Path) -> None:
    metrics = Metrics()
    read = plan.read_plan(flags.parse(["--model_base_path=/m"]))
    with pytest.raises(StatusError):
        loading.Loader(read, print, metrics)(saved)
    count = f':tensorflow:serving:model_warmup_latency_count{{model_path="{saved}",status="INVALID_ARGUMENT"}} 1'
    assert count in metrics.page().splitlines()
