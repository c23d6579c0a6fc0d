"""Small servers of the KServe v2 protocol with a known answer, over HTTP and gRPC: somebody else's, for the tests."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from contract.tensors import Tensors
from tests.builders import answer_of

Answer = Callable[[np.ndarray[Any, Any]], Tensors]
SERVICE = "inference.GRPCInferenceService"


@dataclass
class Peer:
    """What the server is and says; a test may change it. ``without`` are calls that it does not have."""

    name: str = "words"
    version: str = ""
    ready: bool = True
    inputs: dict[str, str] = field(default_factory=lambda: {"tokens": "INT64"})
    outputs: dict[str, str] = field(default_factory=lambda: {"logits": "FP32", "more": "BYTES"})
    answer: Answer = answer_of
    without: tuple[str, ...] = ()
    tls: Path | None = None  # folder with server.pem and server.key
    address: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # call, headers

    @property
    def server(self) -> dict[str, Any]:
        return {"name": "peer", "version": "1.2", "extensions": []}

    @property
    def model(self) -> dict[str, Any]:
        sides = {"inputs": self.inputs, "outputs": self.outputs}
        tensors = {
            side: [{"name": name, "datatype": datatype, "shape": [-1, -1]} for name, datatype in told.items()]
            for side, told in sides.items()
        }
        return {"name": self.name, "versions": [], "platform": "peers_onnx", **tensors}


@contextmanager
def http_peer(peer: Peer) -> Iterator[Peer]:
    """It runs within the block. Answers are nested JSON."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            model = f"/v2/models/{peer.name}" + (f"/versions/{peer.version}" if peer.version else "")
            known: dict[str, Any] = {
                "/v2/health/ready": {"ready": peer.ready},
                "/v2": peer.server,
                f"{model}/ready": {"ready": True},
                model: peer.model,
            }
            path = self.path if self.path not in peer.without else ""
            self._reply(known.get(path, {"error": f"nothing is at {self.path}"}), 200 if path in known else 404)

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            tensor = request["inputs"][0]
            outputs = peer.answer(np.array(tensor["data"]).reshape(tensor["shape"]))
            entries = [
                {"name": name, "datatype": "FP32", "shape": list(array.shape), "data": array.tolist()}
                for name, array in outputs.items()
            ]
            self._reply({"model_name": peer.name, "outputs": entries}, 200)

        def _reply(self, document: dict[str, Any], status: int) -> None:
            peer.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: a test's output is its own."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if peer.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(peer.tls / "server.pem", peer.tls / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    peer.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield peer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def grpc_peer(peer: Peer) -> Iterator[Peer]:
    """It runs within the block. Answers are typed contents."""

    def infer(request: Any) -> Any:
        tokens = np.frombuffer(request.raw_input_contents[0], np.int64).reshape(tuple(request.inputs[0].shape))
        response = service_pb2.ModelInferResponse(model_name=peer.name)
        for name, array in peer.answer(tokens).items():
            entry = response.outputs.add(name=name, datatype="FP32", shape=array.shape)
            entry.contents.fp32_contents.extend(array.ravel().tolist())
        return response

    answers: dict[str, Callable[[Any], Any]] = {
        "ServerReady": lambda request: service_pb2.ServerReadyResponse(ready=peer.ready),
        "ServerMetadata": lambda request: service_pb2.ServerMetadataResponse(**peer.server),
        "ModelReady": lambda request: service_pb2.ModelReadyResponse(ready=True),
        "ModelMetadata": lambda request: service_pb2.ModelMetadataResponse(**peer.model),
        "ModelInfer": infer,
    }

    def handler(call: str) -> Any:
        def reply(request: Any, context: Any) -> Any:
            authority = context._rpc_event.call_details.host.decode()  # which grpc's interface does not give
            peer.asked.append((call, {":authority": authority, **dict(context.invocation_metadata())}))
            named = getattr(request, "model_name", "") or getattr(request, "name", peer.name)
            version = getattr(request, "model_version", "") or getattr(request, "version", peer.version)
            if (named, version) != (peer.name, peer.version):
                context.abort(grpc.StatusCode.NOT_FOUND, f"no model {named} {version}")
            return answers[call](request)

        return grpc.unary_unary_rpc_method_handler(
            reply,
            request_deserializer=getattr(service_pb2, f"{call}Request").FromString,
            response_serializer=getattr(service_pb2, f"{call}Response").SerializeToString,
        )

    calls = {call: handler(call) for call in answers if call not in peer.without}
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, calls),))
    if peer.tls:
        pair = ((peer.tls / "server.key").read_bytes(), (peer.tls / "server.pem").read_bytes())
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    peer.address = f"127.0.0.1:{port}"
    server.start()
    try:
        yield peer
    finally:
        server.stop(None).wait()


PEERS = {"http": http_peer, "grpc": grpc_peer}
