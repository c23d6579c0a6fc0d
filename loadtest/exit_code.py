"""What a run of somebody's own Locust file exits with: our codes, where several load processes share the run too.

Locust exits with what its master says, and a load process that refuses or gives up says so to nobody: the master would
see it leave, and exit with 1 or 0. So it is told the code. What the file itself sets while Locust quits still wins.
"""

from __future__ import annotations

from typing import Any

from contract.errors import ServerError, UsageError
from loadtest.interruption import INTERRUPTED

ENDS = "loadproof ends"  # Locust's name of the message
OURS = (UsageError.exit_code, ServerError.exit_code, INTERRUPTED)
IN_PROGRESS = ("spawning", "running")  # Locust's states of a run


def end_with(environment: Any, code: int) -> None:
    """Let this process exit with a code, and the run too where this is one of its load processes."""
    environment.process_exit_code = code
    if getattr(environment.parsed_options, "worker", False):
        environment.runner.send_message(ENDS, {"code": code})


def decides(environment: Any) -> bool:
    """Whether what this process exits with is the run's; not where Locust is a library in somebody's own program."""
    return environment.parsed_options is not None and not environment.parsed_options.worker


def follow(environment: Any) -> None:
    """Let load processes end the run."""
    # In a greenlet of its own, for the end of the run ends those who listen, too.
    environment.runner.register_message(ENDS, _told, concurrent=True)


def _told(environment: Any, msg: Any, **_: Any) -> None:
    """End the run, that of all load processes: with the page it can be started again, else Locust ends with it."""
    environment.process_exit_code = msg.data["code"]
    if environment.parsed_options.headless:
        environment.runner.quit()
    else:
        environment.runner.stop()


def begin_anew(environment: Any, **_: Any) -> None:
    """Another run on Locust's page: what ended the one before says nothing of it."""
    if environment.process_exit_code in OURS:
        environment.process_exit_code = None


def note_interruption(environment: Any) -> None:
    """Of a Ctrl-C that cuts something short; on a page where nothing is in progress it is how Locust is left."""
    cut_short = environment.parsed_options.headless or environment.runner.state in IN_PROGRESS
    if cut_short and environment.process_exit_code is None:
        environment.process_exit_code = INTERRUPTED
