"""Pruning: of single weights, and of channels that are provably dead."""
