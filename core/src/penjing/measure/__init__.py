"""Measure a .tflite file: flash, operations, latency, arena. Measured, not estimated, wherever that can be."""
