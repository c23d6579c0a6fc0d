"""Models on servers that are not ours: declared, asked who they are, proven like our own, and left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.client import Client
from contract.config import ModelsFile, read_config
from contract.elsewhere import Elsewhere
from contract.endpoints import Endpoint, Endpoints
from contract.errors import ParityError, ServerError, UsageError
from contract.files import read_model
from contract.tensors import Tensors
from contract.workspace import Workspace
from report import words
from serving.proof import elsewhere, foreign
from tests import builders
from tests.builders import answer_of, config, endpoints, free_port, model, write_artifacts
from tests.conftest import ROOT, run_module
from tests.kserve_peer import PEERS, Peer
from tests.report_samples import variant
from tests.test_clients_tls import NAME, pki  # noqa: F401 (a fixture)

PROTOCOLS = ("http", "grpc")
MODELS = """
schema_version = 1

[models.words]
framework = "pytorch"
source = "somewhere:build"
formats = ["torchscript", "onnx"]
serve = []
inputs = [{ name = "tokens", dtype = "int64", dims = ["batch", "length"] }]
outputs = [{ name = "logits", dtype = "float32", dims = ["batch", 2] }]
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    found = builders.workspace(tmp_path)
    write_artifacts(found)
    return found


def declared(*places: dict[str, Any], client: Client | None = None) -> ModelsFile:
    """models.toml with one model that is elsewhere."""
    there = [Elsewhere(**{"format": "onnx", **place}) for place in places]
    return config({"words": model(elsewhere=there)}, **({"client": client} if client else {}))


def prove(settings: ModelsFile, workspace: Workspace) -> list[Endpoint]:
    places, refused = foreign.plan(settings, "all", workspace)
    assert refused == {}
    return elsewhere.prove_all(settings, places, workspace)


# What is declared.


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('adress = "a:1"', r"unknown key 'models\.words\.elsewhere\.0\.adress'; did you mean 'address'"),
        ('address = "http://a:1"', r"address': it is not of the form host:port.*without http:// \(got 'http://a:1'\)"),
        ('address = "a:0"', "it is not of the form host:port"),
        ('address = "a:65536"', "it is not of the form host:port"),
        ('address = "::1:80"', "it is not of the form host:port"),
        ('address = "a:1"\nprotocol = "grcp"', "'grcp': one of http, grpc; did you mean 'grpc'"),
        ('address = "a:1"\nname = "../x"', r"name'.*\(got '\.\./x'\)"),
        ('address = "a:1"\nversion = "1/2"', r"version'.*\(got '1/2'\)"),
        ('address = "a:1"\nmax_rows = 0', "max_rows'"),
        ('address = "a:1"\nformat = "pt2"', "elsewhere names 'pt2', formats has torchscript, onnx"),
    ],
)
def test_a_wrong_declaration_is_a_sentence(tmp_path: Path, line: str, sentence: str) -> None:
    form = "" if "format" in line else 'format = "onnx"\n'
    (tmp_path / "models.toml").write_text(f"{MODELS}\n[[models.words.elsewhere]]\n{form}{line}\n")
    with pytest.raises(UsageError, match=sentence):
        read_config(tmp_path / "models.toml")


def test_the_settings_in_the_page_of_serving_are_valid(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "serving.md").read_text()
    blocks = [block.split("```")[0] for block in page.split("```toml\n")[1:]]
    example = next(block for block in blocks if "elsewhere" in block)
    needed = 'framework = "pytorch"\nsource = "somewhere:build"\nformats = ["onnx"]\n'
    (tmp_path / "models.toml").write_text("schema_version = 1\n" + example.replace("]\n", f"]\n{needed}", 1))
    assert [item.protocol for item in read_config(tmp_path / "models.toml").models["churn"].elsewhere] == [
        "http",
        "grpc",
    ]


@pytest.mark.parametrize("address", ["127.0.0.1:8080", "[::1]:8081", "models.example.com:443"])
def test_an_address_is_a_host_and_a_port(address: str) -> None:
    assert Elsewhere(address=address, format="onnx").address == address


