"""python -m tune configure: find the batching, instances and threads with which a model keeps its objectives best."""

from __future__ import annotations

import argparse
import math
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from contract.cli import Parser, add_common, workspace_of
from contract.config import ModelsFile, read_config
from contract.endpoints import Endpoint, Endpoints
from contract.errors import UsageError
from contract.files import read_model, write_json
from contract.progress import say
from contract.trials import FILE, Climb, Trials
from contract.tuned import FILE as TUNED
from contract.workspace import Workspace
from loadtest import interruption
from loadtest.group import of_group
from serving.rolling.reconfiguring import check, reconfigurable
from tune.configuration.climbing import Climber, Limits
from tune.configuration.gauging import Setting
from tune.configuration.machine_room import room
from tune.configuration.space import now, space
from tune.configuration.trial_run import TrialRun, choose, trial_run
from tune.configuration.trials import left
from tune.configuration.tuned_file import take_over
from tune.configuration.view import ABOUT_S, ClimbsView

NAME = "configure"
TRIALS = 20
INVALID = 4  # as in contract/errors.py


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    config, workspace = read_config(options.config, options.use), workspace_of(options)
    endpoints = read_model(workspace.endpoints, Endpoints, "make serve")
    earlier = _earlier(options)
    named = choose(endpoints, options.names or [climb.endpoint for climb in earlier.climbs])
    chosen = of_group(named, config, options.group)
    if options.resume and len(chosen) < len(named):
        raise UsageError("--resume goes on with all endpoints of that search; leave --group out")
    for endpoint in chosen:
        check(config, endpoint, workspace)
    begun = earlier.model_copy(update={"climbs": [_begun(earlier, endpoint, config) for endpoint in chosen]})
    trials, results = begun, options.resume
    if any(not climb.ended for climb in begun.climbs):
        _estimate(options, begun.climbs)
        typed = ["python", "-m", "tune", NAME, *arguments]
        run: TrialRun | None = None
        try:
            with (
                ClimbsView(begun, options.trials) as view,
                trial_run(config, workspace, endpoints, chosen, NAME, typed, view) as run,
            ):
                kept, results = Kept(run.results / FILE, begun), run.results
                for endpoint in chosen:
                    _climb(options, config, workspace, endpoint, run, kept, view)
                trials = kept.trials
        except KeyboardInterrupt:
            if run is not None:
                say(interruption.kept(run.session.plan, run.results))
                say(f"go on with: {resuming(typed, run.results)}")
            raise
    for text in take_over(trials, read_config(options.config), options.config.with_name(TUNED), results):
        print(text)
    print(results)
    measured = any(trial.value is not None for climb in trials.climbs for trial in climb.trials)
    return 0 if measured else INVALID


def resuming(typed: Sequence[str], results: Path) -> str:
    """The command that goes on with the search of this folder. Of several --resume, as of any flag, the last holds."""
    return shlex.join([*typed, "--resume", str(results)])


class Kept:
    """trials.json, written anew after each trial."""

    def __init__(self, file: Path, trials: Trials) -> None:
        self._file = file
        self.trials = trials
        write_json(file, trials)

    def save(self, climb: Climb) -> None:
        """Put in how far one endpoint's climb is."""
        climbs = [climb if each.endpoint == climb.endpoint else each for each in self.trials.climbs]
        self.trials = self.trials.model_copy(update={"climbs": climbs})
        write_json(self._file, self.trials)


def _climb(
    options: argparse.Namespace,
    config: ModelsFile,
    workspace: Workspace,
    endpoint: Endpoint,
    run: TrialRun,
    kept: Kept,
    view: ClimbsView,
) -> None:
    """Go on with one endpoint's climb, if it has not ended; its model is as it was afterwards."""
    climb = kept.trials.of(endpoint.id)
    if climb is None or climb.ended:
        return
    trials, load = kept.trials, config.load
    setting = Setting(trials.objective, run.results, load.in_flight, trials.at_rate, load.max_rps, load.attempts)
    limits = Limits(options.trials, time.monotonic() + options.budget_s / len(trials.climbs))
    around = space(climb.start, room(config, endpoint, workspace, climb.start, options.memory_mib, options.least_batch))
    with reconfigurable(config, endpoint, workspace) as model:
        Climber(run.session, model, endpoint, setting, kept.save, view).follow(climb, around, limits)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m tune configure",
        description="Try configurations of models on the running Triton; the best goes into tuned.toml.",
    )
    add_common(parser, served=True)
    parser.add_argument(
        "names", nargs="*", metavar="MODEL_OR_VARIANT", help="a model (all its formats), or an endpoint"
    )
    parser.add_argument(
        "--objective",
        choices=["rate", "latency"],
        default="rate",
        help="the highest rate that keeps the objectives, or the p99 at a fixed rate",
    )
    parser.add_argument("--at-rate", type=float, help="requests per second of --objective latency, instead of slo.rate")
    parser.add_argument("--trials", type=int, default=TRIALS, help="most trials of an endpoint, before the last two")
    parser.add_argument("--budget-s", type=float, default=math.inf, help="no new step of a climb after so many seconds")
    parser.add_argument("--memory-mib", type=float, help="what the instances of a model may use together")
    parser.add_argument("--least-batch", type=int, help="rows of the largest request that has to be accepted")
    parser.add_argument(
        "--resume",
        type=Path,
        help="results of a search that was interrupted: its objective holds, its trials are not repeated",
    )
    parser.add_argument("--use", type=Path, help="a tuned.toml to begin from, as the servers were started")
    options = parser.parse_args(arguments)
    if not options.names and options.resume is None:
        raise UsageError("name a model or an endpoint to configure, or --resume a search")
    if options.at_rate is not None and options.objective != "latency":
        raise UsageError("--at-rate is for --objective latency; the objective 'rate' looks for the rate itself")
    for flag, value, least in (("--trials", options.trials, 2), ("--least-batch", options.least_batch, 1)):
        if value is not None and value < least:
            raise UsageError(f"{flag} is {value}; {least} at least")
    for flag, figure in (("--at-rate", options.at_rate), ("--budget-s", options.budget_s)):
        if figure is not None and not figure > 0:
            raise UsageError(f"{flag} is {figure:g}; it is above 0")
    return options


def _earlier(options: argparse.Namespace) -> Trials:
    """The trials of the run that is resumed, or none; their objective is that of the run."""
    if options.resume is None:
        return Trials(schema_version=1, objective=options.objective, at_rate=options.at_rate, climbs=[])
    return read_model(options.resume / FILE, Trials, "python -m tune configure")


def _begun(earlier: Trials, endpoint: Endpoint, config: ModelsFile) -> Climb:
    """Where the climb of an endpoint begins, or was left."""
    model = config.models[endpoint.model]
    start = now(model.batching, model)
    known = earlier.of(endpoint.id)
    if known is None:
        return Climb(
            endpoint=endpoint.id,
            model=endpoint.model,
            start=start,
            noise=0.0,
            trials=[],
            best=None,
            gain=None,
            ended="",
        )
    if known.start != start:
        raise UsageError(
            f"{endpoint.id} is configured otherwise than when the search began ({start} now, {known.start} then); "
            "begin a new one without --resume"
        )
    return known


def _estimate(options: argparse.Namespace, climbs: list[Climb]) -> None:
    most = sum(left(climb, options.trials) for climb in climbs)
    minutes = most * ABOUT_S / 60
    say(
        f"at most {most} trials of about {ABOUT_S:.0f} s: {minutes:.0f} minutes; Ctrl-C keeps what was tried until then"
    )
