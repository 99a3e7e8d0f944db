"""The one training loop: as many updates as are asked for, balanced where asked, and no silence about divergence."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from penjing.compression.finetuning import Trainer, balanced_weights
from penjing.compression.losses import as_logits, as_targets, output_kind
from penjing.compression.settings.training import TrainingSettings
from penjing.contract import Split
from penjing.errors import ModelError


def network(activation: str | None = "softmax") -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation=activation)])


@pytest.fixture
def trainer(tmp_path: Path) -> Trainer:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(50, 4)).astype("float32")
    split = Split(x=x, y=x[:, :3].argmax(axis=1), ids=[str(i) for i in range(50)])

    def evaluate(model: keras.Model) -> float:
        return float(np.mean(model.predict(x, verbose=0).argmax(1) == split.y))

    return Trainer(
        task="classification",
        train=split,
        validation=split,
        seed=0,
        folder=tmp_path,
        evaluate=evaluate,
        higher_is_better=True,
    )


@pytest.mark.parametrize(("min_updates", "expected"), [(0, 10), (10, 10), (11, 20), (100, 100)])
def test_few_examples_are_passed_several_times_an_epoch(trainer: Trainer, min_updates: int, expected: int) -> None:
    seen: list[tuple[int, int]] = []
    history = trainer.fit(
        network(),
        TrainingSettings(epochs=2, batch_size=10, min_updates=min_updates),
        on_update=lambda done, updates: seen.append((done, updates)),
    )
    assert len(history["loss"]) == 2
    assert [done for done, _ in seen] == list(range(expected))
    assert {updates for _, updates in seen} == {expected}


@pytest.mark.parametrize(("max_updates", "expected"), [(0, 10), (4, 4), (5, 4), (1, 2), (100, 10)])
def test_many_examples_are_drawn_from_until_there_are_so_many_updates(
    trainer: Trainer, max_updates: int, expected: int
) -> None:
    seen: list[tuple[int, int]] = []
    history = trainer.fit(
        network(),
        TrainingSettings(epochs=2, batch_size=10, max_updates=max_updates),
        on_update=lambda done, updates: seen.append((done, updates)),
    )
    assert len(history["loss"]) == 2
    assert [done for done, _ in seen] == list(range(expected))
    assert {updates for _, updates in seen} == {expected}


@pytest.mark.parametrize("activation", ["softmax", None])
def test_it_learns_from_probabilities_and_from_logits(trainer: Trainer, activation: str | None) -> None:
    model = network(activation)
    history = trainer.fit(model, TrainingSettings(epochs=60, batch_size=10, learning_rate=0.05))
    assert history["validation"][-1] > 0.9
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def test_the_best_epochs_weights_are_kept_when_asked(trainer: Trainer) -> None:
    model = network()
    settings = TrainingSettings(epochs=8, batch_size=10, learning_rate=0.3, optimizer="sgd", keep="best")
    history = trainer.fit(model, settings)
    assert trainer.evaluate(model) == max(history["validation"])


def test_divergence_is_an_error_with_a_remedy(trainer: Trainer) -> None:
    settings = TrainingSettings(epochs=5, batch_size=10, optimizer="sgd", learning_rate=1e30, schedule="constant")
    with pytest.raises(ModelError, match="training diverged") as caught:
        trainer.fit(network(None), settings, loss=keras.losses.MeanSquaredError())
    assert "learning_rate" in (caught.value.hint or "")


def test_balanced_weights_give_every_class_the_same_say() -> None:
    targets = as_targets("classification", np.array([0] * 8 + [1] * 2), (2,))
    weights = balanced_weights("classification", targets)
    assert weights.mean() == pytest.approx(1)
    assert weights[:8].sum() == pytest.approx(weights[8:].sum())
    with pytest.raises(ModelError):
        balanced_weights("regression", targets)


def test_outputs_are_recognised_and_turned_into_logits() -> None:
    assert output_kind(network("softmax")) == "softmax"
    assert output_kind(network(None)) == "linear"
    inputs = keras.Input((4,))
    assert output_kind(keras.Model(inputs, network("softmax")(inputs))) == "softmax"
    logits = np.array([[1.0, -2.0, 0.5]], "float32")
    back = np.asarray(as_logits(keras.ops.softmax(logits), "softmax"))
    assert np.allclose(back - back.mean(), logits - logits.mean(), atol=1e-5)
    assert np.allclose(as_logits(keras.ops.sigmoid(logits), "sigmoid"), logits, atol=1e-5)
