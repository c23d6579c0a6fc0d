"""results/<id> -> Report: reads the files, calls the pure parts, decides the verdict of the run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from contract.certificate import Certificates
from contract.endpoints import Endpoint
from contract.events import Event, read_events
from contract.files import read_model
from contract.records import Observation, Plan, VariantPlan, read_records
from contract.samples import read_samples
from contract.statistics import Floats
from contract.verdict import Noise, Overload, Recommendation, Report, StageResult, Variant, VariantParity
from report import objectives, ranking
from report.answers import Judged, judge
from report.certificate import read_certificates, sentences
from report.overload import overload, part_of_maximum, recovered_after, triple
from report.series import Samples
from report.summary import course_of_requests, good_latencies, summarize
from report.windows import final

MOST_NAMES = 3  # of models in a sentence


@dataclass(frozen=True)
class Measured:
    """One variant's stages, and the open-loop latencies (milliseconds, in time order) for the noise."""

    stages: list[StageResult]
    complete: bool
    open_latencies: Floats | None
    overload: Overload | None = None


@dataclass(frozen=True)
class Context:
    """What was measured beside the requests of a run."""

    certificates: Certificates
    samples: pa.Table


def assemble(results: Path) -> Report:
    """Read one run and judge it."""
    plan = read_model(results / "plan.json", Plan, "make loadtest")
    context = Context(read_certificates(results), read_samples(results))
    measured = {item.id: _measure(results, item, context) for item in plan.variants}
    variants = [_variant(item, measured[item.id]) for item in plan.variants if item.repeat_of is None]
    noise = _noise(plan, measured)
    winners = ranking.winners(variants, noise)
    verdict, sentence = decide(variants, {name.split()[0] for name in plan.unserved})
    if verdict == "INVALID" and not any(stage.judged for item in plan.variants for stage in item.stages):
        sentence = f"INVALID: the load plan '{plan.load_plan}' has no open-loop stage with a steady rate to judge."
    return Report(
        schema_version=1,
        id=plan.id,
        started=plan.started,
        machine=plan.machine,
        versions=plan.versions,
        target=plan.target,
        verdict=verdict,
        sentence=sentence,
        warnings=[*_warnings(plan), *_outages(read_events(results / "events.jsonl"))],
        objectives={item.endpoint.model: item.endpoint.slo.figures() for item in plan.variants},
        accuracy={item.endpoint.model: item.endpoint.accuracy for item in plan.variants},
        unserved=plan.unserved,
        resident=plan.resident,
        variants=variants,
        winners=winners,
        noise=noise,
        generator=sentences(context.certificates),
    )


def decide(variants: list[Variant], unserved: Iterable[str] = ()) -> tuple[Literal["PASS", "FAIL", "INVALID"], str]:
    """INVALID if a model has no rankable variant; else FAIL if some model's best misses an objective; else PASS."""
    models = sorted({variant.model for variant in variants} | set(unserved))
    if not variants:
        return "INVALID", "INVALID: nothing was measured."
    without = [model for model in models if not any(v.rankable for v in variants if v.model == model)]
    if without:
        return "INVALID", f"INVALID: no variant of {_some(without)} was measured well enough for a verdict."
    missing = [model for model in models if not any(v.slo.passed for v in variants if v.model == model and v.rankable)]
    if missing:
        return "FAIL", f"FAIL: no variant of {_some(missing)} keeps its objectives."
    return "PASS", f"PASS: every model ({_some(models, 'and')}) has a variant that keeps its objectives."


def _some(models: list[str], word: str = "or") -> str:
    """A few names in full; of many the first ones and how many more."""
    if len(models) > MOST_NAMES + 1:
        models = [*models[:MOST_NAMES], f"{len(models) - MOST_NAMES} more"]
    return f" {word} ".join(filter(None, [", ".join(models[:-1]), models[-1]]))


def recommend(report: Report) -> Recommendation:
    """What to deploy: per model the best rankable variant that keeps its objectives.

    Variants that would be deployed just as they were measured come before stand-ins.
    """
    best: dict[str, str] = {}
    for model in sorted({variant.model for variant in report.variants}):
        candidates = [v for v in report.variants if v.model == model and v.rankable and v.slo.passed]
        candidates.sort(key=lambda v: (v.stand_in_for is not None, ranking.rank_p99(v)))
        if candidates:
            best[model] = candidates[0].id
    return Recommendation(schema_version=1, report=report.id, models=best)


def _measure(results: Path, item: VariantPlan, context: Context) -> Measured:
    path = results / f"server-stats-{item.id}.json"
    if not path.is_file():
        return Measured([], False, None)
    observation = read_model(path, Observation, "make loadtest")
    records = read_records(results, item.id)
    judged = judge(results, item.id, item.endpoint)
    stages: list[StageResult] = []
    latencies: Floats | None = None
    for number, stage in enumerate(item.stages):
        rounds = final(observation.stages, number)
        if not rounds:
            continue
        samples = Samples(context.samples, item.endpoint.engine) if len(context.samples) else None
        certificate = context.certificates.of(item.endpoint.id)
        found = judged.get(number, Judged())
        stages.append(summarize(stage, rounds, records, found, item.endpoint.slo, samples, certificate))
        if latencies is None and stage.judged and stage.mode == "open":
            latencies = good_latencies(records, number, rounds)
    return Measured(stages, observation.complete, latencies, _overload(item, stages, records, observation))


