"""What every command line shares: the common flags, and errors turned into sentences and exit codes."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from contract.errors import LoadproofError, nearest
from contract.workspace import Workspace


class Parser(argparse.ArgumentParser):
    """An argument parser that names the nearest known flag and shows defaults."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        prefix = "unrecognized arguments: "
        if message.startswith(prefix):
            flag = message.removeprefix(prefix).split()[0].split("=")[0]
            known = [option for action in self._actions for option in action.option_strings]
            message = f"unknown flag or word '{flag}'{nearest(flag, known) or '; see --help'}"
        print(f"{self.prog}: {message}", file=sys.stderr)
        sys.exit(2)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the flags that every stage takes."""
    parser.add_argument("--config", type=Path, default=Path("models.toml"), help="the dial of the run")
    parser.add_argument("--workspace", type=Path, default=Path("."), help="folder below which stages read and write")
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
    except BrokenPipeError:
        sys.stderr.close()
        code = 0
    sys.exit(code)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
