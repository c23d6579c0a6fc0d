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

from contract.endpoints import Endpoint, ServerRecord, Servers
from contract.errors import LoadproofError, ServerError
from contract.events import happened
from contract.files import read_model
from contract.triton_control import TritonControl
from contract.workspace import Workspace
from serving.engines.model_processes import model_processes
from serving.engines.tfserving_state import LOAD_S, TfServingState
from serving.places.launch import Launch
from serving.places.ports import host_port
from serving.places.process import put_back_previous
from serving.places.starting import PORT_TAKEN, launch_file, place_of, remember, start_once
from serving.proof.rechecking import recheck
from serving.watch.diary import Diary
from serving.watch.lacking import Counting, lacks_one
from serving.watch.proven import Proven
from serving.watch.silence import Silence

PORT_TRIES = 4
PORT_WAIT_S = 3.0
# Said of servers at an address, which a plain 'make serve' knows nothing of.
BRING_BACK = (
    "'python -m serving load NAME' brings one back, "
    "the same 'make serve PLACE=…' (or 'make up', for its containers) all"
)


class Control(Counting, Protocol):
    """What the supervisor asks of Triton."""

    def load(self, name: str) -> float: ...

    def unload(self, name: str) -> None: ...

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
        self._unknown: set[str] = set()  # of whom it is told that nobody says whether they run
        self._diary = Diary(workspace.events, say)
        self._proven = Proven(workspace)
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
        runs = self._runs(server)
        if runs is None:  # no death of it; nor is its silence counted, for nobody could start it again now
            return True
        if runs:
            return not self._silence.too_long(server)
        self._silence.forget(server)
        return False

    def _runs(self, server: ServerRecord) -> bool | None:
        """Whether it runs; None, and said once, where its place does not say: the others are looked at all the same."""
        try:
            runs = bool(place_of(server).alive(server))
        except ServerError as error:
            if server.engine not in self._unknown:
                self._unknown.add(server.engine)
                self._say(str(error))
            return None
        self._unknown.discard(server.engine)
        return runs

    def _tell_death(self, server: ServerRecord) -> None:
        if server.engine in self._dead:
            return
        lines = place_of(server).last_lines(server)
        silent = server.place == "url" or self._runs(server) is not False
        what = "stopped answering" if silent else "died"
        self._dead.add(server.engine)
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
        resident = self._resident() if server.engine == "triton" else None
        try:
            place_of(server).stop(server)  # its orphans and its shared memory
            remember(server, self._workspace)  # whoever cannot write down what it starts must not start it
            launch = read_model(launch_file(self._workspace, server.engine), Launch, "make serve")
            new = self._start(launch, server.place)
            new = new.model_copy(update={"engine_version": server.engine_version})
            remember(new, self._workspace)
            for name in resident or []:
                self._control(new).load(name)
            endpoints = self._proven.endpoints(server.engine, resident)
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
            self._processes = model_processes(new) if new.place == "process" else None
        seconds = time.monotonic() - began
        what = "answers rightly again" if endpoints else "runs again, without models as before,"
        again = f"{what} after {seconds:.1f} s; restart {self._tries[server.engine]} of {self._most}"
        self._diary.note(happened("restarted", server.engine, None, f"{server.engine} {again}"))

    def _start(self, launch: Launch, place: str) -> ServerRecord:
        """Start it on its old ports, which clients know; whoever took one meanwhile may soon give it back."""
        for _ in range(PORT_TRIES - 1):
            try:
                return start_once(launch, place, self._workspace)[0]
            except ServerError as error:
                if not PORT_TAKEN.search(str(error)):
                    raise
                put_back_previous(launch.log)  # that of the crash, which is what it is kept for
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
            gone = self._proven.versions("triton") - set(now.values())
        else:
            gone = {self._processes[pid] for pid in self._processes.keys() - now.keys()}
        proven = self._proven.names("triton")
        for model, version in sorted(gone):
            control = self._control(server)
            if model not in proven or model in self._down or not lacks_one(server, control, model, version):
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
                self._insist(self._proven.endpoints("triton", [model]))
            except LoadproofError as error:
                self._down.add(model)
                self._diary.note(happened("gave up", "triton", model, f"it could not be loaded again: {error}"))
                continue
            again = f"answers rightly again after {seconds:.1f} s; reload {self._tries[model]} of {self._most}"
            self._diary.note(happened("reloaded", "triton", model, f"{model} {again}"))
        self._processes = model_processes(server) if gone else now

    def _resident(self) -> list[str]:
        """Which of the proven models Triton held when it was last seen.

        If it was not: what a start leaves there, which is all of them, or none where they take turns.
        """
        proven = self._proven.names("triton")
        if self._processes is not None:
            return sorted(proven & {model for model, _ in self._processes.values()})
        return [] if self._proven.one_at_a_time else sorted(proven)

    def _see_again(self, server: ServerRecord) -> None:
        """A server at an address may come back by itself; nobody here gives its models back to it."""
        if server.place != "url" or not place_of(server).alive(server):
            return
        missing = self._missing(server)
        without = f", without {', '.join(missing)}: {BRING_BACK}" if missing else ""
        self._down.discard(server.engine)
        self._diary.note(happened("restarted", server.engine, None, f"{server.engine} answers again{without}"))

    def _missing(self, server: ServerRecord) -> list[str]:
        """Which of its proven models a server at an address does not have; asked of a Triton that should have all."""
        if server.engine != "triton" or self._proven.one_at_a_time:
            return []
        control = self._control(server)
        return [name for name, version in sorted(self._proven.versions("triton")) if not control.ready(name, version)]

    def _give_up(self, server: ServerRecord, why: str) -> None:
        """Leave it down: what was started in its place is ended too. That may fail, so all is told before."""
        self._down.add(server.engine)
        self._diary.note(happened("gave up", server.engine, None, f"{server.engine} stays down: {why}"))
        known = read_model(self._workspace.servers, Servers, "make serve").servers
        now = next((item for item in known if item.engine == server.engine), server)
        place_of(now).stop(now)

    def _insist(self, endpoints: Iterable[Endpoint]) -> None:
        for endpoint in endpoints:
            parity = recheck(endpoint, self._workspace)
            if not parity.passed:
                raise ServerError(f"{endpoint.id} answers wrongly: {'; '.join(parity.reasons)}")