def test_ids_count_what_is_declared_twice(workspace: Workspace) -> None:
    http = {"address": "a:1", "name": "x"}
    places, _ = foreign.plan(
        declared(http, http, {**http, "protocol": "grpc"}, {**http, "format": "torchscript"}), "all", workspace
    )
    assert [item.id for item in places] == [
        "words__onnx__kserve__http",
        "words__onnx__kserve__http-2",
        "words__onnx__kserve__grpc",
        "words__torchscript__kserve__http",
    ]
    assert len({item.payloads for item in places}) == 4


def test_an_export_that_failed_is_not_looked_for_elsewhere(tmp_path: Path) -> None:
    place = builders.workspace(tmp_path)
    write_artifacts(place, formats=["torchscript"], failed={"onnx": "failed: wrong values"})
    places, refused = foreign.plan(declared({"address": "a:1"}), "all", place)
    assert (places, refused) == ([], {"words onnx at a:1": "failed: wrong values"})


def test_a_host_beyond_this_machine_is_asked_only_where_it_is_allowed(workspace: Workspace) -> None:
    places, _ = foreign.plan(
        declared({"address": "127.0.0.1:1"}, {"address": "models.example.com:443"}), "all", workspace
    )
    foreign.refuse_hosts(places, ["Models.Example.com"])
    with pytest.raises(UsageError, match=r"models\.example\.com:443 is beyond .* --allow-host models\.example\.com$"):
        foreign.refuse_hosts(places, ["example.com"])


# What is asked and proven.


@pytest.mark.parametrize("version", ["", "v3"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_model_elsewhere_becomes_an_endpoint_that_says_what_is_known(
    workspace: Workspace, protocol: str, version: str
) -> None:
    with PEERS[protocol](Peer(name="other", version=version)) as peer:
        place = {"address": peer.address, "protocol": protocol, "name": "other", "version": version or None}
        (found,) = prove(declared(place), workspace)
    assert found.id == f"words__onnx__kserve__{protocol}"
    assert (found.engine, found.engine_kind, found.engine_version) == ("kserve", "real", "peer 1.2")
    assert (found.device, found.stand_in_for, found.backend_kind) == ("unknown", None, "native")
    assert (found.served_name, found.version, found.asked_version) == ("other", 1, version)
    assert found.configuration.model_dump() == dict.fromkeys(found.configuration.model_dump())
    assert found.conditions["server"] == "peer 1.2, elsewhere"
    assert "peers_onnx" in found.conditions["library"]
    for proof in (found.parity_engine, found.parity_endpoint):
        assert proof.passed
        assert proof.requests == 10
    assert (workspace.live / found.payloads / "index.json").is_file()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_server_that_answers_wrongly_is_refused(workspace: Workspace, protocol: str) -> None:
    def other(tokens: np.ndarray[Any, Any]) -> Tensors:
        return {"logits": answer_of(tokens)["logits"] + 1}

    with PEERS[protocol](Peer(answer=other)) as peer, pytest.raises(ParityError, match=r"words at .* does not agree"):
        prove(declared({"address": peer.address, "protocol": protocol}), workspace)


def test_a_server_that_mixes_up_requests_is_refused(workspace: Workspace) -> None:
    asking: list[object] = []

    def confused(tokens: np.ndarray[Any, Any]) -> Tensors:
        asking.append(tokens)
        return {"logits": answer_of(tokens)["logits"] + (len(asking) > 10)}  # right as long as it is asked one by one

    with (
        PEERS["http"](Peer(answer=confused)) as peer,
        pytest.raises(ParityError, match="asked many requests at a time"),
    ):
        prove(declared({"address": peer.address}), workspace)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"inputs": {"text": "INT64"}}, r"no input 'tokens' \(it has text\); it wants an input 'text' that the export"),
        ({"inputs": {"tokens": "INT32"}}, "its input 'tokens' is INT32, the export has INT64"),
        ({"outputs": {"scores": "FP32"}}, r"no output 'logits' \(it has scores\)"),
        ({"outputs": {"logits": "FP64"}}, "its output 'logits' is FP64, the export has FP32"),
    ],
)
def test_another_model_is_refused_before_it_is_asked(
    workspace: Workspace, protocol: str, changes: dict[str, Any], sentence: str
) -> None:
    with PEERS[protocol](Peer(**changes)) as peer:
        with pytest.raises(
            UsageError, match=f"words at .* is not words as onnx: .*{sentence}.*elsewhere of models.toml"
        ):
            prove(declared({"address": peer.address, "protocol": protocol}), workspace)
        assert not [call for call, _ in peer.asked if "nfer" in call]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_server_without_tensors_in_its_metadata_is_judged_by_its_answers(
    workspace: Workspace, protocol: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with PEERS[protocol](Peer(inputs={}, outputs={})) as peer:
        prove(declared({"address": peer.address, "protocol": protocol}), workspace)
    assert "does not tell its inputs and outputs: its answers are all that is compared" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("protocol", "without"), [("http", ("/v2/health/ready", "/v2")), ("grpc", ("ServerReady", "ServerMetadata"))]
)
def test_a_server_that_says_nothing_of_itself_is_unknown(
    workspace: Workspace, protocol: str, without: tuple[str, ...]
) -> None:
    with PEERS[protocol](Peer(without=without)) as peer:
        (found,) = prove(declared({"address": peer.address, "protocol": protocol}), workspace)
    assert found.engine_version == "unknown"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_server_that_is_not_ready_or_has_no_such_model_is_a_sentence(workspace: Workspace, protocol: str) -> None:
    with PEERS[protocol](Peer(ready=False)) as peer, pytest.raises(ServerError, match="says that itself is not ready"):
        prove(declared({"address": peer.address, "protocol": protocol}), workspace)
    with PEERS[protocol](Peer(name="other")) as peer, pytest.raises(ServerError, match=r"refused .*(404|NOT_FOUND)"):
        prove(declared({"address": peer.address, "protocol": protocol}), workspace)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nobody_at_an_address_is_a_server_error_that_names_it(workspace: Workspace, protocol: str) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(ServerError, match=address):
        prove(declared({"address": address, "protocol": protocol}), workspace)


