"""Broken on purpose: is written for another version of the contract."""

raise RuntimeError("imported, though its contract is not understood")
