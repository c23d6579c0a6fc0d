"""The device of a run: what NVIDIA's driver shows, else the CPU."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from serving.engines.device import device, holds_gpu

INFORMATION = """Model: \t\t NVIDIA A10G
IRQ:   \t\t 100
GPU UUID: \t GPU-00000000-0000-0000-0000-000000000000
Video BIOS: \t 94.02.75.00.01
"""


def test_without_a_driver_it_is_the_cpu(tmp_path: Path) -> None:
    assert device(tmp_path / "gpus") == "cpu"


def test_a_driver_without_a_gpu_is_the_cpu(tmp_path: Path) -> None:
    assert device(tmp_path) == "cpu"


def test_a_gpu_is_named_as_the_driver_names_it(tmp_path: Path) -> None:
    (tmp_path / "0000:00:1e.0").mkdir()
    (tmp_path / "0000:00:1e.0" / "information").write_text(INFORMATION)
    assert device(tmp_path) == "gpu:NVIDIA A10G"


def test_of_several_gpus_the_first_is_named(tmp_path: Path) -> None:
    for bus, name in (("0000:00:1f.0", "NVIDIA T4"), ("0000:00:1e.0", "NVIDIA L4")):
        (tmp_path / bus).mkdir()
        (tmp_path / bus / "information").write_text(f"Model: {name}\n")
    assert device(tmp_path) == "gpu:NVIDIA L4"


def test_a_file_without_a_model_is_no_gpu(tmp_path: Path) -> None:
    (tmp_path / "0000:00:1e.0").mkdir()
    (tmp_path / "0000:00:1e.0" / "information").write_bytes(b"\xff\xfe nothing that is known\n")
    assert device(tmp_path) == "cpu"


@pytest.mark.parametrize(
    ("opened", "expected"),
    [("/dev/nvidia0", True), ("/dev/nvidia12", True), ("/dev/nvidiactl", False), ("/dev/null", False)],
)
def test_a_process_uses_a_gpu_that_it_has_open(tmp_path: Path, opened: str, expected: bool) -> None:
    files = tmp_path / "42" / "fd"
    files.mkdir(parents=True)
    (files / "0").symlink_to("/dev/null")
    (files / "7").symlink_to(opened)
    assert holds_gpu(42, tmp_path) is expected


def test_a_process_that_is_gone_uses_none(tmp_path: Path) -> None:
    assert not holds_gpu(42, tmp_path)


def test_this_process_uses_none() -> None:
    assert not holds_gpu(os.getpid())
