"""How much the export costs over its floor: python -m bench.export [--group default] [--rounds 3]

The floor is the same framework calls and nothing else: one fresh process for the trained model's answers, one for each
conversion, one for each artifact that is opened and answers the golden batch; as many models side by side. What
`python -m export` adds: proofs beyond the golden batch, hashes, manifests, logs. Rounds alternate, so that a machine
whose speed drifts hits both. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from contract.children import at_once, run_child
from contract.config import Model, read_config
from contract.manifest import Manifest, read_newest
from contract.progress import say
from export.pipeline import most_at_once
from export.routes import FILES, order, routes

ORACLE = """
import sys; from pathlib import Path; sys.path.append({folder!r})
from contract.config import read_config; from contract.golden import read_examples
from contract.table import load; from export.routes import ORACLES
model = read_config(Path({config!r})).models[{name!r}]
trained = load(ORACLES[model.kind])(model)
for example in read_examples(Path({golden!r})): trained.answer(example.inputs)
"""
CONVERT = """
import sys; from pathlib import Path; sys.path.append({folder!r})
from contract.config import read_config; from contract.golden import read_examples
from contract.table import load; from contract.files import read_model; from export.suite import SuiteFile
suite = read_model(Path({suite!r}), SuiteFile, "make export")
model = read_config(Path({config!r})).models[{name!r}]
model = model.model_copy(update=dict(inputs=suite.inputs, outputs=suite.outputs))
load({converter!r})(model, read_examples(Path({golden!r})), Path({target!r}), *map(Path, {via!r}))
"""
OPEN = """
from pathlib import Path
from contract.golden import read_examples; from contract.table import load; from contract.files import read_model
from export.routes import RUNTIMES; from export.suite import SuiteFile
suite = read_model(Path({suite!r}), SuiteFile, "make export")
opened = load(RUNTIMES[{form!r}])(Path({target!r}), suite.inputs, suite.outputs)
for example in read_examples(Path({golden!r})): opened.call(example.inputs)
"""


def floor(config: Path, models: dict[str, Model], made: dict[str, tuple[Path, Manifest]], out: Path) -> float:
    """Seconds for the bare framework calls of a whole group."""

    def one(name: str) -> None:
        directory, manifest = made[name]
        where = {
            "folder": str(config.resolve().parent),
            "config": str(config),
            "name": name,
            "golden": str(directory / "golden.npz"),
            "suite": str(directory / "suite.json"),
        }
        _python(ORACLE.format(**where))
        (out / name).mkdir()
        for form in order(list(models[name].formats)):
            if not manifest.formats[form].ok:
                continue  # what a refusal costs is not the framework's own work
            tried = len(manifest.formats[form].attempts)
            route = routes(models[name].kind, form)[tried]
            target = out / name / FILES[form]
            via = [str(out / name / FILES[route.via])] if route.via else []
            text = CONVERT.format(**where, converter=route.converter, target=str(target), via=via)
            _python(text, route.environment)
            _python(OPEN.format(**where, form=form, target=str(target)))

    started = time.monotonic()
    at_once(one, list(models), most_at_once())
    return time.monotonic() - started


def _python(text: str, environment: dict[str, str] | None = None) -> None:
    ended = run_child([sys.executable, "-c", text], echo=False, environment=environment)
    if ended.code != 0:
        raise SystemExit(f"the floor failed: {ended.lines[-1:]}\n{text}")


def ours(config: Path, group: str, workspace: Path, force: bool) -> tuple[float, float]:
    """(seconds, peak MiB of the parent alone) of `python -m export`."""
    words = ["--config", str(config), "--group", group, "--workspace", str(workspace), *(["--force"] if force else [])]
    started = time.monotonic()
    process = psutil.Popen(
        [sys.executable, "-m", "export", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    peak = 0
    while process.poll() is None:
        try:
            peak = max(peak, process.memory_info().rss)
        except psutil.Error:
            break
        time.sleep(0.02)
    if process.wait() not in (0, 5):
        raise SystemExit(f"python -m export ended with code {process.returncode}")
    return time.monotonic() - started, peak / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description="What an export costs over the bare framework calls.")
    parser.add_argument("--config", type=Path, default=Path("models.toml"))
    parser.add_argument("--group", default="default")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    models = read_config(options.config).group(options.group)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        ours(options.config, options.group, workspace, force=False)  # caches warm, and what the floor needs
        made = {name: read_newest(workspace / "artifacts" / name) for name in models}
        floors, exports, peaks = [], [], []
        for number in range(options.rounds):
            out = workspace / f"floor-{number}"
            out.mkdir()
            floors.append(floor(options.config, models, made, out))
            seconds, peak = ours(options.config, options.group, workspace, force=True)
            exports.append(seconds)
            peaks.append(peak)
            ratio = seconds / floors[-1]
            say(f"round {number + 1}: floor {floors[-1]:.1f} s, export {seconds:.1f} s, ratio {ratio:.2f}")
        idle = statistics.median(ours(options.config, options.group, workspace, force=False)[0] for _ in range(3))
    ratios = [export / bare for export, bare in zip(exports, floors, strict=True)]
    found = {
        "group": options.group,
        "models": len(models),
        "rounds": options.rounds,
        "floor_s": round(statistics.median(floors), 1),
        "export_s": round(statistics.median(exports), 1),
        "ratio_median": round(statistics.median(ratios), 2),
        "ratio_min": round(min(ratios), 2),
        "ratio_max": round(max(ratios), 2),
        "no_change_s": round(idle, 2),
        "parent_peak_mib": round(max(peaks)),
    }
    spread = f"{found['ratio_min']} to {found['ratio_max']}"
    print(f"export over floor: {found['ratio_median']}x ({spread}), wanted under 1.5x")
    print(f"nothing changed: {found['no_change_s']} s, wanted under 2 s")
    print(f"memory of the parent: {found['parent_peak_mib']} MiB, wanted under 200")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
