"""Clustering: weights that share their values."""
