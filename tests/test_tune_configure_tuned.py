"""tuned.toml holds what differs, can be read with models.toml, and is written beside it without touching it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from contract.config import read_config
from contract.errors import UsageError
from tune.configuration.climb import Configuration
from tune.configuration.tuned import block, changed, difference, with_block

MODELS = """
schema_version = 1

[models.words]  # a person's own words
framework = "pytorch"
source = "zoo.words:build"
formats = ["onnx"]
inputs = [{ name = "tokens", dtype = "int64", dims = ["batch", "length"] }]
outputs = [{ name = "logits", dtype = "float32", dims = ["batch", 2] }]
padding = { length = 0 }

[models.words.batching]
instances = 2
max_batch_size = 16

[models."resnet-1.5"]
framework = "pytorch"
source = "zoo.resnet:build"
formats = ["onnx"]
"""
START: Configuration = {"ragged": False, "instances": 2, "max_queue_delay_us": 0}
BEST: Configuration = {"ragged": True, "instances": 2, "max_queue_delay_us": 200}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    models, tuned = tmp_path / "models.toml", tmp_path / "tuned.toml"
    models.write_text(MODELS)
    return models, tuned


def test_only_the_keys_that_differ_are_written_and_the_rest_stays_the_persons(files: tuple[Path, Path]) -> None:
    models, tuned = files
    text = with_block("", "words", block("words", changed(START, BEST), ["400 -> 500 requests/s"]))
    tuned.write_text(text)
    assert tomllib.loads(text) == {"models": {"words": {"batching": {"ragged": True, "max_queue_delay_us": 200}}}}
    assert "# 400 -> 500 requests/s" in text
    found = read_config(models, tuned).models["words"].batching
    assert (found.ragged, found.max_queue_delay_us, found.instances, found.max_batch_size) == (True, 200, 2, 16)
    assert not read_config(models).models["words"].batching.ragged


def test_lists_are_written_as_toml_and_read_again(files: tuple[Path, Path]) -> None:
    models, tuned = files
    start: Configuration = {"ragged": False, "length_buckets": ()}
    best: Configuration = {"ragged": True, "length_buckets": (16, 32)}
    tuned.write_text(with_block("", "words", block("words", changed(start, best), [])))
    assert read_config(models, tuned).models["words"].batching.length_buckets == [16, 32]
    assert {"-length_buckets = []", "+length_buckets = [16, 32]"} <= set(difference("words", start, best).splitlines())


def test_a_model_that_is_tuned_again_replaces_its_own_block_and_no_other(files: tuple[Path, Path]) -> None:
    models, tuned = files
    text = ""
    for name, instances in (("words", 3), ("resnet-1.5", 4), ("words", 5)):
        text = with_block(text, name, block(name, {"instances": instances}, [f"measured with {instances}"]))
    tuned.write_text(text)
    found = read_config(models, tuned).models
    assert (found["words"].batching.instances, found["resnet-1.5"].batching.instances) == (5, 4)
    assert "measured with 3" not in text and "measured with 4" in text and "measured with 5" in text
    assert text == with_block(text, "words", block("words", {"instances": 5}, ["measured with 5"]))


def test_the_difference_shows_what_was_and_what_will_be() -> None:
    lines = difference("words", START, BEST).splitlines()
    assert lines[:2] == ["--- models.toml", "+++ tuned.toml"]
    assert {"-ragged = false", "+ragged = true", "-max_queue_delay_us = 0", "+max_queue_delay_us = 200"} <= set(lines)
    assert " [models.words.batching]" in lines
    assert not any("instances" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[models.wrods.batching]\ninstances = 2", "did you mean 'words'?"),
        ("[models.words.slo]\nrate = 1", "models.words.slo"),
        ("[load]\nrounds = 2", "holds 'load'"),
        ("[models.words.batching]\ninstanzes = 2", "unknown key 'models.words.batching.instanzes'"),
        ("[models.words", "not valid TOML"),
    ],
)
def test_a_tuned_file_that_says_anything_else_is_refused(files: tuple[Path, Path], text: str, words: str) -> None:
    models, tuned = files
    tuned.write_text(text)
    with pytest.raises(UsageError) as refused:
        read_config(models, tuned)
    assert words in str(refused.value) and "tuned.toml" in str(refused.value)


def test_a_tuned_file_that_is_not_there_is_named_with_its_flag(files: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match=r"tuned\.toml does not exist; name another file with --use"):
        read_config(*files)
