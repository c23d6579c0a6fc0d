"""Sampled answers, decoded after the run and compared with the golden batch by the same compare()."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from contract.codecs import MalformedAnswer, codec_for
from contract.compare import Tolerance, compare
from contract.endpoints import Endpoint
from contract.golden import Example, read_examples
from contract.records import answer_files, golden_name, read_answers
from contract.tensors import Tensors


class Judged:
    """Counts of one stage."""

    def __init__(self) -> None:
        self.checked = 0
        self.wrong = 0
        self.by_form = 0  # of the checked ones, those that have no trained model's answer to compare with
        self.first_reason: str | None = None


def judge(results: Path, variant: str, endpoint: Endpoint) -> dict[int, Judged]:
    """Compare every sampled answer of a variant; by stage."""
    codec = codec_for(endpoint.engine, endpoint.protocol)
    golden = {example.key: example for example in read_examples(results / golden_name(endpoint), "make loadtest")}
    tolerance = Tolerance(endpoint.atol, endpoint.rtol)
    stages: dict[int, Judged] = defaultdict(Judged)
    for file in answer_files(results, variant):
        for stage, key, headers, body in read_answers(file):
            judged = stages[stage]
            judged.checked += 1
            reason = None
            try:
                answer = codec.decode(body, headers, endpoint.outputs)
                reason = _differs(key, answer, golden.get(key), endpoint, tolerance)
                judged.by_form += key in golden and not golden[key].outputs
            except MalformedAnswer as error:
                reason = f"{key}: {error}"
            if reason:
                judged.wrong += 1
                judged.first_reason = judged.first_reason or reason
    return stages


def _differs(key: str, answer: Tensors, asked: Example | None, endpoint: Endpoint, tolerance: Tolerance) -> str | None:
    """Why an answer is wrong; None if it is right, or as right as can be told without the trained model's own."""
    if asked is None:
        return f"{key} is not a request of this run"
    if asked.outputs:
        parity = compare([(key, asked.outputs, answer)], tolerance)
        return None if parity.passed else parity.reasons[0]
    for spec in endpoint.outputs:
        if spec.name not in answer:
            return f"{key}: output '{spec.name}' is missing"
        array = answer[spec.name]
        reason = spec.mismatch(array)
        if reason:
            return f"{key}: {reason}"
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            return f"{key}: output '{spec.name}' holds a value that is not finite"
        batched = spec.dims and isinstance(spec.dims[0], str)
        if batched and asked.rows != array.shape[0]:
            return f"{key}: output '{spec.name}' has {array.shape[0]} rows for a request of {asked.rows}"
    return None
