"""What the training stage states beside the weights, or the source: card.json, as the example models have one.

The name is a common one. A file of somebody else is no error: of it is taken what a manifest can say, mostly nothing.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AllowInfNan, Strict, StrictInt, StrictStr, TypeAdapter, ValidationError

from contract.config import Model

CARD = "card.json"
KEYS = ("accuracy", "majority_baseline", "test_rows", "data_sha256")

_card = TypeAdapter(dict[str, Any])
_value: TypeAdapter[float | int | str] = TypeAdapter(
    Annotated[float, Strict(), AllowInfNan(False)] | StrictInt | StrictStr
)


def stated(model: Model) -> dict[str, float | int | str]:
    """Accuracy, baseline, size of the test part, hash of the data: those that are stated, as plain values."""
    beside = model.weights or model.path
    if beside is None:
        return {}
    try:
        card = _card.validate_json((beside.parent / CARD).read_bytes())
    except (OSError, ValidationError):
        return {}
    return {key: card[key] for key in KEYS if key in card and _plain(card[key])}


def _plain(value: object) -> bool:
    try:
        _value.validate_python(value)
    except ValidationError:
        return False
    return True
