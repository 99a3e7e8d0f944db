"""The JSON schema of metrics.json."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def load_metrics_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) that every metrics.json fits."""
    text = resources.files("penjing.report").joinpath("metrics.schema.json").read_text("utf-8")
    return json.loads(text)
