"""Bundles of penjing as ONNX."""
