"""Data for small models: readers of the fields' formats, splits that refuse leakage, seeded sample generators.

This package knows nothing of penjing's engine and needs no TensorFlow.
"""
