"""slo.yaml: what the models promise, in the terms of OpenSLO (https://github.com/OpenSLO/OpenSLO, `openslo/v1`).

Each objective is an SLO of its own over a ratio: `p99_ms = 50` promises that 99 % of the requests are answered within
50 ms, `error_rate = 0.001` that 99.9 % are answered at all. The indicators are written against the records of the run
that was judged; who watches the service in production puts the queries of their monitoring there.

OpenSLO's targets lie below 100 %, so an `error_rate` of 0 cannot be said in it and stands in a comment.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from contract.statistics import PERCENTILES
from contract.verdict import Report
from report import words

LONGEST_NAME = 63  # of a DNS label (RFC 1123), as OpenSLO's names are
HEAD = """\
# What the models of report {report} promise, as OpenSLO (openslo/v1).
# The metric sources name the records of that run: put the queries of your own monitoring there. models.toml promises
# no calendar, so there is no timeWindow: add the one that you account for, e.g. 28d.
"""

Document = dict[str, Any]


def render_openslo(report: Report) -> str:
    """Return the documents: per model a Service and an SLO for each objective."""
    parts = [HEAD.format(report=" ".join(report.id.split()))]
    for model in words.models(report):
        promised = report.objectives.get(model, {})
        if promised:
            parts += [f"---\n{to_yaml(document)}" for document in _documents(report.id, model, promised)]
        if promised.get("error_rate") == 0:
            parts.append(f"# {dns_label(model)} promises that no request fails, which OpenSLO cannot say.\n")
    return "".join(parts)


def dns_label(text: str) -> str:
    """A name that OpenSLO takes; names that differ stay different, by a piece of their hash where one was changed."""
    label = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if label == text.replace("_", "-") and len(label) <= LONGEST_NAME and "-" not in text:
        return label
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{label[: LONGEST_NAME - 9].rstrip('-')}-{digest}".lstrip("-")


def _documents(run: str, model: str, promised: dict[str, float]) -> Iterator[Document]:
    service = dns_label(model)
    yield _document("Service", service, model, {"description": f"The model {model}."})
    for name, p in PERCENTILES.items():
        limit = promised.get(f"{name}_ms")
        if limit is not None:
            within = f"error = '' and done_ns - intended_ns <= {round(limit * 1e6)}"
            title = f"{words.percentile_name(name)} ≤ {words.plain(limit)} ms"
            yield _slo(run, model, f"{model}_{name}", title, p, within, promised)
    errors = promised.get("error_rate", 0.0)
    if errors > 0:
        title = f"errors ≤ {words.share(errors)}"
        yield _slo(run, model, f"{model}_availability", title, round(1 - errors, 12), "error = ''", promised)


def _slo(run: str, model: str, name: str, title: str, target: float, good: str, promised: dict[str, float]) -> Document:
    rate = f" at {words.plain(promised['rate'])} requests per second" if "rate" in promised else ""
    metadata = {"name": dns_label(f"{name}_ratio"), "displayName": f"{model}: requests with {title}"}
    indicator = {
        "metadata": metadata,
        "spec": {"ratioMetric": {"counter": True, "good": _source(run, model, good), "total": _source(run, model)}},
    }
    spec = {
        "description": f"{title}{rate}, counted from the moment a request was due.",
        "service": dns_label(model),
        "indicator": indicator,
        "budgetingMethod": "Occurrences",
        "objectives": [{"displayName": title, "target": target}],
    }
    return _document("SLO", dns_label(name), f"{model}: {title}", spec)


def _source(run: str, model: str, condition: str | None = None) -> Document:
    """The requests of the run's records: all that were due, or those of a condition on their columns."""
    spec = {"records": f"results/{run}/requests-{model}__*.parquet"} | ({"where": condition} if condition else {})
    return {"metricSource": {"type": "loadproof", "spec": spec}}


def _document(kind: str, name: str, title: str, spec: Document) -> Document:
    metadata = {"name": name, "displayName": title}
    return {"apiVersion": "openslo/v1", "kind": kind, "metadata": metadata, "spec": spec}


def to_yaml(value: Document) -> str:
    """One document; names of one line keep their line."""
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=math.inf))
