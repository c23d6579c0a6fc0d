"""The search's decisions: servers here are a function from a rate to the share of requests that are too slow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contract.errors import UsageError
from contract.load import Load
from contract.prices import Price
from contract.slo import Slo
from loadtest.master.asking import Measured
from loadtest.plan.planning import REPEAT, Choice, make_plan
from tests.builders import MACHINE, endpoint, endpoints
from tune.search.bracket import SPOILED, Bracket
from tune.search.budget import expected_seconds, fitting
from tune.search.claim import CONFIRMATIONS
from tune.search.max_rate import MaxRate, Wanted
from tune.search.method import Method
from tune.search.span import Span, Top
from tune.search.stages import MOST_IN_FLIGHT, stage_of
from tune.search.tally import Tally, judge, spoiled

SLO = Slo(rate=100, p99_ms=50)
METHOD = Method()
CAPACITY = 1000.0


def measured(due: int = 2000, share: float = 0.0, **changes: Any) -> Measured:
    """What a session tells of a window in which this share of the requests was over the limit."""
    fields: dict[str, Any] = {
        "stage": 0,
        "due": due,
        "failed": 0,
        "over": {"p99": round(share * due)},
        "late": 0,
        "good": due,
        "answered_rps": CAPACITY,
        "client_cpu": 0.2,
        "lost": [],
        "aborted": False,
        "cut": "",
        "window_s": 2.0,
        "seconds": 3.0,
    }
    return Measured(**(fields | changes))


Server = Callable[[Wanted], Measured]


def up_to(capacity: float, share: float = 0.5) -> Server:
    """A server that is fast up to its capacity, and too slow above it."""
    return lambda wanted: measured(share=share if (wanted.rate or 0) > capacity else 0.0)


def searched(server: Server, method: Method = METHOD, slo: Slo = SLO, **options: Any) -> tuple[MaxRate, list[Wanted]]:
    """A whole search, and what it asked for."""
    search, asked = MaxRate(slo, method, **options), []
    while (wanted := search.next()) is not None:
        asked.append(wanted)
        assert len(asked) < 200, "the search does not end"
        search.tell(server(wanted))
    return search, asked


@pytest.mark.parametrize("capacity", [30.0, 200.0, 700.0, 950.0, 1400.0, 5000.0])
@pytest.mark.parametrize("resolution", [0.01, 0.05, 0.2])
def test_the_answer_is_within_the_resolution_of_the_capacity(capacity: float, resolution: float) -> None:
    search, asked = searched(up_to(capacity), Method(resolution=resolution))
    found = search.found("v")
    assert found.value is not None and found.high is not None
    assert found.value <= capacity < found.high
    assert found.high / found.value - 1 <= resolution + 0.0015  # four digits
    assert found.limited_by == "server"
    assert [wanted.purpose for wanted in asked].count("confirm") == 1


def test_a_confirmation_comes_last_has_its_own_length_and_follows_a_longest_probe_of_its_rate() -> None:
    search, asked = searched(up_to(900))
    rehearsal, last = asked[-2:]
    assert (last.purpose, last.rate, last.window_s) == ("confirm", search.found("v").value, METHOD.confirm_s)
    assert (rehearsal.purpose, rehearsal.rate, rehearsal.window_s) == ("probe", last.rate, METHOD.probe_s)


def test_one_hiccup_of_the_machine_does_not_halve_the_answer() -> None:
    calm = up_to(900)
    hiccups = iter([0.035])  # of the first probe: a close miss

    def server(wanted: Wanted) -> Measured:
        if wanted.purpose == "probe" and (share := next(hiccups, None)) is not None:
            return measured(share=share)
        return measured(due=6000) if wanted.careful else calm(wanted)

    found = searched(server)[0].found("v")
    assert found.value is not None and found.value > 0.9 * 900
    assert [probe.outcome for probe in found.probes[:2]] == ["missed", "kept"]
    assert found.probes[0].reason == "3.5 % above 50 ms, 1 % allowed; asked again"
    assert {probe.rate for probe in found.probes[:2]} == {750.0}


@pytest.mark.parametrize(
    ("late", "told"), [(51, "5.1 % left late, 5 %"), (60, "6 % left late, 5 %"), (501, "50 % left late, 5 %")]
)
def test_a_share_just_above_what_is_allowed_is_told_with_digits_that_show_it(late: int, told: str) -> None:
    assert spoiled(replace(measured(due=1000), late=late)) == f"{told} allowed"
    assert spoiled(replace(measured(due=100_000), late=5004)) == "5.004 % left late, 5 % allowed"


def test_a_machine_that_was_busy_at_first_does_not_spoil_the_answer_for_good() -> None:
    steps = iter(range(1000))

    def server(wanted: Wanted) -> Measured:
        busy = next(steps) < 11 and (wanted.rate or 0) > 200
        return measured(share=0.5) if busy else up_to(900)(wanted)

    search, asked = searched(server)
    found = search.found("v")
    assert min(wanted.rate for wanted in asked if wanted.rate) < 250
    assert found.value is not None and 500 < found.value <= 900


def test_a_window_that_was_cut_as_hopeless_is_asked_once_more() -> None:
    bracket = Bracket(SLO)
    assert bracket.probed(500, measured(due=200, share=0.3, cut="hopeless"))[0] == "missed"
    assert (bracket.open, bracket.high) == (500, None)
    bracket.probed(500, measured(due=200, share=0.3, cut="hopeless"))
    assert (bracket.open, bracket.high) == (None, 500)


@pytest.mark.parametrize("bad", [{"failed": 2}, {"over": {"p99": 2}}])
def test_a_window_that_was_cut_as_hopeless_was_never_kept(bad: dict[str, Any]) -> None:
    """The cut comes one request after what the judge forgives (`loadtest/master/early.py`)."""
    assert Bracket(SLO).probed(100, measured(due=20, cut="hopeless", **bad))[0] == "missed"


def test_a_miss_below_a_kept_rate_takes_it_out_of_the_account() -> None:
    bracket = Bracket(SLO)
    for rate in (400, 500, 600):
        bracket.probed(rate, measured())
    assert (bracket.low, bracket.high) == (600, None)
    bracket.probed(500, measured(share=0.9))  # its rehearsal
    assert (bracket.low, bracket.high) == (400, 500)


def test_a_rate_that_the_load_generator_cannot_send_ends_the_range_without_blaming_the_server() -> None:
    def server(wanted: Wanted) -> Measured:
        return measured(late=400 if (wanted.rate or 0) > 500 else 0)

    search, asked = searched(server)
    found = search.found("v")
    assert found.value is not None and 500 / 1.06 <= found.value <= 500
    assert (found.limited_by, found.high) == ("load generator", None)
    assert {probe.outcome for probe in found.probes} == {"kept", "unclear"}
    assert [wanted.rate for wanted in asked].count(750.0) == SPOILED


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (measured(), ""),
        (measured(late=99), ""),
        (measured(late=120), "6 % left late, 5 % allowed"),
        (measured(lost=["b"]), "b of the load generator were lost"),
        (measured(due=0), "nothing was sent"),
        (measured(client_cpu=0.9), "the busiest load process used 90 % of a core, 80 % allowed"),
        # Latency counts from the intended send: who is late enough misses every objective without any server's help.
        (measured(late=1800, share=0.95), "90 % left late, 5 % allowed"),
    ],
)
def test_a_window_says_nothing_of_the_server_where_the_generator_spoiled_it(seen: Measured, why: str) -> None:
    assert spoiled(seen) == why


def test_a_spoiled_confirmation_is_repeated_and_does_not_count_as_a_try() -> None:
    spoils = iter([True, False])

    def server(wanted: Wanted) -> Measured:
        late = 1000 if wanted.purpose == "confirm" and next(spoils, False) else 0
        return measured(late=late, share=0.5 if (wanted.rate or 0) > 900 else 0.0)

    search, asked = searched(server)
    confirmations = [wanted for wanted in asked if wanted.purpose == "confirm"]
    assert len(confirmations) == 2 and confirmations[0] == confirmations[1]
    assert search.found("v").value == confirmations[0].rate


def test_no_rate_is_claimed_after_three_confirmations_that_missed_and_each_is_below_the_one_before() -> None:
    def server(wanted: Wanted) -> Measured:
        return measured(share=0.02 if wanted.purpose == "confirm" or (wanted.rate or 0) > 900 else 0.0)

    search, asked = searched(server)
    found = search.found("v")
    rates = [wanted.rate for wanted in asked if wanted.purpose == "confirm"]
    assert len(rates) == CONFIRMATIONS and rates == sorted(rates, key=lambda rate: -(rate or 0))
    assert (found.value, found.confirmed, found.limited_by) == (None, None, "server")
    assert found.high == rates[-1]


def test_a_confirmation_has_to_allow_the_claim_and_not_only_the_counts() -> None:
    search = MaxRate(SLO, METHOD)
    server, bounds = up_to(900), iter([60.0, 45.0])
    told = []
    while (wanted := search.next()) is not None:
        told.append(search.tell(server(wanted), {"p99": next(bounds)} if wanted.purpose == "confirm" else None))
    assert "missed (p99 may be 60 ms at 99 % confidence, 50 ms allowed)" in "".join(told)
    found = search.found("v")
    assert (found.value, found.high) == (found.probes[-1].rate, found.probes[-3].rate)


def test_a_search_in_a_hurry_confirms_a_lower_rate_without_its_rehearsal() -> None:
    search = MaxRate(SLO, METHOD)
    server, kept = up_to(900), iter([False, True])
    while (wanted := search.next()) is not None:
        search.tell(measured(share=0.0 if next(kept) else 0.02) if wanted.purpose == "confirm" else server(wanted))
        if wanted.purpose == "confirm":
            search.hurry()
    found = search.found("v")
    assert [probe.purpose for probe in found.probes[-2:]] == ["confirm", "confirm"]
    assert found.value == found.probes[-1].rate < found.probes[-2].rate == found.high


def test_the_more_a_claim_missed_by_the_lower_is_the_next_one() -> None:
    span = Span(knee=1000, demand=100, resolution=0.05)
    nexts = [span.after(900, times, again=False) for times in (1.0, 1.5, 2.0, 50.0)]
    assert nexts == sorted(nexts, reverse=True) and nexts[0] == pytest.approx(900 / 1.05, rel=1e-3)
    assert nexts[2] == nexts[3]  # how far an overload is beyond the limit says little
    assert span.after(900, 1.5, again=True) < nexts[1]


@pytest.mark.parametrize(
    ("tops", "value", "limit"),
    [
        ([Top(400.0, "range")], 400.0, "range"),
        ([Top(400.0, "load generator"), Top(600.0, "range")], 400.0, "load generator"),
        ([Top(2.0, "range")], 2.0, "range"),  # below what the search would give up
    ],
)
def test_a_ceiling_is_never_exceeded_and_is_named_where_it_was_kept(tops: list[Top], value: float, limit: str) -> None:
    search, asked = searched(up_to(900), tops=tops)
    assert max(wanted.rate or 0 for wanted in asked) == value
    assert (search.found("v").value, search.found("v").limited_by, search.found("v").high) == (value, limit, None)


def test_a_server_that_keeps_nothing_is_given_up_at_a_twentieth_of_the_demand() -> None:
    search, asked = searched(up_to(0))
    found = search.found("v")
    assert (found.value, found.limited_by, found.high) == (None, "range", SLO.rate / 20)
    assert min(wanted.rate for wanted in asked if wanted.rate) == SLO.rate / 20
    assert len(asked) < 20


def test_requests_that_fail_while_the_others_are_fast_limit_by_the_answers() -> None:
    def server(wanted: Wanted) -> Measured:
        failed = 100 if (wanted.rate or 0) > 300 else 0
        return measured(failed=failed, over={"p99": 0})

    assert searched(server)[0].found("v").limited_by == "answers"


def test_every_percentile_is_judged_and_the_worst_is_told() -> None:
    slo = Slo(p95_ms=20, p999_ms=100)
    judged = judge(Tally(1000, 0, {"p95": 40, "p999": 3}), slo)
    assert judged.missed == ("p999",)
    assert judged.close and judged.reason == "0.3 % above 100 ms, 0.1 % allowed"


def test_one_slow_request_of_a_few_does_not_miss_in_a_probe_but_in_a_confirmation() -> None:
    few = measured(due=30, over={"p99": 1})
    bracket = Bracket(SLO)
    assert bracket.probed(5, few)[0] == "kept"
    assert bracket.confirmed(5, few, {})[0] == "missed"


def test_a_search_in_a_hurry_bisects_no_further_and_confirms_what_was_kept() -> None:
    search = MaxRate(SLO, METHOD)
    server = up_to(900)
    while (wanted := search.next()) is not None and search.kept is None:
        search.tell(server(wanted))
    search.hurry()
    wanted = search.next()
    assert wanted is not None and (wanted.purpose, wanted.rate) == ("confirm", 750.0)
    search.tell(server(wanted))
    assert (search.found("v").value, search.found("v").limited_by) == (750.0, "")


def test_what_is_not_over_has_no_limit_yet() -> None:
    search = MaxRate(SLO, METHOD)
    search.tell(measured())
    found = search.found("v")
    assert (found.knee_rps, found.value, found.limited_by, found.probes) == (CAPACITY, None, "", [])


def test_a_search_can_begin_from_an_expected_rate_instead_of_a_knee() -> None:
    _, asked = searched(up_to(900), Method(users=()), expected=1000.0)
    assert (asked[0].purpose, asked[0].rate) == ("probe", 750.0)


def test_windows_are_as_long_as_their_percentile_and_their_resolution_need() -> None:
    assert METHOD.probe_window(5000, SLO) == 1.5  # an overload of 5 % shows in a second
    assert METHOD.probe_window(500, SLO) == 3.0  # 1,500 requests
    assert METHOD.probe_window(10, SLO) == METHOD.probe_s
    assert METHOD.probe_window(5000, Slo(p99_ms=150)) == 4.5  # a queue of 150 ms grows slowly
    assert METHOD.confirm_window(5000, SLO) == METHOD.confirm_s
    assert METHOD.confirm_window(10, SLO) > 66  # 662 requests at least
    assert METHOD.confirm_window(0.1, SLO) == 300


def test_a_budget_shortens_the_windows_and_refuses_what_cannot_be_done() -> None:
    whole = expected_seconds(METHOD, 9)
    assert fitting(METHOD, 9, None) == fitting(METHOD, 9, whole) == METHOD
    shorter = fitting(METHOD, 9, 0.7 * whole)
    assert 0.65 * whole < expected_seconds(shorter, 9) <= 0.7 * whole
    assert shorter.confirm_s < METHOD.confirm_s and shorter.resolution == METHOD.resolution
    assert shorter.confirm_window(20, SLO) == METHOD.confirm_window(20, SLO)  # what a claim needs stays
    with pytest.raises(UsageError, match=r"--budget-s 20 is too short: .* about \d+ s at least"):
        fitting(METHOD, 9, 20)


def test_a_fixed_grid_of_the_same_range_takes_three_times_as_long_at_least() -> None:
    search, _ = searched(up_to(900))
    assert search.grid_seconds() > 3 * search.seconds


def test_a_step_becomes_a_stage_and_only_a_confirmation_is_judged() -> None:
    knee = stage_of(Wanted("knee", 1.5, users=16), SLO, 0.5, 64)
    assert (knee.mode, knee.concurrency, knee.in_flight, knee.purpose, knee.judged) == ("closed", 16, 16, "knee", False)
    probe = stage_of(Wanted("probe", 2.0, rate=100.0), SLO, 0.5, 64)
    assert (probe.name, probe.rate, probe.in_flight, probe.judged) == ("probe-100", 100.0, 64, False)
    confirm = stage_of(Wanted("confirm", 20.0, rate=3000.0), SLO, 0.5, 64)
    assert (confirm.purpose, confirm.judged, confirm.in_flight) == ("confirm", True, 300)
    assert stage_of(Wanted("probe", 2.0, rate=50_000.0), SLO, 0.5, 64).in_flight == MOST_IN_FLIGHT


def test_a_run_that_is_asked_for_begins_without_stages_and_repeats_the_first_real_endpoint() -> None:
    embedded, real = endpoint(engine_kind="embedded", model="first"), endpoint(model="second")
    price = Price(instance="c7", per_hour=1.0)
    plan = make_plan(
        "id",
        "now",
        Load(rounds=2),
        endpoints(),
        [embedded, real],
        MACHINE,
        {},
        Choice("search", asked=True),
        price=price,
    )
    assert [item.id for item in plan.variants] == [embedded.id, real.id, real.id + REPEAT]
    assert [item.stages for item in plan.variants] == [[], [], []]
    assert plan.variants[-1].repeat_of == real.id
    assert (plan.load_plan, plan.rounds, plan.attempts, plan.price) == ("search", 1, 1, price)


def test_a_machine_that_spoils_every_confirmation_ends_the_search_instead_of_every_rate_below() -> None:
    search, asked = searched(lambda wanted: measured(late=200 if wanted.purpose == "confirm" else 0))
    assert len({wanted.rate for wanted in asked if wanted.purpose == "confirm"}) == CONFIRMATIONS
    assert (search.found("v").value, search.found("v").limited_by) == (None, "load generator")
