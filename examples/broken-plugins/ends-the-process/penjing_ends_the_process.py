"""Broken on purpose: ends the process while it is imported."""

raise SystemExit(3)
