"""Replicas of a Deployment in a cluster, reached by the address of its Service, or of what is in front of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from contract.cli import uninterrupted
from contract.endpoints import Endpoint
from contract.errors import ServerError, UsageError
from contract.hosts import beyond_loopback
from contract.progress import say
from contract.workspace import Workspace
from serving.proof.proving import insist
from serving.proof.rechecking import FEW, recheck
from tune.scale.kubectl import ROLLOUT_S, Deployment, Kubectl, autoscaler_of, ready, wanted
from tune.scale.unit import Name, Reading, Subject


class DeployedReplicas:
    """The `Unit`. What spreads requests is the cluster's and is not passed by; nor can its replicas be asked singly."""

    name: Name = "replicas"
    proxy_threads: int | None = None

    def __init__(self, kubectl: Kubectl, deployment: Deployment, endpoint: Endpoint, workspace: Workspace) -> None:
        self.proxy = f"Deployment {deployment} behind {endpoint.address}"
        self.shared = shared_cores(endpoint.address)
        self._kubectl = kubectl
        self._deployment = deployment
        self._endpoint = endpoint
        self._workspace = workspace
        self._number = 0

    def up(self, number: int) -> Endpoint:
        say(f"scaling the Deployment {self._deployment} to {number}")
        self._kubectl.run(self._deployment.scale(number))
        self._kubectl.run(self._deployment.rollout, ROLLOUT_S + 30)
        self._number = number
        insist(recheck(self._endpoint, self._workspace, FEW * number), f"{self._endpoint.id} with {number} replicas")
        added = {"replicas": str(number), "proxy": self.proxy}
        return self._endpoint.model_copy(update={"conditions": self._endpoint.conditions | added})

    def direct(self) -> Endpoint | None:
        return None

    def reading(self) -> Reading:
        return Reading()

    def lost(self) -> str:
        found = ready(self._kubectl.document(self._deployment.get))
        return "" if found == self._number else f"{found} of {self._number} replicas were ready after the measurement"


@contextmanager
def opened(subject: Subject) -> Iterator[DeployedReplicas]:
    """The unit of a Deployment, which has as many replicas as before again afterwards.

    Raises UsageError where an autoscaler would change their number, ServerError where kubectl does not answer.
    """
    deployment, kubectl = Deployment.parse(subject.deployment), Kubectl()
    if scaler := autoscaler_of(deployment, kubectl.document(deployment.autoscalers)):
        raise UsageError(
            f"the Deployment {deployment} is scaled by the HorizontalPodAutoscaler {scaler}, which would change what "
            f"is measured; delete it for the time: kubectl --namespace {deployment.namespace} delete hpa {scaler}"
        )
    before = wanted(kubectl.document(deployment.get))
    try:
        yield DeployedReplicas(kubectl, deployment, subject.endpoint, subject.workspace)
    finally:
        with uninterrupted():
            try:
                kubectl.run(deployment.scale(before))
            except ServerError as error:
                say(f"the Deployment {deployment} had {before} replicas and could not be scaled back: {error}")


def shared_cores(address: str) -> str:
    """What the load generator shares with what forwards requests to the cluster; empty where it only sends them off."""
    if beyond_loopback(address):
        return ""
    cores = len(os.sched_getaffinity(0))
    return f"{address} is this machine, whose {cores} cores the load generator shares with what forwards its requests"
