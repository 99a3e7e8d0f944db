"""Keyword spotting: a few spoken words, recognised on a device."""
