"""A Docker engine for the tests: the one that answers here, else one that is started and stopped again; and the images.

    pytest_plugins = ["tests.docker_engine"]

    def test_…(engine: DockerClient, image: Image) -> None:
        engine.containers.run(image("triton-cpu"), …)

Without an engine a test is skipped, and says what is missing. An engine of ours keeps its data in .cache/tests/docker,
so that the layers of one run are there for the next.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import docker.errors
import pytest
from docker.client import DockerClient
from filelock import FileLock

from tests.conftest import CACHE
from tests.docker_images import Image, build

DATA = CACHE / "docker"
RUN = (
    Path(tempfile.gettempdir()) / f"loadproof-tests-docker-{os.getuid()}"
)  # short: the path of a socket has 107 characters
SOCKET = f"unix://{RUN}/docker.sock"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
CALL_TIMEOUT_S = 300


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerClient]:
    """A client of the engine. Commands that a test starts find the same engine by DOCKER_HOST."""
    found = _answering(None)
    if found:
        yield found
        found.close()
        return
    missing = _missing()
    if missing:
        pytest.skip(f"NO DOCKER ENGINE: none answers, and none can be started here: {missing}")
    with _our_own() as found, pytest.MonkeyPatch.context() as environment:
        environment.setenv("DOCKER_HOST", SOCKET)
        yield found


@pytest.fixture(scope="session")
def image(engine: DockerClient) -> Image:
    """The tag of the image of docker/NAME.Dockerfile, which is built when it is first asked for."""
    built: dict[str, str] = {}

    def tag_of(name: str) -> str:
        if name not in built:
            with FileLock(CACHE / f"docker-{name}.lock"):
                built[name] = build(engine, name)
        return built[name]

    CACHE.mkdir(parents=True, exist_ok=True)
    return tag_of


def _answering(address: str | None) -> DockerClient | None:
    """A client of the engine at an address (None: where the environment says), or None where none answers."""
    try:
        client = DockerClient(address) if address else DockerClient.from_env()
    except docker.errors.DockerException:
        return None
    try:
        client.ping()
    except (docker.errors.DockerException, OSError):
        client.close()
        return None
    client.api.timeout = CALL_TIMEOUT_S
    return client


def _missing() -> str:
    """What keeps an engine from being started here; empty when nothing does."""
    if os.getuid() != 0:
        return "that takes root"
    if not shutil.which("dockerd"):
        return "there is no dockerd (Debian: apt-get install --no-install-recommends docker.io debootstrap)"
    return ""


@contextmanager
def _our_own() -> Iterator[DockerClient]:
    """An engine that ends with the last of the test processes that use it (pytest-xdist has several)."""
    for folder in (DATA, RUN):
        folder.mkdir(parents=True, exist_ok=True)
    with (RUN / "users").open("w") as users:
        with FileLock(RUN / "starting.lock"):
            fcntl.flock(users, fcntl.LOCK_SH)
            client = _answering(SOCKET) or _start()
        try:
            yield client
        finally:
            client.close()
            with FileLock(RUN / "starting.lock"):
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    pass  # somebody else's turn to end it
                else:
                    _stop()


def _start() -> DockerClient:
    log = RUN / "dockerd.log"
    command = ["dockerd", f"--host={SOCKET}", f"--data-root={DATA}", f"--exec-root={RUN}/exec", f"--pidfile={RUN}/pid"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        client = _answering(SOCKET)
        if client:
            return client
        time.sleep(0.2)
    process.kill()
    process.wait()
    last = log.read_text(errors="replace").splitlines()[-1:]
    pytest.skip(f"NO DOCKER ENGINE: none answers, and dockerd does not run here: {''.join(last) or 'it says nothing'}")


def _stop() -> None:
    """End the engine, by its pid file: another test process may have started it."""
    pid = int((RUN / "pid").read_text())
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while time.monotonic() < deadline and (RUN / "pid").exists():  # removed as the last thing
        time.sleep(0.1)
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
