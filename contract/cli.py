"""What every command line shares: the common flags, and errors turned into sentences and exit codes."""

from __future__ import annotations

import argparse
import math
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from contract.errors import LoadproofError, ServerError, nearest, of_the_machine
from contract.workspace import Workspace

SILENT = 141  # 128 + SIGPIPE, as a shell reports a command whose reader left
DEFECT = 70  # EX_SOFTWARE of sysexits.h: not one of the meanings of contract/errors.py


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Tells a default where there is one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        nothing = action.default is False or action.default in (None, "", [], math.inf)
        return action.help if nothing else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An argument parser that names the nearest known flag and shows defaults."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, **options)

    def parse_args(  # type: ignore[override]  # nobody brings a namespace of another kind
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse, and refuse what is unknown: subcommands hand that up to here, the only place that knows them all."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(self._unknown(unknown[0].split("=")[0], vars(found)))
        return found

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}", file=sys.stderr)
        sys.exit(2)

    def _unknown(self, flag: str, found: Mapping[str, object]) -> str:
        """What to do about a flag that the subcommand that was typed, or a command without any, does not have."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                typed = str(found[action.dest])
                if flag in action.choices[typed]._option_string_actions:
                    return f"'{flag}' comes after '{typed}'"
                owners = [f"'{name}'" for name, each in action.choices.items() if flag in each._option_string_actions]
                if owners:
                    return f"'{flag}' is a flag of {' and '.join(owners)}, not of '{typed}'"
                return _misspelt(flag, action.choices[typed])
        return _misspelt(flag, self)


def _misspelt(flag: str, parser: argparse.ArgumentParser) -> str:
    return f"unknown flag or word '{flag}'{nearest(flag, list(parser._option_string_actions)) or '; see --help'}"


def add_common(parser: argparse.ArgumentParser, served: bool = False) -> None:
    """Add the flags that every stage takes. What is ``served`` is worked on whole, unless a group of it is named."""
    parser.add_argument("--config", type=Path, default=Path("models.toml"), help="the dial of the run")
    parser.add_argument("--workspace", type=Path, default=Path("."), help="folder below which stages read and write")
    if served:
        parser.add_argument("--group", help="only models of this group, or 'all'; without it all that is up")
    else:
        parser.add_argument("--group", default="default", help="group of models to work on, or 'all'")


def workspace_of(arguments: argparse.Namespace) -> Workspace:
    """The workspace that the flags name."""
    return Workspace(arguments.workspace.resolve())


def run(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Run a command's main, turn our errors into a sentence and their exit code, and exit."""
    # SIGTERM ends a command as Ctrl-C does, so that `finally` blocks run and no child is orphaned.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = main(sys.argv[1:])
    except LoadproofError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_left():
            sys.exit(SILENT)
        refused = of_the_machine(error)
        if refused:
            print(f"error: {refused}", file=sys.stderr)
            sys.exit(ServerError.exit_code)
        traceback.print_exc()
        print(
            "this is a defect of loadproof, not of your input; please report it with the lines above", file=sys.stderr
        )
        code = DEFECT
    sys.exit(code)


def _reader_left() -> bool:
    """Whether it is our own stdout that nobody reads any more; Python must not complain about it again at exit."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if not any(events & select.POLLERR for _, events in poll.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back until the block has ended, so that what it starts is also written down."""
    held: list[int] = []
    names = (signal.SIGINT, signal.SIGTERM)
    before = {name: signal.signal(name, lambda number, frame: held.append(number)) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
    if held:
        raise KeyboardInterrupt


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
