"""How a variant looks: one colour and one symbol for it in all charts."""

from __future__ import annotations

from dataclasses import dataclass

from contract.verdict import Percentile, Report, StageResult

KNOWN = ("torchscript triton", "onnx triton", "savedmodel triton", "savedmodel tfserving")
MOST_HUES = 6
SYMBOLS = {"http": "circle", "grpc": "square", "rest": "diamond"}


@dataclass(frozen=True)
class Style:
    """How one variant looks in every chart."""

    color: str
    symbol: str
    embedded: bool

    def marker(self, stage: StageResult, percentile: Percentile | None = None) -> str:
        """The marker of one figure: crossed when the stage is invalid, hollow when it is no claim."""
        hollow = self.embedded or (percentile is not None and percentile.upper is None)
        return "x-open" if not stage.valid else f"{self.symbol}-open" if hollow else self.symbol


def styles(report: Report) -> dict[str, Style]:
    """One look per variant, the same in all charts, and for the formats that we know in all reports."""
    known, found = {family: place for place, family in enumerate(KNOWN)}, {}
    taken: set[tuple[str, str]] = set()
    every = [f"var(--hue-{hue}{shade})" for hue in range(1, MOST_HUES + 1) for shade in "ab"]
    for item in report.variants:
        hue = known.setdefault(f"{item.format} {item.engine}", len(known)) % MOST_HUES + 1
        color = f"var(--hue-{hue}{'a' if item.protocol == 'grpc' else 'b'})"
        if (item.model, color) in taken:
            color = next((other for other in every if (item.model, other) not in taken), color)
        taken.add((item.model, color))
        symbol = SYMBOLS.get(item.protocol, "circle")
        found[item.id] = Style(color, symbol, item.engine_kind == "embedded")
    return found
