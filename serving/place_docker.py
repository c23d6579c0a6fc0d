"""Run a Launch as a container: published on loopback only, a user without rights, the repository read-only."""

from __future__ import annotations

from typing import Any

from contract.endpoints import ServerRecord
from contract.errors import ServerError
from serving.launch import Launch
from serving.ports import LOOPBACK

USER = "65534:65534"
LAST_LINES = 20


def _client() -> Any:
    import docker

    return docker.from_env(timeout=20)


def has_image(image: str) -> bool:
    """Whether an engine runs here and has the image; nothing is pulled."""
    import docker.errors

    try:
        _client().images.get(image)
    except docker.errors.DockerException:
        return False
    return True


def image_label(image: str) -> str:
    """The image's own name for its version: its first tag, or its id."""
    import docker.errors

    try:
        found = _client().images.get(image)
    except docker.errors.DockerException as error:
        raise ServerError(f"Docker has no image {image} ({error}); run 'docker pull {image}'") from None
    return str(found.tags[0] if found.tags else found.short_id)


def start(launch: Launch) -> ServerRecord:
    """Start the container. Raises ServerError when the engine refuses."""
    import docker.errors
    import docker.types

    more: dict[str, Any] = {}
    if launch.gpus:
        more["device_requests"] = [docker.types.DeviceRequest(count=-1, capabilities=[["gpu"]])]
    if launch.cores:
        more["cpuset_cpus"] = ",".join(map(str, launch.cores))
    try:
        container = _client().containers.run(
            launch.image,
            entrypoint=launch.command[:1],
            command=launch.command[1:],
            detach=True,
            user=USER,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            ports={f"{launch.inside[name]}/tcp": (LOOPBACK, port) for name, port in launch.ports.items()},
            volumes={str(path): {"bind": str(path), "mode": "ro"} for path in launch.mounts},
            environment=launch.environment,
            labels={"loadproof": launch.engine},
            shm_size=f"{launch.shared_memory_mib}m",
            **more,
        )
    except docker.errors.DockerException as error:
        raise ServerError(f"Docker did not start {launch.image}: {error}") from None
    return ServerRecord(
        engine=launch.engine,
        engine_kind=launch.engine_kind,
        engine_version="unknown",
        place="docker",
        host=launch.host,
        pid=None,
        pid_started=None,
        container=str(container.id),
        command=launch.command,
        ports=launch.ports,
        log=f"docker logs {container.short_id}",
        shm_prefix=None,
    )


def alive(server: ServerRecord) -> bool:
    """Whether the container runs."""
    import docker.errors

    try:
        return bool(_client().containers.get(server.container).status == "running")
    except docker.errors.DockerException:
        return False


def stop(server: ServerRecord) -> None:
    """Stop and remove the container. TF Serving ignores SIGTERM, so it is killed."""
    import docker.errors

    try:
        _client().containers.get(server.container).remove(force=True)
    except docker.errors.NotFound:
        return
    except docker.errors.DockerException as error:
        raise ServerError(f"Docker did not remove container {server.container}: {error}") from None


def last_lines(server: ServerRecord) -> str:
    """The end of the container's log."""
    import docker.errors

    try:
        text = _client().containers.get(server.container).logs(tail=LAST_LINES).decode(errors="replace")
    except docker.errors.DockerException as error:
        text = str(error)
    return "\n".join(f"  | {line}" for line in text.splitlines())
