"""Fraud detection: transactions scored as they come, on their history up to that moment."""

DOMAIN = "fraud-detection"
"""The domain's name."""
