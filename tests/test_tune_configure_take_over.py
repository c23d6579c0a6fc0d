"""What the trials found is written beside a person's file, with what measured it, and only where it is better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract.config import read_config
from contract.endpoints import Endpoints
from contract.errors import UsageError
from contract.trials import Climb, Trial, Trials
from tests.builders import endpoint, endpoints
from tune.configuration.trial_run import choose
from tune.configuration.tuned_file import take_over

MODELS = """
schema_version = 1

[models.words]
framework = "pytorch"
source = "zoo.words:build"
formats = ["onnx", "torchscript"]
inputs = [{ name = "tokens", dtype = "int64", dims = ["batch", "length"] }]
outputs = [{ name = "logits", dtype = "float32", dims = ["batch", 2] }]
padding = { length = 0 }
"""
START = {"ragged": False, "instances": 1, "max_queue_delay_us": 0, "threads": 1, "max_batch_size": 32}
RESULTS = Path("results/20260131-120000")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    file = tmp_path / "models.toml"
    file.write_text(MODELS)
    return file


def climb(form: str = "onnx", rate: float = 150.0, **settings: Any) -> Climb:
    """A climb that ended with a best of these ``settings``; without any, at its start."""
    best = {**START, **settings} if settings else None
    pair = [(START, 100.0), (best or START, rate)]
    return Climb(
        endpoint=f"words__{form}__triton__http",
        model="words",
        start=START,
        noise=0.07,
        trials=[
            Trial(
                variant=f"words__{form}__triton__http__trial-{number:02d}",
                results=RESULTS.name,
                purpose="confirm",
                configuration=configuration,
                outcome="measured",
                value=value,
                load_s=1.0,
                seconds=20.0,
            )
            for number, (configuration, value) in enumerate(pair, 1)
        ],
        best=best,
        gain=rate / 100 - 1 if best else None,
        ended="no neighbour is better by more than the noise",
    )


def taken_over(models: Path, *climbs: Climb) -> str:
    trials = Trials(schema_version=1, objective="rate", at_rate=None, climbs=list(climbs))
    return "\n".join(take_over(trials, read_config(models), models.with_name("tuned.toml"), RESULTS))


def test_the_best_is_written_with_what_measured_it_and_shown_as_a_difference(models: Path) -> None:
    text = taken_over(models, climb(instances=2))
    tuned = models.with_name("tuned.toml")
    for words in ("100 -> 150 requests/s (+50%", "up to 7% are noise", RESULTS.name, "words__onnx__triton__http"):
        assert words in text and words in tuned.read_text()
    assert "-instances = 1" in text and "+instances = 2" in text and "ragged" not in text
    assert read_config(models, tuned).models["words"].batching.instances == 2
    assert models.read_text() == MODELS


def test_nothing_is_written_where_nothing_was_better(models: Path) -> None:
    text = taken_over(models, climb())
    assert "stays" in text and "no neighbour" in text
    assert not models.with_name("tuned.toml").exists()


def test_of_several_formats_the_one_with_the_highest_rate_decides(models: Path) -> None:
    taken_over(models, climb("onnx", 150.0, instances=2), climb("torchscript", 180.0, instances=3))
    assert read_config(models, models.with_name("tuned.toml")).models["words"].batching.instances == 3


def test_joining_lengths_is_said_to_need_the_python_based_backend(models: Path) -> None:
    assert "python-based backend" in taken_over(models, climb(ragged=True))


def up() -> Endpoints:
    return endpoints(
        endpoint(format="onnx", protocol="http"),
        endpoint(format="onnx", protocol="grpc"),
        endpoint(format="torchscript", protocol="grpc"),
        endpoint(format="savedmodel", engine="tfserving", protocol="rest"),
    )


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["words"], ["words__onnx__triton__http", "words__torchscript__triton__grpc"]),
        (["words__onnx__triton__grpc"], ["words__onnx__triton__grpc"]),
        (["words__onnx__triton__http", "words"], ["words__onnx__triton__http", "words__torchscript__triton__grpc"]),
    ],
)
def test_a_model_means_its_formats_on_triton_over_one_protocol_each(names: list[str], expected: list[str]) -> None:
    assert [item.id for item in choose(up(), names)] == expected


def test_a_name_that_nothing_has_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'words'"):
        choose(up(), ["wrods"])
