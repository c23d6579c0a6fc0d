"""Records are written while running, memory stays flat, and the sampled answers are a fair choice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sized
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from contract.errors import UsageError
from contract.records import COLUMNS, SCHEMA, read_answers, read_records
from loadtest.clients import Reply
from loadtest.plan.payloads import Request
from loadtest.process import recorder as module
from loadtest.process.recorder import Recorder, folder_sink

VARIANT = "words__onnx__triton__http"


def make(folder: Path, answers: int = 8, seed: int = 1, worker: int = 0, variant: str = VARIANT) -> Recorder:
    return Recorder(variant, worker, answers, seed, folder_sink(folder))


def add(recorder: Recorder, number: int, stage: int = 0, error: str = "") -> None:
    status = -1 if error else 200
    request = Request(f"r{number % 10:04d}", 1, b"x" * 10, {})
    recorder.add(stage, request, number, number + 1, number + 2, Reply(status, error, b"y" * 20))


def kept(folder: Path, worker: int = 0) -> list[tuple[int, str, dict[str, str], bytes]]:
    path = folder / f"answers-{VARIANT}-{worker}.bin"
    return list(read_answers(path)) if path.exists() else []


def test_a_record_comes_back_as_it_was_added(tmp_path: Path) -> None:
    recorder = make(tmp_path, worker=3)
    reply = Reply(-1, "timeout", b"", first_byte_ns=115, retries=2)
    recorder.add(2, Request("r0007", 4, b"x" * 11, {}), 100, 110, 120, reply)
    recorder.flush()
    table = read_records(tmp_path, VARIANT)
    assert table.schema == SCHEMA
    assert table.to_pylist() == [
        {
            "variant": VARIANT,
            "worker": 3,
            "stage": 2,
            "payload": "r0007",
            "rows": 4,
            "intended_ns": 100,
            "sent_ns": 110,
            "first_byte_ns": 115,
            "done_ns": 120,
            "status": -1,
            "error": "timeout",
            "retries": 2,
            "bytes_sent": 11,
            "bytes_received": 0,
        }
    ]
    assert set(table.column_names) == set(COLUMNS)


def test_another_machines_times_are_written_in_the_masters(tmp_path: Path) -> None:
    recorder = make(tmp_path)
    recorder.shift_ns = 1000
    recorder.add(0, Request("r0000", 1, b"", {}), 1, 2, 4, Reply(0, "", b"", first_byte_ns=0))
    recorder.add(0, Request("r0000", 1, b"", {}), 1, 2, 4, Reply(200, "", b"", first_byte_ns=3))
    recorder.flush()
    table = read_records(tmp_path, VARIANT)
    assert table.column("done_ns").to_pylist() == [1004, 1004]
    assert table.column("first_byte_ns").to_pylist() == [0, 1003]  # what was not seen is not moved


@pytest.mark.parametrize("name", ["../away.bin", "/tmp/away.bin", "below/away.bin", "..", ""])
def test_a_file_that_a_load_process_sends_stays_in_the_runs_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for append in (False, True):
        with pytest.raises(UsageError, match="is not the name of a file"):
            folder_sink(folder)(name, b"x", append)
    assert list(tmp_path.rglob("*")) == [folder]


def test_parts_can_be_read_while_the_load_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 100)
    recorder = make(tmp_path)
    for number in range(250):
        add(recorder, number)
    assert read_records(tmp_path, VARIANT).column("intended_ns").to_pylist() == list(range(200))
    recorder.flush()
    assert read_records(tmp_path, VARIANT).column("intended_ns").to_pylist() == list(range(250))
    assert len(list(tmp_path.glob("*.parquet"))) == 3


def test_every_part_is_whole_whenever_it_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 7)
    recorder = make(tmp_path)
    for number in range(50):
        add(recorder, number)
        parts = list(tmp_path.glob("*.parquet"))
        assert [pq.read_metadata(part).num_rows for part in parts] == [7] * ((number + 1) // 7)
    assert list(tmp_path.glob("*.tmp")) == []


def test_parts_are_in_order_beyond_ten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 2)
    recorder = make(tmp_path)
    for number in range(30):
        add(recorder, number)
    assert read_records(tmp_path, VARIANT).column("intended_ns").to_pylist() == list(range(30))


def test_nothing_stays_in_memory_after_a_flush(tmp_path: Path) -> None:
    recorder = make(tmp_path)
    for number in range(100):
        add(recorder, number)
        recorder.offer(0, "r0000", {}, b"answer")
    recorder.flush()
    buffers: list[Sized] = [*recorder._columns.values(), recorder._payloads, recorder._errors, recorder._kept]
    assert [len(buffer) for buffer in buffers] == [0] * len(buffers)


def test_flushing_nothing_writes_nothing(tmp_path: Path) -> None:
    recorder = make(tmp_path)
    recorder.flush()
    recorder.flush()
    assert list(tmp_path.iterdir()) == []


def test_a_second_flush_does_not_repeat_the_first(tmp_path: Path) -> None:
    recorder = make(tmp_path)
    add(recorder, 1)
    recorder.offer(0, "r0001", {}, b"one")
    recorder.flush()
    recorder.flush()
    assert len(read_records(tmp_path, VARIANT)) == 1
    assert len(kept(tmp_path)) == 1


def test_workers_and_variants_do_not_mix(tmp_path: Path) -> None:
    for worker in (0, 1, 10):
        recorder = make(tmp_path, worker=worker)
        add(recorder, worker)
        recorder.flush()
    again = make(tmp_path, variant=f"{VARIANT}__again")
    add(again, 99)
    again.flush()
    assert sorted(read_records(tmp_path, VARIANT).column("worker").to_pylist()) == [0, 1, 10]
    assert read_records(tmp_path, f"{VARIANT}__again").column("intended_ns").to_pylist() == [99]


def test_a_variant_without_records_is_an_empty_table(tmp_path: Path) -> None:
    assert len(read_records(tmp_path, VARIANT)) == 0


def test_few_answers_are_all_kept_with_their_headers(tmp_path: Path) -> None:
    recorder = make(tmp_path, answers=8)
    for number in range(5):
        recorder.offer(1, f"r{number:04d}", {"A-Header": str(number)}, bytes([number]) * number)
    recorder.flush()
    assert kept(tmp_path) == [
        (1, f"r{number:04d}", {"A-Header": str(number)}, bytes([number]) * number) for number in range(5)
    ]


def test_the_reservoir_never_holds_more_than_it_may(tmp_path: Path) -> None:
    recorder = make(tmp_path, answers=8)
    for number in range(1000):
        recorder.offer(0, f"r{number % 10_000:04d}", {}, b"")
        assert len(recorder._kept) <= 8
    recorder.flush()
    assert len(kept(tmp_path)) == 8


def test_every_answer_has_the_same_chance_to_be_kept(tmp_path: Path) -> None:
    counts: Counter[int] = Counter()
    offered, held, runs = 40, 8, 1500
    for seed in range(runs):
        recorder = make(tmp_path, answers=held, seed=seed)
        for number in range(offered):
            recorder.offer(0, "r0000", {}, bytes([number]))
        counts.update(frame[-1] for frame in recorder._kept)
    expected = runs * held / offered
    deviation = (expected * (1 - held / offered)) ** 0.5
    assert set(counts) == set(range(offered))
    assert max(abs(count - expected) for count in counts.values()) < 4 * deviation


def test_one_seed_keeps_the_same_answers(tmp_path: Path) -> None:
    chosen = []
    for seed in (5, 5, 6):
        recorder = make(tmp_path, seed=seed)
        for number in range(200):
            recorder.offer(0, f"r{number:04d}", {}, b"")
        chosen.append(list(recorder._kept))
    assert chosen[0] == chosen[1]
    assert chosen[0] != chosen[2]


def test_each_stage_has_a_reservoir_of_its_own(tmp_path: Path) -> None:
    recorder = make(tmp_path, answers=4)
    for stage in range(3):
        for number in range(100):
            recorder.offer(stage, f"r{number:04d}", {}, b"")
        recorder.flush()
    assert Counter(stage for stage, *_ in kept(tmp_path)) == {0: 4, 1: 4, 2: 4}


def test_an_answers_file_that_was_cut_off_by_a_kill_gives_what_is_whole(tmp_path: Path) -> None:
    recorder = make(tmp_path)
    for number in range(3):
        recorder.offer(0, f"r{number:04d}", {}, b"answer")
    recorder.flush()
    path = tmp_path / f"answers-{VARIANT}-0.bin"
    path.write_bytes(path.read_bytes()[:-2])
    assert [key for _, key, _, _ in kept(tmp_path)] == ["r0000", "r0001"]
