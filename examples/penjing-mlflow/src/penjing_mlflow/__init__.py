"""Runs of penjing as runs of MLflow."""
