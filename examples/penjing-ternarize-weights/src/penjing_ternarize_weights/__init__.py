"""Ternary weights as a step of a recipe."""
