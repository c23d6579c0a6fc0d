"""Which configurations are tried: those that a machine has room for and that take nothing away from a service."""

from __future__ import annotations

from typing import Any

import pytest

from contract.batching import Batching, Queue
from contract.tensors import TensorSpec
from tests.builders import model
from tune.configuration.climb import Configuration
from tune.configuration.space import AXES, Room, may_be_ragged, now, space, with_settings

START: Configuration = {"instances": 1, "max_queue_delay_us": 0, "threads": 1, "max_batch_size": 32}


def room(**changes: Any) -> Room:
    fields: dict[str, Any] = {
        "cores": 4,
        "tightest_ms": 50.0,
        "least_batch": 32,
        "memory_mib": 1000.0,
        "instance_mib": 300.0,
    }
    return Room(**(fields | changes))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, ""),
        ({"instances": 2, "threads": 4}, ""),
        ({"instances": 3, "threads": 3}, "too many for 4 cores"),
        ({"instances": 3}, ""),
        ({"instances": 4}, "need 1200 MiB, 1000 are there"),
        ({"max_batch_size": 128}, ""),
        ({"max_batch_size": 16}, "rows are accepted now"),
        ({"max_queue_delay_us": 25_000}, ""),
        ({"max_queue_delay_us": 25_001}, "50% of the 50 ms"),
        ({"dynamic": False}, ""),
        ({"dynamic": False, "max_queue_delay_us": 200}, "are not joined"),
        ({"dynamic": False, "ragged": True}, "are not joined"),
        ({"ragged": True, "length_buckets": (16, 32)}, ""),
        ({"ragged": False, "length_buckets": (16, 32)}, "where different ones are joined"),
        ({"ragged": False, "length_buckets": ()}, ""),
    ],
)
def test_what_there_is_no_room_for_is_refused_with_its_reason(settings: Configuration, words: str) -> None:
    refusal = room().refusal({**START, **settings})
    assert words in refusal and bool(words) == bool(refusal)


def test_memory_that_nobody_knows_refuses_nothing() -> None:
    assert not room(memory_mib=None).refusal({**START, "instances": 8})
    assert not room(instance_mib=None).refusal({**START, "instances": 8})


def test_the_present_configuration_is_in_the_space_whatever_the_rules_say() -> None:
    odd: Configuration = {"instances": 5, "max_queue_delay_us": 90_000, "threads": 7, "max_batch_size": 24}
    found = space(odd, room())
    assert found.allowed(odd)
    assert all(odd[name] in found.axes[name] for name in odd)
    assert not found.allowed({**odd, "threads": 8})


def test_a_model_whose_requests_may_wait_is_not_tried_without_joining_them() -> None:
    plain = model()
    assert "dynamic" in now(plain.batching, plain)
    assert "dynamic" not in now(Batching(preferred_batch_sizes=[8]), plain)
    assert "dynamic" not in now(Batching(queue=Queue(timeout_us=100)), plain)
    with pytest.raises(ValueError, match="queue is about requests that are joined, and dynamic is false"):
        Batching(dynamic=False, queue=Queue(timeout_us=100))


def test_every_setting_is_a_key_of_batching() -> None:
    assert set(AXES) <= set(Batching.model_fields)


@pytest.mark.parametrize(
    ("changes", "ragged"),
    [
        ({}, False),
        ({"padding": {"length": 0.0}}, True),
        ({"padding": {"length": 0.0}, "inputs": []}, True),  # an ONNX file or a SavedModel says its inputs itself
    ],
)
def test_lengths_are_joined_only_where_padding_is_known(changes: dict[str, Any], ragged: bool) -> None:
    found = model(**changes)
    assert may_be_ragged(found) is ragged
    assert [name in now(found.batching, found) for name in ("ragged", "length_buckets")] == [ragged, ragged]


def test_padding_of_an_axis_that_no_input_has_joins_nothing() -> None:
    fixed = model().model_copy(
        update={"inputs": [TensorSpec(name="x", dtype="float32", dims=["batch", 8])], "padding": {"length": 0.0}}
    )
    assert not may_be_ragged(fixed)


def test_lengths_of_the_requests_say_which_buckets_are_tried_and_the_present_ones_are_among_them() -> None:
    padded = model(padding={"length": 0.0}, batching=Batching(ragged=True, length_buckets=[24, 48]))
    start = now(padded.batching, padded)
    found = space(start, room(lengths=(8, 16, 20, 32, 32, 64)))
    assert found.axes["length_buckets"] == ((), (8, 16, 32, 64), (16, 32, 64), (24, 48))
    assert space(start, room()).axes["length_buckets"] == ((), (24, 48))
    plain = found.after({**start, "length_buckets": ()}, (("ragged", -1),))
    assert plain is not None and not plain["ragged"]
    assert found.after(start, (("ragged", -1),)) is None
    assert with_settings(padded.batching, {**start, "length_buckets": (16, 32, 64)}).length_buckets == [16, 32, 64]


def test_other_settings_leave_the_rest_of_the_table_alone() -> None:
    before = Batching.model_validate({"preferred_batch_sizes": [8, 32], "queue": {"timeout_us": 500}})
    after = with_settings(before, {**START, "instances": 3, "max_batch_size": 16})
    assert (after.instances, after.max_batch_size, after.queue.timeout_us) == (3, 16, 500)
    assert after.preferred_batch_sizes == [8]
