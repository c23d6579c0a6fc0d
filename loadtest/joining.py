"""python -m loadtest worker: lend this machine to the master of a run, until that run is over."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from contract.children import python
from contract.cli import Parser
from contract.errors import LoadproofError
from loadtest.launching import LOCUSTFILE, MASTER_PORT, PRECISE_LOOP


def main(arguments: Sequence[str]) -> int:
    """Join a master and send what it orders. It needs no models and no files: the master sends them."""
    parser = Parser(prog="python -m loadtest worker", description="Lend this machine to the master of a run.")
    parser.add_argument("--master", required=True, help="host of the master")
    parser.add_argument("--port", type=int, default=MASTER_PORT, help="its port")
    parser.add_argument("--processes", type=int, default=1, help="load processes, one per core at most")
    parser.add_argument("--apart", action="store_true", help="take every file from the master, even if it is here too")
    options = parser.parse_args(arguments)
    command = python("locust", "-f", str(LOCUSTFILE), "--worker", "--loglevel", "WARNING")
    command += ["--master-host", options.master, "--master-port", str(options.port)]
    if options.apart:
        command.append("--apart")
    if options.processes > 1:
        command += ["--processes", str(options.processes)]
    environment = {**os.environ, "PYTHONPATH": str(LOCUSTFILE.parents[1]), "GRPC_VERBOSITY": "ERROR", **PRECISE_LOOP}
    code = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode
    if code != 0:
        raise LoadproofError(f"the load process ended with code {code}: no master at {options.master}:{options.port}?")
    return 0
