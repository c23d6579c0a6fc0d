"""How the report says what a server used: one sentence per kind of figure, and why a figure is missing. Pure."""

from __future__ import annotations

from contract.verdict import Endurance, GpuUse, ServerSide, Slope, Used
from report.words import ABSENT, number, share

NAMES = {
    "cpu": "server CPU",
    "memory": "server memory",
    "memory_slope": "memory slope",
    "connections": "connections",
    "pending": "waiting requests",
    "load_cpu": "load generator CPU",
    "machine_cpu": "machine CPU",
    "gpu": "GPU",
    "p99_change": "p99 drift",
}
NOT_SAMPLED = "the servers were not sampled in this run, so nothing is known of what they used"


def used(side: ServerSide | None) -> list[str]:
    """What was used, in the order in which a person would ask; each a short phrase."""
    if side is None:
        return [NOT_SAMPLED]
    parts = [
        _amount("server", side.cpu, "cores"),
        _amount("load generator", side.load_cpu, "cores"),
        _share("machine", side.machine_cpu, "busy"),
        f"busiest core {share(side.busiest_core)} busy" if side.busiest_core is not None else "",
        f"{share(side.steal)} stolen by the hypervisor" if side.steal else "",
        _share("the server's machine, by its own page,", side.reported_cpu, "busy") if side.cpu is None else "",
        _memory(side),
        f"{side.threads} threads" if side.threads is not None else "",
        f"{side.connections} connections" if side.connections is not None else "",
        _amount("waiting for a batch", side.pending, "requests"),
        f"restarted {side.restarts} times: its own counters say nothing here" if side.restarts else "",
        *(_gpu(item) for item in side.gpus),
    ]
    return [part for part in parts if part]


def absent(found: ServerSide | Endurance | None) -> list[str]:
    """Each figure that is missing, with the reason; figures with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for name, why in (found.absent if found else {}).items():
        by_reason.setdefault(why, []).append(NAMES.get(name, name))
    return [f"{', '.join(names)}: absent, {why}" for why, names in by_reason.items()]


def endured(found: Endurance) -> list[str]:
    """How the stage held over its length."""
    parts = []
    if found.memory_slope is not None:
        chance = found.memory_slope.low <= 0 <= found.memory_slope.high
        parts.append(f"memory {_slope(found.memory_slope)}{', no more than chance' if chance else ''}")
    if found.p99_change is not None:
        parts.append(f"p99 of the last part {100 * found.p99_change:+.1f} % against the first")
    failed = [item for item in found.slices if item.failed]
    if failed:
        course = ", ".join(f"{item.failed:,} around {number(item.t_s)} s" for item in failed)
        parts.append(f"failed requests: {course}")
    else:
        parts.append("no failed request in any part")
    return parts


def _memory(side: ServerSide) -> str:
    if side.memory_begin_mib is None or side.memory_end_mib is None:
        return ""
    private = f" ({side.private_mib:,.0f} MiB private)" if side.private_mib is not None else ""
    text = f"memory {side.memory_begin_mib:,.0f} to {side.memory_end_mib:,.0f} MiB{private}"
    return f"{text}, {_slope(side.memory_slope)}" if side.memory_slope else text


def _slope(slope: Slope) -> str:
    return f"{slope.mib_per_hour:+,.1f} MiB per hour (99 %: {slope.low:+,.1f} to {slope.high:+,.1f})"


def _amount(what: str, figure: Used | None, unit: str) -> str:
    return f"{what} {number(figure.mean)} {unit} (most {number(figure.most)})" if figure else ""


def _share(what: str, figure: Used | None, state: str) -> str:
    """At most the whole: processor time comes in hundredths of a second, so that a second may seem to hold more."""
    if figure is None:
        return ""
    return f"{what} {share(min(figure.mean, 1.0))} {state} (most {share(min(figure.most, 1.0))})"


def _gpu(gpu: GpuUse) -> str:
    parts = [
        _share("", gpu.utilization, "busy").strip(),
        f"{gpu.memory_mib:,.0f} MiB" if gpu.memory_mib is not None else "",
        _amount("", gpu.power_w, "W").strip(),
        f"{gpu.temperature_c:.0f} °C" if gpu.temperature_c is not None else "",
        f"lowest clock {gpu.clock_mhz:.0f} MHz" if gpu.clock_mhz is not None else "",
    ]
    return f"{gpu.name}: {', '.join(part for part in parts if part) or ABSENT}"
