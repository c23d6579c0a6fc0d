"""Progress that a person can watch: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def track(items: Sequence[T], title: str, label: str = "step") -> Iterator[T]:
    """Yield items under a progress bar on stderr; without a terminal, one line per item."""
    if sys.stderr.isatty():
        with tqdm(items, desc=title, unit=label, file=sys.stderr, dynamic_ncols=True) as bar:
            for item in bar:
                bar.set_postfix_str(str(item)[:60])
                yield item
        return
    for number, item in enumerate(items, 1):
        say(f"{title} [{number}/{len(items)}] {item}")
        yield item


def say(text: str) -> None:
    """Print one line on stderr without breaking a bar that is being drawn."""
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()
