"""What a server of the KServe v2 protocol says of itself and of one model, over HTTP or gRPC, in the same words."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from tritonclient.grpc import service_pb2

from contract.client import Client
from contract.elsewhere import Elsewhere
from contract.errors import ServerError
from serving.proof.connections import HttpConnection, grpc_channel, headers_of, metadata_of

TIMEOUT_S = 30.0
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Described:
    """``server``: name and version. ``inputs``, ``outputs``: name -> datatype, empty where the server tells none."""

    server: str
    platform: str
    inputs: dict[str, str]
    outputs: dict[str, str]


@dataclass(frozen=True)
class Question:
    """One call of the protocol: GET ``path`` and gRPC ``method``. Some servers lack those that are not ``needed``."""

    path: str
    method: str
    needed: bool


Ask = Callable[[Question], dict[str, Any] | None]
SERVER_READY = Question("/v2/health/ready", "ServerReady", needed=False)
SERVER = Question("/v2", "ServerMetadata", needed=False)
MODEL_READY = Question("{model}/ready", "ModelReady", needed=True)
MODEL = Question("{model}", "ModelMetadata", needed=True)


def describe(place: Elsewhere, name: str, client: Client) -> Described:
    """Ask whether server and model are ready, and what they are. Raises ServerError with the server's words."""
    where = f"the server at {place.address}"
    ask = ASKING[place.protocol](place, name, client)
    for question, what in ((SERVER_READY, "itself"), (MODEL_READY, name)):
        answer = ask(question)
        if answer is not None and answer.get("ready", True) is False:
            raise ServerError(f"{where} says that {what} is not ready; try again when it is")
    try:
        server, model = ask(SERVER) or {}, ask(MODEL) or {}
        words = [str(server[key]) for key in ("name", "version") if server.get(key)]
        return Described(
            server=" ".join(words) or UNKNOWN,
            platform=str(model.get("platform", "")),
            inputs=_datatypes(model.get("inputs") or ()),
            outputs=_datatypes(model.get("outputs") or ()),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ServerError(f"what {where} says of {name} is not the protocol's metadata: {error!r}") from None


def _datatypes(tensors: Iterable[dict[str, Any]]) -> dict[str, str]:
    return {str(tensor["name"]): str(tensor["datatype"]) for tensor in tensors}


def _over_http(place: Elsewhere, name: str, client: Client) -> Ask:
    connection = HttpConnection(place.address, client, TIMEOUT_S)
    headers = headers_of(client)
    model = f"/v2/models/{name}" + (f"/versions/{place.version}" if place.version else "")

    def ask(question: Question) -> dict[str, Any] | None:
        path = question.path.format(model=model)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(f"nothing at {place.address} answers GET {path}: {error}; is the server up?") from None
        finally:
            connection.close()  # some servers close after each answer; these are few
        if response.status == http.HTTPStatus.NOT_FOUND and not question.needed:
            return None
        text = body.decode(errors="replace")
        if response.status != http.HTTPStatus.OK:
            raise ServerError(f"the server at {place.address} refused GET {path}: HTTP {response.status} {text[:300]}")
        try:
            return dict(json.loads(text)) if text.strip() else {}
        except (ValueError, TypeError):
            raise ServerError(f"the server at {place.address} answered GET {path} with no JSON: {text[:300]}") from None

    return ask


def _over_grpc(place: Elsewhere, name: str, client: Client) -> Ask:
    channel = grpc_channel(place.address, client)
    metadata = metadata_of(client)

    def ask(question: Question) -> dict[str, Any] | None:
        request, response = (getattr(service_pb2, f"{question.method}{side}") for side in ("Request", "Response"))
        call = channel.unary_unary(
            f"/inference.GRPCInferenceService/{question.method}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        about = {"name": name, "version": place.version or ""} if question.needed else {}
        try:
            answer = call(request(**about), timeout=TIMEOUT_S, metadata=metadata)
        except grpc.RpcError as error:
            code, detail = error.code().name, error.details()
            if code == "UNIMPLEMENTED" and not question.needed:
                return None
            raise ServerError(f"the server at {place.address} refused {question.method}: {code} {detail}") from None
        return dict(MessageToDict(answer, always_print_fields_with_no_presence=True, preserving_proto_field_name=True))

    return ask


ASKING: dict[str, Callable[[Elsewhere, str, Client], Ask]] = {"http": _over_http, "grpc": _over_grpc}
