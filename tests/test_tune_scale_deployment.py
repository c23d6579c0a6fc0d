"""The replicas of a Deployment, by a kubectl that keeps its cluster in a file and writes down what it is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contract.compare import Parity
from contract.errors import ParityError, ServerError, UsageError
from tests.builders import config, endpoint, parity, workspace
from tests.fake_kubectl import Cluster
from tune.scale import deployment
from tune.scale.deployment import DeployedReplicas, opened, shared_cores
from tune.scale.kubectl import Deployment, Kubectl
from tune.scale.unit import Subject

ENDPOINT = endpoint(address="10.0.0.7:8000")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    found = Cluster(tmp_path)
    monkeypatch.setenv("PATH", found.path)
    monkeypatch.setattr(deployment, "recheck", lambda *_: parity())  # nothing answers at 10.0.0.7
    return found


@contextmanager
def unit(tmp_path: Path) -> Iterator[DeployedReplicas]:
    subject = Subject(config(), workspace(tmp_path), ENDPOINT, most=3, deployment="loadproof/triton")
    with opened(subject) as found:
        yield found


def test_it_is_scaled_waited_for_and_scaled_back(cluster: Cluster, tmp_path: Path) -> None:
    with unit(tmp_path) as found:
        for number in (1, 3):
            described = found.up(number)
            assert cluster["replicas"] == number
            assert described.conditions["replicas"] == str(number)
            assert described.address == ENDPOINT.address
            assert found.lost() == ""
        assert found.direct() is None and found.proxy == "Deployment loadproof/triton behind 10.0.0.7:8000"
    assert cluster["replicas"] == 2
    verbs = [line.split()[2:5] for line in cluster["told"] if " get " not in line]
    assert verbs == [
        ["scale", "deployment/triton", "--replicas=1"],
        ["rollout", "status", "deployment/triton"],
        ["scale", "deployment/triton", "--replicas=3"],
        ["rollout", "status", "deployment/triton"],
        ["scale", "deployment/triton", "--replicas=2"],
    ]


def test_a_replica_that_is_not_ready_any_more_is_noticed(cluster: Cluster, tmp_path: Path) -> None:
    with unit(tmp_path) as found:
        found.up(3)
        cluster.change(ready=2)
        assert found.lost() == "2 of 3 replicas were ready after the measurement"
        cluster.change(ready=0)  # then the API leaves the field out
        assert found.lost().startswith("0 of 3")


def test_whatever_is_raised_it_is_scaled_back(cluster: Cluster, tmp_path: Path) -> None:
    def fail_in_the_midst() -> None:
        with unit(tmp_path) as found:
            found.up(3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_in_the_midst()
    assert cluster["replicas"] == 2


def test_wrong_answers_through_the_service_end_it(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong: Parity = parity().model_copy(update={"passed": False, "reasons": ["logits differ"]})
    monkeypatch.setattr(deployment, "recheck", lambda *_: wrong)
    with pytest.raises(ParityError, match="with 3 replicas"), unit(tmp_path) as found:
        found.up(3)
    assert cluster["replicas"] == 2


def test_a_deployment_with_an_autoscaler_is_refused_and_left_alone(cluster: Cluster, tmp_path: Path) -> None:
    cluster.change(scaled=[{"kind": "Deployment", "name": "other"}, {"kind": "Deployment", "name": "triton"}])
    with pytest.raises(UsageError, match="delete hpa triton-hpa"), unit(tmp_path):
        pass
    assert not any("scale" in line.split() for line in cluster["told"])
    cluster.change(scaled=[{"kind": "Deployment", "name": "other"}, {"kind": "StatefulSet", "name": "triton"}])
    with unit(tmp_path):
        pass


@pytest.mark.parametrize("verb", ["scale", "rollout", "get"])
def test_what_kubectl_refuses_is_said_in_its_own_words(cluster: Cluster, tmp_path: Path, verb: str) -> None:
    cluster.change(fails=verb)
    words = rf"'kubectl .* {verb} .*' failed: error: the server says no"
    with pytest.raises(ServerError, match=words), unit(tmp_path) as found:
        found.up(3)


def test_where_it_cannot_be_scaled_back_that_is_said_with_the_number(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with unit(tmp_path) as found:
        found.up(3)
        cluster.change(fails="scale")
    assert "had 2 replicas and could not be scaled back" in capsys.readouterr().err


def test_without_kubectl_the_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(UsageError, match="neither on PATH nor beside"):
        Kubectl()


@pytest.mark.parametrize("text", ["triton", "a/b/c", "/triton", "loadproof/", "Loadproof/triton", "a/--all"])
def test_what_names_no_deployment_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="say NAMESPACE/NAME"):
        Deployment.parse(text)
    assert str(Deployment.parse("loadproof/triton")) == "loadproof/triton"


def test_a_forwarded_port_shares_this_machines_cores_and_a_service_elsewhere_does_not() -> None:
    assert shared_cores("10.0.0.7:8000") == ""
    assert "127.0.0.1:8000 is this machine" in shared_cores("127.0.0.1:8000")
