"""Run a Launch as a container: published on loopback only, with a root file system and a repository that are read-only,
as a user without rights who can read them.

Where the engine hangs after it was reached, the SDK raises errors of its HTTP library, which are OSErrors: each call to
it is guarded against both.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from contract.endpoints import ServerRecord
from contract.errors import ServerError
from serving.places.launch import Launch
from serving.places.ports import LOOPBACK

NOBODY = 65534
LAST_LINES = 20
CALL_TIMEOUT_S = 60  # of one call to the engine; longer than the longest grace
# SIGTERM to SIGKILL: Triton waits for its connections, then lets its models go; TF Serving dies at once.
GRACE_S = {"triton": 20, "tfserving": 5}
# Whose images' own entrypoint goes first, with the command as its arguments: NVIDIA's finds the driver's libraries.
# TF Serving's would add flags of its own.
WITH_ENTRYPOINT = ("triton",)
NEXT_STEP = "'docker info' tells whether the engine runs, 'journalctl -u docker' what it says of this"
BY_HAND = "'docker rm -f {}' removes it by hand"
SCRATCH = {"/tmp": "rw,nosuid,nodev,size=1g,mode=1777"}  # noqa: S108 - the container's own, and all that it may write to


def _client() -> Any:
    import docker

    return docker.from_env(timeout=CALL_TIMEOUT_S)


def has_image(image: str) -> bool:
    """Whether an engine runs here and has the image; nothing is pulled."""
    import docker.errors

    try:
        _client().images.get(image)
    except (docker.errors.DockerException, OSError):
        return False
    return True


def image_label(image: str) -> str:
    """The image's own name for its version: its first tag, or its id."""
    import docker.errors

    try:
        found = _client().images.get(image)
    except (docker.errors.DockerException, OSError) as error:
        raise ServerError(f"Docker has no image {image} ({error}); run 'docker pull {image}'") from None
    return str(found.tags[0] if found.tags else found.short_id)


def variables_of(image: str) -> dict[str, str]:
    """The environment that an image sets; none where there is no such image, or no engine that says so."""
    import docker.errors

    try:
        words = _client().images.get(image).attrs["Config"].get("Env") or []
    except (docker.errors.DockerException, OSError):
        return {}
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def user_of(mounts: list[Path]) -> str:
    """``uid:gid`` of who may read what is mounted and the trees in it: their owner, or nobody where that is root.

    Raises ServerError where root owns them and lets nobody else in.
    """
    for mount in mounts:
        trees = [child for child in sorted(mount.iterdir()) if child.is_dir()]
        for path in (*trees, mount):
            found = path.stat()
            if found.st_uid != 0:
                return f"{found.st_uid}:{found.st_gid}"
            if not found.st_mode & stat.S_IROTH or not found.st_mode & stat.S_IXOTH:
                raise ServerError(  # a tree is laid out anew by each start, under its umask
                    f"{path} belongs to root, who alone may read it, and the container does not run as root: "
                    f"'chmod -R o+rX {mount}', and 'umask 022' before the next start; or run this as another user"
                )
    return f"{NOBODY}:{NOBODY}"


def start(launch: Launch) -> ServerRecord:
    """Start the container; its image has to be there. Raises ServerError when the engine refuses."""
    import docker.errors

    options = _options(launch)
    try:
        image = _client().images.get(launch.image)
        container = _client().containers.create(launch.image, **options)
    except docker.errors.ImageNotFound:
        raise ServerError(
            f"Docker has no image {launch.image}, and nothing is pulled unasked: run 'docker pull {launch.image}', "
            "or build it ('make image')"
        ) from None
    except (docker.errors.DockerException, OSError) as error:
        raise ServerError(f"Docker did not start {launch.image}: {error}; {NEXT_STEP}") from None
    try:
        container.start()
    except (docker.errors.DockerException, OSError) as error:
        left = _left(container)
        raise ServerError(f"Docker did not start {launch.image}: {error}; {NEXT_STEP}{left}") from None
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
        image=f"{launch.image} ({image.short_id})",
        gpus=launch.gpus,
    )


def _left(container: Any) -> str:
    """Remove a container that did not start: one whose port is taken is there nevertheless. Empty, or what to do."""
    import docker.errors

    try:
        container.remove(force=True)
    except (docker.errors.DockerException, OSError):
        return f"; {BY_HAND.format(container.id)}"
    return ""


def _options(launch: Launch) -> dict[str, Any]:
    """What the engine is asked for."""
    import docker.types

    more: dict[str, Any] = {}
    if launch.engine not in WITH_ENTRYPOINT:
        more["entrypoint"] = launch.command[:1]
    if launch.gpus:
        more["device_requests"] = [docker.types.DeviceRequest(count=-1, capabilities=[["gpu"]])]
    if launch.cores:
        more["cpuset_cpus"] = ",".join(map(str, launch.cores))
    return {
        "command": launch.command if launch.engine in WITH_ENTRYPOINT else launch.command[1:],
        "detach": True,
        "init": True,  # process 1 gets only signals that it handles, and inherits orphans: no work for a server
        "user": user_of(launch.mounts),
        "read_only": True,
        "tmpfs": SCRATCH,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "ports": {f"{launch.inside[name]}/tcp": (LOOPBACK, port) for name, port in launch.ports.items()},
        "volumes": {str(path): {"bind": str(path), "mode": "ro"} for path in launch.mounts},
        "environment": {"HOME": "/tmp", **launch.environment},  # noqa: S108 - see SCRATCH
        "labels": {"loadproof": launch.engine},
        "shm_size": f"{launch.shared_memory_mib}m",
        **more,
    }


def alive(server: ServerRecord) -> bool:
    """Whether the container runs.

    Raises ServerError where the engine does not say: with live-restore a container outlives its engine.
    """
    import docker.errors

    try:
        return bool(_client().containers.get(server.container).status == "running")
    except docker.errors.NotFound:
        return False
    except (docker.errors.DockerException, OSError) as error:
        raise ServerError(f"Docker does not say whether {server.engine} runs: {error}; {NEXT_STEP}") from None


def lost_a_port(server: ServerRecord) -> bool:
    """Never: Docker publishes all of them before the server begins, or does not start it."""
    return False


def stop(server: ServerRecord) -> None:
    """End the server politely, then firmly, and remove its container."""
    import docker.errors

    try:
        container = _client().containers.get(server.container)
        container.stop(timeout=GRACE_S[server.engine])
        container.remove(force=True)
    except docker.errors.NotFound:
        return
    except (docker.errors.DockerException, OSError) as error:
        raise ServerError(
            f"Docker did not remove container {server.container}: {error}; {NEXT_STEP}; "
            f"{BY_HAND.format(server.container)}"
        ) from None


def last_lines(server: ServerRecord) -> str:
    """The end of the container's log."""
    import docker.errors

    try:
        text = _client().containers.get(server.container).logs(tail=LAST_LINES).decode(errors="replace")
    except (docker.errors.DockerException, OSError) as error:
        text = str(error)
    return "\n".join(f"  | {line}" for line in text.splitlines())
