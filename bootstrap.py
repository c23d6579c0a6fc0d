"""Make the virtual environment from a lock file. Needs nothing but the standard library of Python 3.11 or 3.12.

    python3 bootstrap.py --extra cpu --venv .venv
    python3 bootstrap.py --extra loadtest          for a machine that only lends load processes: 0.4 GB instead of 12
    python3 bootstrap.py --lock                    writes requirements/*.lock from pyproject.toml (needs network)

pip is asked for exactly what the lock file pins. What only torch's CUDA build needs is pinned as constraints, which
hold when torch asks for it, so that an index with CPU builds of torch gives a small environment:
PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make env
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
EXTRAS = ("cpu", "gpu")
PYTHONS = ((3, 11), (3, 12))
# Needed by torch's CUDA build alone: constraints, not requirements.
CUDA = re.compile(r"^(nvidia-(?!pytriton).*|cuda-.*|triton)$")
MADE = "Made by 'make lock' from pyproject.toml; do not edit."


@dataclass(frozen=True)
class Environment:
    """How requirements/NAME.lock is installed."""

    free_gib: float
    rival: str = ""  # the package that is the same module as one of the lock's
    complete: bool = False  # the lock names all there is to install, and leaves out what its packages ask for


# Whoever lends load processes sends bytes: TF Serving's messages without TensorFlow, as in docker/loadtest.Dockerfile.
ENVIRONMENTS = {
    "cpu": Environment(12, rival="onnxruntime-gpu"),
    "gpu": Environment(12, rival="onnxruntime"),
    "loadtest": Environment(1, complete=True),
}


@dataclass(frozen=True)
class ImageLock:
    """What an image is given, by names of pyproject.toml; the versions are those of cpu.lock."""

    extras: tuple[str, ...]
    without: tuple[str, ...] = ()  # of the extras' packages: what the image's commands do without
    also: tuple[str, ...] = ()  # of other extras
    alone: tuple[str, ...] = ()  # of other extras, without what they require


# docker/NAME.Dockerfile -> requirements/NAME.lock
IMAGES = {
    # TF Serving's messages need protobuf alone; the package asks for TensorFlow.
    "loadtest": ImageLock(("loadtest", "report"), ("tensorboard",), ("docker",), ("tensorflow-serving-api",)),
    "export": ImageLock(("zoo", "export"), also=("onnxruntime",)),
}


class Refused(Exception):
    """The environment cannot be made here; the text says why and what to do."""


def check_machine(venv: Path, extra: str = "cpu") -> None:
    """Raise Refused on a platform where the servers do not run."""
    if sys.version_info[:2] not in PYTHONS:
        known = " or ".join(f"{major}.{minor}" for major, minor in PYTHONS)
        raise Refused(f"this is Python {platform.python_version()}, needed is {known}: make PYTHON=python3.11 …")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise Refused(
            f"this is {platform.system()} on {platform.machine()}; Triton's wheel is for Linux on x86-64 only: "
            "use such a machine, or a virtual one"
        )
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        minor = sys.version_info.minor
        raise Refused(
            f"this Python cannot make virtual environments; Debian and Ubuntu: apt-get install python3.{minor}-venv"
        ) from None
    import shutil

    free, needed = shutil.disk_usage(venv.parent).free / 2**30, ENVIRONMENTS[extra].free_gib
    if free < needed and not venv.exists():
        raise Refused(f"{venv.parent} has {free:.1f} GiB free, the environment needs about {needed:g}")


def install(extra: str, venv: Path) -> None:
    """Make the environment, or bring it to the lock file's state."""
    lock = ROOT / "requirements" / f"{extra}.lock"
    python = venv / "bin" / "python"
    if not python.exists():
        print(f"making {venv} for Python {platform.python_version()}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    rival = ENVIRONMENTS[extra].rival
    if rival:
        subprocess.run(
            [str(python), "-m", "pip", "uninstall", "--quiet", "--yes", rival], check=False, capture_output=True
        )
    pinned = sum(1 for line in lock.read_text().splitlines() if "==" in line)
    _watch(pip_install(python, extra, lock), pinned)
    check_rivals(python)


def pip_install(python: Path, extra: str, lock: Path) -> list[str]:
    """The command that brings an environment to the lock file's state."""
    # Bytecode is written when a module is first imported: compiling 8 GB of modules would take longer than installing
    # them.
    quiet = ["--no-compile", "--disable-pip-version-check", "--progress-bar", "off"]
    alone = ["--no-deps"] if ENVIRONMENTS[extra].complete else []
    return [str(python), "-m", "pip", "install", *quiet, *alone, "-r", str(lock)]


def check_rivals(python: Path) -> None:
    """Raise Refused when both ONNX Runtimes are installed: they are one module, and the second overwrites the first."""
    listed = subprocess.run(
        [str(python), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"],
        check=True,
        capture_output=True,
        text=True,
    )
    names = {item["name"] for item in json.loads(listed.stdout)}
    if {"onnxruntime", "onnxruntime-gpu"} <= names:
        raise Refused(
            "onnxruntime and onnxruntime-gpu are both installed and are the same module; "
            "remove .venv and run 'make env EXTRA=cpu' or 'make env EXTRA=gpu'"
        )


def _watch(command: list[str], pinned: int) -> None:
    """Run pip under a progress bar: one step per package that it has found, then the seconds that unpacking takes."""
    started = time.monotonic()
    found = 0
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            lines.append(line)
            if line.startswith(("Collecting ", "Requirement already satisfied: ")):
                found = min(found + 1, pinned)
                _draw(found, pinned, line.split(":")[-1].split()[-1 if line.startswith("Req") else 1], started)
            elif line.startswith("Installing collected packages"):
                _draw(pinned, pinned, "unpacking (the longest part)", started)
        code = pip.wait()
    print(file=sys.stderr)
    if code != 0:
        raise Refused(
            "pip could not install the lock file; its last lines:\n" + "".join(f"  | {line}" for line in lines[-8:])
        )
    print(f"environment ready after {time.monotonic() - started:.0f} s", file=sys.stderr)


def _draw(done: int, total: int, what: str, started: float) -> None:
    bar = "#" * (done * 30 // total)
    text = f"install [{bar:30}] {done}/{total} {time.monotonic() - started:4.0f} s {what[:40]:40}"
    if sys.stderr.isatty():
        print(f"\r{text}", end="", file=sys.stderr, flush=True)
    elif done == total or done % 20 == 1:
        print(text.rstrip(), file=sys.stderr, flush=True)


def write_locks() -> None:
    """Resolve each extra anew and pin what comes out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in EXTRAS:
        wanted = list(project["dependencies"])
        for requirement in project["optional-dependencies"][extra]:
            nested = re.match(r"loadproof\[(.*)\]", requirement)
            names = nested.group(1).split(",") if nested else []
            wanted += [item for name in names for item in project["optional-dependencies"][name]]
            wanted += [] if nested else [requirement]
        pins = _resolve(wanted)
        cuda = [pin for pin in pins if CUDA.match(pin.split("==")[0])]
        rest = [pin for pin in pins if pin not in cuda]
        _write(f"{extra}.lock", [f"# What was tested together. {MADE}", f"-c {extra}.constraints", *rest])
        _write(
            f"{extra}.constraints", [f"# What torch's CUDA build asks for, if it is the one installed. {MADE}", *cuda]
        )
    for name, image in IMAGES.items():
        _write_image_lock(name, image, project)


def _write_image_lock(name: str, image: ImageLock, project: dict[str, Any]) -> None:
    """Pin what an image is given, in the versions that were tested together."""
    extras: dict[str, list[str]] = project["optional-dependencies"]
    by_name = {_name(item): item for items in extras.values() for item in items}
    wanted = [*project["dependencies"], *(by_name[package] for package in image.also)]
    wanted += [item for extra in image.extras for item in extras[extra] if _name(item) not in image.without]
    tested = ROOT / "requirements" / "cpu.lock"
    pins = _resolve([*wanted, "-c", str(tested)])
    pins += [pin for pin in tested.read_text().splitlines() if pin.split("==")[0] in image.alone]
    rest = sorted(pin for pin in pins if not CUDA.match(pin.split("==")[0]))
    head = f"# What docker/{name}.Dockerfile installs, in the versions of cpu.lock. {MADE}"
    _write(f"{name}.lock", [head, "-c cpu.constraints", *rest])


def _name(requirement: str) -> str:
    """``"tritonclient[grpc]==2.73.0"`` -> ``"tritonclient"``."""
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def _write(name: str, lines: list[str]) -> None:
    (ROOT / "requirements" / name).write_text("\n".join(lines) + "\n")
    print(f"requirements/{name}: {len(lines)} lines", file=sys.stderr)


def _resolve(wanted: list[str]) -> list[str]:
    """Ask pip what it would install, and pin that."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        subprocess.run([*command, "--report", report.name, *wanted], check=True)
        document = json.loads(Path(report.name).read_text())
    pins = {}
    for item in document["install"]:
        name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
        pins[name] = item["metadata"]["version"].split("+")[0]
    return [f"{name}=={version}" for name, version in sorted(pins.items())]


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the virtual environment from a lock file.")
    extra = "which lock file: one of the two ONNX Runtimes, or loadtest for a machine that only lends load processes"
    parser.add_argument("--extra", choices=list(ENVIRONMENTS), default="cpu", help=extra)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where")
    parser.add_argument("--lock", action="store_true", help="write the lock files instead")
    options = parser.parse_args()
    try:
        check_machine(options.venv.resolve(), options.extra)
        if options.lock:
            write_locks()
        else:
            install(options.extra, options.venv)
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"error: {' '.join(map(str, error.cmd[:4]))} … ended with code {error.returncode}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; the next 'make env' goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
