"""The rooms of the house and who may look into which: read from the imports, so that it stays true."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STAGES = ("zoo", "export", "serving", "loadtest", "report")
# The rooms of a stage, each importing those before it alone; what lies beside them ties them together.
WITHIN = {
    "serving": (
        "places",
        "monitoring",
        "layout",
        "engines",
        "proof",
        "watch",
        "rolling",
        "replication",
        "deploying",
    ),
    "loadtest": ("clients", "plan", "process", "showing", "master"),
    "report": ("figures", "judging", "beside", "page"),
}
ROOMS = ("contract", *STAGES, "tune")
# Which modules may import a heavy framework at their top; nobody else may, at any depth.
HEAVY = {
    "torch": {
        "zoo/",
        "export/from_pytorch.py",
        "export/from_keras_torch.py",
        "export/onnx_torchscript.py",
        "export/runtime_torchscript.py",
        "export/runtime_pt2.py",
        "export/torch_tensors.py",
    },
    "torchvision": {"zoo/"},
    "onnx2torch": {"export/onnx_torchscript.py"},
    "tensorflow": {
        "zoo/",
        "export/from_tensorflow.py",
        "export/onnx_savedmodel.py",
        "export/onnx_tensorflow/",
        "export/runtime_savedmodel.py",
        "export/tensorflow_functions.py",
        "serving/tfserving/",
    },
    "tensorflow_serving.apis": {
        "serving/tfserving/",
        "serving/engines/tfserving_control.py",
    },  # it imports all of TensorFlow
    "keras": {"zoo/", "export/from_keras.py", "export/from_keras_torch.py", "export/keras_source.py"},
    "onnx": {
        "export/from_onnx.py",
        "export/from_tensorflow.py",
        "export/onnx_nodes.py",
        "export/onnx_precision.py",
        "export/onnx_tensorflow/",
        "export/runtime_onnx.py",
        "export/tensorflow_functions.py",
    },
    "onnxruntime": {"export/from_onnx.py", "export/onnx_precision.py", "export/runtime_onnx.py"},
    "tf2onnx": {"export/from_tensorflow.py", "export/tensorflow_functions.py"},
    "locust": {"loadtest/locustfile.py", "loadtest/users.py"},
    "gevent": {
        "loadtest/clients/",
        "loadtest/master/conductor.py",
        "loadtest/master/crew.py",
        "loadtest/locustfile.py",
        "loadtest/showing/page.py",
        "loadtest/process/punctual.py",
        "loadtest/process/recorder.py",
        "loadtest/process/senders.py",
        "loadtest/users.py",
        "loadtest/process/worker.py",
    },
    "plotly": {"report"},
    "tensorboard": {"zoo/", "report/forms/tensorboard.py"},
    "mlflow": {"report/forms/mlflow.py"},
}


def modules() -> list[Path]:
    """Every module of the rooms, less the backends, which run inside Triton and are not importable here."""
    found = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]
    return [file for file in found if "backends" not in file.parts and "out" not in file.parts]


def imports(file: Path) -> Iterator[str]:
    """The dotted names that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def members(file: Path) -> Iterator[str]:
    """The dotted names of what a module imports from others, which may be modules, and of these others."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
    yield from imports(file)


def relative(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("room", ["contract", *STAGES])
def test_a_stage_imports_the_contract_and_itself_and_no_other_stage(room: str) -> None:
    forbidden = {other for other in (*ROOMS, "tests") if other not in (room, "contract")}
    offenders = [
        f"{relative(file)} imports {name}"
        for file in modules()
        if file.relative_to(ROOT).parts[0] == room
        for name in imports(file)
        if name.split(".")[0] in forbidden
    ]
    assert offenders == []


@pytest.mark.parametrize(("stage", "rooms"), WITHIN.items())
def test_the_rooms_of_a_stage_import_one_way(stage: str, rooms: tuple[str, ...]) -> None:
    offenders = [
        f"{relative(file)} imports {name}"
        for place, room in enumerate(rooms)
        for file in (ROOT / stage / room).rglob("*.py")
        for name in imports(file)
        for later in rooms[place + 1 :]
        if name.split(".")[:2] == [stage, later]
    ]
    assert offenders == []


def test_no_module_imports_itself_through_others() -> None:
    graph: dict[str, set[str]] = {}
    for file in modules():
        name = relative(file).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        graph[name] = {target for target in imports(file) if target.split(".")[0] in ROOMS}
    state: dict[str, int] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert state.get(name) != 1, f"a cycle: {' -> '.join((*trail, name))}"
        if state.get(name) == 2 or name not in graph:
            return
        state[name] = 1
        for target in graph[name]:
            if target != name and not name.startswith(f"{target}."):
                visit(target, (*trail, name))
        state[name] = 2

    for name in graph:
        visit(name, ())


def test_heavy_packages_are_imported_by_the_modules_that_need_them_and_by_no_other() -> None:
    offenders = [
        f"{relative(file)} imports {name}"
        for file in modules()
        for name in imports(file)
        for package, allowed in HEAVY.items()
        if f"{name}.".startswith(f"{package}.") and not relative(file).startswith(tuple(allowed))
    ]
    assert offenders == []


@pytest.mark.parametrize("module", ["contract.config", "contract.records", "contract.verdict", "contract.cli"])
def test_the_contract_needs_no_framework(module: str) -> None:
    assert (
        loaded_by(module) & {"torch", "tensorflow", "keras", "onnxruntime", "locust", "grpc", "tritonclient"} == set()
    )


@pytest.mark.parametrize(
    "module",
    ["loadtest.process.worker", "loadtest.master.conductor", "loadtest.__main__", "export.__main__", "export.pipeline"],
)
def test_load_workers_and_the_exporting_parent_need_no_framework(module: str) -> None:
    assert loaded_by(module) & {"torch", "tensorflow", "keras", "onnxruntime", "tritonclient"} == set()


@pytest.mark.parametrize("module", ["serving/__main__.py", "serving/fleet.py", "serving/watch/supervision.py"])
def test_who_starts_or_watches_servers_reaches_no_framework_however_late(module: str) -> None:
    """Imports within functions count too; a roller is reached by name, through a table, and configures TF Serving."""
    reached, waiting = set[Path](), [ROOT / module]
    while waiting:
        file = waiting.pop()
        if file not in reached:
            reached.add(file)
            waiting += [found for name in members(file) if (found := ROOT / f"{name.replace('.', '/')}.py").is_file()]
    heavy = ("torch", "tensorflow", "keras", "onnx", "onnxruntime", "tensorflow_serving.apis")
    offenders = [
        f"{relative(file)} imports {name}"
        for file in sorted(reached)
        for name in imports(file)
        if f"{name}.".startswith(tuple(f"{package}." for package in heavy))
    ]
    assert offenders == []
    assert ROOT / "serving/engines/tfserving_state.py" in reached  # it was looked for where it would be


def test_judging_a_run_needs_no_framework() -> None:
    assert loaded_by("report.assemble") & {"torch", "tensorflow", "keras", "onnxruntime", "locust"} == set()


def loaded_by(module: str) -> set[str]:
    """Top-level packages that are loaded after importing a module in a fresh interpreter."""
    script = f"import sys, {module}; print(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_there_is_no_room_for_leftovers() -> None:
    assert [relative(file) for file in modules() if file.stem in ("utils", "helpers", "common", "misc")] == []


def test_the_docker_folder_does_not_shadow_the_docker_sdk() -> None:
    assert not (ROOT / "docker" / "__init__.py").exists()


def test_modules_stay_small() -> None:
    sizes = {relative(file): len(file.read_text().splitlines()) for file in modules()}
    assert {name: size for name, size in sizes.items() if size > 330} == {}


def test_every_module_says_why_it_exists() -> None:
    silent = [relative(file) for file in modules() if not ast.get_docstring(ast.parse(file.read_text()))]
    assert silent == []
