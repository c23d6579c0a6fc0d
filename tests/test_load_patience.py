"""How long a run may take before it is ended: longer than everything that it may rightly wait for."""

from __future__ import annotations

from contract.records import Plan, VariantPlan
from contract.triton_control import LOAD_S, UNLOAD_S
from loadtest.driving import total_seconds
from loadtest.launching import WAIT_FOR_OTHERS_S
from loadtest.patience import AFTER_S, end_limit_s, run_limit_s, step_limit_s
from loadtest.process.window import DRAIN_S, GRACE_S
from loadtest.watching.counters import TIMEOUT_S
from tests.builders import closed_stage, endpoint, open_stage, plan

STAGES = [closed_stage(), open_stage()]
RESIDENT = ["words__onnx on triton", "images__onnx on triton", "words on tfserving"]


def plan_of(*names: str, rounds: int = 1, attempts: int = 1, isolate: bool = False) -> Plan:
    variants = [VariantPlan(id=name, endpoint=endpoint(), stages=STAGES, repeat_of=None) for name in names]
    return plan(*variants, rounds=rounds, attempts=attempts, isolate=isolate, resident=RESIDENT)


def test_load_processes_of_others_have_all_the_time_to_join_that_they_are_promised() -> None:
    short = plan_of("a")
    assert run_limit_s(short, workers=2) > WAIT_FOR_OTHERS_S + total_seconds(short)
    assert run_limit_s(short) < WAIT_FOR_OTHERS_S


def test_a_server_that_hangs_may_do_so_in_every_attempt_at_every_stage_of_every_round() -> None:
    hanging_s = DRAIN_S + GRACE_S + 2 * TIMEOUT_S
    tried = plan_of("a", "b", rounds=2, attempts=3)
    attempts_s = (
        tried.rounds
        * tried.attempts
        * sum(stage.warmup_s + stage.duration_s + hanging_s for item in tried.variants for stage in item.stages)
    )
    assert run_limit_s(tried) > attempts_s > total_seconds(tried) * tried.attempts


def test_a_run_of_one_of_two_models_has_time_to_unload_both_and_to_load_them_again_when_it_ends() -> None:
    resident, loaded = (plan_of("a", isolate=isolate) for isolate in (False, True))
    both_s = 2 * (LOAD_S + UNLOAD_S)
    assert end_limit_s(loaded) - end_limit_s(resident) == both_s
    assert run_limit_s(loaded) - run_limit_s(resident) >= (2 * UNLOAD_S + LOAD_S) + both_s


def test_each_round_has_time_to_load_every_model_and_the_one_that_is_repeated() -> None:
    resident, loaded = (plan_of("a", "b", "a__again", rounds=2, isolate=isolate) for isolate in (False, True))
    assert run_limit_s(loaded) - run_limit_s(resident) >= 2 * 3 * (LOAD_S + UNLOAD_S) + 2 * LOAD_S


def test_a_step_of_a_session_waits_for_its_window_the_servers_silence_and_all_that_makes_room_for_its_model() -> None:
    stage = open_stage(duration_s=30.0, warmup_s=2.0)
    assert step_limit_s(plan_of("a"), stage) > 32.0 + AFTER_S
    assert step_limit_s(plan_of("a", isolate=True), stage) - step_limit_s(plan_of("a"), stage) >= 2 * UNLOAD_S + LOAD_S
