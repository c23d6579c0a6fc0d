"""What a report names as the configuration is what config.pbtxt says, and a hash tells the rest of it apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from contract.batching import Batching, Queue, TensorRT, Triton
from contract.endpoints import Configuration
from report import words
from serving import __main__ as commands
from serving.layout.triton_config import PADS, model_config, to_text
from serving.layout.triton_configuration import config_sha256, triton_configuration
from serving.proof.conditions import conditions
from tests.builders import LOGITS, TOKENS, config, example, model, served, server, workspace


def built(form: str = "onnx", **changes: Any) -> pb.ModelConfig:
    fields: dict[str, Any] = {
        "name": "words__onnx",
        "form": form,
        "inputs": [TOKENS],
        "outputs": [LOGITS],
        "batching": Batching(),
        "warm_up": [],
        "artifact_sha256": "a" * 64,
    }
    return model_config(**(fields | changes))


def configured(form: str = "onnx", **changes: Any) -> Configuration:
    return triton_configuration(built(form, **changes), form)


def test_without_dynamic_batching_there_is_no_batch_and_no_delay() -> None:
    found = configured(batching=Batching(dynamic=False))
    assert (found.max_batch_size, found.max_queue_delay_us) == (None, None)
    assert words.configuration(found) == "no batching, 1 instance, 1 thread"
    assert configured().max_batch_size == 32 and configured().max_queue_delay_us == 0


def test_what_was_set_is_told_and_what_was_not_is_no_word() -> None:
    batching = Batching(
        max_queue_delay_us=100,
        preferred_batch_sizes=[8, 16],
        ragged=True,
        length_buckets=[16, 32],
        threads=2,
        queue=Queue(max_size=64, timeout_us=5000),
    )
    triton = Triton(inter_op_threads=3, graph_level="basic", tensorrt=TensorRT(precision="int8"))
    found = configured(batching=batching, triton=triton, padding={"length": 0})
    assert words.configuration(found) == (
        "batch ≤ 32, queue delay ≤ 100 µs, 1 instance, 2 threads, prefers batches of 8, 16, "
        "different lengths together, padded to lengths of 16, 32, at most 64 waiting, "
        "queue timeout 5,000 µs, 3 inter-op threads, graph optimisations basic, TensorRT int8"
    )
    assert words.configuration(configured()) == "batch ≤ 32, queue delay ≤ 0 µs, 1 instance, 1 thread"


def test_ragged_without_padding_joins_nothing_of_different_lengths() -> None:
    found = configured(batching=Batching(ragged=True, length_buckets=[16]))
    assert (found.ragged, found.length_buckets) == (False, [])


def test_variants_with_and_without_length_buckets_are_told_apart() -> None:
    joined, bucketed = (
        configured(batching=Batching(ragged=True, length_buckets=lengths), padding={"length": 0})
        for lengths in ([], [16, 32])
    )
    assert (joined.length_buckets, bucketed.length_buckets) == ([], [16, 32])
    assert joined.differing(bucketed) == ["length_buckets", "config_sha256"]
    older = bucketed.model_copy(update={"length_buckets": None, "config_sha256": None})
    assert older.differing(joined) == older.differing(bucketed) == []


def test_who_lays_padding_out_is_warned_of_the_backend_it_needs_and_the_fairness_sheet_tells_the_lengths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    padded = model(padding={"length": 0.0}, batching=Batching(ragged=True, length_buckets=[16, 32]))
    item = served(workspace(tmp_path), model=padded)
    commands._warn("26.08", [item], {})
    assert f"words__onnx: {PADS}" in capsys.readouterr().err
    commands._warn("26.08", [served(workspace(tmp_path))], {})
    assert PADS not in capsys.readouterr().err
    sheet = conditions(config(), item, server(), native=False)
    assert sheet["batching"].endswith("different lengths together, padded to lengths of 16, 32")


@pytest.mark.parametrize("form", ["onnx", "torchscript", "savedmodel"])
def test_only_onnx_has_graph_levels(form: str) -> None:
    found = configured(form, batching=Batching(threads=4, instances=2), triton=Triton(inter_op_threads=5))
    assert (found.threads, found.instances, found.inter_op_threads) == (4, 2, 5)
    assert (found.graph_level, found.tensorrt) == (("all", "off") if form == "onnx" else (None, None))


def test_the_hash_does_not_see_buckets_warm_up_or_the_artifact() -> None:
    others = (
        built(latency_buckets=[1.0, 50.0]),
        built(warm_up=[example(0)]),
        built(artifact_sha256="b" * 64),
        text_format.Parse(to_text(built()), pb.ModelConfig()),
    )
    assert {config_sha256(item) for item in others} == {config_sha256(built())}


@pytest.mark.parametrize(
    "changes",
    [
        {"batching": Batching(dynamic=False)},
        {"batching": Batching(preferred_batch_sizes=[4])},
        {"batching": Batching(queue=Queue(timeout_us=9))},
        {"batching": Batching(queue=Queue(timeout_us=9, timeout_action="delay"))},
        {"triton": Triton(inter_op_threads=2)},
        {"triton": Triton(graph_level="off")},
        {"triton": Triton(tensorrt=TensorRT())},
        {"triton": Triton(tensorrt=TensorRT(workspace_mib=2048))},
        {"triton": Triton(tensorrt=TensorRT(options={"trt_cuda_graph_enable": "1"}))},
        {"triton": Triton(device="cpu")},
        {"triton": Triton(gpus=[1])},
        {"triton": Triton(parameters={"onnx": {"enable_mem_arena": "0"}})},
    ],
    ids=str,
)
def test_the_hash_sees_everything_else(changes: dict[str, Any]) -> None:
    assert config_sha256(built(**changes)) != config_sha256(built())


def test_an_older_file_reads_and_differs_only_in_what_it_tells() -> None:
    older = Configuration.model_validate({"max_batch_size": 32, "max_queue_delay_us": 0, "instances": 1, "threads": 1})
    ragged = configured(batching=Batching(ragged=True), padding={"length": 0})
    assert older.differing(ragged) == ragged.differing(older) == []
    assert older.differing(configured(batching=Batching(dynamic=False))) == ["max_batch_size", "max_queue_delay_us"]
    assert older.differing(configured(batching=Batching(threads=2))) == ["threads"]
    assert configured().differing(ragged) == ["ragged", "config_sha256"]


def test_what_nobody_knows_differs_from_nothing() -> None:
    nothing = Configuration(max_batch_size=None, max_queue_delay_us=None, instances=None, threads=None)
    assert nothing.differing(configured()) == configured().differing(nothing) == []
