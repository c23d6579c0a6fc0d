"""Sampled answers, decoded after the run and compared with the golden batch by the same compare()."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from contract.codecs import MalformedAnswer, codec_for
from contract.compare import Tolerance, compare
from contract.endpoints import Endpoint
from contract.golden import read_examples
from contract.records import golden_name, read_answers


class Judged:
    """Counts of one stage."""

    def __init__(self) -> None:
        self.checked = 0
        self.wrong = 0
        self.first_reason: str | None = None


def judge(results: Path, variant: str, endpoint: Endpoint) -> dict[int, Judged]:
    """Compare every sampled answer of a variant; by stage."""
    codec = codec_for(endpoint.engine, endpoint.protocol)
    golden = {example.key: example for example in read_examples(results / golden_name(endpoint), "make loadtest")}
    tolerance = Tolerance(endpoint.atol, endpoint.rtol)
    stages: dict[int, Judged] = defaultdict(Judged)
    for file in sorted(results.glob(f"answers-{variant}-*.bin")):
        for stage, key, headers, body in read_answers(file):
            judged = stages[stage]
            judged.checked += 1
            reason = None
            try:
                answer = codec.decode(body, headers, endpoint.outputs)
                if key not in golden:
                    reason = f"{key} is not a golden request"
                else:
                    parity = compare([(key, golden[key].outputs, answer)], tolerance)
                    reason = None if parity.passed else parity.reasons[0]
            except MalformedAnswer as error:
                reason = f"{key}: {error}"
            if reason:
                judged.wrong += 1
                judged.first_reason = judged.first_reason or reason
    return stages
