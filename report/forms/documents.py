"""The JSON forms of a report: the contract itself, and what to deploy."""

from __future__ import annotations

import json

from pydantic import BaseModel

from contract.verdict import Report
from report.recommending import recommend


def render_json(report: Report) -> str:
    """report.json."""
    return _document(report)


def render_recommendation(report: Report) -> str:
    """recommendation.json."""
    return _document(recommend(report))


def _document(model: BaseModel) -> str:
    return json.dumps(model.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
