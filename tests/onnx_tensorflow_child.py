"""One process with TensorFlow for several tests: ``python -m tests.onnx_tensorflow_child FOLDER PART…``.

Prints one JSON object with what each part found; the whole graphs of the folder come first, with TensorFlow as it is.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
from pathlib import Path

from tests import onnx_tensorflow_graphs


def main(folder: str, *parts: str) -> None:
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of many traced functions; they are many
    found = {"graphs": onnx_tensorflow_graphs.main(Path(folder))}
    for part in parts:
        found[part] = importlib.import_module(f"tests.onnx_tensorflow_{part}").main()
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