def test_larger_requests_than_the_server_takes_are_not_asked(workspace: Workspace) -> None:
    rows: list[int] = []

    def noting(tokens: np.ndarray[Any, Any]) -> Tensors:
        rows.append(len(tokens))
        return answer_of(tokens)

    with PEERS["http"](Peer(answer=noting)) as peer:
        (found,) = prove(declared({"address": peer.address, "max_rows": 3}), workspace)
    assert (max(rows), found.parity_endpoint.requests) == (3, 9)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_headers_of_client_go_with_every_request(
    workspace: Workspace, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_TOKEN", "Bearer secret")
    client = Client(headers={"Authorization": "env:A_TOKEN", "X-Tenant": "blue"})
    with PEERS[protocol](Peer()) as peer:
        (found,) = prove(declared({"address": peer.address, "protocol": protocol}, client=client), workspace)
    seen = {(headers.get("authorization"), headers.get("x-tenant")) for _, headers in peer.asked}
    assert seen == {("Bearer secret", "blue")}
    written = [path.read_bytes() for path in (workspace.live / found.payloads).iterdir()]
    assert not [data for data in written if b"secret" in data]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tls_of_client_is_used_and_checked(workspace: Workspace, protocol: str, pki: Path) -> None:  # noqa: F811
    with PEERS[protocol](Peer(tls=pki)) as peer:
        place = {"address": peer.address, "protocol": protocol}
        for trusting in ({}, {"server_name": NAME}):
            assert prove(declared(place, client=Client(tls=True, ca=pki / "ca.pem", **trusting)), workspace)
        for wrong in (
            Client(tls=True, ca=pki / "other.pem"),
            Client(tls=True, ca=pki / "ca.pem", server_name="a.test"),
        ):
            with pytest.raises(ServerError, match=peer.address):
                prove(declared(place, client=wrong), workspace)


@pytest.mark.parametrize(("protocol", "where"), [("http", "host"), ("grpc", ":authority")])
def test_an_ingress_is_told_the_host_that_client_names(workspace: Workspace, protocol: str, where: str) -> None:
    client = Client(headers={"Host": NAME})
    with PEERS[protocol](Peer()) as peer:
        prove(declared({"address": peer.address, "protocol": protocol}, client=client), workspace)
    assert {headers[where] for _, headers in peer.asked} == {NAME}


def test_golden_requests_that_were_changed_prove_nothing(workspace: Workspace) -> None:
    with PEERS["http"](Peer()) as peer:
        (workspace.artifacts / "words" / "1" / "golden.npz").write_bytes(b"others")
        with pytest.raises(UsageError, match="is not what its manifest says"):
            prove(declared({"address": peer.address}), workspace)


# What the other stages see.


def known(**changes: Any) -> Endpoint:
    return builders.endpoint(engine="kserve", engine_version="peer 1.2", device="unknown", **changes)


def test_what_was_proven_elsewhere_replaces_what_was_there_before() -> None:
    ours, old, new = builders.endpoint(), known(id="old", address="127.0.0.1:1"), known(id="new", address="10.0.0.9:2")
    before = elsewhere.joined(endpoints(ours), [old], {})
    after = elsewhere.joined(before, [new], {"words onnx": "failed"})
    assert [item.id for item in after.endpoints] == [ours.id, "new"]
    assert [(item.engine, item.host) for item in after.servers] == [("triton", "127.0.0.1"), ("kserve", "10.0.0.9")]
    assert (before.resident, after.resident) == (
        ["words__onnx on triton", "words__onnx on kserve"],
        ["words__onnx on triton"],
    )
    assert after.unserved == {"words onnx": "failed"}


def test_servers_that_hold_the_same_are_told_apart_in_the_report() -> None:
    from contract.endpoints import Configuration
    from tests.report_samples import report

    nothing = Configuration(max_batch_size=None, max_queue_delay_us=None, instances=None, threads=None)
    one = variant(
        "m", "onnx", "kserve", "http", configuration=nothing, engine_version="mlserver 1.7.1", device="unknown"
    )
    two = one.model_copy(update={"id": f"{one.id}-2", "engine_version": "ovms 2026.1"})
    names = words.labels(report(variants=[one, two]))
    assert list(names.values()) == ["onnx on KServe v2 (mlserver 1.7.1), HTTP", "onnx on KServe v2 (ovms 2026.1), HTTP"]
    assert words.configuration(nothing) == "not known"


def test_serve_status_and_stop_know_it_and_leave_it_alone(workspace: Workspace) -> None:
    flags = ["--config", str(workspace.root / "models.toml"), "--workspace", str(workspace.root)]
    with PEERS["http"](Peer()) as peer:
        text = f'{MODELS}\n[[models.words.elsewhere]]\naddress = "{peer.address}"\nformat = "onnx"\n'
        (workspace.root / "models.toml").write_text(text)
        up = run_module("serving", "up", *flags)
        assert up.returncode == 0, up.stderr
        assert f"ready  words__onnx__kserve__http {'':19} {peer.address}".split() == up.stdout.split()[:3]
        assert run_module("serving", "status", *flags).stdout == up.stdout
        assert [item.id for item in read_model(workspace.endpoints, Endpoints, "it").endpoints] == [
            "words__onnx__kserve__http"
        ]
        assert not workspace.servers.exists()  # nothing was started, nobody watches
        assert run_module("serving", "stop", *flags).returncode == 0
        assert not workspace.endpoints.exists()
        asked = len(peer.asked)
    gone = run_module("serving", "up", *flags)
    assert gone.returncode == 3
    assert f"nothing at {peer.address} answers GET /v2/health/ready" in gone.stderr
    assert len(peer.asked) == asked
    assert not workspace.endpoints.exists()


def test_serve_asks_no_host_beyond_this_machine_without_leave(workspace: Workspace) -> None:
    text = f'{MODELS}\n[[models.words.elsewhere]]\naddress = "192.0.2.1:80"\nformat = "onnx"\n'
    (workspace.root / "models.toml").write_text(text)
    flags = ["--config", str(workspace.root / "models.toml"), "--workspace", str(workspace.root)]
    ended = run_module("serving", "up", *flags)
    assert ended.returncode == 2
    assert "say so with --allow-host 192.0.2.1" in ended.stderr
