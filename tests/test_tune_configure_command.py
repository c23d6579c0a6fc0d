"""What cannot be configured or scaled is refused with a sentence before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract.errors import UsageError
from contract.files import write_json
from contract.trials import FILE, Climb, Trials
from contract.workspace import Workspace
from tests.builders import endpoint, endpoints
from tune.configuration import command as configuring
from tune.scale import command as scaling

MODELS = """
schema_version = 1

[models.words]
framework = "pytorch"
source = "zoo.words:build"
formats = ["onnx", "savedmodel"]
inputs = [{ name = "tokens", dtype = "int64", dims = ["batch", "length"] }]
outputs = [{ name = "logits", dtype = "float32", dims = ["batch", 2] }]
"""
ON_TRITON, ON_TFSERVING = "words__onnx__triton__http", "words__savedmodel__tfserving__grpc"


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    """A workspace whose endpoints are known and whose servers are gone."""
    (tmp_path / "models.toml").write_text(MODELS)
    known = endpoints(endpoint(), endpoint(format="savedmodel", engine="tfserving", protocol="grpc"))
    write_json(Workspace(tmp_path).endpoints, known)
    return ["--config", str(tmp_path / "models.toml"), "--workspace", str(tmp_path)]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "name a model or an endpoint"),
        (["words", "--at-rate", "100"], "--at-rate is for --objective latency"),
        (["words", "--objective", "latency", "--at-rate", "0"], "--at-rate is 0; it is above 0"),
        (["words", "--trials", "1"], "--trials is 1; 2 at least"),
        (["words", "--budget-s", "-3"], "--budget-s is -3"),
        (["wrods"], "did you mean 'words'"),
        ([ON_TFSERVING], "served by tfserving"),
        ([ON_TRITON], "not running"),
    ],
)
def test_configure_refuses_what_it_cannot_do(flags: list[str], words: list[str], sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        configuring.main([*words, *flags])
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([ON_TRITON, "--instances", "none"], "--instances is 'none'"),
        ([ON_TRITON, "--users", "0"], "--users is 0"),
        ([ON_TFSERVING], "only a Triton that 'make serve' started as a process"),
    ],
)
def test_scale_refuses_what_it_cannot_do(flags: list[str], words: list[str], sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        scaling.main([*words, *flags])
    assert sentence in str(refused.value)


def test_a_search_is_not_resumed_from_another_start(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields: dict[str, Any] = {"endpoint": ON_TRITON, "model": "words", "noise": 0.1, "trials": [], "ended": ""}
    climb = Climb(start={"instances": 7}, best=None, gain=None, **fields)
    write_json(tmp_path / "old" / FILE, Trials(schema_version=1, objective="rate", at_rate=None, climbs=[climb]))
    monkeypatch.setattr(configuring, "check", lambda *_: None)  # nothing runs here
    with pytest.raises(UsageError, match="begin a new one without --resume"):
        configuring.main(["--resume", str(tmp_path / "old"), *flags])


def test_a_search_is_resumed_with_all_of_its_endpoints(flags: list[str], tmp_path: Path) -> None:
    toml = tmp_path / "models.toml"
    other = MODELS.partition("[models.words]")[2].replace("zoo.words", "zoo.images")
    toml.write_text(f'{MODELS}\n[models.images]\ngroup = "vision"{other}')
    images = endpoint(model="images")
    write_json(Workspace(tmp_path).endpoints, endpoints(endpoint(), images))
    fields: dict[str, Any] = {"start": {}, "best": None, "gain": None, "noise": 0.1, "trials": [], "ended": ""}
    climbs = [Climb(endpoint=item, model=item.split("__")[0], **fields) for item in (ON_TRITON, images.id)]
    write_json(tmp_path / "old" / FILE, Trials(schema_version=1, objective="rate", at_rate=None, climbs=climbs))
    with pytest.raises(UsageError, match="--resume goes on with all endpoints of that search; leave --group out"):
        configuring.main(["--resume", str(tmp_path / "old"), "--group", "vision", *flags])
