"""``python -m serving.tfserving``: argv, logging, signals and exit codes; everything else is in the
modules.

Exit codes: 0 stopped by SIGTERM or SIGINT, 2 a wrong flag or configuration file, 3 a port that cannot be
had.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn, TextIO

from serving.tfserving import flags, plan
from serving.tfserving.errors import SetupError


class _Stopped(BaseException):
    """SIGTERM or SIGINT; raised in the main thread, so that a long load ends at once too.

    Not an Exception, which a load that is under way would take for its own failure.
    """


def main(arguments: Sequence[str]) -> int:
    """Run the server until a signal; the return value is the exit code."""
    if "--help" in arguments or "-h" in arguments:
        _say(flags.usage(), sys.stdout)
        return 0
    if "--version" in arguments or "--version=true" in arguments:
        _say(flags.version(), sys.stdout)
        return 0
    try:
        woken = _raise_on_signals()
        _serve(flags.parse(arguments), woken)
    except SetupError as error:
        _say(str(error))
        return error.exit_code
    except _Stopped:
        return 0


def _serve(settings: flags.Settings, woken: int) -> NoReturn:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # a port in use is said once, by us
    ready = plan.read_plan(settings)
    plan.check_ports(settings)
    from serving.tfserving import server  # imports TensorFlow, which takes seconds: mistakes are found before

    gc.freeze()  # what the imports made stays for ever: collections after an unload need not look at it
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    running = server.start(ready, _say)
    try:
        _say(f"embedded TF Serving stand-in ready: {', '.join(running.listening)}")
        os.read(woken, 1)
        raise _Stopped  # the handler's own is lost where it came in the middle of a finalizer
    finally:
        running.stop()


def _raise_on_signals() -> int:
    """Make the signals raise `_Stopped`; returns a file descriptor that becomes readable when one has come.

    Reading it is the wait that wakes whichever thread the signal was delivered to; a lock would sleep on.
    """

    def on_signal(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second signal does not wait
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise _Stopped

    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return woken


def _say(text: str, to: TextIO | None = None) -> None:
    """Write a line to standard error, or to another stream, at once: the process ends without a flush."""
    with contextlib.suppress(OSError):  # a full disk takes no lines, and is no reason to stop answering
        print(text, file=to or sys.stderr, flush=True)


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))  # Sessions of a finished server need no tidy, and sometimes slow, farewell