def _overload(
    item: VariantPlan, stages: list[StageResult], records: pa.Table, observation: Observation
) -> Overload | None:
    """What a plan that goes beyond the maximum showed, once all three of its stages were measured."""
    places = triple([stage.shape for stage in item.stages])
    by_name = {stage.name: stage for stage in stages}
    if places is None or any(item.stages[place].name not in by_name for place in places):
        return None
    before, above, after = (by_name[item.stages[place].name] for place in places)
    intended_s, latency_ms, good = course_of_requests(records, places[2], final(observation.stages, places[2]))
    recovery = recovered_after(intended_s, latency_ms, good, before.latency_ms.p50.value or 0.0)
    return overload(before, above, after, part_of_maximum(item.stages[places[1]].shape) or 1.0, recovery)


def _variant(item: VariantPlan, measured: Measured) -> Variant:
    endpoint = item.endpoint
    slo = objectives.judge(measured.stages, endpoint.slo)
    reasons = _not_ranked(endpoint, measured)
    return Variant(
        id=endpoint.id,
        model=endpoint.model,
        format=endpoint.format,
        engine=endpoint.engine,
        engine_kind=endpoint.engine_kind,
        engine_version=endpoint.engine_version,
        backend_kind=endpoint.backend_kind,
        stand_in_for=endpoint.stand_in_for,
        device=endpoint.device,
        protocol=endpoint.protocol,
        configuration=endpoint.configuration,
        conditions=endpoint.conditions,
        instance_mib=endpoint.instance_mib,
        artifact_sha256=endpoint.artifact_sha256,
        parity=VariantParity(
            export=endpoint.parity_export, engine=endpoint.parity_engine, endpoint=endpoint.parity_endpoint
        ),
        load_to_ready_s=endpoint.load_to_ready_s,
        first_request_ms=endpoint.first_request_ms,
        complete=measured.complete,
        rankable=not reasons,
        rank_class=f"{endpoint.device}, {'stand-ins' if endpoint.stand_in_for else 'real'}",
        not_ranked_because=reasons,
        stages=measured.stages,
        overload=measured.overload,
        slo=slo,
    )


def _not_ranked(endpoint: Endpoint, measured: Measured) -> list[str]:
    reasons = []
    if not measured.complete:
        reasons.append("its measurement was interrupted")
    if endpoint.engine_kind == "embedded":
        reasons.append("the embedded server is not what a deployment would run")
    proofs = (endpoint.parity_export, endpoint.parity_engine, endpoint.parity_endpoint)
    if not all(proof.passed for proof in proofs):
        reasons.append("it does not agree with the trained model")
    wrong = sum(stage.wrong_answers for stage in measured.stages)
    if wrong:
        checked = sum(stage.answers_checked for stage in measured.stages)
        reasons.append(f"{wrong} of {checked} sampled answers under load were wrong")
    if not any(stage.valid and stage.of_slo for stage in measured.stages):
        reasons.append("it has no valid open-loop stage")
    return reasons


def _noise(plan: Plan, measured: dict[str, Measured]) -> Noise:
    repeat = next((item for item in plan.variants if item.repeat_of), None)
    if repeat is None or repeat.repeat_of is None:
        once = any(
            stage.judged for item in plan.variants for stage in item.stages if item.endpoint.engine_kind == "real"
        )
        why = (
            f"the load plan '{plan.load_plan}' goes through its stages once" if once else "no real endpoint was judged"
        )
        return ranking.no_noise(f"nothing was measured twice: {why}")
    first, again = measured[repeat.repeat_of], measured[repeat.id]
    stages = [next((s for s in item.stages if s.of_slo), None) for item in (first, again)]
    if stages[0] is None or stages[1] is None or first.open_latencies is None or again.open_latencies is None:
        return ranking.no_noise("the run was interrupted before a variant was measured twice")
    if not (stages[0].valid and stages[1].valid):
        return ranking.no_noise(
            f"the open-loop stage of {repeat.repeat_of} was measured twice, but not both were valid"
        )
    if not len(first.open_latencies) or not len(again.open_latencies):
        return ranking.no_noise("the variant that was measured twice gave no good answers")
    return ranking.noise_between(repeat.repeat_of, stages[0], stages[1], (first.open_latencies, again.open_latencies))


def _outages(events: list[Event]) -> list[str]:
    """What happened to the servers during the run: whatever was measured meanwhile shows it as errors."""
    return [f"During the run, at {event.at[11:19]} UTC: {event.what}: {event.detail}." for event in events]


def _warnings(plan: Plan) -> list[str]:
    endpoints = [item.endpoint for item in plan.variants]
    found = []
    if plan.same_machine:
        found.append(
            f"The load generator and the servers share the {plan.machine.cores} cores of one machine: "
            "more load is less server. Throughput is a lower bound, latency an upper one."
        )
    if any(endpoint.engine_kind == "embedded" for endpoint in endpoints):
        found.append(
            "TF Serving was the embedded stand-in (Python), not tensorflow_model_server (C++): its figures show that "
            "the protocol works, not how fast TF Serving is. It is shown and never ranked."
        )
    stand_ins = sorted({e.stand_in_for for e in endpoints if e.stand_in_for and e.engine == "triton"})
    if stand_ins:
        found.append(
            "Triton's core and front ends were real; its backends were python-based and stand in for "
            f"{' and '.join(stand_ins)}."
        )
    if any(endpoint.device == "cpu" for endpoint in endpoints):
        found.append("Everything ran on a CPU; nothing here says how a GPU would do.")
    if plan.isolate:
        found.append("Triton held the variant under test alone; what runs on other engines stayed loaded.")
    elif plan.one_at_a_time:
        found.append(
            "Triton held the formats of one model at a time; idle neighbours among them cost the one under test."
        )
    elif len(plan.resident) > 1:
        found.append(
            f"{len(plan.resident)} served models were resident at once; idle neighbours cost the one under test."
        )
    return found
