"""Broken on purpose: has no hook at all."""

NAME = "nothing"
