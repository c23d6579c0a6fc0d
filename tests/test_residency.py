"""Where Triton holds one model at a time, the load test loads what comes next and unloads what was before."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from contract.endpoints import Endpoint, Endpoints
from contract.errors import ServerError
from loadtest.master.residency import Residency
from tests.builders import endpoint, endpoints


@dataclass
class Triton:
    """A server that remembers which models it was told to load and unload, and refuses one of them."""

    address: str
    asked: list[str] = field(default_factory=list)
    loaded: set[str] = field(default_factory=set)


@pytest.fixture
def triton() -> Iterator[Triton]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            name, action = self.path.split("/")[-2:]
            found.asked.append(f"{action} {name}")
            (found.loaded.add if action == "load" else found.loaded.discard)(name)
            broken = name.startswith("broken")
            body = json.dumps({"error": "failed to load 'broken__onnx', no such file\n"} if broken else {}).encode()
            self.send_response(400 if broken else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.send_response(200 if self.path.split("/")[-2] in found.loaded else 400)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    found = Triton(f"127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def fleet(triton: Triton, one_at_a_time: bool = True) -> Endpoints:
    """Two models: one in two formats over both protocols, one on TF Serving too."""
    items = [
        endpoint(model=model, format=form, protocol=protocol, address=triton.address if protocol == "http" else "x:1")
        for model, form in (("words", "onnx"), ("words", "torchscript"), ("other", "savedmodel"), ("broken", "onnx"))
        for protocol in ("http", "grpc")
    ]
    items.append(endpoint(model="other", format="savedmodel", engine="tfserving", protocol="rest", served_name="other"))
    return endpoints(*items, one_at_a_time=one_at_a_time)


def of(model: str, form: str = "onnx", engine: str = "triton") -> Endpoint:
    """A variant that is about to be measured."""
    return endpoint(model=model, format=form, engine=engine)


def test_each_format_of_a_model_is_loaded_once_before_its_first_variant(triton: Triton) -> None:
    residency = Residency(fleet(triton))
    for _ in range(4):
        residency.make_room_for(of("words"))
    assert triton.asked == ["load words__onnx", "load words__torchscript"]


def test_the_model_before_is_unloaded_first(triton: Triton) -> None:
    residency = Residency(fleet(triton))
    residency.make_room_for(of("words"))
    triton.asked.clear()
    residency.make_room_for(of("other"))
    assert triton.asked == ["unload words__onnx", "unload words__torchscript", "load other__savedmodel"]


def test_what_is_loaded_in_the_end_is_unloaded_once(triton: Triton) -> None:
    residency = Residency(fleet(triton))
    residency.make_room_for(of("other"))
    triton.asked.clear()
    residency.close()
    residency.close()
    assert triton.asked == ["unload other__savedmodel"]


def test_where_everything_is_resident_nothing_is_asked(triton: Triton) -> None:
    residency = Residency(fleet(triton, one_at_a_time=False))
    residency.make_room_for(of("words"))
    residency.close()
    assert triton.asked == []


def test_an_isolated_variant_is_alone_and_the_others_are_back_in_the_end(triton: Triton) -> None:
    residency = Residency(whole(triton), isolate=True)
    residency.make_room_for(of("words"))
    residency.make_room_for(of("words"))
    assert triton.asked == ["unload other__savedmodel", "unload words__torchscript"]
    triton.asked.clear()
    residency.make_room_for(of("other", "savedmodel"))
    assert triton.asked == ["unload words__onnx", "load other__savedmodel"]
    triton.asked.clear()
    residency.close()
    assert triton.asked == ["load words__onnx", "load words__torchscript"]


def test_while_tf_serving_is_measured_alone_triton_holds_nothing(triton: Triton) -> None:
    residency = Residency(whole(triton), isolate=True)
    residency.make_room_for(of("other", "savedmodel", "tfserving"))
    assert triton.asked == [f"unload {name}" for name in ("other__savedmodel", "words__onnx", "words__torchscript")]


def whole(triton: Triton) -> Endpoints:
    """Everything resident, less the model that cannot be loaded."""
    found = fleet(triton, one_at_a_time=False)
    return found.model_copy(update={"endpoints": [item for item in found.endpoints if item.model != "broken"]})


def test_a_refusal_is_told_in_the_server_s_own_words(triton: Triton) -> None:
    with pytest.raises(ServerError, match=r"failed to load 'broken__onnx', no such file$"):
        Residency(fleet(triton)).make_room_for(of("broken"))


def test_a_server_that_is_gone_is_a_sentence() -> None:
    gone = Triton("127.0.0.1:1")
    with pytest.raises(ServerError, match=r"Triton at 127\.0\.0\.1:1 did not answer .*; see 'make status'"):
        Residency(fleet(gone)).make_room_for(of("words"))
