"""The SLOs of models.toml as Prometheus rules: recordings, and multi-window multi-burn-rate alerts on them.

    python -m serving.monitoring.burn_rates > k8s/components/monitoring/rules.yaml
    python -m serving.monitoring.burn_rates --form prometheus > docker/observe/rules.yaml

A burn rate is how many times faster than promised the error budget goes: at 1 it lasts the 30 days that it is for. An
alert needs a long window, so that it means something, and a short one, so that it ends when the trouble does (Google,
The Site Reliability Workbook, chapter 5).

What can be alerted on is what the servers tell (serving/monitoring/recordings.py). Where nothing counts the answers
within an objective, an alert says so, for silence would look like success. The mean, which both engines tell, is
watched too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from contract.cli import Parser, run
from contract.config import read_config
from contract.slo import Slo
from contract.statistics import PERCENTILES
from serving.monitoring.recordings import (
    Rule,
    error_ratios,
    mean_over,
    recordings,
    served,
    slow_ratios,
    uncounted,
    within,
)


@dataclass(frozen=True)
class Burn:
    """A rate at which the budget goes, the long and the short window it is seen over, and how loudly it is told."""

    factor: float
    long: str
    short: str
    severity: str

    def over(self, ratio: str, chosen: str, share: float) -> str:
        """The expression: in both windows the ratio is over the factor's multiple of the promised ``share``."""
        series = (f"model:{ratio}:ratio_rate{window}{{{chosen}}}" for window in (self.long, self.short))
        return "\nand\n".join(f"{name} > {self.factor:g} * {share:g}" for name in series)

    def labels(self, **others: str) -> dict[str, str]:
        return {**others, "severity": self.severity, "window": self.long}

    def story(self, what: str, share: float) -> dict[str, str]:
        """What a person reads who is woken by it."""
        return {
            "summary": f"{what}: over {self.factor * share * 100:.3g} % for {self.long}, and still",
            "description": f"Promised is {share * 100:.3g} % at most. "
            f"At this rate what {BUDGET_DAYS} days allow is gone in {BUDGET_DAYS / self.factor:.3g} days.",
        }


BURNS = (Burn(14.4, "1h", "5m", "page"), Burn(6.0, "6h", "30m", "page"), Burn(1.0, "3d", "6h", "ticket"))
BUDGET_DAYS = 30


def budget(percentile: str) -> float:
    """The share of answers that may be slower than a percentile's objective: 0.01 for `p99`."""
    return round(1 - PERCENTILES[percentile], 6)


def burns(share: float) -> list[Burn]:
    """The alerts that a budget can have.

    More than all requests cannot fail, so a median has no fast burn; and a promise of no failure has nothing to burn.
    """
    return [burn for burn in BURNS if 0 < burn.factor * share < 1]


def alerts(model: str, slo: Slo, namespace: str | None = None) -> Iterator[Rule]:
    """Every alert of one model: on its error rate, on each objective of its latency, and on its mean latency.

    Of one namespace, or (None) of all that the Prometheus sees.
    """
    chosen = served(model, namespace)
    for burn in burns(slo.error_rate):
        what = f"{model}: failed requests"
        expression = burn.over("errors", chosen, slo.error_rate)
        yield _alert("ErrorBudgetBurn", expression, burn.story(what, slo.error_rate), burn.labels(service=model))
    for percentile, limit in slo.latency_ms.items():
        labels = {"service": model, "objective": percentile}
        share, what = budget(percentile), f"{model}: answers after {limit:g} ms"
        late = within(f'service="{model}", objective="{percentile}"', namespace)
        for burn in burns(share):
            expression = burn.over("slow", late, share)
            yield _alert("LatencyBudgetBurn", expression, burn.story(what, share), burn.labels(**labels))
        yield _alert(
            "LatencyObjectiveUnwatched",
            uncounted(model, limit, namespace),
            {
                "summary": f"{model}: nobody counts the answers within {limit:g} ms, its {percentile}",
                "description": "Triton's histogram is off, or has no bucket that ends there: see docs/deploy.md.",
            },
            {**labels, "severity": "ticket"},
            lasting="30m",
        )
    yield _alert(
        "MeanLatencyOverObjective",
        mean_over(chosen, slo.tightest_ms),
        {"summary": f"{model}: the mean alone is over {slo.tightest_ms:g} ms, the tightest objective"},
        {"service": model, "severity": "page"},
        lasting="10m",
    )


def rule_file(slos: dict[str, Slo], namespace: str | None = None) -> dict[str, Any]:
    """The rules of these models (by their names in models.toml), as a Prometheus reads them from a file.

    What is promised is promised of the pods of one namespace, or (None) of all.
    """
    groups = [{"name": "loadproof", "rules": recordings()}, {"name": "loadproof-errors", "rules": error_ratios()}]
    for model, slo in slos.items():
        rules = [*slow_ratios(model, slo, namespace), *alerts(model, slo, namespace)]
        groups.append({"name": f"loadproof-{model}", "rules": rules})
    return {"groups": groups}


def document(slos: dict[str, Slo], namespace: str | None = None) -> dict[str, Any]:
    """The same rules as a PrometheusRule, which the Prometheus operator of a cluster reads."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "loadproof", "labels": {"app.kubernetes.io/part-of": "loadproof"}},
        "spec": rule_file(slos, namespace),
    }


FORMS = {"operator": document, "prometheus": rule_file}


def to_yaml(value: dict[str, Any]) -> str:
    """The document as a person would write it: keys in their order, expressions of several lines as blocks."""
    return yaml.dump(value, Dumper=_Blocks, sort_keys=False, width=999, allow_unicode=True)


def _alert(name: str, expression: str, story: dict[str, str], labels: dict[str, str], lasting: str = "") -> Rule:
    lasts = {"for": lasting} if lasting else {}
    return {"alert": name, "expr": expression, **lasts, "labels": labels, "annotations": story}


class _Blocks(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Blocks.add_representer(str, _text)


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="python -m serving.monitoring.burn_rates", description="write the SLOs as Prometheus rules to stdout"
    )
    parser.add_argument("--config", type=Path, default=Path("models.toml"), help="the dial of the run")
    parser.add_argument("--group", default="default", help="group of models to write rules for, or 'all'")
    parser.add_argument("--form", choices=list(FORMS), default="operator", help="who reads them")
    options = parser.parse_args(arguments)
    models = read_config(options.config).group(options.group)
    again = "" if options.form == "operator" else f" --form {options.form}"
    print(f"# Generated from models.toml: python -m serving.monitoring.burn_rates{again}. Do not edit.")
    print(to_yaml(FORMS[options.form]({name: model.slo for name, model in models.items()})), end="")
    return 0


if __name__ == "__main__":
    run(main)
