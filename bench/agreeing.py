"""What both generators saw of one work, beside each other: lines for a person, figures for the document. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.generators.sight import SHOWN, Figures, Sight
from bench.peers.figures import Spread, spread

WANTED = 0.05  # how far the medians may lie apart
# what a latency is made of -> which attribute of a Sight it is; microseconds
PARTS = {
    "mean latency": "latency_us",
    "mean response wait, as it counts it": "wait_us",
    "mean transfer, as it counts it": "transfer_us",
    "mean in Triton, queue and compute": "server_us",
    "mean rest: client, wire, front end": "rest_us",
    "median on the wire, the request": "sending_us",
    "median on the wire, until the answer": "answering_us",
    "p50 less both: the client": "client_us",
}
LESS = "ours less perf_analyzer's"


@dataclass
class Seen:
    """Ours and perf_analyzer's, by round."""

    ours: list[Sight] = field(default_factory=list)
    peer: list[Sight] = field(default_factory=list)

    @property
    def pairs(self) -> list[tuple[Sight, Sight]]:
        """Ours and perf_analyzer's, round by round."""
        return list(zip(self.ours, self.peer, strict=True))

    def judged(self) -> dict[str, Any]:
        """p50 beside perf_analyzer's, as a ratio of medians and as differences within a round; p99 beside its own."""
        tails = [sight.percentiles["p99"] for sight in self.peer]
        tail, ratio = self._median(self.ours, "p99"), self._median(self.ours, "p50") / self._median(self.peer, "p50")
        less_us = [(own.percentiles["p50"] - other.percentiles["p50"]) * 1e3 for own, other in self.pairs]
        return {
            "p50_ratio": round(ratio, 4),
            "p50_within": abs(ratio - 1) <= WANTED,
            "p50_difference_us": spread(less_us).rounded(1),
            "p99_ms": round(tail, 4),
            "p99_within": min(tails) <= tail <= max(tails),
        }

    @staticmethod
    def _median(rounds: list[Sight], key: str) -> float:
        return statistics.median(sight.percentiles[key] for sight in rounds)


def parts(seen: Seen) -> dict[str, dict[str, Spread]]:
    """Part -> whose, or the difference within a round -> microseconds. Only parts that both have in all rounds."""
    table = {}
    for name, attribute in PARTS.items():
        pairs = [(getattr(own, attribute), getattr(other, attribute)) for own, other in seen.pairs]
        if all(None not in pair for pair in pairs):
            table[name] = {
                "ours": spread([own for own, _ in pairs]),
                "perf_analyzer": spread([other for _, other in pairs]),
                LESS: spread([own - other for own, other in pairs]),
            }
    return table


def show(work_ms: float | None, seen: Seen) -> dict[str, Any]:
    """The lines of one work for a person; returns what is in the document. None: the model as it is served."""
    print("the model as it is served" if work_ms is None else f"the model waits {work_ms:g} ms")
    named = {
        "ours, from the actual send": [sight.percentiles for sight in seen.ours],
        "perf_analyzer": [sight.percentiles for sight in seen.peer],
        "ours, from the intended send": [sight.intended for sight in seen.ours if sight.intended],
    }
    for name, rounds in named.items():
        print(f"  {name:34}{_percentiles(rounds)}")
    found = seen.judged()
    less = found["p50_difference_us"]
    reached = "reached" if found["p50_within"] else "MISSED"
    print(f"  p50 is {found['p50_ratio']:.3f}x of perf_analyzer's, wanted {1 - WANTED} to {1 + WANTED}: {reached}")
    print(f"  p50 less perf_analyzer's: {less['median']:.0f} us ({less['min']:.0f} to {less['max']:.0f})")
    where = "within" if found["p99_within"] else "OUTSIDE"
    print(f"  p99 {found['p99_ms']:.3f} ms lies {where} what perf_analyzer's own rounds differ by")
    apart = parts(seen)
    for name, sides in apart.items():
        print(f"  us, {name:38}{', '.join(f'{side} {values.shown(0)}' for side, values in sides.items())}")
    packets = _packets(seen)
    if packets:
        print(f"  packets of a request: {', '.join(f'{side} {count:g}' for side, count in packets.items())}")
    rounded = {name: {side: values.rounded(1) for side, values in sides.items()} for name, sides in apart.items()}
    return {"work_ms": work_ms, **found, **named, "parts_us": rounded, "packets": packets}


def _percentiles(rounds: Sequence[Figures]) -> str:
    return ", ".join(f"{key} {spread([found[key] for found in rounds]).shown(3)}" for key in SHOWN)


def _packets(seen: Seen) -> dict[str, float]:
    """Whose -> in how many packets a request comes; empty where nobody listened."""
    both = [(own.wire.pieces, other.wire.pieces) for own, other in seen.pairs if own.wire and other.wire]
    columns = zip(("ours", "perf_analyzer"), zip(*both, strict=True), strict=True) if both else ()
    return {side: statistics.median(column) for side, column in columns}
