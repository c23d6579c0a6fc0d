"""The records of a variant, a stage at a time: only the files that hold the stage, only what figures are made of."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.errors import UsageError
from contract.parts import JUDGED, Parts
from contract.records import SCHEMA
from tests.builders import records

VARIANT = "m__onnx__triton__http"


def write(folder: Path, part: str, *tables: pa.Table, statistics: bool = True) -> Path:
    """One file of records."""
    path = folder / f"requests-{VARIANT}-{part}.parquet"
    pq.write_table(pa.concat_tables(tables), path, write_statistics=statistics)
    return path


def some(stage: int, count: int, first: int = 0, errors: dict[int, str] | None = None) -> pa.Table:
    """Requests of one stage, a millisecond apart."""
    return records([(float(n), float(n), n + 5.0) for n in range(first, first + count)], stage, VARIANT, errors)


def intended_ms(table: pa.Table) -> list[float]:
    return [moment / 1e6 for moment in table.column("intended_ns").to_pylist()]


def test_a_stage_is_its_records_of_all_load_processes_in_file_order(tmp_path: Path) -> None:
    write(tmp_path, "1-00000", some(0, 2, first=7))
    write(tmp_path, "0-00001", some(1, 3))
    write(tmp_path, "0-00000", some(0, 4))
    table = Parts(tmp_path, VARIANT).stage(0)
    assert intended_ms(table) == [0, 1, 2, 3, 7, 8]
    assert set(table.column("stage").to_pylist()) == {0}


def test_only_the_columns_that_figures_are_made_of_are_read_and_with_their_types(tmp_path: Path) -> None:
    write(tmp_path, "0-00000", some(0, 4))
    for stage in (0, 1):
        table = Parts(tmp_path, VARIANT).stage(stage)
        assert table.schema.equals(pa.schema([SCHEMA.field(name) for name in JUDGED]))


@pytest.mark.parametrize("statistics", [True, False])
def test_stages_that_share_a_file_are_kept_apart_whether_its_footer_tells_or_not(
    tmp_path: Path, statistics: bool
) -> None:
    write(tmp_path, "0-00000", some(0, 2), some(1, 3, first=5), some(2, 1, first=9), statistics=statistics)
    parts = Parts(tmp_path, VARIANT)
    assert [intended_ms(parts.stage(number)) for number in range(4)] == [[0, 1], [5, 6, 7], [9], []]


def test_files_of_other_stages_are_not_even_read(tmp_path: Path) -> None:
    write(tmp_path, "0-00000", some(0, 2))
    other = write(tmp_path, "0-00001", some(1, 3))
    parts = Parts(tmp_path, VARIANT)
    other.unlink()
    assert len(parts.stage(0)) == 2
    with pytest.raises(UsageError, match="0-00001"):
        parts.stage(1)


def test_classes_of_failures_that_files_number_differently_keep_their_names(tmp_path: Path) -> None:
    write(tmp_path, "0-00000", some(0, 3, errors={0: "timeout"}))
    write(tmp_path, "0-00001", some(0, 2))
    write(tmp_path, "1-00000", some(0, 2, errors={0: "refused", 1: "timeout"}))
    found = Parts(tmp_path, VARIANT).stage(0).column("error").to_pylist()
    assert found == ["timeout", "", "", "", "", "refused", "timeout"]


def test_text_that_is_not_numbered_is_read_too(tmp_path: Path) -> None:
    """Files that another program wrote again, for instance."""
    path = write(tmp_path, "0-00000", some(0, 3, errors={1: "timeout"}))
    table = pq.read_table(path)
    plain = table.set_column(
        table.schema.get_field_index("error"), "error", table.column("error").cast(pa.string())
    ).replace_schema_metadata(None)
    pq.write_table(plain, path, store_schema=False)
    assert Parts(tmp_path, VARIANT).stage(0).column("error").to_pylist() == ["", "timeout", ""]


def test_no_file_is_an_empty_stage(tmp_path: Path) -> None:
    assert len(Parts(tmp_path, VARIANT).stage(0)) == 0


@pytest.mark.parametrize("damage", [b"", b"not a parquet file at all"])
def test_a_broken_file_is_a_sentence_that_names_it(tmp_path: Path, damage: bytes) -> None:
    write(tmp_path, "0-00000", some(0, 2)).write_bytes(damage)
    with pytest.raises(UsageError, match=r"0-00000\.parquet cannot be read as records"):
        Parts(tmp_path, VARIANT)


def test_a_file_that_lacks_a_column_is_a_sentence_that_names_both(tmp_path: Path) -> None:
    path = write(tmp_path, "0-00000", some(0, 2))
    pq.write_table(pq.read_table(path).drop_columns(["error"]), path)
    with pytest.raises(UsageError, match=r"0-00000\.parquet lacks the columns error"):
        Parts(tmp_path, VARIANT)
