"""A table that is input and output at once, as recommendation has it."""

from __future__ import annotations

import keras
from keras import ops


class Tied(keras.layers.Embedding):
    """Looks up, and multiplies with the whole table."""

    def call(self, inputs, score: bool = False):
        return ops.matmul(inputs, ops.transpose(self.embeddings)) if score else super().call(inputs)

    def compute_output_spec(self, inputs, score: bool = False):
        shape = (inputs.shape[0], self.input_dim) if score else (*inputs.shape, self.output_dim)
        return keras.KerasTensor(shape, dtype="float32")
