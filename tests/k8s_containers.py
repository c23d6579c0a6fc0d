"""A pod's containers in a Docker engine: arguments, names, user and file systems as the manifests have them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from docker.client import DockerClient

from tests.docker_served import give_away
from tests.k8s_jobs import Document, steps, template, variables
from tests.k8s_rendered import K8S, flags, pod, server

TMP = "size=512m"


@dataclass(frozen=True)
class ContainerPod:
    """The pod of a job on a network whose names are the Services'. ``claims`` is the folder that holds each claim's."""

    engine: DockerClient
    network: str
    image: str
    objects: list[Document]
    job: Document
    claims: Path
    folder: Path
    settings: dict[str, str]  # that are other here
    replaced: dict[str, list[str]]  # words of arguments that are others here

    def start(self, name: str, *aliases: str) -> Any:
        """Start one container, found by these names."""
        (step,) = (item for item in steps(self.job) if item["name"] == name)
        values = {**variables(self.objects, step), **self.settings}
        words = [re.sub(r"\$\((\w+)\)", lambda key: values[key[1]], word) for word in step["args"]]
        user, may = template(self.job)["spec"]["securityContext"], step["securityContext"]
        container = self.engine.containers.create(
            self.image,
            [other for word in words for other in self.replaced.get(word, [word])],
            environment=values,
            user=f"{user['runAsUser']}:{user['runAsGroup']}",
            read_only=may["readOnlyRootFilesystem"],
            cap_drop=may["capabilities"]["drop"],
            security_opt=[] if may["allowPrivilegeEscalation"] else ["no-new-privileges"],
            volumes=self._volumes(step, user["fsGroup"]),
            tmpfs={"/tmp": TMP},
            network=self.network,
            networking_config={self.network: self.engine.api.create_endpoint_config(aliases=list(aliases))},
        )
        container.start()
        return container

    def run(self, name: str, *aliases: str, code: int = 0, timeout: float = 240) -> str:
        """Run one container to its end, which has to be this one, and return what it prints."""
        container = self.start(name, *aliases)
        try:
            ended = container.wait(timeout=timeout)["StatusCode"]
            printed = container.logs(stderr=False).decode()
            assert ended == code, f"{name} ended with {ended}: {printed}{container.logs(stdout=False).decode()}"
        finally:
            container.remove(force=True)
        return str(printed)

    def _volumes(self, step: Document, group: int) -> list[str]:
        """``source:target:mode`` of each mount but /tmp, given to the pod's group as the kubelet does."""
        volumes = {item["name"]: item for item in template(self.job)["spec"]["volumes"]}
        found = []
        for mount in step["volumeMounts"]:
            if mount["mountPath"] == "/tmp":
                continue
            claim = volumes[mount["name"]].get("persistentVolumeClaim")
            source = self.claims / claim["claimName"] / mount["subPath"] if claim else self.folder / mount["name"]
            if not mount.get("readOnly"):
                source.mkdir(parents=True, exist_ok=True)
                give_away(source, group)
            found.append(f"{source}:{mount['mountPath']}:{'ro' if mount.get('readOnly') else 'rw'}")
        return found


def start_server(engine: DockerClient, network: str, image: str, repository: Path) -> Any:
    """Triton with the Deployment's own arguments, found by the names of both its Services."""
    words = [re.sub(r"\$\((\w+)\)", lambda name: flags("cpu")[name[1]], word) for word in server("cpu")["args"]]
    config = engine.api.create_endpoint_config(aliases=["triton", "triton-headless"])
    container = engine.containers.create(
        image,
        words,
        read_only=True,
        cap_drop=["ALL"],
        tmpfs={"/tmp": TMP},
        shm_size="1g",
        volumes=[f"{repository}:/models:ro"],
        network=network,
        networking_config={network: config},
    )
    container.start()
    return container


def start_sidecar(engine: DockerClient, image: str, beside: Any) -> Any:
    """The sidecar of k8s/components/usage in one pod with a server: its network and its processes are the server's."""
    patch = yaml.safe_load((K8S / "components" / "usage" / "deployment.yaml").read_text())
    (sidecar,) = patch["spec"]["template"]["spec"]["initContainers"]
    user, limits = pod("cpu")["securityContext"], sidecar["resources"]["limits"]
    container = engine.containers.create(
        image,
        sidecar["args"],
        user=f"{user['runAsUser']}:{user['runAsGroup']}",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        mem_limit=limits["memory"].removesuffix("i").lower(),
        nano_cpus=int(limits["cpu"].removesuffix("m")) * 1_000_000,
        network_mode=f"container:{beside.id}",
        pid_mode=f"container:{beside.id}",
    )
    container.start()
    return container
