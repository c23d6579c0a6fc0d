"""The master and its load processes, over Locust's messages; with one process they are the same and nothing changes.

load process -> master    plan?    it has joined
master -> load process    plan     what the run is, and where its files are
load process -> master    files?   it is on another machine: it has none of them
master -> load process    files    the serialised requests and traces
load process -> master    refused  what the plan names it may not load from where it is: the run ends
load process -> master    ready    it can take orders
master -> load process    order    measure this stage, now
load process -> master    progress how a window goes that may be ended early
master -> load process    cut      end it now
load process -> master    part     a file of records or answers (only from another machine)
load process -> master    done     the stage is over: counts, and its share of a core
"""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import gevent

from contract.endpoints import Endpoints
from contract.errors import UsageError
from contract.files import read_model
from contract.records import Plan
from loadtest.launching import PROGRESS
from loadtest.master.asked import AskedFor
from loadtest.master.conductor import Conductor
from loadtest.master.reach import loopback, refuse_others
from loadtest.master.residency import Residency
from loadtest.master.roster import Roster
from loadtest.master.steps import Planned, Step, Steps, subject
from loadtest.process.orders import Cut, Done, Order, Progress, packed, unpacked
from loadtest.process.recorder import Sink, folder_sink
from loadtest.process.worker import PAUSE_S, Worker
from loadtest.showing.live import write_live
from loadtest.showing.page import EVERY_S, Page

logger = logging.getLogger(__name__)
ASK_AGAIN_S = 1.0
READY_S = 60.0  # for a load process to read or fetch what it sends


