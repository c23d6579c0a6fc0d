"""What the GPU suite asks of a Triton: metadata, configurations, metrics, models loaded with another configuration."""

from __future__ import annotations

import http.client
import json
import re
from dataclasses import dataclass
from typing import Any

from contract.codecs import codec_for
from contract.errors import ServerError
from contract.tensors import Tensors, TensorSpec
from contract.triton_control import LOAD_S

METRIC = re.compile(r"^(?P<name>nv_[a-z_]+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)$", re.MULTILINE)
NATIVE = {"onnxruntime": "libtriton_onnxruntime.so", "pytorch": "libtriton_pytorch.so"}


@dataclass(frozen=True)
class GpuTriton:
    """One Triton by its ports. Every method raises ServerError with the server's own words."""

    host: str
    port: int
    metrics_port: int

    @classmethod
    def at(cls, address: str, metrics: str | None) -> GpuTriton:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ServerError(f"LOADPROOF_TRITON is '{address}'; give HOST:HTTP_PORT")
        return cls(host, int(port), int(metrics) if metrics else int(port) + 2)

    def metadata(self) -> dict[str, Any]:
        return dict(self._json("GET", "/v2"))

    def repository(self) -> list[str]:
        """Names of all models of the repository, loaded or not."""
        return [entry["name"] for entry in self._json("POST", "/v2/repository/index", {})]

    def loaded(self) -> list[str]:
        """Names of the models that are ready."""
        index = self._json("POST", "/v2/repository/index", {})
        return [entry["name"] for entry in index if entry.get("state") == "READY"]

    def config(self, name: str) -> dict[str, Any]:
        """The configuration of a loaded model, with what the server has added to it."""
        return dict(self._json("GET", f"/v2/models/{name}/config"))

    def load(self, name: str, config: dict[str, Any] | None = None) -> None:
        """Load a model, with this configuration instead of its file's where one is given."""
        body = {"parameters": {"config": json.dumps(config)}} if config else {}
        self._json("POST", f"/v2/repository/models/{name}/load", body)

    def unload(self, name: str) -> None:
        self._json("POST", f"/v2/repository/models/{name}/unload", {})

    def ask(self, name: str, version: int, inputs: Tensors, outputs: list[TensorSpec]) -> Tensors:
        """The answer to one request over HTTP."""
        codec = codec_for("triton", "http")
        payload = codec.encode(name, version, inputs, outputs)
        body, headers = self._call("POST", codec.target(name, version), payload.body, payload.headers)
        return codec.decode(body, headers, outputs)

    def metrics(self, name: str) -> dict[str, float]:
        """{labels: value} of one metric; empty when the server does not have it."""
        body, _ = self._call("GET", "/metrics", port=self.metrics_port)
        return {
            match["labels"] or "": float(match["value"])
            for match in METRIC.finditer(body.decode())
            if match["name"] == name
        }

    def gpus(self) -> dict[str, float]:
        """{labels: bytes of memory} of the GPUs that the server reports from NVML."""
        return {gpu: size for gpu, size in self.metrics("nv_gpu_memory_total_bytes").items() if size > 0}

    def memory(self) -> float:
        """Bytes in use on all GPUs."""
        return sum(self.metrics("nv_gpu_memory_used_bytes").values())

    def _json(self, method: str, path: str, document: Any = None) -> Any:
        body, _ = self._call(method, path, None if document is None else json.dumps(document).encode())
        return json.loads(body) if body else {}

    def _call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        port: int | None = None,
    ) -> tuple[bytes, dict[str, str]]:
        where = f"Triton at {self.host}:{port or self.port}"
        connection = http.client.HTTPConnection(self.host, port or self.port, timeout=LOAD_S)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(f"{where} did not answer {method} {path}: {error}") from None
        finally:
            connection.close()
        if response.status != 200:
            raise ServerError(f"{where} refused {method} {path}: {data.decode(errors='replace')[:500]}")
        return data, dict(response.getheaders())
