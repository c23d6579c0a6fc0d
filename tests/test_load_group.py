"""`--group` of the commands that work on what is served: only its models are loaded, and without it all that is up."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from contract.config import ModelsFile, read_config
from contract.endpoints import Endpoint, Endpoints
from contract.errors import UsageError
from contract.files import read_model, write_json
from contract.workspace import Workspace
from loadtest import __main__ as loading
from loadtest.group import missed_in_group, of_group
from tests.builders import endpoint, endpoints, server
from tests.conftest import ROOT
from tests.known_latency import Known, known_latency
from tune.configuration import command as configuring
from tune.scale import command as scaling
from tune.search import command as searching

pytestmark = [pytest.mark.e2e]

WORDS, IMAGES = "words__onnx__triton__http", "images__onnx__triton__http"
OTHER_GROUP = """
[models.images]
framework = "pytorch"
source = "nothing:here"
formats = ["onnx"]
group = "vision"
inputs = [{ name = "tokens", dtype = "int64", dims = ["batch", "length"] }]
outputs = [{ name = "logits", dtype = "float32", dims = ["batch", 2] }]
"""
COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "loadtest": loading.main,
    "search": lambda flags: searching.main([*flags, "--uncertified"]),
    "configure": lambda flags: configuring.main(["words", *flags]),
}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    with known_latency(tmp_path_factory.mktemp("known"), 1.0) as known:
        yield known


@pytest.fixture
def served(known: Known) -> Known:
    """One server with a model of the group `default`, and the same under another name as one of the group `vision`."""
    known.configure(concurrency=[1], closed_s=0.5, open_s=0.5, rate=50.0)
    toml = known.root / "models.toml"
    toml.write_text(toml.read_text() + OTHER_GROUP)
    words = up(known)
    same = {"served_name": words.served_name, "payloads": words.payloads}
    both = endpoints(words, up(known, model="images", **same), servers=[server(ports={"http": known.port})])
    write_json(Workspace(known.root).endpoints, both)
    return known


def up(known: Known, **changes: str) -> Endpoint:
    here = f"127.0.0.1:{known.port}"
    return endpoint(address=here, engine_kind="embedded", stand_in_for="a real server", **changes)


def config(known: Known) -> ModelsFile:
    return read_config(known.root / "models.toml")


@pytest.mark.parametrize(
    ("group", "left"), [(None, [WORDS, IMAGES]), ("all", [WORDS, IMAGES]), ("default", [WORDS]), ("vision", [IMAGES])]
)
def test_a_group_keeps_its_models_and_without_one_everything_stays(
    served: Known, group: str | None, left: list[str]
) -> None:
    chosen = [up(served), up(served, model="images")]
    assert [item.id for item in of_group(chosen, config(served), group)] == left


def test_of_two_groups_that_are_up_the_one_that_is_named_is_loaded(served: Known) -> None:
    file = Workspace(served.root).endpoints
    unserved = {"images savedmodel": "failed: why", "words savedmodel": "failed: why"}
    write_json(file, read_model(file, Endpoints, "make serve").model_copy(update={"unserved": unserved}))
    words = [*served.command(), "--group", "vision"]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert ended.returncode == 0, ended.stderr
    assert {item.endpoint.model for item in served.plan().variants} == {"images"}
    assert served.plan().unserved.keys() == {"images savedmodel"}


@pytest.mark.parametrize(
    ("group", "left"), [(None, {"words", "images"}), ("default", {"words"}), ("vision", {"images"})]
)
def test_an_export_that_is_not_served_is_missed_in_its_group_alone(
    served: Known, group: str | None, left: set[str]
) -> None:
    up = endpoints(unserved={f"{model} savedmodel": "failed: why" for model in ("words", "images")})
    missed = missed_in_group(up, config(served), group).unserved
    assert {name.split()[0] for name in missed} == left


@pytest.mark.parametrize("command", COMMANDS)
def test_a_group_of_which_nothing_is_meant_is_refused_with_what_to_do(served: Known, command: str) -> None:
    flags = ["--workspace", str(served.root), "--config", str(served.root / "models.toml"), "--group", "vision"]
    if command != "configure":  # which is given a name anyway
        flags += ["--variant", WORDS]
    with pytest.raises(UsageError, match=rf"none of the endpoints {WORDS} is of group 'vision', which has images: "):
        COMMANDS[command](flags)


def test_scale_refuses_an_endpoint_that_is_up_and_of_another_group(served: Known) -> None:
    flags = ["--workspace", str(served.root), "--config", str(served.root / "models.toml"), "--group", "vision"]
    with pytest.raises(UsageError, match=rf"none of the endpoints {WORDS} is of group 'vision', which has images: "):
        scaling.main([WORDS, *flags])


def test_scale_offers_the_endpoints_of_the_group(served: Known) -> None:
    flags = ["--workspace", str(served.root), "--config", str(served.root / "models.toml"), "--group", "vision"]
    with pytest.raises(UsageError, match=rf"say what to scale, one of {IMAGES};"):
        scaling.main(flags)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_group_that_no_model_is_in_is_refused(served: Known, command: str) -> None:
    flags = ["--workspace", str(served.root), "--config", str(served.root / "models.toml"), "--group", "visoin"]
    if command == "search":  # which leaves embedded servers out unless they are named
        flags += ["--variant", WORDS]
    with pytest.raises(UsageError, match="no model is in group 'visoin': one of default, vision, all"):
        COMMANDS[command](flags)


def test_load_processes_are_started_here_or_waited_for_but_not_both(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--processes 2 starts .* here, --workers 3 waits for others") as refused:
        loading.main(["--workspace", str(tmp_path), "--processes", "2", "--workers", "3"])
    assert refused.value.exit_code == 2
