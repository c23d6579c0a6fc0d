"""A new version that does not get through is taken back, whatever ended it: an error, Ctrl-C, a polite end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from contract.cli import uninterrupted
from contract.errors import LoadproofError
from contract.progress import say
from serving.layout.repository import Served


@contextmanager
def taken_back_where_it_fails(item: Served, roller: Any) -> Iterator[None]:
    """Where the block fails, what it published is gone again, and what was served before answers.

    An interruption waits for that. It remains one where taking back fails too, which then is said.
    """
    try:
        yield
    except BaseException as error:
        with uninterrupted():
            try:
                roller.take_back(item)
            except (LoadproofError, OSError) as failure:
                if isinstance(error, Exception):
                    raise
                say(f"{item} could not be brought back as it was: {failure}; 'make serve' starts it anew")
        raise
