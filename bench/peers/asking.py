"""Put one server under load for one window, and compare the answers that were sampled with the trained model's."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from dataclasses import asdict, dataclass, replace

import numpy as np

from bench.peers.protocols import Protocol
from bench.peers.running import ROOT
from bench.peers.window import Load, Window
from contract.compare import Tolerance, compare
from contract.errors import ParityError, ServerError
from contract.golden import Example


@dataclass(frozen=True)
class Question:
    """The one request that everybody is asked, and how far an answer may be from the trained model's."""

    example: Example
    tolerance: Tolerance


def answered_with_zeros(question: Question) -> Question:
    """The same request to a server that computes nothing."""
    outputs = {name: np.zeros_like(array) for name, array in question.example.outputs.items()}
    return replace(question, example=replace(question.example, outputs=outputs))


def drive(load: Load) -> Window:
    """One window of load, from a client in a process of its own. Raises ServerError where the client fails."""
    command = [sys.executable, "-m", "bench.peers.client"]
    words = json.dumps(asdict(load))
    ended = subprocess.run(command, input=words, capture_output=True, text=True, check=False, cwd=ROOT)
    if ended.returncode != 0:
        raise ServerError(f"the load client failed: {ended.stderr[-500:]}")
    return Window(**json.loads(ended.stdout))


def ask(question: Question, protocol: Protocol, address: str, users: int, warm_s: float, window_s: float) -> Window:
    """One window of load. Raises ParityError where a sampled answer is wrong."""
    payload = protocol.encode(question.example.inputs)
    body = base64.b64encode(payload.body).decode()
    load = Load(protocol.transport, address, protocol.target, payload.headers, body, users, warm_s, window_s)
    window = drive(load)
    try:
        pairs = [
            (question.example.key, question.example.outputs, protocol.decode(base64.b64decode(body), headers))
            for headers, body in window.kept
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ParityError(f"its answer is not what its protocol says: {error!r}") from None
    if pairs:
        parity = compare(pairs, question.tolerance)
        if not parity.passed:
            raise ParityError(f"it answers wrongly: {'; '.join(parity.reasons)}")
    return window
