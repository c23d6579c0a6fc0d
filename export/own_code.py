"""A person's own code: a factory is that of the file which the source names, whatever else has the file's name.

`net.py` may lie in two folders, and `report.py` or `calendar.py` may be somebody's model. Python takes the first module
of a name that it knows or finds. So a finder stands before all others: it gives a factory's module from its own folder,
and the modules beside it, except where Python or an installed package has the name.
"""

from __future__ import annotations

import site
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from contract.config import Model

OTHER_NAME = "own_"  # before the name of a module that a loaded, an installed or one of Python's modules has too
INSTALLED = [*site.getsitepackages(), site.getusersitepackages()]


class Beside(MetaPathFinder):
    """Finds the modules of one folder, and the file ``factory`` under the name ``called``."""

    def __init__(self, folder: Path, factory: Path | None, called: str) -> None:
        self._folder, self._factory, self._called = folder, factory, called

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a top-level module of the folder; None leaves it to the finders that follow."""
        if self._factory is not None and fullname == self._called:
            return spec_from_file_location(fullname, self._factory)
        if path is not None or _of_others(fullname):
            return None
        return _in(fullname, [str(self._folder)])


def found_beside(model: Model, folder: Path) -> Model:
    """Let this process find a model's code in ``folder`` first. The model's source has the name of the module there."""
    sys.path.append(str(folder))  # packages without an __init__.py are found in no other way
    module, colon, attribute = model.source.partition(":")
    file = folder / f"{module}.py"
    if model.path is not None or not file.is_file():
        sys.meta_path.insert(0, Beside(folder, None, ""))
        return model
    called = f"{OTHER_NAME}{module}" if module in sys.modules or _of_others(module) else module
    sys.meta_path.insert(0, Beside(folder, file, called))
    return model.model_copy(update={"source": called + colon + attribute})


def module_file(module: str, folder: Path | None = None) -> Path | None:
    """Where a module's file is: in ``folder``, else where Python looks.

    Asking Python would import its packages, and run the person's code in this process.
    """
    name = module.replace(".", "/")
    for place in ([folder] if folder else []) + [Path(entry) for entry in sys.path]:
        for file in (place / f"{name}.py", place / name / "__init__.py"):
            if file.is_file():
                return file
    return None


def _of_others(name: str) -> bool:
    """Whether a top-level module is Python's own or of an installed package."""
    return name in sys.stdlib_module_names or _in(name, INSTALLED) is not None


def _in(name: str, folders: list[str]) -> ModuleSpec | None:
    """The module of that name in these folders; a mere folder of that name is none."""
    spec = PathFinder.find_spec(name, folders)
    return spec if spec is not None and spec.origin is not None else None
