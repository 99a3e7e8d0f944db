"""What a person reads after a run: one HTML page that works offline, and a table in the terminal."""

from __future__ import annotations

from penjing.report.page import ReportInput, StepRow, render_report
from penjing.report.schema import load_metrics_schema

__all__ = ["ReportInput", "StepRow", "load_metrics_schema", "render_report"]
