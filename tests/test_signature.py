"""What of a signature a client sees, and what is only said in models.toml."""

from __future__ import annotations

from typing import Any

import pytest

from contract.errors import UsageError
from contract.tensors import TensorSpec
from serving.layout.signature import alike, in_words
from serving.rolling.roll import _insist_on_signature
from tests.builders import LOGITS, TOKENS, endpoint, served, workspace


def tokens(**changes: Any) -> list[TensorSpec]:
    return [TensorSpec.model_validate(TOKENS.model_dump() | changes)]


@pytest.mark.parametrize("changes", [{"range": (0, 9)}, {"dims": ["rows", "words"]}])
def test_example_values_and_names_of_axes_are_nothing_to_a_client(changes: dict[str, Any]) -> None:
    assert alike([TOKENS], tokens(**changes))


@pytest.mark.parametrize(
    "changes", [{"name": "words"}, {"dtype": "int32"}, {"dims": ["batch", 8]}, {"dims": ["batch", "length", "depth"]}]
)
def test_another_name_dtype_or_shape_is_another_signature_and_shows_in_words(changes: dict[str, Any]) -> None:
    assert not alike([TOKENS], tokens(**changes))
    assert in_words([TOKENS]) != in_words(tokens(**changes))


def test_one_tensor_more_or_in_another_place_is_another_signature() -> None:
    assert not alike([TOKENS], [TOKENS, LOGITS])
    assert not alike([LOGITS, TOKENS], [TOKENS, LOGITS])


def test_a_roll_refuses_what_clients_would_see_and_nothing_else(tmp_path: Any) -> None:
    item = served(workspace(tmp_path))
    _insist_on_signature(item, endpoint(inputs=tokens(range=(0, 9), dims=["rows", "words"]), outputs=[LOGITS]))
    with pytest.raises(
        UsageError, match=r"inputs are tokens int64 \[batch, length\] instead of tokens int64 \[batch, 8"
    ):
        _insist_on_signature(item, endpoint(inputs=tokens(dims=["batch", 8]), outputs=[LOGITS]))
