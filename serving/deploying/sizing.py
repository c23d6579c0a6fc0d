"""How many pods, and how large: every number that a deployment takes from a report, with its formula. Pure.

Kubernetes and the autoscaler read whole numbers; each is rounded to the side that costs, never to the one that hurts.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from contract.recommendation import Recommended
from contract.search import Limit
from serving.deploying.case import Case

NODES_THAT_FAIL = 1
CORES_MARGIN = 0.25  # the mean at the highest rate is no bound: a pod that is held at it queues
MEMORY_MARGIN = 0.5  # what was sampled is not the most that can be: longer requests, larger batches
SHM_MIB = 1024  # the volume at /dev/shm (k8s/base/triton), which counts as the pod's memory
MEMORY_STEP_MIB = 256
READY_FACTOR = 10  # an empty page cache, a busy node
LEAST_STARTUP_S = {"triton": 900, "tfserving": 600}  # what the bases grant; TensorRT builds its engines meanwhile
SLACK_S = 300  # from the startup probe to the deadline of the rollout: the image, the copy of the model
GIB = 2**30
LEAST_QUEUE_US = 50  # a shorter wait is the clock's noise: a pod at its limit cannot be told by it
KNEE: tuple[Limit, ...] = ("server", "answers")  # a search that anything else ended never met it
GROWTH = 2  # the autoscaler's most pods, as a multiple of its least


@dataclass(frozen=True)
class Figure:
    """A number of a deployment, and where it comes from."""

    value: int
    why: str


@dataclass(frozen=True)
class Size:
    """The numbers of one deployment; None where nothing says it: then a person has to, or the base's stays."""

    replicas: Figure | None
    cores: Figure | None  # of the server's container, whole
    memory_mib: Figure | None  # of the server's container, /dev/shm included
    queue_us: Figure | None  # the autoscaler's threshold
    pending: Figure | None  # the autoscaler's second: waiting requests of a pod
    startup_s: Figure  # until the server has to be up
    models_gib: Figure  # the pod's copy of the model, on its node's disk

    @property
    def deadline_s(self) -> int:
        """When a rollout that does not go on has failed, seconds."""
        return self.startup_s.value + SLACK_S

    @property
    def disk_gib(self) -> int:
        """What a container may write to its node's disk: the copy, 1 GiB of /tmp, and the logs."""
        return self.models_gib.value + 2

    @property
    def most_replicas(self) -> Figure | None:
        """Where the autoscaler stops."""
        return Figure(GROWTH * self.replicas.value, f"{GROWTH} * replicas") if self.replicas else None

    def lines(self) -> list[str]:
        """Every number with its formula, for the person who deploys."""
        named = {
            "replicas": self.replicas,
            "cores": self.cores,
            "memory, MiB": self.memory_mib,
            "queue time, µs": self.queue_us,
            "waiting requests": self.pending,
            "startup, s": self.startup_s,
            "model copy, GiB": self.models_gib,
        }
        return [f"{name:17} {figure.value:>6}  {figure.why}" for name, figure in named.items() if figure]


def measured(case: Case, model_bytes: int) -> Size:
    """The size that the report's figures give; the case was not refused, so it has a rate."""
    item = case.recommended
    queue_us = queue(item) if case.wanted.scales else None
    return Size(
        replicas=replicas(case.rate, case.wanted.headroom, item.max_rps or 0),
        cores=cores(item, case.machine_cores),
        memory_mib=memory(item),
        queue_us=queue_us,
        pending=pending(item) if queue_us else None,
        startup_s=startup(item),
        models_gib=models(model_bytes),
    )


def asked(case: Case, model_bytes: int) -> Size:
    """The size that a person says, where nothing was measured that would.

    The case was not refused, so where there is a threshold there is an autoscaler.
    """
    count, queue_us = case.wanted.replicas, case.wanted.queue_us
    batch = case.recommended.configuration.max_batch_size or 1
    return Size(
        replicas=None if count is None else Figure(count, "--replicas"),
        cores=None,
        memory_mib=None,
        queue_us=None if queue_us is None else Figure(queue_us, "--queue-us"),
        pending=Figure(batch, "a batch: what waits at that queue time was not measured") if queue_us else None,
        startup_s=Figure(LEAST_STARTUP_S[case.recommended.engine], "as the base grants"),
        models_gib=models(model_bytes),
    )


