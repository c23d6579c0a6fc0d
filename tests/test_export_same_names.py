"""A factory comes from the file that was named, where other modules have the name of that file too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from export.job import Job, fingerprint
from tests.builders import model
from tests.conftest import ROOT

LOAD = """\
import json, sys
from pathlib import Path
from contract.config import Model
from contract.table import load
from export.own_code import found_beside

model = Model(framework="pytorch", source=sys.argv[1], formats=["onnx"])
found = found_beside(model, Path(sys.argv[2]))
print(json.dumps([load(found.source)(), found.source]))
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The current folder, which Python looks into first."""
    return folder(tmp_path / "here", net="def build(): return 'here'\n")


def folder(place: Path, **files: str) -> Path:
    place.mkdir()
    for name, text in files.items():
        (place / f"{name}.py").write_text(text)
    return place


def loaded(here: Path, source: str, beside: Path) -> tuple[str, str]:
    """What a factory gives in a process of its own, and the name under which it was found."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, source, str(beside)],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result, found = json.loads(done.stdout)
    return result, found


def test_a_module_of_the_current_folder_does_not_take_the_place_of_the_one_that_was_named(
    tmp_path: Path, here: Path
) -> None:
    there = folder(tmp_path / "there", net="def build(): return 'there'\n")
    assert loaded(here, "net:build", there) == ("there", "net:build")
    assert loaded(there, "net:build", here) == ("here", "net:build")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("report", "report"),  # Loadproof's own, which no step of an export imports
        ("export", "own_export"),  # Loadproof's own, which they run in
        ("json", "own_json"),  # Python's, imported already
        ("turtle", "own_turtle"),  # Python's, imported by nobody
        ("yaml", "own_yaml"),  # an installed one
    ],
)
def test_a_file_may_have_the_name_of_any_module(tmp_path: Path, here: Path, name: str, found: str) -> None:
    text = "import json, yaml\n\n\ndef build():\n    return yaml.safe_dump('x') and json.dumps('theirs')\n"
    there = folder(tmp_path / "there", **{name: text})
    assert loaded(here, f"{name}:build", there) == ('"theirs"', f"{found}:build")


def test_what_a_file_imports_is_what_lies_beside_it(tmp_path: Path, here: Path) -> None:
    (here / "layers.py").write_text("WHERE = 'here'\n")
    there = folder(
        tmp_path / "there",
        net="import layers\nKIND = 'net'\n\n\ndef build():\n    return layers.where()\n",
        layers="def where():\n    import net, tools\n    return f'{net.KIND} {tools.WHERE}'\n",
        tools="WHERE = 'there'\n",
    )
    assert loaded(here, "net:build", there) == ("net there", "net:build")


def test_a_package_beside_the_file_is_found_with_and_without_an_init(tmp_path: Path, here: Path) -> None:
    there = folder(tmp_path / "there", net="import a.x, b.x\n\n\ndef build():\n    return a.x.X + b.x.X\n")
    folder(there / "a", __init__="", x="X = 'there '\n")
    folder(there / "b", x="X = 'too'\n")
    assert loaded(here, "net:build", there)[0] == "there too"


def test_a_module_of_the_current_folder_is_found_where_none_of_its_name_lies_beside(tmp_path: Path, here: Path) -> None:
    assert loaded(here, "net:build", folder(tmp_path / "there")) == ("here", "net:build")


def test_an_export_counts_the_file_that_its_steps_load(
    tmp_path: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = folder(tmp_path / "there", net="def build(): return 'there'\n")
    monkeypatch.syspath_prepend(str(here))
    described = model(source="net:build")
    named = Job("net", described, tmp_path / "models.toml", tmp_path / "artifacts" / "net", there)
    beside = Job("net", described, there / "models.toml", tmp_path / "artifacts" / "net")
    before = named.fingerprint
    assert before == beside.fingerprint != fingerprint(described)
    (here / "net.py").write_text("def build(): return 'changed'\n")
    assert named.fingerprint == before
    (there / "net.py").write_text("def build(): return 'changed'\n")
    assert named.fingerprint == beside.fingerprint != before