class Crew:
    """One process of a run: its worker (not in a master), its conductor (not in a load process), its page."""

    def __init__(self, environment: Any, reports: bool) -> None:
        self.page = Page(environment.stats, reports)
        self.worker: Worker | None = None
        self._conductor: Conductor | None = None
        self._residency: Residency | None = None
        self._runner: Any = environment.runner
        self._roster = Roster(environment.runner, environment.parsed_options.expect_workers)
        self._refused = ""  # why a load process may not take part
        self._apart = False
        self._lent: tempfile.TemporaryDirectory[str] | None = None  # what the master sent: perhaps somebody's own data
        self._number: int | None = None  # of this load process among all, once the master has said
        self._tasks = [gevent.spawn(self.page.keep_flushing)]
        environment.events.report_to_master.add_listener(lambda client_id, data: self.page.report(data))
        environment.events.worker_report.add_listener(lambda client_id, data: self.page.hear(data))

    @classmethod
    def leading(
        cls, environment: Any, results: Path, live: Path, variant: str, asked: bool = False, watched: bool = False
    ) -> Crew:
        """The master, or the only process. Its steps are those of the plan, or what is ``asked`` for meanwhile.

        Where it is ``watched``, it writes down how the stage goes that is on (`loadtest/showing/live.py`).
        """
        crew = cls(environment, reports=False)
        plan = _only(read_model(results / "plan.json", Plan, "make loadtest"), variant)
        steps = AskedFor(plan, results, pause=lambda: gevent.sleep(PAUSE_S)) if asked else Planned(plan)
        crew._lead(steps, results, live, watched)
        return crew

    @classmethod
    def joining(cls, environment: Any, apart: bool) -> Crew:
        """A load process that hears of everything from its master, and if ``apart`` has its files from there too."""
        crew = cls(environment, reports=True)
        crew._apart = apart
        crew._listen("plan", crew._take_plan)
        crew._listen("files", crew._take_files)
        crew._listen("order", crew._take_order)
        crew._listen("cut", crew._take_cut)
        crew._tasks.append(gevent.spawn(crew._ask_for_plan))
        return crew

    def next(self) -> Step | None:
        """What comes next; None at the end."""
        return self._conductor_of().next()

    def users(self, step: Step) -> int:
        """How many users a step wants: those of the closed loop, or one dispatcher in every load process.

        Raises UsageError where a load process may not load what the plan names.
        """
        self._wait_until_ready()
        # One that cannot take orders has a user too: Locust spreads them over all, and that one would lack elsewhere.
        return self._conductor_of().stage(step).concurrency or max(1, self._roster.present())

    def measure(self, step: Step, missing_users: int) -> None:
        """Carry out one step."""
        roster = self._roster
        self._conductor_of().measure(step, roster.able(), roster.able, missing_users, roster.missing())

    def keep_telling(self) -> None:
        """Write down how the stage that is on goes, twice a second. Never returns; for a greenlet."""
        while True:
            gevent.sleep(EVERY_S)
            live = self.page.live()
            if live is not None:
                write_live(self._results, live)

    def interrupt(self) -> bool:
        """End the window that is on, so that its users come to an end. False if none is on."""
        return self._conductor is not None and self._conductor.interrupt()

    def finish(self) -> None:
        """The run is over, or was interrupted: write what there is, leave Triton and the machine as they were."""
        if self.worker is not None:
            self.worker.finish()
        if self._conductor is not None:
            self._conductor.finish()
        if self._residency is not None:
            self._residency.close()
        gevent.killall(self._tasks)
        if self._lent is not None:
            self._lent.cleanup()

    def _lead(self, steps: Steps, results: Path, live: Path, watched: bool) -> None:
        plan = steps.plan
        self._plan, self._results, self._live = plan, results.resolve(), live.resolve()
        endpoints = read_model(live / "endpoints.json", Endpoints, "make serve") if plan.loads else None
        self._residency = Residency(endpoints, plan.isolate) if endpoints else None
        if watched:
            self._tasks.append(gevent.spawn(self.keep_telling))
        self._conductor = Conductor(
            steps,
            results,
            tell=lambda order: self._send("order", packed(order)),
            cut=lambda number, drain_s: self._send("cut", packed(Cut(number, drain_s))),
            prepare=self._residency.make_room_for if self._residency else lambda _: None,
            note=lambda step: self._note(steps, step),
        )
        self._listen("done", lambda data, _: self._conductor_of().hear(unpacked(Done, data)))
        self._listen("progress", lambda data, _: self._conductor_of().hear_progress(unpacked(Progress, data)))
        self._listen("part", lambda data, _: folder_sink(self._results)(data["name"], data["data"], data["append"]))
        self._listen("files?", lambda _, client: self._send("files", {"files": self._files()}, client))
        self._listen("refused", lambda data, _: self._take_refusal(data["why"]))
        self._listen("ready", lambda _, client: self._roster.enter(client))
        if hasattr(self._runner, "clients"):
            self._listen("plan?", lambda _, client: self._greet(client))
        else:  # one process is master and load process
            self._listen("order", self._take_order)
            self._listen("cut", self._take_cut)
            self._employ(plan, results, live, folder_sink(results))
            self._roster.enter(self._runner.client_id)

    def _ask_for_plan(self) -> None:
        """Until it is there: master and load process come up in any order, and what nobody listens for is lost."""
        while self._number is None:
            self._send("plan?", {})
            gevent.sleep(ASK_AGAIN_S)

    def _greet(self, client: str) -> None:
        data = {"plan": self._plan.model_dump_json(), "results": str(self._results), "live": str(self._live)}
        data["loopback"] = loopback()
        self._send("plan", data | {"number": self._runner.get_worker_index(client)}, client)

    def _take_refusal(self, why: str) -> None:
        self._refused = why

    def _take_plan(self, data: dict[str, Any], _: str) -> None:
        plan, results = Plan.model_validate_json(data["plan"]), Path(data["results"])
        if self._number is not None:
            return  # asked twice, answered twice
        self._number = int(data["number"])
        addresses = [item.endpoint.address for item in plan.variants]
        try:
            refuse_others(self._runner.client_id, addresses, masters=data["loopback"], own=loopback())
        except UsageError as error:
            logger.error(error)
            self._send("refused", {"why": str(error)})
            return
        if not self._apart and _holds(results, plan):
            self._employ(plan, results, Path(data["live"]), folder_sink(results))
            self._send("ready", {})
        else:
            self._plan = plan
            self._send("files?", {})

    def _take_files(self, data: dict[str, Any], _: str) -> None:
        self._lent = tempfile.TemporaryDirectory(prefix="loadproof-")
        root = Path(self._lent.name)
        for name, content in data["files"].items():
            path = (root / name).resolve()
            if not path.is_relative_to(root.resolve()):
                raise UsageError(f"the master sent a file '{name}', which is outside of its folder; it was not written")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self._employ(self._plan, root / "results", root / "live", self._ship)
        self._send("ready", {})

    def _take_order(self, data: dict[str, Any], _: str) -> None:
        if self.worker is not None:
            gevent.spawn(self._carry_out, unpacked(Order, data))

    def _take_cut(self, data: dict[str, Any], _: str) -> None:
        if self.worker is not None:
            self.worker.cut(unpacked(Cut, data))

    def _carry_out(self, order: Order) -> None:
        worker = self.worker
        assert worker is not None
        self.page.enter(order.item, order.plan)
        done = worker.carry_out(order, tell=lambda progress: self._send("progress", packed(progress)))
        if done is not None:
            self._send("done", packed(done))

    def _employ(self, plan: Plan, results: Path, live: Path, sink: Sink) -> None:
        self.worker = Worker(plan, results, live, self._runner.client_id, self._number or 0, sink, self.page.tell)

    def _ship(self, name: str, data: bytes, append: bool) -> None:
        self._send("part", {"name": name, "data": data, "append": append})

    def _files(self) -> dict[str, bytes]:
        """What a load process on another machine needs: the serialised requests of every endpoint, and traces."""
        found = {}
        for variant in self._plan.variants:
            for path in sorted((self._live / variant.endpoint.payloads).glob("*")):
                found[f"live/{path.relative_to(self._live)}"] = path.read_bytes()
        for pattern in ("payloads/**/*", "trace-*"):
            for path in sorted(self._results.glob(pattern)):
                if path.is_file():
                    found[f"results/{path.relative_to(self._results)}"] = path.read_bytes()
        return found

    def _note(self, steps: Steps, step: Step) -> None:
        self.page.enter(*subject(steps.plan, step))
        line = {"round": step.round, "variant": step.variant, "stage": step.stage, "attempt": step.attempt}
        (self._results / PROGRESS).write_text(json.dumps(line))

    def _wait_until_ready(self) -> None:
        """Until every load process that is there can take orders. Raises UsageError where one may not take part."""
        with gevent.Timeout(READY_S, False):
            while not self._refused and self._roster.incomplete():
                gevent.sleep(PAUSE_S)
        if self._refused:
            raise UsageError(self._refused)
        for name in sorted(self._roster.give_up()):
            logger.warning("the load process %s was not ready within %g s: stages go on without it", name, READY_S)

    def _conductor_of(self) -> Conductor:
        assert self._conductor is not None
        return self._conductor

    def _listen(self, kind: str, hear: Any) -> None:
        def listener(environment: Any, msg: Any) -> None:
            hear(msg.data, msg.node_id)

        self._runner.register_message(kind, listener)

    def _send(self, kind: str, data: dict[str, Any], client: str | None = None) -> None:
        self._runner.send_message(kind, data, client)


def _holds(results: Path, plan: Plan) -> bool:
    """Whether this machine has the folder of the run."""
    file = results / "plan.json"
    return file.is_file() and json.loads(file.read_bytes())["id"] == plan.id


def _only(plan: Plan, variant: str) -> Plan:
    """The plan, or of it one variant."""
    if not variant:
        return plan
    chosen = [item for item in plan.variants if item.id == variant]
    if not chosen:
        raise UsageError(f"the plan has no variant '{variant}': one of {', '.join(item.id for item in plan.variants)}")
    return plan.model_copy(update={"variants": chosen})
