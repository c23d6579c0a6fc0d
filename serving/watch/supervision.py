"""Watch what runs: a server, or a process of one of its models, that dies is reported, started again and asked again.

Whatever happens is a line of live/events.jsonl with the server's last lines. Each server and each model is brought
back a few times at most; after that it stays down, which is said too. Triton's Python processes are watched by their
pids. One that is gone has died only if the server lacks it: a model that somebody reloads ends its processes too.
Those in a container cannot be seen from here: there the server's own page is asked, and a long silence ends it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from contract.endpoints import Endpoint, Endpoints, ServerRecord, Servers
from contract.errors import LoadproofError, ServerError
from contract.events import happened
from contract.files import read_model
from contract.triton_control import TritonControl
from contract.workspace import Workspace
from serving.engines.model_processes import model_processes
from serving.engines.tfserving_state import LOAD_S, TfServingState
from serving.places.launch import Launch
from serving.places.ports import host_port
from serving.places.starting import PORT_TAKEN, launch_file, place_of, remember, start_once
from serving.proof.rechecking import recheck
from serving.watch.diary import Diary
from serving.watch.silence import Silence

PORT_TRIES = 4
PORT_WAIT_S = 3.0
ASKED_AGAIN_S = 0.25


class Control(Protocol):
    """What the supervisor asks of Triton."""

    def load(self, name: str) -> float: ...

    def unload(self, name: str) -> None: ...

    def ready(self, name: str, version: int | None = None) -> bool: ...

    def instances(self, name: str) -> int: ...

    def live(self) -> bool: ...


class Supervisor:
    """Looks at every server once per `look`; ``say`` hears what is also written to live/events.jsonl."""

    def __init__(
        self,
        workspace: Workspace,
        most_restarts: int,
        say: Callable[[str], None],
        control: Callable[[ServerRecord], Control] | None = None,
    ) -> None:
        self._workspace = workspace
        self._most = most_restarts
        self._say = say
        self._control = control or (lambda server: TritonControl(host_port(server.host, server.ports["http"])))
        self._tries: Counter[str] = Counter()
        self._down: set[str] = set()
        self._dead: set[str] = set()  # whose death is told, and who is not back yet
        self._diary = Diary(workspace.events, say)
        self._silence = Silence()
        self._processes: dict[int, tuple[str, int]] | None = None  # before the first look

    def look(self) -> bool:
        """Notice what died since the last look, and bring it back. False when there is nothing left to watch."""
        self._diary.catch_up()
        servers = read_model(self._workspace.servers, Servers, "make serve").servers
        dead = [item for item in servers if item.engine not in self._down and not self._well(item)]
        for server in dead:  # all are told before the first is brought back, which takes its time
            self._tell_death(server)
        for server in servers:
            if server.engine in self._down:
                self._see_again(server)
            elif server in dead:
                self._bring_back(server)
            elif server.engine == "triton":
                self._see_models(server)
        watched = any(server.engine not in self._down or server.place == "url" for server in servers)
        return watched or not self._diary.complete

    def _well(self, server: ServerRecord) -> bool:
        if place_of(server).alive(server):
            return not self._silence.too_long(server)
        self._silence.forget(server)
        return False

    def _tell_death(self, server: ServerRecord) -> None:
        if server.engine in self._dead:
            return
        self._dead.add(server.engine)
        lines = place_of(server).last_lines(server)
        silent = server.place == "url" or place_of(server).alive(server)
        what = "stopped answering" if silent else "died"
        self._diary.note(happened("died", server.engine, None, f"{server.engine} {what}", lines))

    def _bring_back(self, server: ServerRecord) -> None:
        if server.place == "url":
            self._dead.discard(server.engine)
            self._down.add(server.engine)
            return
        if self._tries[server.engine] >= self._most:
            self._give_up(server, f"it died or stopped answering {self._most + 1} times")
            return
        self._tries[server.engine] += 1
        began = time.monotonic()
        resident = self._resident() if server.engine == "triton" else []
        try:
            place_of(server).stop(server)  # its orphans and its shared memory
            remember(server, self._workspace)  # whoever cannot write down what it starts must not start it
            launch = read_model(launch_file(self._workspace, server.engine), Launch, "make serve")
            new = self._start(launch, server.place)
            new = new.model_copy(update={"engine_version": server.engine_version})
            remember(new, self._workspace)
            for name in resident:
                self._control(new).load(name)
            endpoints = self._endpoints(server.engine, resident)
            if server.engine == "tfserving":
                state = TfServingState(new, max(LOAD_S, launch.timeout_s))
                state.wait_for({(item.served_name, item.version) for item in endpoints})
            self._insist(endpoints)
        except LoadproofError as error:
            self._give_up(server, f"it could not be started again: {error}")
            return
        except OSError as error:  # a full disk, say, on which there may be room again: no try of the server's
            self._tries[server.engine] -= 1
            self._say(f"{server.engine} cannot be started now: {error}; trying again")
            return
        self._dead.discard(server.engine)
        if server.engine == "triton":
            self._processes = model_processes(new)
        seconds = time.monotonic() - began
        again = f"answers rightly again after {seconds:.1f} s; restart {self._tries[server.engine]} of {self._most}"
        self._diary.note(happened("restarted", server.engine, None, f"{server.engine} {again}"))

    def _start(self, launch: Launch, place: str) -> ServerRecord:
        """Start it on its old ports, which clients know; whoever took one meanwhile may soon give it back."""
        for _ in range(PORT_TRIES - 1):
            try:
                return start_once(launch, place, self._workspace)[0]
            except ServerError as error:
                if not PORT_TAKEN.search(str(error)):
                    raise
                self._say(f"{launch.engine}: one of its ports is taken; trying again in {PORT_WAIT_S:g} s")
                time.sleep(PORT_WAIT_S)
        return start_once(launch, place, self._workspace)[0]

    def _see_models(self, server: ServerRecord) -> None:
        """Reload a model version of which a process died although the server calls it ready."""
        if server.place != "process":  # in a container, or somebody else's: its processes cannot be seen from here
            return
        now = model_processes(server)
        # One that ends gently stops its front end, then its models. What it held is what it will be given back.
        if now != self._processes and not self._control(server).live():
            return
        if self._processes is None:  # one that died before the first look left nothing to compare with
            served = {(item.served_name, item.version) for item in self._endpoints("triton", [])}
            gone = served - set(now.values())
        else:
            gone = {self._processes[pid] for pid in self._processes.keys() - now.keys()}
        proven = {item.served_name for item in self._endpoints("triton", [])}
        for model, version in sorted(gone):
            control = self._control(server)
            if model not in proven or model in self._down or not _lacks_one(server, control, model, version):
                continue
            lines = place_of(server).last_lines(server)
            self._diary.note(happened("died", "triton", model, f"a process of {model} version {version} died", lines))
            if self._tries[model] >= self._most:
                self._down.add(model)
                control.unload(model)
                self._diary.note(
                    happened("gave up", "triton", model, f"it died {self._most + 1} times; it was unloaded")
                )
                continue
            self._tries[model] += 1
            try:
                control.unload(model)  # a load alone would be taken for done
                seconds = control.load(model)
                self._insist(self._endpoints("triton", [model]))
            except LoadproofError as error:
                self._down.add(model)
                self._diary.note(happened("gave up", "triton", model, f"it could not be loaded again: {error}"))
                continue
            again = f"answers rightly again after {seconds:.1f} s; reload {self._tries[model]} of {self._most}"
            self._diary.note(happened("reloaded", "triton", model, f"{model} {again}"))
        self._processes = model_processes(server) if gone else now

    def _resident(self) -> list[str]:
        """Which of the proven models Triton held when it was last seen; all of them, if it was not."""
        proven = {item.served_name for item in self._endpoints("triton", [])}
        if self._processes is None:
            return sorted(proven)
        return sorted(proven & {model for model, _ in self._processes.values()})

    def _see_again(self, server: ServerRecord) -> None:
        """A server at an address may come back by itself."""
        if server.place == "url" and place_of(server).alive(server):
            self._down.discard(server.engine)
            self._diary.note(happened("restarted", server.engine, None, f"{server.engine} answers again"))

    def _give_up(self, server: ServerRecord, why: str) -> None:
        self._down.add(server.engine)
        place_of(server).stop(server)
        self._diary.note(happened("gave up", server.engine, None, f"{server.engine} stays down: {why}"))

    def _endpoints(self, engine: str, models: list[str]) -> list[Endpoint]:
        if not self._workspace.endpoints.is_file():
            return []
        known = read_model(self._workspace.endpoints, Endpoints, "make serve").endpoints
        return [item for item in known if item.engine == engine and (not models or item.served_name in models)]

    def _insist(self, endpoints: Iterable[Endpoint]) -> None:
        for endpoint in endpoints:
            parity = recheck(endpoint, self._workspace)
            if not parity.passed:
                raise ServerError(f"{endpoint.id} answers wrongly: {'; '.join(parity.reasons)}")


def _lacks_one(server: ServerRecord, control: Control, model: str, version: int) -> bool:
    """Whether a version that is ready has fewer processes than instances.

    It has not when it was unloaded, replaced by a newer version, or loaded again meanwhile. Asked twice: on a busy
    machine one question may be held up for so long that a whole reload fits into it.
    """
    if not _counts_too_few(server, control, model, version):
        return False
    time.sleep(ASKED_AGAIN_S)
    return _counts_too_few(server, control, model, version)


def _counts_too_few(server: ServerRecord, control: Control, model: str, version: int) -> bool:
    """One question. Ready is asked before and after the count, for a reload begins and ends with what is not ready."""
    if not control.ready(model, version):
        return False
    living = sum(found == (model, version) for found in model_processes(server).values())
    return living < control.instances(model) and control.ready(model, version)
