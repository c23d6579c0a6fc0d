"""Write one small PyTorch network as every kind of file that an export takes: python -m tests.e2e.sources FOLDER."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import onnx
import torch

from tests.e2e.networks import Regression


def main(folder: Path) -> None:
    warnings.simplefilter("ignore")
    torch.manual_seed(5)
    network = Regression().eval()
    example = torch.rand(3, 4)
    torch.jit.script(network).save(str(folder / "scripted.pt"))
    batch = torch.export.Dim("batch", min=1)
    torch.export.save(torch.export.export(network, (example,), dynamic_shapes=({0: batch},)), folder / "exported.pt2")
    torch.save(network, folder / "pickled.pt")
    torch.onnx.export(
        network,
        (example,),
        str(folder / "single.onnx"),
        input_names=["features"],
        output_names=["score"],
        dynamic_shapes={"features": {0: "batch"}},
        opset_version=18,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    onnx.save(
        onnx.load(folder / "single.onnx"),
        folder / "external.onnx",
        save_as_external_data=True,
        location="external.weights",
        size_threshold=0,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
