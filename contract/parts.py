"""The record files of one variant, read a stage at a time: a run of many stages, or of many requests, fits into memory.

Load processes begin a new file with each stage, and every file says in its footer between which stages its records lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contract.records import SCHEMA, open_part, part_files

# What a stage's figures are made of.
JUDGED = {"stage": np.int32, "intended_ns": np.int64, "sent_ns": np.int64, "done_ns": np.int64, "error": np.int32}
NARROW = pa.schema([SCHEMA.field(name) for name in JUDGED])


@dataclass(frozen=True)
class Group:
    """Rows of a file that are read together, and the lowest and highest stage among them."""

    file: Path
    number: int
    rows: int
    first: int
    last: int


class Parts:
    """The records of one variant; only the footers of its files are read before a stage is asked for."""

    def __init__(self, directory: Path, variant: str) -> None:
        self._groups = [group for file in part_files(directory, variant) for group in _groups(file)]

    def stage(self, number: int) -> pa.Table:
        """The columns ``JUDGED`` of one stage, all load processes, in file order; UsageError for a broken file."""
        groups = [group for group in self._groups if group.first <= number <= group.last]
        # Copied into whole columns at once: so many small pieces would take twice their size of the allocator.
        columns = {name: np.empty(sum(group.rows for group in groups), kind) for name, kind in JUDGED.items()}
        classes: dict[str, int] = {}
        filled = 0
        for group in groups:
            table = _read(group, number)
            place = slice(filled, filled + len(table))
            for name in JUDGED:
                columns[name][place] = _numbers(table.column(name), classes)
            filled = place.stop
        whole = {name: pa.array(values[:filled]) for name, values in columns.items()}
        whole["error"] = pa.DictionaryArray.from_arrays(whole["error"], pa.array(list(classes), pa.string()))
        return pa.table(whole, schema=NARROW)


def _numbers(column: pa.ChunkedArray, classes: dict[str, int]) -> NDArray[Any]:
    """A column as numbers; a class of failure is its place among those that were met so far."""
    if not pa.types.is_dictionary(column.type):
        values: NDArray[Any] = column.to_numpy()
        return values
    named = column.combine_chunks()
    places = [classes.setdefault(name, len(classes)) for name in named.dictionary.to_pylist()]
    found: NDArray[np.int32] = np.array(places, np.int32)[named.indices.to_numpy()]
    return found


def _groups(file: Path) -> Iterator[Group]:
    with open_part(file) as part:
        place = part.schema_arrow.get_field_index("stage")
        for number in range(part.metadata.num_row_groups):
            group = part.metadata.row_group(number)
            yield Group(file, number, group.num_rows, *_range(group.column(place)))


def _range(column: pq.ColumnChunkMetaData) -> tuple[int, int]:
    """Lowest and highest value; every stage where the file does not say."""
    known = column.statistics if column.is_stats_set else None
    return (known.min, known.max) if known is not None and known.has_min_max else (0, 2**31 - 1)


def _read(group: Group, stage: int) -> pa.Table:
    with open_part(group.file) as part:
        table = part.read_row_group(group.number, columns=list(JUDGED)).select(list(JUDGED)).cast(NARROW)
    alone = group.first == group.last
    return table if alone else table.filter(pc.equal(table.column("stage"), stage))
