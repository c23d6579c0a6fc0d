"""perf_analyzer, NVIDIA's own load generator: how it is told the question, and how to get it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bench.generators.rig import Rig, output_of

PERF_ANALYZER = (
    "pip download --no-deps tritonclient==2.44.0 nvidia-cuda-runtime-cu12, unzip both into one folder, "
    "apt-get install libb64-0d, then --perf-analyzer FOLDER"
)


def analyzed(rig: Rig, protocol: str, load: Sequence[str]) -> str:
    """What perf_analyzer says of a load, measured over three windows."""
    assert rig.perf_analyzer is not None
    program = next(rig.perf_analyzer.rglob("perf_analyzer"))
    libraries = {str(file.parent) for file in rig.perf_analyzer.rglob("libcudart.so.*")}
    program.chmod(0o755)
    data = rig.file.with_name("perf_analyzer.json")
    question = rig.question
    rows = {name: {"content": values[0], "shape": [len(values[0])]} for name, values in question.tensors.items()}
    data.write_text(json.dumps({"data": [rows]}))
    shapes = [word for name, values in question.tensors.items() for word in ("--shape", f"{name}:{len(values[0])}")]
    command = [str(program), "-m", question.model, "-x", str(question.version), "-i", protocol, *shapes, *load]
    command += ["-u", question.calls[protocol].address, "--input-data", str(data)]
    command += ["--measurement-interval", f"{rig.window_s * 1000 / 3:.0f}", "-s", "999", "-r", "3"]
    return output_of(command, rig, {"LD_LIBRARY_PATH": ":".join(sorted(libraries))})


def without_perf_analyzer(rig: Rig) -> str:
    """How to get it, where it is not."""
    there = rig.perf_analyzer is not None and any(rig.perf_analyzer.rglob("perf_analyzer"))
    return "" if there else PERF_ANALYZER
