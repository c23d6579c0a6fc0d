"""Locust drives a plan: its users are dispatchers, its shape is the plan, its page shows what happens.

    locust -f loadtest/locustfile.py [--results results/<id>] [--variant <id>] [--processes 2] [--headless]

Without ``--results`` a run is planned on the spot from models.toml and what is up. The master (or the only process)
goes through the plan, or through what a session asks for (``--asked``), and tells the load processes what to measure;
they send, record and report. A user's task goes through a whole stage, so that Locust's own work between tasks is in
nobody's way. Locust's statistics are what its page shows; the raw records are the truth. Exact percentiles while it
runs are on a page beside it, /slo (`showing.py`). Ctrl-C, or the page's stop, ends the run and keeps the stage as far
as it came.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import gevent
from locust import LoadTestShape, User, events, task
from locust.env import Environment
from locust.runners import WorkerRunner

from contract.errors import LoadproofError
from contract.files import read_model
from contract.progress import say
from contract.records import Plan
from loadtest.interruption import INTERRUPTED, kept
from loadtest.master.crew import Crew
from loadtest.master.spawning import missing_users
from loadtest.process.worker import PAUSE_S
from loadtest.showing.address import show

logger = logging.getLogger(__name__)
END_S = 5.0  # for an interrupted stage to write down what it has measured
PATIENCE_S = 10.0  # for the same, where a person waits, who can lose it and press Ctrl-C again
PARENT_S = 1.0  # how often it is asked whether who started the run is still there


@events.init_command_line_parser.add_listener
def _arguments(parser: Any) -> None:
    # Locust's own are all interfaces: whoever wants others says so (--web-host, --master-bind-host).
    parser.set_defaults(web_host="127.0.0.1", master_bind_host="127.0.0.1")
    parser.add_argument("--results", default="", help="folder of a run, with its plan.json")
    parser.add_argument("--live", default="live", help="folder with the serialised requests")
    parser.add_argument("--variant", default="", help="only this variant of the plan")
    parser.add_argument("--watched", action="store_true", help="write down how the stage goes that is on")
    parser.add_argument("--asked", action="store_true", help="measure what a session asks for in the run's folder")
    parser.add_argument(
        "--parent", type=int, default=0, help="end the run when this process, which started it, is gone"
    )
    parser.add_argument("--apart", action="store_true", help="a load process that looks for no files here")


@events.init.add_listener
def _prepare(environment: Environment, **_: Any) -> None:
    """Make this process a part of a run, or end it with a sentence: Locust would log what it hears with its trace."""
    try:
        _enlist(environment)
    except LoadproofError as error:
        logger.error("%s", error)
        sys.exit(error.exit_code)


def _enlist(environment: Environment) -> None:
    options: Any = environment.parsed_options
    runner: Any = environment.runner
    live = Path(options.live)
    # Python raises it in whichever greenlet is on, a sender say; Locust waits for it in the first one.
    gevent.signal_handler(signal.SIGINT, gevent.get_hub().handle_system_error, KeyboardInterrupt, KeyboardInterrupt())
    if isinstance(runner, WorkerRunner):
        environment.crew = Crew.joining(environment, options.apart)  # the plan comes from the master
        if options.processes and "--worker" not in sys.argv:
            # The last that is added is asked first: before Locust's own tells the master that this process is gone.
            environment.events.quitting.add_listener(_let_master_end)
        return
    results = environment.results = Path(options.results) if options.results else _planned(live)
    environment.crew = Crew.leading(environment, results, live, options.variant, options.asked, options.watched)
    # Locust heeds SIGTERM only once a shape is through; until then it would end the run at once, its records with it.
    gevent.signal_handler(signal.SIGTERM, _interrupt, environment)
    if options.parent:
        gevent.spawn(_mind, options.parent, environment)
    if environment.web_ui is not None:
        show(environment.crew.page, environment.web_ui, options)


def _mind(parent: int, environment: Environment) -> None:
    """Whoever started the run may be killed, and nobody would be left to end the load."""
    while os.getppid() == parent:
        gevent.sleep(PARENT_S)
    _interrupt(environment)


def _interrupt(environment: Environment) -> None:
    """Let the stage that is on end, and the run with it: Locust quits when its shape is gone."""
    crew: Crew = environment.crew
    gevent.spawn(_end, environment.runner, END_S if crew.interrupt() else 0.0)


def _end(runner: Any, patience_s: float) -> None:
    shape = runner.shape_greenlet
    if shape is not None:
        shape.join(timeout=patience_s)
        shape.kill(block=False)


def _planned(live: Path) -> Path:
    """A run planned here: models.toml of this folder, and what is up."""
    from loadtest.plan.preparing import prepare_here

    return prepare_here(live)


@events.test_stopping.add_listener
def _let_stage_end(environment: Environment, **_: Any) -> None:
    """Whoever stops Locust early, by Ctrl-C or on its page, would have it kill shape and users, and lose the stage."""
    crew: Crew | None = getattr(environment, "crew", None)
    shape: Any = getattr(environment.runner, "shape_greenlet", None)
    if crew is None or shape is None or shape.ready() or shape is gevent.getcurrent():
        return  # the run is through, and stops by itself
    environment.process_exit_code = INTERRUPTED
    if crew.interrupt():
        shape.join(timeout=PATIENCE_S)


def _let_master_end(environment: Environment, **_: Any) -> None:
    """Ctrl-C in a terminal reaches the load processes too, whose reports their master still wants: it ends them."""
    runner: Any = environment.runner
    master, until = os.getppid(), time.monotonic() + PATIENCE_S
    while os.getppid() == master and len(runner.greenlet) and time.monotonic() < until:
        runner.greenlet.join(timeout=PAUSE_S)


@events.quitting.add_listener
def _write_rest(environment: Environment, **_: Any) -> None:
    crew: Crew | None = getattr(environment, "crew", None)
    if crew is not None:
        _let_stage_end(environment)  # on the page's way out nothing was stopped before
        crew.finish()
    if environment.process_exit_code == INTERRUPTED and not environment.parsed_options.parent:  # who else tells it
        say(kept(read_model(environment.results / "plan.json", Plan, "make loadtest"), environment.results))


class Dispatcher(User):
    """One dispatcher with connections of its own. Locust starts as many as the stage has users."""

    def on_start(self) -> None:
        self.served = 0  # number of the order that this user went through

    @task
    def stage(self) -> None:
        worker = self.environment.crew.worker
        window = worker.window if worker else None
        if window is not None and window.order.number != self.served:
            self.served = window.order.number
            worker.serve()
        gevent.sleep(PAUSE_S)


class Stages(LoadTestShape):
    """Goes through a run's steps within a single tick: Locust asks a shape for its next tick only a second later."""

    def tick(self) -> tuple[int, float] | None:
        """Measure everything; None, for then the run is over. Locust would wait for ever for a shape that raised."""
        assert self.runner is not None
        crew: Crew = self.runner.environment.crew
        try:
            while (step := crew.next()) is not None:
                missing = missing_users(self.runner, crew.users(step), pause=lambda: gevent.sleep(PAUSE_S))
                crew.measure(step, missing)
        except LoadproofError as error:
            logger.error("the run ends here: %s", error)
            self.runner.environment.process_exit_code = 1
        except Exception:
            logger.exception("the run ends here")
            self.runner.environment.process_exit_code = 1
        return None
