"""Every number of a deployment follows from the report's figures, and is rounded to the side that costs."""

from __future__ import annotations

from math import ceil

import pytest

from serving.deploying import sizing
from serving.deploying.sizing import Figure
from serving.deploying.wanted import MONITORING, Wanted
from tests.deployments import LOAD_IMAGE, ON_TFSERVING, TARGET, case, recommended

MIB, GIB = 2**20, 2**30


@pytest.mark.parametrize(
    ("rate", "headroom", "max_rps", "pods", "sentence"),
    [
        (200, 0.3, 96, 4, "260 by 96 is three pods, and one for a node"),
        (100, 0.0, 100, 2, "a rate that one pod holds exactly needs one, and one for a node"),
        (100, 0.1, 110, 2, "100 * 1.1 in binary is a little more than 110, which is no pod"),
        (100, 0.1, 109.9, 3, "but more than one pod holds is"),
        (0.5, 0.3, 5000, 2, "a node can fail however little is asked"),
    ],
)
def test_replicas_hold_the_rate_with_its_headroom_when_a_node_fails(
    rate: float, headroom: float, max_rps: float, pods: int, sentence: str
) -> None:
    found = sizing.replicas(rate, headroom, max_rps)
    assert found.value == pods, sentence
    assert (found.value - sizing.NODES_THAT_FAIL) * max_rps >= rate * (1 + headroom) - 1e-6
    assert f"{rate:g} requests/s" in found.why and f"{max_rps:g} requests/s of one pod" in found.why


@pytest.mark.parametrize(("used", "given"), [(0.05, 1), (0.8, 1), (1.31, 2), (2.0, 3), (3.9, 5)])
def test_a_pod_gets_whole_cores_and_more_than_were_used(used: float, given: int) -> None:
    found = sizing.cores(recommended(server_cores=used), 8)
    assert found is not None and found.value == given > used


@pytest.mark.parametrize(
    ("used", "instances", "threads", "were_there", "given", "sentence"),
    [
        (1.3, 2, 4, 16, 8, "eight threads of two instances share no core"),
        (9.0, 2, 4, 16, 12, "more was used than threads compute: the server has others"),
        (1.3, 2, 4, 4, 4, "four were there when it was measured"),
        (1.9, 1, 1, 2, 2, "a margin on all that was there is nothing that was measured"),
        (1.3, None, None, 16, 2, "what nobody knows adds nothing"),
    ],
)
def test_a_pod_gets_a_core_for_each_thread_and_no_more_than_were_there(
    used: float, instances: int | None, threads: int | None, were_there: int, given: int, sentence: str
) -> None:
    known = recommended().configuration.model_copy(update={"instances": instances, "threads": threads})
    found = sizing.cores(recommended(server_cores=used, configuration=known), were_there)
    assert found is not None and found.value == given, sentence
    assert f"{were_there} were there" in found.why


@pytest.mark.parametrize(("limited_by", "steers"), [("server", True), ("answers", True), ("range", False), ("", False)])
def test_only_a_rate_that_the_server_ended_has_a_queue_time_to_scale_at(limited_by: str, steers: bool) -> None:
    item = recommended(limited_by=limited_by)
    assert (sizing.queue(item) is not None) is steers
    size = sizing.measured(case(item), MIB)
    assert (size.queue_us is not None, size.pending is not None) == (steers, steers)
    assert size.replicas is not None, "the rate is held by pods all the same"


@pytest.mark.parametrize(("resident", "given"), [(712.3, 2304), (10.0, 1280), (3000.0, 5632)])
def test_memory_is_what_was_resident_with_a_margin_and_shared_memory_beside_it(resident: float, given: int) -> None:
    found = sizing.memory(recommended(server_mib=resident))
    assert found is not None and found.value == given
    assert found.value >= 1.5 * resident + 1024 and found.value % 256 == 0
    assert f"{resident:.0f} resident" in found.why and "/dev/shm" in found.why


def test_tf_serving_needs_no_shared_memory() -> None:
    found = sizing.memory(recommended(**ON_TFSERVING, server_mib=1000.0))
    assert found is not None and found.value == 1536


