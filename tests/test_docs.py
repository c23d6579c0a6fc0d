"""Documentation is tested: what it names exists, what is generated is fresh."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from contract.config import read_config
from contract.document import formats_page
from report.forms.schema import schema_text
from serving.__main__ import COMMANDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
PAGES = [
    "README.md",
    "bench/README.md",
    "docs/architecture.md",
    "docs/export.md",
    "docs/serving.md",
    "docs/loadtest.md",
    "docs/measurement.md",
    "docs/slo.md",
    "docs/deploy.md",
    "model_repository/README.md",
]
TARGETS = set(re.findall(r"^([a-z][a-z-]*):.*## ", MAKEFILE, re.M))


def test_every_make_target_that_readme_names_exists() -> None:
    lines = re.findall(r"^make ([a-z -]+)$", README, re.M)
    named = {word for line in lines for word in line.split()} | set(re.findall(r"`make ([a-z-]+)`", README))
    assert named
    assert named - TARGETS == set()


def test_every_target_is_phony_and_explained() -> None:
    phony = {word for line in re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.M) for word in line.split()}
    assert phony == TARGETS


def test_continuous_integration_calls_only_what_readme_names() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    commands = re.findall(r"^make (.*)$", script, re.M)
    assert commands == ["check test-all"]
    assert "make check test\n" in README
    assert all(f"`make {word}`" in README for word in commands[0].split())


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_file_leads_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    links = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text())
    assert [link for link in links if "://" not in link and not (folder / link).exists()] == []


def test_every_folder_of_the_tree_in_readme_exists() -> None:
    tree = README.split("## The tree")[1].split("```")[1]
    named = re.findall(r"\b([a-z_0-9/]+/|[A-Za-z]+\.(?:toml|py)|Makefile)(?=\s)", tree)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_load_plan_of_the_page_about_it_is_one(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "loadtest.md").read_text(), re.S)
    assert len(blocks) >= 3
    model = (ROOT / "models.toml").read_text().split("[models.sentiment_keras]")[0].split("[load]")
    head, models = model[0], "[models.sentiment_torch]" + model[1].split("[models.sentiment_torch]")[1]
    for block in blocks:
        (tmp_path / "models.toml").write_text(f"{head}\n{block}\n{models}")
        assert read_config(tmp_path / "models.toml").models


def test_the_page_of_border_files_is_made_from_the_models() -> None:
    assert (ROOT / "docs" / "formats.md").read_text() == formats_page(), "run 'python -m contract.document'"


def test_the_published_schema_of_the_report_is_fresh() -> None:
    assert (ROOT / "docs" / "report.schema.json").read_text() == schema_text(), "run 'python -m report schema'"


def test_the_example_in_readme_is_a_valid_models_toml(tmp_path: Path) -> None:
    example = README.split("```toml\n")[1].split("```")[0]
    (tmp_path / "models.toml").write_text(example)
    assert list(read_config(tmp_path / "models.toml").models) == ["churn"]


def test_exactly_one_onnx_runtime_is_in_each_lock_file_and_none_is_a_base_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert not [item for item in project["dependencies"] if item.startswith("onnxruntime")]
    for extra, package in (("cpu", "onnxruntime"), ("gpu", "onnxruntime-gpu")):
        pins = [line.split("==")[0] for line in (ROOT / "requirements" / f"{extra}.lock").read_text().splitlines()]
        assert [name for name in pins if name.startswith("onnxruntime")] == [package]


def test_what_pyproject_pins_exactly_is_what_the_lock_files_hold() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        re.sub(r"\[.*\]", "", item)
        for extra, items in project["optional-dependencies"].items()
        if extra != "gpu"
        for item in items
        if "==" in item
    }
    locked = set((ROOT / "requirements" / "cpu.lock").read_text().splitlines())
    assert wanted - locked == set()


def test_the_settings_in_the_page_of_serving_are_valid(tmp_path: Path) -> None:
    settings = (ROOT / "docs" / "serving.md").read_text().split("```toml\n")[1].split("```")[0]
    example = README.split("```toml\n")[1].split("```")[0]
    (tmp_path / "models.toml").write_text(f"{example}\n{settings}")
    assert read_config(tmp_path / "models.toml").models["churn"].batching.instances == 2


def test_the_commands_in_the_page_of_serving_exist() -> None:
    page = (ROOT / "docs" / "serving.md").read_text()
    assert set(re.findall(r"`make ([a-z-]+)`", page)) <= TARGETS
    named = {word for words in re.findall(r"python -m serving ([a-z|]+)", page) for word in words.split("|")}
    assert named <= set(COMMANDS)
    flags = set(re.findall(r"`(--[a-z-]+)", page)) - {"--help"}
    text = (ROOT / "serving" / "__main__.py").read_text()
    assert [flag for flag in flags if f'"{flag}"' not in text] == []


def test_no_row_of_the_formats_is_cut_off_by_a_bar_in_a_cell() -> None:
    rows = [line for line in formats_page().splitlines() if line.startswith("| ")]
    cells = {len(re.findall(r"(?<!\\)\|", row)) - 1 for row in rows}
    assert cells == {3, 4}, [row for row in rows if len(re.findall(r"(?<!\\)\|", row)) - 1 not in (3, 4)]


def slug(heading: str) -> str:
    """What GitHub makes of a heading: its words, without marks, joined by hyphens."""
    text = heading.replace("&lt;", "<").replace("&gt;", ">").replace("`", "").lower().strip()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_heading_leads_to_one(page: str) -> None:
    folder = (ROOT / page).parent
    links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", (ROOT / page).read_text())
    lost = []
    for file, anchor in links:
        target = (folder / file) if file else ROOT / page
        prose = re.sub(r"^```.*?^```", "", target.read_text(), flags=re.M | re.S)
        headings = re.findall(r"^#+ (.+)$", prose, re.M)
        if anchor not in [slug(heading) for heading in headings]:
            lost.append(f"{file}#{anchor}")
    assert lost == []