def replicas(rate: float, headroom: float, max_rps: float) -> Figure:
    """The pods that the rate with its headroom keeps busy, rounded up, and one more."""
    # Rounded first: 100 * 1.1 is 110.00000000000001, and must not cost a pod.
    busy = ceil(round(rate * (1 + headroom) / max_rps, 9))
    return Figure(
        busy + NODES_THAT_FAIL,
        f"ceil({rate:g} requests/s * {1 + headroom:g} / {max_rps:g} requests/s of one pod) + {NODES_THAT_FAIL} for a "
        "node that fails; the disruption budget takes no more than that one at a time",
    )


def cores(item: Recommended, were_there: int | None) -> Figure | None:
    """Whole ones, for only those can be a pod's own (the kubelet's static CPU manager).

    As many as the model has threads, too: they share what is less. Never more than ``were_there`` when it was measured;
    where nobody told that (None), nothing bounds them.
    """
    if item.server_cores is None:
        return None
    instances, threads = item.configuration.instances or 1, item.configuration.threads or 1
    used = max(1, ceil(item.server_cores * (1 + CORES_MARGIN)))
    wanted = max(used, instances * threads)
    told = "the server's node did not tell how many it has" if were_there is None else f"{were_there} were there"
    return Figure(
        wanted if were_there is None else min(wanted, were_there),
        f"the larger of ceil({item.server_cores:.2f} used on average at that rate * {1 + CORES_MARGIN:g}) and "
        f"{instances} * {threads} of instances and their threads; {told}",
    )


def memory(item: Recommended) -> Figure | None:
    """Resident memory with a margin; on Triton /dev/shm beside it."""
    if item.server_mib is None:
        return None
    shm = SHM_MIB if item.engine == "triton" else 0
    steps = ceil((item.server_mib * (1 + MEMORY_MARGIN) + shm) / MEMORY_STEP_MIB)
    beside = f" + {shm} of /dev/shm" if shm else ""
    return Figure(steps * MEMORY_STEP_MIB, f"{item.server_mib:.0f} resident at most * {1 + MEMORY_MARGIN:g}{beside}")


def queue(item: Recommended) -> Figure | None:
    """Mean queue time at the knee: the highest rate that keeps the objectives. None where it cannot steer."""
    if item.engine != "triton" or item.limited_by not in KNEE:
        return None
    if item.queue_us is None or item.queue_us < LEAST_QUEUE_US:
        return None
    return Figure(round(item.queue_us), "mean in the queue at that rate, the knee: above it pods are added")


def pending(item: Recommended) -> Figure | None:
    """Little's law says what waits at the knee; scaling begins at twice that, and not before a batch is full."""
    if item.queue_us is None or item.max_rps is None:
        return None
    batch, waiting = item.configuration.max_batch_size or 1, item.max_rps * item.queue_us / 1e6
    value = max(batch, ceil(2 * waiting))
    return Figure(value, f"the larger of a batch ({batch}) and twice {waiting:.1f} = rate * queue time (Little's law)")


def startup(item: Recommended) -> Figure:
    """Seconds that the startup probe grants."""
    least_s, load_s = LEAST_STARTUP_S[item.engine], item.load_to_ready_s
    value = max(least_s, ceil(READY_FACTOR * load_s))
    return Figure(value, f"{READY_FACTOR} * the load that was measured ({load_s:g} s), {least_s} at least")


def models(model_bytes: int) -> Figure:
    """Size of the volume for the model's copy."""
    return Figure(model_bytes // GIB + 1, f"{model_bytes / 2**20:.1f} MiB of files, to the next whole one")
