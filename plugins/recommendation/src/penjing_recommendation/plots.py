"""The domain's part of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penjing.contract import Evaluation, ReportSection


def report_section(metrics: Mapping[str, Any], evaluation: Evaluation) -> ReportSection:
    """Drawings from the content of metrics.json."""
    return ReportSection(title="Who is served, and by what", html="<p></p>")
