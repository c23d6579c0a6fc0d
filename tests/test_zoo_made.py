"""The zoo as it is made: every model's files, its accuracy, its log, and what the adaptive networks learned."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.golden import check_inputs, read_examples
from contract.tensors import TensorSpec
from contract.validation import read_validation
from tests.conftest import ROOT, Command
from zoo.recipes import RECIPES
from zoo.vocabulary import SIZE

MADE = [name for name, row in RECIPES.items() if not row.optional]
TEXT = [name for name in MADE if not name.startswith(("digits", "mobilenet"))]
PIXELS = {
    "digits_torch": [1, 28, 28],
    "digits_keras": [28, 28, 1],
    "mobilenet_torch": [3, 64, 64],
    "mobilenet_keras": [64, 64, 3],
}
LIMIT_BYTES = 10_000_000
# Prints what kinds of data the logs hold: {model: {run: {kind: [tags]}}}.
LOGS = """
import json, sys
from pathlib import Path
from types import ModuleType
sys.modules["tensorboard.compat.notf"] = ModuleType("tensorboard.compat.notf")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
found = {}
for folder in map(Path, sys.argv[1:]):
    runs = found.setdefault(folder.parent.name, {})
    for run in ("train", "validation"):
        log = EventAccumulator(str(folder / run), size_guidance={"tensors": 0})
        log.Reload()
        tags = log.Tags()
        kinds = {kind: list(tags[kind]) for kind in ("scalars", "histograms", "images")}
        kinds["graphs"] = ["graph"] if tags["graph"] else []
        for tag in tags["tensors"]:
            plugin = log.summary_metadata[tag].plugin_data.plugin_name
            kinds.setdefault("graphs" if plugin.startswith("graph") else plugin, []).append(tag)
        runs[run] = kinds
print(json.dumps(found))
"""
# Prints how the trained adaptive networks think about the proof's sentences.
THINKING = """
import json, sys, warnings
import numpy as np
proof = np.load(sys.argv[1] + "/validation.npz")["in/tokens"]
if "torch" in sys.argv[1]:
    import torch
    from pathlib import Path
    from zoo.trainer_torch import restore
    warnings.simplefilter("ignore")
    network = restore("adaptive_torch", Path(sys.argv[1]) / "weights.safetensors").requires_grad_(False)
    tokens = torch.from_numpy(proof)
    answer, steps, _ = network.ponder(tokens)
    shortest = tokens[int(steps.argmin())].unsqueeze(0)
    traced = torch.jit.trace(network, (shortest,))
    found = {
        "traced": (traced(tokens) - answer).abs().amax(dim=1).tolist(),
        "scripted": float((torch.jit.script(network)(tokens) - answer).abs().max()),
    }
    alone = torch.cat([network(tokens[row : row + 1]) for row in range(40)])
else:
    import tensorflow as tf
    from pathlib import Path
    from zoo.trainer_tensorflow import restore
    module = restore("adaptive_tensorflow", Path(sys.argv[1]) / "weights.safetensors")
    tokens = tf.constant(proof)
    answer, steps, _ = module.ponder(module.read(tokens))
    graph = tf.function(module.__call__, input_signature=[tf.TensorSpec([None, None], tf.int64)])
    found = {"scripted": float(tf.reduce_max(abs(graph(tokens) - answer)))}
    alone = tf.concat([module(tokens[row : row + 1]) for row in range(40)], axis=0)
