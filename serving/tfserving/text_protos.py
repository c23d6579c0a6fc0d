"""Messages that no installed package brings, declared here.

MonitoringConfig and BatchingParameters are left out of tensorflow-serving-api. They are read from text format
only, so their names and types matter and their field numbers do not travel. The two of grpc.health.v1 do
travel, where only field numbers and wire types count. Declaring them gives the real parser, with its line and
column in every complaint.
"""

from __future__ import annotations

import functools
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_PACKAGE = "loadproof.tfserving"
_WRAPPER = f".{wrappers_pb2.DESCRIPTOR.package}."
_MESSAGES: dict[str, list[tuple[str, str]]] = {
    "PrometheusConfig": [("enable", "bool"), ("path", "string")],
    "MonitoringConfig": [("prometheus_config", f".{_PACKAGE}.PrometheusConfig")],
    "BatchingParameters": [
        ("max_batch_size", f"{_WRAPPER}Int64Value"),
        ("batch_timeout_micros", f"{_WRAPPER}Int64Value"),
        ("max_enqueued_batches", f"{_WRAPPER}Int64Value"),
        ("num_batch_threads", f"{_WRAPPER}Int64Value"),
        ("thread_pool_name", f"{_WRAPPER}StringValue"),
        ("allowed_batch_sizes", "repeated int64"),
        ("pad_variable_length_inputs", "bool"),
        ("enable_large_batch_splitting", f"{_WRAPPER}BoolValue"),
        ("max_execution_batch_size", f"{_WRAPPER}Int64Value"),
    ],
    "HealthCheckRequest": [("service", "string")],
    "HealthCheckResponse": [("status", "int32")],  # an enum there, which is the same on the wire
}


def message(name: str) -> Any:
    """A new, empty message of the given short name."""
    return message_class(name)()


def message_class(name: str) -> Any:
    """The class of the messages of the given short name."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


@functools.cache
def _pool() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="loadproof/tfserving.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for message_name, fields in _MESSAGES.items():
        declared = file.message_type.add(name=message_name)
        for number, (field_name, kind) in enumerate(fields, start=1):
            _add_field(declared, number, field_name, kind)
    pool.Add(file)
    return pool


def _add_field(declared: Any, number: int, name: str, kind: str) -> None:
    types = descriptor_pb2.FieldDescriptorProto
    field = declared.field.add(name=name, number=number, label=types.LABEL_OPTIONAL)
    if kind.startswith("repeated "):
        field.label = types.LABEL_REPEATED
        kind = kind.removeprefix("repeated ")
    if kind.startswith("."):
        field.type = types.TYPE_MESSAGE
        field.type_name = kind
    else:
        field.type = types.Type.Value(f"TYPE_{kind.upper()}")
