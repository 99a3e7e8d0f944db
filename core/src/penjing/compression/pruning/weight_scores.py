"""How much a weight matters: magnitude, movement, Taylor. The last two gather gradients while the model trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import keras
import numpy as np

from penjing.compression.losses import Loss, as_targets
from penjing.contract import Split, Task

Criterion = Literal["magnitude", "movement", "taylor"]


class WeightScores:
    """Scores of the weights, with the state that gathering them needs. Its `variables` belong into checkpoints.

    - magnitude: |w|. Han et al. 2015, "Learning both weights and connections for efficient neural networks".
    - movement: S = -sum over updates of w dL/dw. Sanh, Wolf and Rush 2020, "Movement pruning: adaptive sparsity by
      fine-tuning", equation 2 without the constant learning rate. Weights that are masked keep their last value aside
      and go on collecting scores through the gradient of the masked model (straight through), so they may come back.
    - taylor: sum of (w dL/dw)^2 over the updates since the last change of the mask. Molchanov et al. 2019,
      "Importance estimation for neural network pruning", equation 8. Weights that are masked stay so.
    """

    def __init__(self, criterion: Criterion, weights: Mapping[str, Any], masks: Mapping[str, Any]) -> None:
        """
        Args:
            weights: The model's variables by key.
            masks: float32 variables of the same shapes; 1 = kept.
        """
        self.criterion = criterion
        self.weights = weights
        self.masks = masks
        self.sums: dict[str, Any] = {}
        self.aside: dict[str, Any] = {}
        """Values of weights at the last change of the mask, those that are masked now among them."""
        for index, (key, weight) in enumerate(weights.items()):
            if criterion != "magnitude":
                self.sums[key] = _state(np.zeros(weight.shape), f"score_{index}")
            if criterion == "movement":
                self.aside[key] = _state(np.asarray(weight), f"aside_{index}")

    @property
    def variables(self) -> list[Any]:
        """State beside masks and weights."""
        return [*self.sums.values(), *self.aside.values()]

    def values(self) -> dict[str, np.ndarray]:
        """Scores by key, the higher the more a weight matters."""
        if self.criterion == "magnitude":
            return {key: np.abs(np.asarray(weight)) for key, weight in self.weights.items()}
        return {key: np.array(total) for key, total in self.sums.items()}

    def gone(self) -> dict[str, np.ndarray]:
        """Weights that cannot come back, by key: for movement none."""
        return {
            key: np.zeros(mask.shape, bool) if self.criterion == "movement" else np.asarray(mask) < 0.5
            for key, mask in self.masks.items()
        }

    def change_masks(self, masks: Mapping[str, np.ndarray]) -> None:
        """Set masks (True = kept) and weights; what comes back takes the value that it left with."""
        for key, mask in masks.items():
            values = np.asarray(self.weights[key])
            if self.criterion == "movement":
                values = np.where(np.asarray(self.masks[key]) > 0.5, values, np.asarray(self.aside[key]))
                self.aside[key].assign(values)
            self.masks[key].assign(mask.astype("float32"))
            self.weights[key].assign(np.where(mask, values, 0.0).astype(values.dtype))
            if self.criterion == "taylor":
                self.sums[key].assign(np.zeros(mask.shape, "float32"))

    def gather(self, gradients: Mapping[str, Any]) -> None:
        """Add what one update's gradients say; called inside the training step."""
        ops = keras.ops
        for key, gradient in gradients.items():
            weight = ops.convert_to_tensor(self.weights[key])
            if self.criterion == "movement":
                whole = ops.where(self.masks[key] > 0.5, weight, self.aside[key])
                self.sums[key].assign_sub(gradient * whole)
            else:
                self.sums[key].assign_add(ops.square(gradient * weight))

    def wrap(self, model: keras.Model, loss: Loss) -> tuple[keras.Model, Loss]:
        """What `context.fit` fits in the model's place, so that gradients are seen. The model itself learns."""
        return ScoredModel(model, self), loss

    def gather_once(self, model: keras.Model, loss: Loss, train: Split, task: Task, batches: int, seed: int) -> None:
        """Scores before any update, from batches of 32 training examples that the seed chooses."""
        import tensorflow as tf

        chosen = np.random.default_rng(seed).permutation(len(train))[: 32 * batches]
        targets = as_targets(task, train.y, model.outputs[0].shape[1:])
        variables = list(self.weights.values())
        for start in range(0, len(chosen), 32):
            rows = np.sort(chosen[start : start + 32])
            x = train.x
            batch = (
                {name: np.asarray(value)[rows] for name, value in x.items()}
                if isinstance(x, dict)
                else np.asarray(x)[rows]
            )
            with tf.GradientTape() as tape:
                value = tf.reduce_mean(loss(targets[rows], model(batch, training=False)))
            gradients = tape.gradient(value, [variable.value for variable in variables])
            self.gather(dict(_dense(zip(self.weights, gradients, strict=True))))


class ScoredModel(keras.Model):
    """Trains the model inside as Keras does, and hands every update's gradients to the scores."""

    def __init__(self, inner: keras.Model, scores: WeightScores) -> None:
        super().__init__()
        self.inner = inner
        self._scores = scores

    def call(self, x: Any, training: bool = False) -> Any:
        return self.inner(x, training=training)

    def train_step(self, data: Any) -> dict[str, Any]:
        import tensorflow as tf

        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            outputs = self.inner(x, training=True)
            loss = self.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=weight, training=True)
        variables = self.inner.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        by_variable = {id(variable): gradient for variable, gradient in zip(variables, gradients, strict=True)}
        scores = self._scores
        seen = dict(_dense((key, by_variable.get(id(variable))) for key, variable in scores.weights.items()))
        scores.gather(seen)
        for key, gradient in seen.items():
            # Masked weights rest: neither they nor the optimizer's moments move.
            by_variable[id(scores.weights[key])] = gradient * scores.masks[key]
        self.optimizer.apply([by_variable[id(variable)] for variable in variables], variables)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=tf.shape(keras.tree.flatten(x)[0])[0])
        return {metric.name: metric.result() for metric in self.metrics}


def _dense(gradients: Any) -> Any:
    """(key, gradient) pairs without those that have none; gradients of embeddings as whole arrays."""
    import tensorflow as tf

    for key, gradient in gradients:
        if gradient is not None:
            yield key, tf.convert_to_tensor(gradient)


def _state(values: np.ndarray, name: str) -> Any:
    return keras.Variable(np.asarray(values, "float32"), trainable=False, name=name)
