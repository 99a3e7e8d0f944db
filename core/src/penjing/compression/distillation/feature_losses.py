"""What the student's inner layers should have of the teacher's: feature maps, where they are large, relations.

As for the outputs, every loss gives one value per example. `keep` is what of the teacher's layer the loss needs: it is
computed once where the inputs stay the same.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from penjing.compression.distillation.resizing import to_common_size
from penjing.compression.settings.distillation import RelationLossSettings

EPSILON = 1e-12


class HintLoss:
    """The distance of two feature maps: mean of (teacher - projection(student))^2.

    Romero et al. 2015, "FitNets: hints for thin deep nets". The projection is theirs, a convolution of size 1 with
    bias, learned along; maps of equal width are compared as they are. Other than there, the distance is divided by the
    mean square of the teacher's map in the batch, so that a weight means the same for every layer: a student whose map
    is 0 has distance 1. Where spatial sizes differ the larger map is averaged to the smaller size (`resizing`).
    """

    def __init__(self, student_width: int, teacher_width: int) -> None:
        self.projection: Any = None
        if student_width != teacher_width:
            # On the last axis, a Dense layer is a convolution of size 1, whatever the number of spatial axes.
            self.projection = keras.layers.Dense(teacher_width, name="projection")
            self.projection.build((None, student_width))

    def keep(self, teacher: Any) -> Any:
        """The whole map, shape (batch, ..., width)."""
        return teacher

    def compare(self, teacher: Any, student: Any, targets: Any) -> Any:
        """Shape (batch,)."""
        if self.projection is not None:
            student = self.projection(student)
        teacher, student = to_common_size(teacher, student, len(teacher.shape) - 2)
        axes = tuple(range(1, len(teacher.shape)))
        scale = ops.mean(ops.square(teacher)) + EPSILON
        return ops.mean(ops.square(student - teacher), axis=axes) / scale


class AttentionLoss:
    """The squared distance of two attention maps: sums over the channels of the squares, of length 1.

    Zagoruyko and Komodakis 2017, "Paying more attention to attention", activation-based with p = 2. Widths may differ;
    where spatial sizes do, the sums of the larger map are averaged to the smaller size (`resizing`).
    """

    def keep(self, teacher: Any) -> Any:
        """The sums of squares, shape (batch, ...)."""
        return energies(teacher)

    def compare(self, teacher: Any, student: Any, targets: Any) -> Any:
        """Shape (batch,), from 0 to 2."""
        teacher, student = to_common_size(teacher, energies(student), len(teacher.shape) - 1)
        return ops.sum(ops.square(of_length_1(student) - of_length_1(teacher)), axis=-1)


class RelationLoss:
    """How the examples of a batch lie to each other: Huber's distance of their mutual distances, in units of the mean
    distance, and of the cosines of the angles of all triplets.

    Park et al. 2019, "Relational knowledge distillation". Feature maps are averaged over their positions. An example's
    value is the mean over the pairs and triplets in which it is the first point, or the vertex.
    """

    def __init__(self, settings: RelationLossSettings) -> None:
        self.settings = settings

    def keep(self, teacher: Any) -> Any:
        """One vector per example, shape (batch, width)."""
        return pooled(teacher)

    def compare(self, teacher: Any, student: Any, targets: Any) -> Any:
        """Shape (batch,)."""
        student = pooled(student)
        value = ops.zeros_like(student[:, 0])
        count = ops.cast(ops.shape(student)[0], student.dtype)
        if self.settings.distance:
            difference = relative_distances(student) - relative_distances(teacher)
            pairs = ops.sum(_huber(difference), axis=-1) / ops.maximum(count - 1, 1)
            value += self.settings.distance * pairs
        if self.settings.angle:
            difference = angle_cosines(student) - angle_cosines(teacher)
            triplets = ops.sum(_huber(difference), axis=(-2, -1)) / ops.maximum((count - 1) * (count - 2), 1)
            value += self.settings.angle * triplets
        return value


def energies(features: Any) -> Any:
    """Where a feature map is large: the sum of squares over the channels. (batch, ..., width) to (batch, ...)."""
    return ops.sum(ops.square(features), axis=-1)


def of_length_1(values: Any) -> Any:
    """One vector of length 1 per example. (batch, ...) to (batch, positions)."""
    flat = ops.reshape(values, (ops.shape(values)[0], -1))
    return flat / ops.sqrt(ops.sum(ops.square(flat), axis=-1, keepdims=True) + EPSILON)


def pooled(features: Any) -> Any:
    """One vector per example: the mean over all positions. (batch, ..., width) to (batch, width)."""
    axes = tuple(range(1, len(features.shape) - 1))
    return ops.mean(features, axis=axes) if axes else features


def relative_distances(vectors: Any) -> Any:
    """Distances of all pairs, divided by their mean. (batch, width) to (batch, batch)."""
    distances = ops.sqrt(ops.sum(ops.square(_differences(vectors)), axis=-1) + EPSILON)
    count = ops.cast(ops.shape(vectors)[0], vectors.dtype)
    mean = ops.sum(distances) / ops.maximum(count * (count - 1), 1)
    return distances / (mean + EPSILON)


def angle_cosines(vectors: Any) -> Any:
    """Cosines of the angles of all triplets: entry (j, i, k) is the angle at j between i and k. (batch, width) to
    (batch, batch, batch)."""
    differences = _differences(vectors)
    directions = differences / ops.sqrt(ops.sum(ops.square(differences), axis=-1, keepdims=True) + EPSILON)
    return ops.matmul(directions, ops.transpose(directions, (0, 2, 1)))


def _differences(vectors: Any) -> Any:
    """Entry (j, i) is vector i minus vector j."""
    return ops.expand_dims(vectors, 0) - ops.expand_dims(vectors, 1)


def _huber(difference: Any) -> Any:
    size = ops.abs(difference)
    return ops.where(size <= 1.0, 0.5 * ops.square(difference), size - 0.5)
