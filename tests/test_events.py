"""What happened to the servers is kept line by line, whoever writes and however it ends."""

from __future__ import annotations

import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contract.events import append_event, happened, read_events


def test_events_come_back_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "live" / "events.jsonl"
    written = [happened("died", "triton", None, f"number {number}", "  | last\n  | words") for number in range(5)]
    for event in written:
        append_event(file, event)
    assert read_events(file) == written


def test_no_file_is_no_events(tmp_path: Path) -> None:
    assert read_events(tmp_path / "events.jsonl") == []


def test_a_line_that_a_crash_cut_off_is_left_out_and_the_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    whole = happened("restarted", "tfserving", None, "again")
    append_event(file, whole)
    with file.open("a") as output:
        output.write('{"at": "2026-')
    assert read_events(file) == [whole]


def test_events_before_a_moment_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    old = happened("died", "triton", None, "old").model_copy(update={"at": "2026-01-31T11:59:59.999+00:00"})
    new = old.model_copy(update={"at": "2026-01-31T12:00:00.001+00:00", "detail": "new"})
    for event in (old, new):
        append_event(file, event)
    assert read_events(file, since="2026-01-31T12:00:00+00:00") == [new]


def test_two_writers_at_once_lose_no_line(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: append_event(file, happened("died", "triton", "m", str(number))), range(200)))
    assert sorted(int(event.detail) for event in read_events(file)) == list(range(200))


def test_a_line_for_which_there_is_no_room_is_an_error_and_leaves_no_half(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    append_event(file, happened("died", "triton", None, "first"))
    before = file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))  # ten bytes more, as on a disk that fills up
    try:
        with pytest.raises(OSError, match="No space left"):
            append_event(file, happened("died", "triton", None, "second"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_bytes() == before
