"""The images that the tests build, from the base that can be had: pulled, or made of this machine's Debian mirror."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker.errors
import pytest
from docker.client import DockerClient

Image = Callable[[str], str]  # NAME of docker/NAME.Dockerfile -> tag of the image, built when it is first asked for

ROOT = Path(__file__).parents[1]
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
REGISTRY = "tests/"  # so that nobody's own loadproof/… is replaced
BASES = ("python:3.11-slim-bookworm", "debian:bookworm-slim")
MADE = "loadproof-tests/debian:bookworm"
MIRROR = re.compile(r"^(?:URIs:|deb) *(?:\[.*\])? *(\S+/debian)/?(?: |$)", re.MULTILINE)
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
LAST_LINES = 15  # of a build that failed
PASSED_ON = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "http_proxy", "https_proxy", "no_proxy")


def tag_of(name: str) -> str:
    """What the image of docker/NAME.Dockerfile is called by the tests."""
    return f"{REGISTRY}loadproof/{name}:{VERSION}"


def build(
    engine: DockerClient, name: str, context: Path = ROOT, dockerfile: Path | None = None, **arguments: str
) -> str:
    """Build docker/NAME.Dockerfile (or another file), on the host's network, and return its tag.

    A failure shows the last lines.
    """
    passed_on = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    asked = {**passed_on, **arguments, "BASE": arguments.get("BASE") or base(engine)}
    file = dockerfile or ROOT / "docker" / f"{name}.Dockerfile"
    options = {"path": str(context), "dockerfile": str(file), "buildargs": asked, "network_mode": "host"}
    return _built(engine, tag_of(name), **options)


def build_here(engine: DockerClient, name: str, dockerfile: str, *files: Path) -> str:
    """Build an image of a test's own, from files that its Dockerfile copies, and return its tag."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for file in files:
            archive.add(file, file.name)
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(dockerfile.encode())
        archive.addfile(entry, io.BytesIO(dockerfile.encode()))
    context.seek(0)
    return _built(engine, tag_of(name), fileobj=context, custom_context=True)


def _built(engine: DockerClient, tag: str, **options: Any) -> str:
    try:
        engine.images.build(tag=tag, rm=True, forcerm=True, **options)
    except docker.errors.BuildError as error:
        lines = "".join(item.get("stream", "") for item in error.build_log).splitlines()[-LAST_LINES:]
        raise AssertionError("\n".join([f"{tag} was not built: {error}", *lines])) from None
    return tag


def base(engine: DockerClient) -> str:
    """An image to build from: one that is here, one that can be pulled, or a Debian made here."""
    here = {tag for item in engine.images.list() for tag in item.tags}
    for name in (*BASES, MADE):
        if name in here:
            return name
    for name in BASES:
        try:
            engine.images.pull(*name.split(":"))
        except docker.errors.APIError:
            continue
        return name
    return _make(engine)


def _make(engine: DockerClient) -> str:
    """A minimal Debian from this machine's mirror, with its certificate authorities. Skips where that cannot be."""
    sources = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    found = MIRROR.search("\n".join(file.read_text() for file in sources if file.is_file()))
    mirror = found[1] if found else "http://deb.debian.org/debian"
    with tempfile.TemporaryDirectory() as folder:
        root, archive = Path(folder) / "root", Path(folder) / "root.tar"
        try:
            command = ["debootstrap", "--variant=minbase", "bookworm", str(root), mirror]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
        except FileNotFoundError:
            pytest.skip(
                "NO BASE IMAGE: none can be pulled, and there is no debootstrap (Debian: apt-get install debootstrap)"
            )
        except subprocess.CalledProcessError as error:
            pytest.skip(f"NO BASE IMAGE: none can be pulled, and debootstrap failed: {error.stdout[-300:]}")
        if AUTHORITIES.is_file():
            (root / AUTHORITIES.parent.relative_to("/")).mkdir(parents=True, exist_ok=True)
            (root / AUTHORITIES.relative_to("/")).write_bytes(AUTHORITIES.read_bytes())
        subprocess.run(["tar", "-C", str(root), "-cf", str(archive), "."], check=True)
        repository, _, tag = MADE.partition(":")
        settings = [f"ENV PIP_CERT={AUTHORITIES} SSL_CERT_FILE={AUTHORITIES}"] if AUTHORITIES.is_file() else []
        engine.api.import_image_from_file(str(archive), repository=repository, tag=tag, changes=settings)
    return MADE
