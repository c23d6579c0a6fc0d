"""results/<id> -> Report: reads the files, calls the pure parts, decides the verdict of the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from contract import scaling as scaled
from contract import search as sought
from contract.endpoints import Endpoint
from contract.events import read_events
from contract.files import read_model
from contract.records import Plan, VariantPlan
from contract.scaling import Scaling
from contract.search import Search
from contract.verdict import Report, SloResult, Variant, VariantParity
from report.beside import caveats
from report.beside.neighbours import with_neighbours
from report.figures import promise
from report.figures.certificate import sentences
from report.figures.kept_waiting import kept_waiting
from report.figures.origin import as_it_ran, origin
from report.figures.reading import Context, Measured, measure
from report.judging import objectives as judging
from report.judging import ranking
from report.judging.advice import advise
from report.judging.cost import Basis, priced
from report.judging.deciding import decide
from report.judging.invalid import in_full
from report.judging.merit import merit_of
from report.judging.noise import noise_of_run, noise_of_search
from report.judging.unjudged import unjudged


def assemble(results: Path) -> Report:
    """Read one run and judge it."""
    planned = read_model(results / "plan.json", Plan, "make loadtest")
    plan = as_it_ran(planned, origin(results, planned))
    search = _search(results)
    context = Context.of(results, plan)
    compared = {name for item in plan.variants if item.repeat_of for name in (item.id, item.repeat_of)}
    measured = {item.id: measure(results, item, context, item.id in compared) for item in plan.variants}
    judged = {item.id: _judge(plan, item, measured[item.id], search) for item in plan.variants}
    variants = [
        _variant(plan, item, measured[item.id], judged[item.id], search)
        for item in plan.variants
        if item.repeat_of is None
    ]
    noise = noise_of_run(plan, measured) if search is None else noise_of_search(plan, judged)
    unserved = {name.split()[0] for name in plan.unserved}
    promised = {item.endpoint.model: item.endpoint.slo.figures() for item in plan.variants}
    merit = merit_of(noise, search, [], {}) if search else None
    verdict, sentence = decide(variants, unserved, merit, promised)
    missing = promise.missing(plan) if search is None else ""
    if verdict == "INVALID" and missing:
        sentence = unjudged(plan.load_plan, missing, variants, unserved)
    report = Report(
        schema_version=1,
        id=plan.id,
        started=plan.started,
        machine=plan.machine,
        versions=plan.versions,
        target=plan.target,
        verdict=verdict,
        sentence=sentence,
        warnings=[
            *caveats.cut_short(plan, search),
            *caveats.busy(variants),
            *caveats.invalid(variants),
            *caveats.warnings(plan),
            *caveats.outages(read_events(results / "events.jsonl")),
        ],
        objectives=promised,
        accuracy={item.endpoint.model: item.endpoint.accuracy for item in plan.variants},
        unserved=plan.unserved,
        resident=plan.resident,
        variants=variants,
        winners=ranking.winners(variants, noise, search, promised),
        noise=noise,
        search=search,
        scaling=_scaling(results),
        load_plan=plan.load_plan,
        command=plan.command,
        seeds=plan.seeds,
        generator=sentences(context.certificates, context.uncertified),
    )
    return report.model_copy(update={"advice": advise(report, _confidence(measured, search))})


def _search(results: Path) -> Search | None:
    path = results / sought.FILE
    return read_model(path, Search, "python -m tune search") if path.is_file() else None


def _scaling(results: Path) -> Scaling | None:
    path = results / scaled.FILE
    return read_model(path, Scaling, "python -m tune scale") if path.is_file() else None


def _confidence(measured: Mapping[str, Measured], search: Search | None) -> dict[str, float]:
    """Of the rates that were found, by variant; without those of which nothing may be claimed."""
    found = [(item.variant, item.confirmed) for item in search.found if item.confirmed is not None] if search else []
    levels = {variant: measured[variant].confidence.get(stage) for variant, stage in found}
    return {variant: level for variant, level in levels.items() if level is not None}


def _judge(plan: Plan, item: VariantPlan, measured: Measured, search: Search | None) -> SloResult:
    """The objectives of one variant, and what a million inferences cost under them."""
    slo = item.endpoint.slo
    if search is None:
        basis = Basis(plan.price, sought=False, rows=1.0, shared=plan.same_machine)
        return priced(judging.judge(measured.stages, slo, promise.unlikenesses(item.stages)), item.endpoint, basis)
    found = search.of(item.id)
    number = -1 if found is None or found.confirmed is None else found.confirmed
    waiting = found is not None and kept_waiting(found, measured.by_number)
    confidence = measured.confidence.get(number)
    judged = judging.judge_found(found, measured.by_number.get(number), slo, confidence, waiting)
    basis = Basis(plan.price, sought=True, rows=measured.rows.get(number, 1.0), shared=plan.same_machine)
    return priced(judged, item.endpoint, basis)


def _variant(plan: Plan, item: VariantPlan, measured: Measured, slo: SloResult, search: Search | None) -> Variant:
    endpoint = item.endpoint
    reasons = _not_ranked(endpoint, measured, slo, search)
    return Variant(
        id=item.id,
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
        conditions=with_neighbours(plan, endpoint),
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


def _not_ranked(endpoint: Endpoint, measured: Measured, slo: SloResult, search: Search | None) -> list[str]:
    reasons = []
    if not measured.complete:
        reasons.append("its measurement was interrupted" if measured.stages else "it was not measured")
    if endpoint.engine_kind == "embedded":
        reasons.append("the embedded server is not what a deployment would run")
    proofs = (endpoint.parity_export, endpoint.parity_engine, endpoint.parity_endpoint)
    if not all(proof.passed for proof in proofs):
        reasons.append("it does not agree with the trained model")
    wrong = sum(stage.wrong_answers for stage in measured.stages)
    if wrong:
        checked = sum(stage.answers_checked for stage in measured.stages)
        reasons.append(f"{wrong} of {checked} sampled answers under load were wrong")
    opened = [stage for stage in measured.stages if stage.mode == "open"]
    if search is None and not any(stage.valid for stage in opened):
        reasons.append(in_full(opened))
    elif slo.passed is None and not reasons:
        reasons += slo.reasons if search else slo.reasons[-1:]  # what was tried and kept is no reason
    return reasons