found["alone"] = float(abs(np.asarray(alone) - np.asarray(answer)[:40]).max())
found["steps"] = np.asarray(steps).tolist()
print(json.dumps(found))
"""
pytestmark = pytest.mark.slow


def printed(script: str, *arguments: str) -> Any:
    """The JSON that a script prints last, in an interpreter of its own."""
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


def inputs_of(name: str) -> TensorSpec:
    """The declared input of a model that is made by default."""
    if name in PIXELS:
        return TensorSpec(name="pixels", dtype="float32", dims=["batch", *PIXELS[name]])
    named = "input" if name == "sentiment_torch_sequential" else "tokens"
    return TensorSpec(name=named, dtype="int64", dims=["batch", "length"])


@pytest.fixture(scope="module")
def logs(whole_zoo: Path) -> dict[str, dict[str, dict[str, list[str]]]]:
    """What TensorBoard finds."""
    found: dict[str, dict[str, dict[str, list[str]]]] = printed(
        LOGS, *[str(whole_zoo / name / "tensorboard") for name in MADE]
    )
    return found


@pytest.mark.parametrize("name", MADE)
def test_a_model_beats_the_majority_baseline_clearly_and_says_on_what(whole_zoo: Path, name: str) -> None:
    card = json.loads((whole_zoo / name / "card.json").read_text())
    assert card["accuracy"] > card["majority_baseline"] + (0.15 if name in TEXT else 0.7)
    assert card["model"] == name and card["test_rows"] >= 500
    assert card["about"] and len(card["data_sha256"]) == 64
    assert ("ImageNet" in card["note"]) == name.startswith("mobilenet")
    assert not {"torch", "tensorflow"} <= set(card["versions"])


@pytest.mark.parametrize("name", MADE)
def test_a_models_examples_are_many_singles_and_batches_of_odd_sizes(whole_zoo: Path, name: str) -> None:
    file = whole_zoo / name / "examples.npz"
    examples = read_examples(file)
    check_inputs(examples, [inputs_of(name)], file)
    assert [example.rows for example in examples] == [1] * 64 + [2, 3, 5, 8, 13, 32]
    if name in TEXT:
        shapes = {next(iter(example.inputs.values())).shape for example in examples if example.rows > 1}
        assert len({length for _, length in shapes}) >= 3
        assert max(int(next(iter(example.inputs.values())).max()) for example in examples) < SIZE


@pytest.mark.parametrize("name", MADE)
def test_a_models_proof_is_labelled_rows_of_the_test_part_and_small(whole_zoo: Path, name: str) -> None:
    file = whole_zoo / name / "validation.npz"
    proof = read_validation(file, [inputs_of(name)])
    assert proof.rows == {"mobilenet_torch": 150, "mobilenet_keras": 150}.get(name, 600 if name in TEXT else 400)
    assert set(proof.labels) == set(range(2 if name in TEXT else 10))
    assert file.stat().st_size < 8_000_000


@pytest.mark.parametrize("name", MADE)
def test_a_model_ships_what_a_client_needs_to_ask_it(whole_zoo: Path, name: str) -> None:
    assert (whole_zoo / name / RECIPES[name].plan.weights).is_file()
    assert (whole_zoo / name / ("vocabulary.json" if name in TEXT else "preprocessing.json")).is_file()


def test_every_log_has_curves_of_both_runs_weights_pictures_texts_and_a_graph(
    logs: dict[str, dict[str, dict[str, list[str]]]],
) -> None:
    assert set(logs) == set(MADE)
    for name, runs in logs.items():
        for run in ("train", "validation"):
            assert {"epoch_loss", "epoch_accuracy"} <= set(runs[run]["scalars"]), name
        assert runs["train"]["histograms"], name
        assert "confusion" in runs["train"]["images"], name
        assert ("digits" in runs["train"]["images"]) == (name not in TEXT), name
        texts = {tag.removesuffix("/text_summary") for tag in runs["train"]["text"]}
        assert texts == {"model", "samples"}, name
        assert runs["train"]["graphs"], name


@pytest.mark.parametrize("name", MADE)
def test_every_log_has_a_profile_and_stays_small(whole_zoo: Path, name: str) -> None:
    folder = whole_zoo / name / "tensorboard"
    profiles = [*folder.rglob("*.pt.trace.json.gz"), *folder.rglob("*.xplane.pb")]
    assert profiles and all(profile.stat().st_size > 1000 for profile in profiles)
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < LIMIT_BYTES


@pytest.mark.parametrize("name", TEXT)
def test_the_projector_shows_the_words_of_the_embedding(whole_zoo: Path, name: str) -> None:
    folder = whole_zoo / name / "tensorboard" / "train"
    config = (folder / "projector_config.pbtxt").read_text()
    assert '"embedding.tsv"' in config and '"names.tsv"' in config
    vectors = np.loadtxt(folder / "embedding.tsv", delimiter="\t")
    names = (folder / "names.tsv").read_text().splitlines()
    assert vectors.shape[0] == len(names) == 2000
    assert names[:2] == ["(padding)", "(unknown)"] and "good" in names


def test_the_preprocessing_that_ships_makes_the_pixels_that_were_trained_on(whole_zoo: Path) -> None:
    script = """
