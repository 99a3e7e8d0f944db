"""Pruning: of single weights."""
