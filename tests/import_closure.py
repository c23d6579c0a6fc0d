"""What modules of the project reach by importing, read from their files: by statements, and by the names in tables."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

from tests.test_architecture import ROOMS, ROOT, imports, modules

IN_A_TABLE = re.compile(rf"(?P<module>(?:{'|'.join(ROOMS)})(?:\.\w+)+)(?::\w+)?")


@dataclass(frozen=True)
class Reached:
    """Rooms of the project, and others' modules (the first of their names), each with a file that wants it."""

    rooms: set[str]
    others: dict[str, Path]


def reached_from(rooms: set[str]) -> Reached:
    """Follow every import of the modules of some rooms, wherever in a module it is made."""
    todo = [file for file in modules() if file.relative_to(ROOT).parts[0] in rooms]
    seen, others = set[Path](), dict[str, Path]()
    while todo:
        file = todo.pop()
        if file in seen:
            continue
        seen.add(file)
        for name in _names(file):
            top = name.partition(".")[0]
            if top in ROOMS:
                todo += _files(name)
            elif top not in sys.stdlib_module_names:
                others[top] = file
    return Reached({file.relative_to(ROOT).parts[0] for file in seen}, others)


def brought_by(*locks: Path) -> set[str]:
    """The modules that the packages of some lock files have, as far as this environment has the packages."""
    lines = [line for lock in locks for line in lock.read_text().splitlines()]
    pinned = {line.partition("==")[0] for line in lines if "==" in line}
    return {module for module, of in packages_distributions().items() if pinned & {_canonical(name) for name in of}}


def _canonical(name: str) -> str:
    """A distribution's name as the locks write it."""
    return re.sub("[-_.]+", "-", name).lower()


def _names(file: Path) -> Iterator[str]:
    """Dotted names that a module imports; one of them may be an attribute's."""
    yield from imports(file)
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from (f"{node.module}.{item.name}" for item in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = IN_A_TABLE.fullmatch(node.value)
            if found:
                yield found["module"]


def _files(name: str) -> list[Path]:
    """The files that importing a dotted name runs, packages above it included."""
    parts = name.split(".")
    places = [ROOT.joinpath(*parts[:length]) for length in range(1, len(parts) + 1)]
    candidates = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
    return [file for file in candidates if file.is_file()]
