"""Keyword spotting: a few spoken words, recognised on a device."""

DOMAIN = "keyword-spotting"
"""The domain's name."""
