"""What a Triton on a GPU says of itself: nothing here runs a model, so a server that only claims it would pass."""

from __future__ import annotations

import pytest

from tests.gpu.asked import NATIVE, GpuTriton

FIGURES = (
    "nv_gpu_utilization",
    "nv_gpu_memory_total_bytes",
    "nv_gpu_memory_used_bytes",
    "nv_gpu_power_usage",
    "nv_energy_consumption",
)


@pytest.fixture
def configs(triton: GpuTriton) -> dict[str, dict[str, object]]:
    """The configurations of what is loaded; everything is loaded where nothing is."""
    if not triton.loaded():
        for name in triton.repository():
            triton.load(name)
    found = {name: triton.config(name) for name in triton.loaded()}
    assert found, "the server's repository is empty; mount model_repository/triton into it"
    return found


def test_it_is_triton_and_tells_statistics_and_configurations(triton: GpuTriton) -> None:
    metadata = triton.metadata()
    assert metadata["name"] == "triton"
    assert {"statistics", "model_configuration", "model_repository"} <= set(metadata["extensions"])


def test_onnx_and_torchscript_run_on_nvidias_native_backends(configs: dict[str, dict[str, object]]) -> None:
    """`runtime` is the file that the server runs: a shared library, or the model.py of a python-based backend."""
    compared = 0
    for name, config in configs.items():
        library = NATIVE.get(str(config["backend"]))
        padded = "padding" in dict(config.get("parameters", {}))  # type: ignore[call-overload]
        if library and not padded:  # ragged batches are padded by our backend, which the config then names
            assert config.get("runtime") == library, f"{name} runs {config.get('runtime')} and not {library}"
            compared += 1
    assert compared, f"none of {', '.join(configs)} has a native backend"


def test_kind_auto_became_a_gpu_for_every_instance(configs: dict[str, dict[str, object]]) -> None:
    for name, config in configs.items():
        groups = config["instance_group"]
        assert isinstance(groups, list)
        for group in groups:
            assert group["kind"] == "KIND_GPU", f"no NVIDIA GPU: an instance of {name} is {group['kind']}"
            assert group["gpus"], f"no NVIDIA GPU: an instance of {name} names none"


@pytest.mark.parametrize("figure", FIGURES)
def test_nvmls_figures_are_there_for_every_gpu(triton: GpuTriton, figure: str) -> None:
    assert set(triton.metrics(figure)) == set(triton.gpus())


def test_memory_in_use_is_some_of_the_memory_that_there_is(triton: GpuTriton) -> None:
    assert 0 < triton.memory() < sum(triton.gpus().values())
