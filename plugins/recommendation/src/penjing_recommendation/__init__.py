"""Recommendation: what comes next after the recent history."""

DOMAIN = "recommendation"
"""The domain's name."""