def test_the_autoscaler_acts_at_the_queue_time_of_the_knee() -> None:
    found = sizing.queue(recommended(queue_us=830.4))
    assert found is not None and found.value == 830 and "knee" in found.why


@pytest.mark.parametrize(
    "changes", [{"queue_us": None}, {"queue_us": 12.0}, {**ON_TFSERVING, "queue_us": 900.0}], ids=str
)
def test_a_queue_time_that_nobody_tells_or_that_is_noise_scales_nothing(changes: dict[str, object]) -> None:
    assert sizing.queue(recommended(**changes)) is None
    size = sizing.measured(case(recommended(**changes)), MIB)
    assert (size.queue_us, size.pending) == (None, None)


@pytest.mark.parametrize(
    ("max_rps", "queue_us", "waiting", "sentence"),
    [
        (96.0, 830.0, 32, "less than a tenth of a request waits on average: a full batch is the sign"),
        (20_000.0, 4_000.0, 160, "80 wait at the knee, so twice that is beyond it"),
    ],
)
def test_waiting_requests_scale_above_what_waits_at_the_knee(
    max_rps: float, queue_us: float, waiting: int, sentence: str
) -> None:
    found = sizing.pending(recommended(max_rps=max_rps, queue_us=queue_us))
    assert found is not None and found.value == waiting, sentence


@pytest.mark.parametrize(("took", "granted"), [(0.0, 900), (3.2, 900), (96.1, 961)])
def test_a_start_may_take_ten_times_what_it_took_and_what_the_base_grants_at_least(took: float, granted: int) -> None:
    size = sizing.measured(case(recommended(load_to_ready_s=took)), MIB)
    assert size.startup_s.value == granted
    assert size.deadline_s > granted


@pytest.mark.parametrize(("size", "gib"), [(1, 1), (GIB - 1, 1), (GIB, 2), (5 * GIB + 1, 6)])
def test_the_copy_of_a_model_fits_into_its_volume(size: int, gib: int) -> None:
    found = sizing.measured(case(), size)
    assert found.models_gib.value == gib and gib * GIB > size
    assert found.disk_gib > gib + 1  # /tmp has one


def test_what_the_servers_used_may_be_unknown_and_is_then_not_made_up() -> None:
    size = sizing.measured(case(recommended(server_cores=None, server_mib=None)), MIB)
    assert (size.cores, size.memory_mib) == (None, None)
    assert not [line for line in size.lines() if line.startswith(("cores", "memory"))]


def test_every_number_is_told_with_its_formula() -> None:
    lines = sizing.measured(case(), MIB).lines()
    assert len(lines) == 7
    assert lines[0].split()[:2] == ["replicas", "4"]
    assert "+ 1 for a node that fails" in lines[0] and "disruption budget" in lines[0]


def test_a_wanted_rate_and_headroom_replace_the_objectives() -> None:
    size = sizing.measured(case(wanted=Wanted(TARGET, rate=960, headroom=0)), MIB)
    assert size.replicas is not None and size.replicas.value == ceil(960 / 96) + 1
    assert size.most_replicas is not None and size.most_replicas.value == 22


def test_unmeasured_takes_no_figure_of_the_report() -> None:
    size = sizing.asked(case(wanted=Wanted(TARGET, unmeasured=True, load_image=LOAD_IMAGE)), MIB)
    assert (size.replicas, size.cores, size.memory_mib, size.queue_us) == (None, None, None, None)
    said = sizing.asked(
        case(wanted=Wanted(TARGET, unmeasured=True, load_image=LOAD_IMAGE, replicas=3, queue_us=900)), MIB
    )
    assert said.replicas == Figure(3, "--replicas") and said.queue_us == Figure(900, "--queue-us")


def test_a_fixed_number_of_pods_has_no_thresholds() -> None:
    for size in (
        sizing.measured(case(wanted=Wanted(TARGET, fixed=True)), MIB),
        sizing.measured(case(wanted=Wanted(TARGET, without=frozenset({MONITORING}))), MIB),
        sizing.asked(case(wanted=Wanted(TARGET, fixed=True, unmeasured=True, load_image=LOAD_IMAGE)), MIB),
    ):
        assert (size.queue_us, size.pending) == (None, None)
