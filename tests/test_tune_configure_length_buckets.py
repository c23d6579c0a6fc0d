"""Buckets that are tried come from the lengths of the requests: none is wasted, and the last holds the longest."""

from __future__ import annotations

import numpy as np
import pytest

from contract.batching import Batching
from contract.golden import Example
from contract.tensors import TensorSpec
from tune.configuration.length_buckets import Buckets, choices, lengths_of


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ((), ((),)),
        ((32, 32, 32), ((),)),  # one shape already
        ((8, 16, 20, 32, 32, 64), ((), (8, 16, 32, 64), (16, 32, 64))),
        ((5, 6, 7, 100), ((), (8, 16, 32, 64, 128), (6, 7, 100))),
        ((1, 2), ((), (1, 2))),  # powers and quantiles are the same
        ((0, 3), ((), (1, 2, 4), (1, 3))),  # an empty request is padded too
    ],
)
def test_choices_go_from_the_most_shapes_to_the_fewest(lengths: Buckets, expected: tuple[Buckets, ...]) -> None:
    assert choices(lengths) == expected


@pytest.mark.parametrize("seed", range(20))
def test_every_choice_is_a_setting_that_holds_the_longest_and_wastes_no_bucket(seed: int) -> None:
    random = np.random.default_rng(seed)
    lengths = tuple(int(length) for length in random.integers(1, 700, random.integers(2, 90)))
    none, *others = choices(lengths)
    assert none == () and others
    for buckets in others:
        assert Batching(ragged=True, length_buckets=list(buckets)).length_buckets == list(buckets)
        assert buckets[-1] >= max(lengths)
        assert any(length <= buckets[0] for length in lengths)
        assert any(buckets[-2:][0] < length <= buckets[-1] for length in lengths) or len(buckets) == 1
    assert [len(buckets) for buckets in others] == sorted((len(buckets) for buckets in others), reverse=True)


def test_only_axes_that_may_be_padded_have_a_length() -> None:
    inputs = [
        TensorSpec(name="tokens", dtype="int64", dims=["batch", "length"]),
        TensorSpec(name="pixels", dtype="float32", dims=["batch", "width", 3]),
    ]
    examples = [
        Example(f"r{number:04d}", {"tokens": np.zeros((2, size), np.int64), "pixels": np.zeros((2, 7, 3), np.float32)})
        for number, size in enumerate((4, 9))
    ]
    assert lengths_of(examples, inputs, {"length": 0.0}) == (4, 9)
    assert lengths_of(examples, inputs, {}) == lengths_of(examples, [], {"length": 0.0}) == ()
