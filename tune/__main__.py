"""python -m tune COMMAND: search, configure, scale, compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from contract.cli import run
from contract.errors import UsageError
from contract.table import choose

COMMANDS = {
    "search": "tune.search.command:main",
    "configure": "tune.configuration.command:main",
    "scale": "tune.scale.command:main",
    "compare": "tune.comparison.command:main",
}
USAGE = """usage: python -m tune COMMAND [options]; python -m tune COMMAND --help tells them

  search     find the highest rate that keeps the objectives, for every endpoint that is up
  configure  find the batching, instances and threads with which a model keeps them at the highest rate
  scale      measure 1..n instances or replicas and fit how the rate grows
  compare    say whether a newer run is slower than an older one"""


def main(arguments: Sequence[str]) -> int:
    if not arguments:
        raise UsageError(f"a command is missing\n{USAGE}")
    if arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    command: Callable[[Sequence[str]], int] = choose(COMMANDS, arguments[0], "command")
    return command(arguments[1:])


if __name__ == "__main__":
    run(main)
