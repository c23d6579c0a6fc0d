"""The pre-trained text encoder: it is the published one, and padding does not change what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Command

pytestmark = [pytest.mark.slow]
# Prints the similarities of three sentences, and how much padding, tracing and scripting change an embedding.
SCRIPT = """
import json, sys, warnings
import torch
from pathlib import Path
from zoo import wordpiece
from zoo.fetch import fetch
from zoo.trainer_torch import restore
from zoo.vocabulary import pad

warnings.simplefilter("ignore")
zoo = Path(sys.argv[1])
network = restore("minilm_torch", zoo / "minilm_torch" / "weights.safetensors").requires_grad_(False)
pieces = wordpiece.read_pieces(fetch(wordpiece.ARCHIVE, zoo / "data"))
texts = ["That is a happy person", "That is a happy dog", "Today is a sunny day"]
ids = [pieces.encode(text) for text in texts + ["Unbelievable!"]]

def both(length=None, rows=ids):
    tokens = torch.from_numpy(pad(rows, length))
    return tokens, (tokens != 0).long()

said = network(*both())
traced = torch.jit.trace(network, both(7, ids[:2]))
alone = torch.cat([network(*both(rows=[row])) for row in ids])
print(json.dumps({
    "similar": (said[:1] @ said[1:3].T)[0].tolist(),
    "norms": said.norm(dim=1).tolist(),
    "padded": float((network(*both(50)) - said).abs().max()),
    "alone": float((alone - said).abs().max()),
    "traced": float((traced(*both(50)) - said).abs().max()),
}))
"""


@pytest.fixture(scope="module")
def zoo(whole_zoo: Path, command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """zoo/out with the encoder."""
    root = tmp_path_factory.mktemp("minilm")
    out = root / "zoo" / "out"
    (out / "data").mkdir(parents=True)
    for archive in (whole_zoo / "data").iterdir():
        (out / "data" / archive.name).symlink_to(archive)
    result = command("zoo", "minilm_torch", "--workspace", str(root), timeout=600)
    assert result.returncode == 0, result.stderr
    return out


def test_the_encoder_is_the_published_one_and_says_so(zoo: Path) -> None:
    card = json.loads((zoo / "minilm_torch" / "card.json").read_text())
    assert card["note"].startswith("Not trained here: the real pre-trained weights")
    assert card["accuracy"] > card["majority_baseline"] + 0.15
    assert not (zoo / "minilm_torch" / "validation.npz").exists()
    assert (zoo / "minilm_torch" / "tensorboard" / "train" / "projector_config.pbtxt").is_file()


def test_sentences_are_as_similar_as_the_models_page_says_and_padding_changes_nothing(zoo: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(zoo)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    said = json.loads(result.stdout.splitlines()[-1])
    assert said["similar"] == pytest.approx([0.695, 0.257], abs=1e-3)
    assert said["norms"] == pytest.approx([1.0] * 4, abs=1e-5)
    assert max(said["padded"], said["alone"], said["traced"]) < 1e-5