import json, sys
import numpy as np
from pathlib import Path
from contract.files import read_model
from zoo import digits
from zoo.fetch import fetch
from zoo.preprocessing import Preprocessing
from zoo.split import split
from zoo.{module} import prepare

folder = Path(sys.argv[1])
test = split(digits.read_digits(fetch(digits.ARCHIVE, folder.parent / "data")), digits.SPLIT_SEED)["test"][:150]
plan = read_model(folder / "preprocessing.json", Preprocessing, "make zoo")
pixels = prepare(plan, np.stack([digit.image for digit in test]))
proof = np.load(folder / "validation.npz")["in/pixels"][:150]
print(json.dumps([float(abs(pixels - proof).max()), float(pixels.min()), float(pixels.max())]))
"""
    made = {"mobilenet_torch": "preprocessing_torchvision", "mobilenet_keras": "preprocessing_keras"}
    made |= {"digits_torch": "preprocessing_torchvision", "digits_keras": "preprocessing_keras"}
    ranges = {}
    for name, module in made.items():
        difference, *ranges[name] = printed(script.replace("{module}", module), str(whole_zoo / name))
        assert difference < 1e-6, name
    assert ranges["digits_torch"] == ranges["digits_keras"] == [0.0, 1.0]
    assert ranges["mobilenet_keras"] == pytest.approx([-1.0, 1.0], abs=1e-3)
    assert ranges["mobilenet_torch"] == pytest.approx([-2.118, 2.64], abs=1e-2)


@pytest.mark.parametrize("name", ["adaptive_torch", "adaptive_tensorflow"])
def test_an_adaptive_network_takes_more_steps_for_some_sentences_than_for_others(whole_zoo: Path, name: str) -> None:
    thinking = printed(THINKING, str(whole_zoo / name))
    steps, counts = np.unique(thinking["steps"], return_counts=True)
    assert steps.max() <= 10
    assert sorted(counts)[-2] >= 0.05 * counts.sum(), dict(zip(steps, counts, strict=True))
    assert thinking["alone"] < 1e-5
    assert thinking["scripted"] < 1e-5


def test_tracing_freezes_the_loop_and_real_sentences_get_other_answers(whole_zoo: Path) -> None:
    differences = np.array(printed(THINKING, str(whole_zoo / "adaptive_torch"))["traced"])
    assert (differences > 1e-2).mean() > 0.05
    assert (differences < 1e-5).any()  # the ones that take as many steps as the traced one


@pytest.mark.parametrize("name", ["sentiment_torch", "sentiment_tensorflow", "digits_keras"])
def test_training_again_gives_the_same_weights(whole_zoo: Path, command: Command, tmp_path: Path, name: str) -> None:
    (tmp_path / "zoo" / "out").mkdir(parents=True)
    (tmp_path / "zoo" / "out" / "data").symlink_to(whole_zoo / "data")
    result = command("zoo", name, "--workspace", str(tmp_path))
    assert result.returncode == 0, result.stderr
    again = tmp_path / "zoo" / "out" / name
    for file in ("examples.npz", "validation.npz"):
        with np.load(again / file) as new, np.load(whole_zoo / name / file) as old:
            assert set(new.files) == set(old.files)
            assert [entry for entry in new.files if not np.array_equal(new[entry], old[entry])] == []
    weights = RECIPES[name].plan.weights
    if weights.endswith(".safetensors"):
        assert (again / weights).read_bytes() == (whole_zoo / name / weights).read_bytes()
    accuracies = [
        json.loads((folder / name / "card.json").read_text())["accuracy"]
        for folder in (whole_zoo, tmp_path / "zoo" / "out")
    ]
    assert accuracies[0] == accuracies[1]
