"""What Locust's page shows while a run goes on, and a page of its own beside it: exact percentiles and the SLO's line.

A request costs one append; twice a second what was collected becomes Locust's statistics in bulk. The raw latencies of
the stage travel with a load process' report to the master, so that the percentiles of the page are exact over all of
them, up to a million (`samples.py`); then the page says that they are not. It is for looking: what is judged comes from
the records.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from html import escape
from typing import Any

import gevent

from contract.records import Stage, VariantPlan
from contract.statistics import PERCENTILES
from loadtest.showing.course import Course
from loadtest.showing.live import Live, validity
from loadtest.showing.samples import Samples

EVERY_S = 0.5
METHOD = "infer"
SHOWN = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "p99.99": 0.9999}
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:3rem auto;max-width:44rem;color:#222}"
    "table{border-collapse:collapse}td,th{padding:.2rem 1rem .2rem 0;text-align:left}td+td{text-align:right}"
)

Told = tuple[str, float, int, str, bool]  # name, milliseconds, bytes, class of the failure, sent late


class Page:
    """Collects what the users tell; ``stats`` are Locust's (locust.stats.RequestStats).

    Where it ``reports`` to a master, it keeps the latencies until it does.
    """

    def __init__(self, stats: Any, reports: bool = True) -> None:
        self._stats = stats
        self._reports = reports
        self._waiting: list[Told] = []
        self._stage: tuple[VariantPlan, Stage] | None = None
        self._samples = Samples()  # of the stage
        self._unreported = array("d")  # of these, milliseconds that the master has not heard of
        self._errors = self._late = 0
        self._course = Course()

    def tell(self, name: str, ms: float, size: int, error: str, late: bool) -> None:
        """One request is over; ``late``: it was sent so."""
        self._waiting.append((name, ms, size, error, late))

    def enter(self, variant: VariantPlan, stage: Stage) -> None:
        """Another stage begins."""
        self.flush()
        self._stage = variant, stage
        self._samples, self._unreported, self._errors, self._late = Samples(), array("d"), 0, 0
        self._course = Course()

    def keep_flushing(self) -> None:
        """Never returns; for a greenlet."""
        while True:
            gevent.sleep(EVERY_S)
            self.flush()

    def flush(self) -> None:
        """Make what was collected part of Locust's statistics."""
        waiting, self._waiting = self._waiting, []
        by_name: dict[str, list[Told]] = {}
        for item in waiting:
            by_name.setdefault(item[0], []).append(item)
        for name, items in by_name.items():
            entry = summed(self._stats, name, items)
            self._stats.get(name, METHOD).extend(entry)
            self._stats.total.extend(entry)
            for error in (error for _, _, _, error, _ in items if error):
                self._note_error(name, error)
            good = array("d", (ms for _, ms, _, error, _ in items if not error))
            self._samples.add(good)
            if self._reports:
                self._unreported.extend(good)
            self._late += sum(late for *_, late in items)
        self._course.see(self._samples.count)  # here and not where it is read: any number of readers see one rate

    def _note_error(self, name: str, error: str) -> None:
        self._errors += 1
        self._stats.log_error(METHOD, name, error)

    def report(self, data: dict[str, Any]) -> None:
        """Add to a load process' report what the master has not heard yet."""
        self.flush()
        data["latencies_ms"], self._unreported = self._unreported.tobytes(), array("d")
        data["failed"], self._errors = self._errors, 0
        data["late"], self._late = self._late, 0

    def hear(self, data: dict[str, Any]) -> None:
        """Take it in the master."""
        self._samples.add(array("d", data.get("latencies_ms", b"")))
        self._errors += data.get("failed", 0)
        self._late += data.get("late", 0)

    def live(self) -> Live | None:
        """How the stage that is on goes, from bins; None before the first one."""
        return None if self._stage is None else self._seen(*self._stage)

    def _seen(self, variant: VariantPlan, stage: Stage) -> Live:
        good = self._samples.count
        rough = self._samples.rough_percentiles(list(PERCENTILES.values())) if good else []
        values = dict(zip(PERCENTILES, rough, strict=False))
        kept, line = _objectives(variant, stage, values, self._errors, good)
        return Live(
            variant=variant.id,
            stage=stage.name,
            seconds=self._course.seconds,
            length_s=stage.warmup_s + stage.duration_s,
            rate_rps=self._course.rate,
            good=good,
            failed=self._errors,
            late=self._late,
            latency_ms=values,
            slo=line,
            kept=kept if values else None,
        )

    def html(self) -> str:
        """The page, which renews itself."""
        if self._stage is None:
            return _document("Nothing is under load yet.", "")
        variant, stage = self._stage
        slo = variant.endpoint.slo
        samples, live = self._samples, self._seen(variant, stage)
        rows = [
            ("good answers", f"{live.good:,}"),
            ("good answers per second", f"{live.rate_rps:,.0f}"),
            ("failed", f"{live.failed:,}"),
            ("sent late", f"{live.late:,}"),
        ]
        valid = f"<p>{escape(validity(live))}</p>"
        if not samples.count:
            return _document(f"{variant.id}, {stage.name}", _table(rows) + valid)
        asked = SHOWN | {name: PERCENTILES[name] for name in slo.latency_ms}
        values = dict(zip(asked, samples.percentiles(list(asked.values())), strict=True))
        rows += [(name, f"{values[name]:.3f} ms") for name in SHOWN]
        rows.append(("maximum", f"{samples.maximum:.3f} ms"))
        seen = {name: values[name] for name in slo.latency_ms}
        _, line = _objectives(variant, stage, seen, self._errors, samples.count)
        body = f"{_table(rows)}<p><strong>{escape(line)}</strong></p>{valid}"
        return _document(f"{variant.id}, {stage.name}", body, samples.exact)


def _objectives(
    variant: VariantPlan, stage: Stage, seen_ms: Mapping[str, float], failed: int, good: int
) -> tuple[bool, str]:
    """Whether the objectives are kept so far, and the line that says so."""
    slo = variant.endpoint.slo
    share = failed / (good + failed) if good + failed else 0.0
    limits = {name: limit for name, limit in slo.latency_ms.items() if name in seen_ms}
    kept = all(seen_ms[name] <= limit for name, limit in limits.items()) and share <= slo.error_rate
    shown = [f"{name} {seen_ms[name]:.2f} of at most {limit:g} ms" for name, limit in limits.items()]
    shown.append(f"errors {share:.3%} of at most {slo.error_rate:.3%}")
    line = f"SLO, so far {'kept' if kept else 'missed'}: {', '.join(shown)}"
    if stage.mode == "closed":
        line += " (a closed loop forgives stalls; the objective is judged in the open loop)"
    return kept, line


def summed(stats: Any, name: str, items: list[Told]) -> Any:
    """Many requests of one name as one of Locust's entries."""
    entry = type(stats.total)(stats, name, METHOD)
    for _, ms, size, *_ in items:
        entry.log(ms, size)
    return entry


def _table(rows: list[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>"


def _document(title: str, body: str, exact: bool = True) -> str:
    how = "Exact percentiles" if exact else "Percentiles to 1 % (there are more answers than are kept)"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="2">'
        f"<title>{escape(title)}</title><style>{STYLE}</style><h1>{escape(title)}</h1>{body}"
        f"<p>{how} of the stage so far, warm-up included, from the intended send in the open loop. "
        "What is judged comes from the records of the window.</p></html>"
    )
