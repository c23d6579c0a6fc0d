"""The server's side of a stage: what its processes used in the stage's windows, load and machine beside it. Pure.

What was not sampled is None, and ``absent`` says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from contract.samples import GPU, LOAD, MACHINE, METRICS
from contract.statistics import Floats
from contract.verdict import GpuUse, ServerPoint, ServerSide, Slope, Used
from report.figures.series import SECOND, Samples, Series, Window, rounded
from report.figures.trend import SHORTEST_S, slope

MIB = 2**20
COURSE_POINTS = 60
NO_PAGE = "the server has no page that tells"
SELDOM = "read every other second, never within the window"


def server_side(samples: Samples, windows: Sequence[Window]) -> ServerSide:
    """What the server, the load generator and the machine used in a stage's windows (one per round, in order)."""
    near = samples.around(windows)
    server, load, machine = near.of(near.engine), near.of(LOAD), near.of(MACHINE)
    page = near.of(near.engine + METRICS)
    begin_s, end_s = windows[0][0] / SECOND, windows[-1][1] / SECOND
    cpu, load_cpu = server.spent("cpu_s", windows), load.spent("cpu_s", windows)
    cores = machine.cores()
    machine_cpu, steal = (machine.spent(name, windows, max(len(cores), 1)) for name in ("cpu_s", "steal_s"))
    memory_begin, memory_end = server.at("memory_bytes", begin_s), server.at("memory_bytes", end_s)
    memory_slope, no_slope = _slope(server, windows)
    connections = _most(server.within("connections", windows))
    pending = page.used("pending", windows)
    gpus = [_gpu(name, near.of(name), windows) for name in _gpu_names(near)]
    figures = [
        ("cpu", cpu, server.why),
        ("memory", None if memory_begin is None else memory_end, server.why),
        ("memory_slope", memory_slope, no_slope),
        ("connections", connections, server.why if not len(server.at_s) else SELDOM),
        ("pending", pending, page.why if near.subjects(near.engine + METRICS) else NO_PAGE),
        ("load_cpu", load_cpu, load.why),
        ("machine_cpu", machine_cpu, machine.why),
        ("gpu", gpus or None, near.of(GPU).why),
    ]
    return ServerSide(
        server=near.engine,
        cpu=cpu,
        load_cpu=load_cpu,
        machine_cpu=machine_cpu,
        cores=len(cores) or None,
        other_cpu=_other(machine_cpu, len(cores), cpu, load_cpu),
        busiest_core=max((used.mean for core in cores if (used := core.spent("cpu_s", windows))), default=None),
        steal=steal.mean if steal else None,
        reported_cpu=page.used("utilization", windows),
        memory_begin_mib=_mib(memory_begin),
        memory_end_mib=_mib(memory_end),
        memory_slope=memory_slope,
        private_mib=_mib(server.at("private_bytes", end_s)),
        threads=_most(server.within("threads", windows)),
        connections=connections,
        pending=pending,
        restarts=server.restarts(windows),
        gpus=gpus,
        absent={name: why for name, figure, why in figures if figure is None},
        course=_course(server, load, windows),
    )


def _other(machine_cpu: Used | None, cores: int, cpu: Used | None, load_cpu: Used | None) -> float | None:
    """Cores that neither the server nor the load generator used; never below 0, for the three are not read at once."""
    if machine_cpu is None or cpu is None or load_cpu is None or not cores:
        return None
    return rounded(max(0.0, machine_cpu.mean * cores - cpu.mean - load_cpu.mean))


def _slope(server: Series, windows: Sequence[Window]) -> tuple[Slope | None, str]:
    """The slope of the server's memory over the longest window, where it may be claimed; else why not."""
    window = max(windows, key=lambda item: item[1] - item[0])
    seconds = (window[1] - window[0]) / SECOND
    if seconds < SHORTEST_S:
        return None, f"a slope is claimed from {SHORTEST_S:.0f} s on, the longest window is {seconds:.0f} s"
    found, why = memory_trend(server, window)
    if found is None:
        return None, why
    if found.low <= 0.0 <= found.high:
        return None, f"no change that is more than chance: {found.low:+.2f} to {found.high:+.2f} MiB per hour"
    return found, ""


def memory_trend(server: Series, window: Window) -> tuple[Slope | None, str]:
    """The slope of a server's resident memory within a window, significant or not; None with the reason."""
    values = server.column("memory_bytes")
    inside = np.isfinite(values) & (server.at_s >= window[0] / SECOND) & (server.at_s < window[1] / SECOND)
    if not inside.any():
        return None, server.why
    return slope(server.at_s[inside], values[inside] / MIB)


def _course(server: Series, load: Series, windows: Sequence[Window]) -> list[ServerPoint]:
    """Equal steps through the windows, one after the other; none where nothing is known of the server or the load."""
    total = sum(end - begin for begin, end in windows) / SECOND
    points, passed = [], 0.0
    for begin, end in windows:
        seconds = (end - begin) / SECOND
        steps = max(1, min(round(COURSE_POINTS * seconds / total), int(seconds)))
        edges = np.linspace(begin / SECOND, end / SECOND, steps + 1)
        cpu, load_cpu = server.rates("cpu_s", edges), load.rates("cpu_s", edges)
        for step, (first, last) in enumerate(pairwise(edges.tolist())):
            middle = (first + last) / 2
            points.append(
                ServerPoint(
                    t_s=round(passed + middle - begin / SECOND, 3),
                    cpu=_rounded(cpu[step]),
                    load_cpu=_rounded(load_cpu[step]),
                    memory_mib=_mib(server.at("memory_bytes", middle)),
                )
            )
        passed += seconds
    known = any(value is not None for point in points for value in (point.cpu, point.load_cpu, point.memory_mib))
    return points if known else []


def _gpu_names(samples: Samples) -> list[str]:
    """The GPUs that this machine sees; else those that the server's own page tells of."""
    return samples.subjects(f"{GPU} ") or samples.subjects(f"{samples.engine} {GPU} ")


def _gpu(name: str, series: Series, windows: Sequence[Window]) -> GpuUse:
    clock = series.within("clock_mhz", windows)
    return GpuUse(
        name=name,
        utilization=series.used("utilization", windows),
        memory_mib=_mib(_most(series.within("memory_bytes", windows))),
        power_w=series.used("power_w", windows),
        temperature_c=_most(series.within("temperature_c", windows)),
        clock_mhz=float(clock.min()) if len(clock) else None,
    )


def _most(values: Floats) -> int | None:
    return int(values.max()) if len(values) else None


def _mib(size: float | None) -> float | None:
    return None if size is None else round(size / MIB, 1)


def _rounded(value: float | None) -> float | None:
    return None if value is None else rounded(value)
