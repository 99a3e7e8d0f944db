"""penjing's conformance kit: each check is a test of its own, and says what to do where it fails."""

from __future__ import annotations

from penjing.testing import ExporterUnderTest, parametrize_with_checks

KNOWN_FAILURES: dict[str, str] = {}
"""By check, each with its reason. One that holds again fails the test."""


@parametrize_with_checks([ExporterUnderTest("onnx")], KNOWN_FAILURES)
def test_conformance(subject, check) -> None:
    check(subject)
