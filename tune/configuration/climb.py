"""A hill climb over configurations: which one to try next, given what every one that was tried is worth. Pure.

One setting is changed at a time, by one step; a direction that helped is followed first. A neighbour is better only
when it is better by more than the noise, so the climb cannot go round in a circle, and it ends where no neighbour is.
Settings that share something (instances and threads share the cores) are also exchanged, one up and the other down:
along such a ridge no single step is better. Where the climb stands follows from the list of trials alone, so it is
resumed from that list, and no configuration is asked for twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from contract.batching import Value

Configuration = Mapping[str, Value]
Key = tuple[tuple[str, Value], ...]
Move = tuple[tuple[str, int], ...]  # setting -> steps


def key(configuration: Configuration) -> Key:
    """A configuration as something that can be looked up."""
    return tuple(sorted(configuration.items()))


def number(configuration: Configuration, setting: str) -> int:
    """A setting that is a whole number. Raises TypeError where it is a list."""
    value = configuration[setting]
    if isinstance(value, tuple):
        raise TypeError(f"{setting} is {list(value)}, and not a number")
    return int(value)


@dataclass(frozen=True)
class Space:
    """Every configuration there is: the values of each setting in order, and which of their products are allowed."""

    axes: Mapping[str, Sequence[Value]]
    allowed: Callable[[Configuration], bool] = lambda configuration: True
    exchanged: Sequence[tuple[str, str]] = ()

    def moves(self, first: Move) -> Iterator[Move]:
        """The steps to try from a configuration, the one that helped last at first."""
        single: list[Move] = [((axis, step),) for axis in self.axes for step in (1, -1)]
        double: list[Move] = [
            move
            for one, other in self.exchanged
            if one in self.axes and other in self.axes
            for move in (((one, 1), (other, -1)), ((one, -1), (other, 1)))
        ]
        yield from sorted([*single, *double], key=lambda move: move != first)

    def after(self, configuration: Configuration, move: Move) -> Configuration | None:
        """The neighbour that a move leads to; None where there is none, or none that is allowed."""
        found = dict(configuration)
        for axis, step in move:
            values = self.axes[axis]
            place = values.index(found[axis]) + step
            if not 0 <= place < len(values):
                return None
            found[axis] = values[place]
        return found if self.allowed(found) else None


@dataclass(frozen=True)
class Standing:
    """Where a climb is: the best so far (None before the start is known), and what to try (None: it is at its end)."""

    best: Configuration | None
    wanted: Configuration | None


def stand(space: Space, start: Configuration, known: Mapping[Key, float | None], noise: float) -> Standing:
    """Follow the climb through what is ``known``: `key` of a configuration -> its worth, None where it failed.

    Worth is above 0, and more is better. ``noise`` is a share: 0.05 lets a neighbour win that is over 5 % better.
    """
    if key(start) not in known:
        return Standing(None, start)
    best, worth = start, known[key(start)] or 0.0
    helped: Move = ()
    while True:
        for move in space.moves(helped):
            neighbour = space.after(best, move)
            if neighbour is None:
                continue
            if key(neighbour) not in known:
                return Standing(best, neighbour)
            found = known[key(neighbour)] or 0.0
            if found > worth * (1 + noise):
                best, worth, helped = neighbour, found, move
                break
        else:
            return Standing(best, None)
