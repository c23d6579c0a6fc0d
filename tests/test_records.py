"""One record per request, and sampled raw answers: what was written before a kill is read after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.errors import UsageError
from contract.records import COLUMNS, FRAME, SCHEMA, answer_frame, read_answers, read_records

VARIANT = "m__onnx__triton__http"


def rows(first: int, count: int, worker: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "variant": VARIANT,
            "worker": worker,
            "stage": n % 3,
            "payload": f"r{n:04d}",
            "rows": 1 + n,
            "intended_ns": 2**62 + n,
            "sent_ns": 2**62 + n + 1,
            "first_byte_ns": 2**62 + n + 1,
            "done_ns": 2**62 + n + 2,
            "status": -1 if n % 2 else 200,
            "error": "timeout" if n % 2 else "",
            "retries": n % 2,
            "bytes_sent": 2**40,
            "bytes_received": 0,
        }
        for n in range(first, first + count)
    ]


def write(folder: Path, part: str, records: list[dict[str, Any]], variant: str = VARIANT) -> None:
    pq.write_table(pa.Table.from_pylist(records, schema=SCHEMA), folder / f"requests-{variant}-{part}.parquet")


def test_records_come_back_with_schema_and_values(tmp_path: Path) -> None:
    write(tmp_path, "0-00000", rows(0, 7))
    table = read_records(tmp_path, VARIANT)
    assert table.schema.equals(SCHEMA)
    assert table.to_pylist() == rows(0, 7)


def test_the_schema_is_the_table_of_columns() -> None:
    assert SCHEMA.names == list(COLUMNS)
    assert all(description for _, description in COLUMNS.values())


def test_parts_and_workers_are_put_together_in_file_order(tmp_path: Path) -> None:
    write(tmp_path, "1-00000", rows(8, 2, worker=1))
    write(tmp_path, "0-00001", rows(4, 4))
    write(tmp_path, "0-00000", rows(0, 4))
    table = read_records(tmp_path, VARIANT)
    assert table.column("rows").to_pylist() == list(range(1, 11))
    assert table.column("worker").to_pylist() == [0] * 8 + [1] * 2


def test_parts_with_different_dictionaries_are_one_column(tmp_path: Path) -> None:
    write(tmp_path, "0-00000", rows(0, 1))
    write(tmp_path, "0-00001", rows(1, 1))
    assert read_records(tmp_path, VARIANT).column("error").to_pylist() == ["", "timeout"]


def test_no_file_is_an_empty_table_with_the_schema(tmp_path: Path) -> None:
    table = read_records(tmp_path, VARIANT)
    assert table.num_rows == 0
    assert table.schema.equals(SCHEMA)


def test_a_repeat_and_its_original_are_kept_apart(tmp_path: Path) -> None:
    write(tmp_path, "0-00000", rows(0, 2))
    write(tmp_path, "0-00000", rows(5, 3), variant=f"{VARIANT}#2")
    write(tmp_path, "0-00000", rows(9, 4), variant=f"other-{VARIANT}")
    assert read_records(tmp_path, VARIANT).num_rows == 2
    assert read_records(tmp_path, f"{VARIANT}#2").num_rows == 3


def test_load_processes_of_one_server_are_not_taken_for_a_second_server_of_its_kind(tmp_path: Path) -> None:
    write(tmp_path, "2-00000", rows(0, 2, worker=2))
    write(tmp_path, "0-00000", rows(5, 3), variant=f"{VARIANT}-2")
    assert read_records(tmp_path, VARIANT).num_rows == 2
    assert read_records(tmp_path, f"{VARIANT}-2").num_rows == 3


@pytest.mark.parametrize("damage", ["cut off", "empty", "foreign", "a column is missing", "a column has another type"])
def test_a_broken_part_is_a_sentence_that_names_the_file(tmp_path: Path, damage: str) -> None:
    path = tmp_path / f"requests-{VARIANT}-0-00000.parquet"
    write(tmp_path, "0-00000", rows(0, 50))
    if damage == "cut off":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "foreign":
        path.write_bytes(b"not a parquet file at all")
    elif damage == "a column is missing":
        pq.write_table(pq.read_table(path).drop_columns(["done_ns"]), path)
    else:
        table = pq.read_table(path)
        place = table.schema.get_field_index("done_ns")
        pq.write_table(table.set_column(place, "done_ns", pa.array(["soon"] * table.num_rows)), path)
    with pytest.raises(UsageError) as caught:
        read_records(tmp_path, VARIANT)
    assert path.name in str(caught.value)


ANSWERS = [
    (0, "r0000", {"Content-Type": "application/json"}, b'{"outputs": []}'),
    (1, "r0001", {}, b""),
    (2, "r0007", {"Inference-Header-Content-Length": "3"}, b"\x00\xff" * 50),
]
FRAMES = [answer_frame(*answer) for answer in ANSWERS]


def test_answers_come_back_as_they_were_sampled(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"".join(FRAMES))
    assert list(read_answers(tmp_path / "a.bin")) == ANSWERS


def test_a_frame_is_lengths_header_and_body() -> None:
    header_size, body_size = FRAME.unpack_from(FRAMES[0])
    assert json.loads(FRAMES[0][FRAME.size : FRAME.size + header_size]) == {
        "stage": 0,
        "payload": "r0000",
        "headers": {"Content-Type": "application/json"},
    }
    assert FRAMES[0][FRAME.size + header_size :] == ANSWERS[0][3]
    assert body_size == len(ANSWERS[0][3])


def test_no_answers_are_no_frames(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"")
    assert list(read_answers(tmp_path / "a.bin")) == []


def test_a_frame_cut_off_anywhere_is_left_out_and_the_ones_before_it_stay(tmp_path: Path) -> None:
    path, before = tmp_path / "a.bin", b"".join(FRAMES[:2])
    for kept in range(len(FRAMES[2])):
        path.write_bytes(before + FRAMES[2][:kept])
        assert list(read_answers(path)) == ANSWERS[:2]


@pytest.mark.parametrize(
    "header",
    [b"{", b"\xff\xfe", b"[]", b"null", b"{}", b'{"stage": "x", "payload": "r0000", "headers": {}}',
     b'{"stage": 0, "payload": "r0000", "headers": 3}', b'{"stage": 0, "payload": "r0000", "headers": [1]}',
     b'{"stage": Infinity, "payload": "r0000", "headers": {}}'],
)  # fmt: skip
def test_a_header_that_is_none_is_a_sentence(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(FRAMES[0] + FRAME.pack(len(header), 0) + header)
    with pytest.raises(UsageError, match=r"a\.bin is not a file of sampled answers: "):
        list(read_answers(path))
