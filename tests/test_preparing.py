"""A run's folder before the first request, and what is refused before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.client import Client
from contract.codecs import codec_for
from contract.config import ModelsFile
from contract.endpoints import Endpoint
from contract.errors import UsageError
from contract.files import read_model
from contract.golden import read_examples, write_examples
from contract.load import Load
from contract.records import Plan, golden_name
from contract.shapes import LoadPlan, Trace
from contract.tensors import TensorSpec
from contract.workspace import Workspace
from loadtest.plan.payloads import read_requests
from loadtest.plan.planning import Choice, make_plan
from loadtest.plan.preparing import MOST_ERRORS_AWAY, admitted, prepare
from serving.proof.payloads import write_payloads
from tests.builders import MACHINE, endpoint, endpoints, examples, served, workspace

INPUTS = [TensorSpec(name="tokens", dtype="int64", dims=["batch", "length"])]


def plan_for(*addresses: str, load: Load | None = None, choice: Choice | None = None) -> Plan:
    chosen = [endpoint(model=f"m{number}", address=address) for number, address in enumerate(addresses)]
    return make_plan("x", "x", load or Load(), endpoints(*chosen), chosen, MACHINE, {}, choice or Choice())


def test_what_stays_on_this_machine_needs_no_permission() -> None:
    plan = plan_for("127.0.0.1:8000", "localhost:9")
    assert admitted(plan, []) == plan


def test_a_host_beyond_this_machine_is_refused_until_it_is_named_and_has_a_ceiling() -> None:
    with pytest.raises(UsageError, match=r"--allow-host triton\.example"):
        admitted(plan_for("triton.example:8000"), ["other.example"])
    with pytest.raises(UsageError, match=r"say with .*max-rps"):
        admitted(plan_for("triton.example:8000"), ["triton.example"])
    allowed = admitted(plan_for("triton.example:8000", load=Load(max_rps=500)), ["triton.example"])
    assert (allowed.max_rps, allowed.abort_error_rate) == (500, MOST_ERRORS_AWAY)


@pytest.mark.parametrize(
    "shape",
    [
        {"shape": "steady", "rate": 101},
        {"shape": "ramp", "rate": 150, "to": 1},
        {"shape": "step", "rates": [10, 101]},
        {"shape": "spike", "rate": 10, "peak": 200, "begin_s": 1, "length_s": 1},
        {"shape": "sine", "rate": 60, "amplitude": 50, "period_s": 1},
    ],
)
def test_no_stage_may_plan_more_than_the_ceiling_at_any_moment(shape: dict[str, Any]) -> None:
    choice = Choice("mine", LoadPlan.model_validate({"stages": [shape]}))
    with pytest.raises(UsageError, match="the ceiling is 100"):
        admitted(plan_for("127.0.0.1:1", load=Load(max_rps=100), choice=choice), [])
    assert admitted(plan_for("127.0.0.1:1", load=Load(max_rps=250), choice=choice), [])


def test_a_burst_in_a_trace_counts_against_the_ceiling_however_long_the_rest_of_its_stage_is(tmp_path: Path) -> None:
    (tmp_path / "burst.csv").write_text("".join(f"{number / 1000}\n" for number in range(200)))
    shape = {"shape": "trace", "file": tmp_path / "burst.csv", "duration_s": 3600}
    choice = Choice("mine", LoadPlan.model_validate({"stages": [shape]}))
    with pytest.raises(UsageError, match=r"200.*the ceiling is 100"):
        admitted(plan_for("127.0.0.1:1", load=Load(max_rps=100), choice=choice), [])
    assert admitted(plan_for("127.0.0.1:1", load=Load(max_rps=250), choice=choice), [])


@pytest.fixture
def place(tmp_path: Path) -> tuple[Workspace, Endpoint]:
    """A workspace whose only endpoint has golden requests and payloads."""
    place = workspace(tmp_path)
    item = served(place)
    write_payloads(item, "http", examples(), place.live)
    target = endpoint(inputs=INPUTS)
    write_examples(place.root / target.golden, examples())
    return place, target


def config(*stages: dict[str, Any], **changes: Any) -> ModelsFile:
    return ModelsFile.model_validate(
        {"schema_version": 1, "models": {}, "plans": {"mine": {"stages": list(stages)}}, **changes}
    )


def test_a_stage_with_payloads_of_its_own_finds_them_serialised_and_judgeable(
    place: tuple[Workspace, Endpoint],
) -> None:
    stages = [{"shape": "steady", "payloads": {"rows": [3]}}, {"shape": "steady", "payloads": {"length": [7, 9]}}]
    plan, results = prepare(config(*stages), place[0], endpoints(place[1]), [place[1]], "mine")
    golden = {example.key: example for example in read_examples(results / golden_name(place[1]))}
    assert {example.key for example in examples()} <= golden.keys()
    for stage, known in zip(plan.variants[0].stages, (True, False), strict=True):
        folder = results / "payloads" / stage.payloads / Path(place[1].payloads).relative_to("payloads")
        requests = read_requests(folder, every=True)
        assert requests.target == codec_for("triton", "http").target(place[1].served_name, place[1].version)
        for request in requests.requests:
            assert bool(golden[request.key].outputs) is known
            assert request.rows == golden[request.key].rows
    lengths = {golden[request.key].inputs["tokens"].shape[1] for request in requests.requests}
    assert lengths == {7, 8, 9}


def test_a_trace_is_kept_with_the_results_and_the_plan_names_the_copy(
    place: tuple[Workspace, Endpoint], tmp_path: Path
) -> None:
    (tmp_path / "monday.csv").write_text("0\n0.5\n")
    stage = {"shape": "trace", "file": str(tmp_path / "monday.csv")}
    plan, results = prepare(config(stage), place[0], endpoints(place[1]), [place[1]], "mine")
    shape = plan.variants[0].stages[0].shape
    assert isinstance(shape, Trace)
    assert (results / shape.file).read_text() == "0\n0.5\n"
    assert read_model(results / "plan.json", Plan, "make loadtest") == plan


def test_a_trace_that_names_a_request_that_is_not_there_is_refused_before_anything_is_sent(
    place: tuple[Workspace, Endpoint], tmp_path: Path
) -> None:
    (tmp_path / "monday.csv").write_text("0,r0000\n0.5,r4711\n")
    stage = {"shape": "trace", "file": str(tmp_path / "monday.csv")}
    with pytest.raises(
        UsageError, match="the trace names the request 'r4711', which words does not have; it has r0000"
    ):
        prepare(config(stage), place[0], endpoints(place[1]), [place[1]], "mine")


def test_the_plan_holds_the_names_of_secrets_and_not_their_values(
    place: tuple[Workspace, Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "hush-hush")
    client = Client(headers={"Authorization": "env:MY_TOKEN"})
    made = config({"shape": "steady"}).model_copy(update={"client": client})
    _, results = prepare(made, place[0], endpoints(place[1]), [place[1]], "mine")
    texts = [path.read_bytes() for path in results.rglob("*") if path.is_file()]
    assert any(b"env:MY_TOKEN" in text for text in texts)
    assert not any(b"hush-hush" in text for text in texts)


def test_a_secret_that_is_not_in_the_environment_is_said_before_anything_is_sent(
    place: tuple[Workspace, Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MY_TOKEN", raising=False)
    client = Client(headers={"Authorization": "env:MY_TOKEN"})
    made = config({"shape": "steady"}).model_copy(update={"client": client})
    with pytest.raises(UsageError, match="MY_TOKEN"):
        prepare(made, place[0], endpoints(place[1]), [place[1]])
    assert not place[0].results.exists()


def test_missing_payloads_are_said_before_anything_is_sent(place: tuple[Workspace, Endpoint]) -> None:
    (place[0].live / place[1].payloads / "index.json").unlink()
    with pytest.raises(UsageError, match="is gone; run 'make export serve' again"):
        prepare(config({"shape": "steady"}), place[0], endpoints(place[1]), [place[1]])


def test_two_runs_of_one_second_have_folders_of_their_own(place: tuple[Workspace, Endpoint]) -> None:
    made = [prepare(config({"shape": "steady"}), place[0], endpoints(place[1]), [place[1]])[1] for _ in range(3)]
    assert len(set(made)) == 3
    assert (place[0].results / "latest").resolve() == made[-1]
    assert np.all([(folder / "plan.json").is_file() for folder in made])
