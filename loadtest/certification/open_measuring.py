"""The open loop's ceiling on this machine: one load generator is asked for one rate after the other."""

from __future__ import annotations

from pathlib import Path

from contract.certificate import OpenCeiling, Setting
from contract.cores import on_cores
from contract.endpoints import Endpoint
from contract.load import Affinity
from contract.progress import say
from contract.slo import Slo
from loadtest.certification.null_server import null_server
from loadtest.certification.open_ceiling import Tried, open_ceiling
from loadtest.certification.plan import certifying_plan, observation, open_stage, variant
from loadtest.certification.self_made import shown_to
from loadtest.session import Session

VARIANT = "open"
WINDOW_S = 0.8
AT_ONCE = Slo(p99_ms=1.0)  # certificates do not know of objectives: a send is late from the least limit on


def measure_open_ceiling(
    endpoint: Endpoint,
    live: Path,
    folder: Path,
    answer: Path,
    setting: Setting,
    affinity: Affinity,
    closed_rps: float,
) -> OpenCeiling | None:
    """Find it below the closed loop's ceiling (requests per second); parameters and errors as in `certify`.

    None where other work on the machine keeps it from being found.
    """
    shown, client = shown_to(setting.client, folder)
    with null_server(endpoint.protocol, answer, folder / "null", affinity.servers, shown=shown) as server:
        prompt = endpoint.model_copy(update={"slo": AT_ONCE})
        plan = certifying_plan([variant(VARIANT, prompt, server.address)], setting, client)
        with on_cores(affinity.load, "affinity.load"), Session(plan, folder, live) as session:

            def measure(rate: float) -> Tried:
                say(f"certify, open loop: {rate:,.0f} requests/s ({WINDOW_S:g} s)")
                seen = session.measure(VARIANT, open_stage(rate, WINDOW_S))
                ran = observation(folder, VARIANT)
                server.followed_until(ran.window_end_ns)
                used = server.cpu(ran.window_start_ns, ran.window_end_ns)
                return Tried(rate, seen.due, seen.late + ran.held, seen.good, seen.client_cpu, used)

            return open_ceiling(closed_rps, measure)
