"""penjing's conformance kit: each check is a test of its own, and says what to do where it fails.

What is known to fail goes into conformance.toml beside plugin.py, with the reason."""

from __future__ import annotations

from penjing.testing import PluginUnderTest, parametrize_with_checks


@parametrize_with_checks([PluginUnderTest.named("penjing-mlflow")])
def test_conformance(subject, check) -> None:
    check(subject)
