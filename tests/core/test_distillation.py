"""distill: every loss teaches what it says, every teacher is asked about what it may be asked, and nothing leaks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import spearmanr

import penjing
from distilling import accuracy, context, distil, image_context, image_network, part, rmse
from penjing.compression import finetuning
from penjing.compression.distillation import technique
from penjing.compression.settings.distillation import DistillSettings
from penjing.compression.settings.training import TrainingSettings
from penjing.contract import Task
from penjing.errors import ModelError, RecipeError, UsageError
from penjing.recipe import Recipe

layers = keras.layers

# ----------------------------------------------------------------------------------- a teacher is worth something


def linear(outputs: int, seed: int, activation: str | None = None, name: str = "linear") -> keras.Model:
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((20,)), layers.Dense(outputs, activation=activation)], name=name)


def knowing_teacher(outputs: int, activation: str | None = None) -> keras.Model:
    """It holds the truth, with confidence."""
    teacher = linear(outputs, 7, activation, "teacher")
    kernel = np.random.default_rng(9).normal(0, 1.0, (20, outputs)).astype("float32")
    teacher.set_weights([kernel, np.zeros(outputs, "float32")])
    return teacher


def few_labels(teacher: keras.Model, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(3).normal(size=(count + 500, 20)).astype("float32")
    return x, teacher.predict(x, verbose=0)


# Many passes make an epoch: an epoch costs more than its updates here.
LINEAR = {"epochs": 1, "min_updates": 180, "batch_size": 20, "learning_rate": 0.05, "weight_decay": 0.0}


@pytest.mark.parametrize(("loss", "activation"), [("outputs", None), ("decoupled", "softmax")])
def test_a_good_teacher_beats_few_labels_alone(tmp_path: Path, loss: str, activation: str | None) -> None:
    teacher = knowing_teacher(5, activation)
    x, outputs = few_labels(teacher)
    y = outputs.argmax(1)
    train, validation = part(x, y, slice(60), "train"), part(x, y, slice(60, None), "validation")

    def final(settings: dict, student_seed: int = 0) -> float:
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        place.mkdir()
        student = linear(5, student_seed, activation)
        bench = context(student, train, validation, place, task="classification", metric=accuracy, teacher=teacher)
        if not settings:
            bench.fit(student, DistillSettings(**LINEAR))
            return bench.evaluate(student)
        return distil(bench, settings).figures["validation_after"]

    alone = final({})
    taught = final({**LINEAR, "weight": 0.9, "temperature": 4.0, "losses": [{"kind": loss}]})
    assert alone < 0.85
    assert taught > alone + 0.08


def test_a_regression_learns_the_teachers_values_from_noisy_targets(tmp_path: Path) -> None:
    teacher = knowing_teacher(2)
    x, truth = few_labels(teacher)
    noisy = (truth + np.random.default_rng(1).normal(0, 8, truth.shape)).astype("float32")
    train, validation = part(x, noisy, slice(60), "train"), part(x, truth, slice(60, None), "validation")
    found = {}
    for weight in (0.01, 0.99):
        bench = context(
            linear(2, 0), train, validation, tmp_path, task="regression", metric=rmse, direction="lower",
            teacher=teacher,
        )  # fmt: skip
        found[weight] = distil(bench, {**LINEAR, "min_updates": 300, "weight": weight})
    assert found[0.99].figures["validation_after"] < 0.3 * found[0.01].figures["validation_after"]
    assert found[0.99].figures["teacher_validation"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("loss", [{}, {"comparison": "pairwise", "candidates": 6}])
def test_a_ranking_learns_the_teachers_order_of_the_candidates(tmp_path: Path, loss: dict) -> None:
    teacher = knowing_teacher(12)
    x, scores = few_labels(teacher)
    y = scores.argmax(1)

    def order(_: Any, outputs: Any) -> float:
        """Agreement with the teacher's order."""
        truth = scores[60:]
        return float(np.mean([spearmanr(a, b).statistic for a, b in zip(truth, outputs, strict=True)]))

    train, validation = part(x, y, slice(60), "train"), part(x, y, slice(60, None), "validation")
    bench = context(linear(12, 0), train, validation, tmp_path, task="ranking", metric=order, teacher=teacher)
    found = distil(bench, {**LINEAR, "weight": 0.95, "losses": [{"kind": "outputs", **loss}]})
    alone = linear(12, 0)
    bench.fit(alone, DistillSettings(**LINEAR))
    assert found.figures["validation_after"] > max(0.8, bench.evaluate(alone) + 0.1)


def test_one_score_cannot_be_ranked(tmp_path: Path) -> None:
    teacher = knowing_teacher(1)
    x, y = few_labels(teacher)
    data = part(x, y, slice(60), "train")
    bench = context(linear(1, 0), data, data, tmp_path, task="ranking", metric=rmse, teacher=teacher)
    with pytest.raises(ModelError, match="scores of several candidates"):
        distil(bench, {})


@pytest.mark.parametrize(("task", "outputs", "activation"), [("binary", 1, None), ("multilabel", 3, "sigmoid")])
def test_independent_labels_are_taught_too(tmp_path: Path, task: Task, outputs: int, activation: str | None) -> None:
    teacher = knowing_teacher(outputs, activation)
    x, scores = few_labels(teacher, 30)
    y = (scores > (0.5 if activation else 0.0)).astype("float32")
    flipped = np.where(np.random.default_rng(0).random(y.shape) < 0.3, 1 - y, y)

    def right(targets: Any, outputs: Any) -> float:
        return float(np.mean((outputs > (0.5 if activation else 0.0)) == np.asarray(targets).reshape(outputs.shape)))

    train, validation = part(x, flipped, slice(30), "train"), part(x, y, slice(30, None), "validation")
    bench = context(linear(outputs, 0, activation), train, validation, tmp_path, task=task, metric=right,
                    teacher=teacher)  # fmt: skip
    assert distil(bench, {**LINEAR, "weight": 0.95}).figures["validation_after"] > 0.85
    alone = linear(outputs, 0, activation)
    bench.fit(alone, DistillSettings(**LINEAR))
    assert bench.evaluate(alone) < 0.8


# ------------------------------------------------------------------------------------------ recurrent, several inputs


def series_network(kind: str, units: int, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    series, mark = keras.Input((6, 2), name="series"), keras.Input((3,), name="mark")
    cell = {"lstm": layers.LSTM, "gru": layers.GRU, "simple": layers.SimpleRNN}[kind]
    x = cell(units, return_sequences=True, name="steps")(series)
    x = layers.Concatenate(name="joined")([cell(units, name="last_step")(x), mark])
    x = layers.Dense(units, activation="relu", name="hidden")(x)
    outputs = layers.Reshape((2, 1), name="horizon")(layers.Dense(2, name="head")(x))
    return keras.Model({"series": series, "mark": mark}, outputs, name=kind)


def test_recurrent_models_of_several_inputs_teach_a_forecast(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x = {"mark": generator.normal(size=(120, 3)), "series": generator.normal(size=(120, 6, 2))}
    x = {name: values.astype("float32") for name, values in x.items()}
    bigger = series_network("lstm", 8, 0)
    y = bigger.predict(x, verbose=0)
    train, validation = part(x, y, slice(80), "train"), part(x, y, slice(80, None), "validation")
    bench = context(
        series_network("gru", 4, 1), train, validation, tmp_path, task="forecast", metric=rmse, direction="lower",
        teacher=bigger,
    )  # fmt: skip
    losses = [{"kind": "outputs", "distance": "huber"}, {"kind": "hints"}, {"kind": "relations", "weight": 0.1}]
    outcome = distil(bench, {"epochs": 2, "min_updates": 50, "batch_size": 20, "learning_rate": 0.02, "losses": losses})
    assert outcome.figures["validation_after"] < 0.8 * outcome.figures["validation_before"]
    assert outcome.figures["loss_hints_last"] < outcome.figures["loss_hints_first"]


# ------------------------------------------------------------------------------------------------------- teachers


def test_a_teacher_sees_the_augmented_inputs(tmp_path: Path) -> None:
    """The augmentation moves the first feature to where the teacher's answer is another. A teacher that was asked about
    the inputs before would have said the opposite, of every example."""
    teacher = linear(2, 0, "softmax", "teacher")
    kernel = np.zeros((20, 2), "float32")
    kernel[0, 1] = 3.0
    teacher.set_weights([kernel, np.array([0.0, -15.0], "float32")])
    x = np.random.default_rng(0).normal(size=(80, 20)).astype("float32")
    moved = x + np.eye(20, dtype="float32")[0] * 10
    train, validation = (part(values, np.ones(80, int), slice(None), "example") for values in (x, moved))
    bench = context(
        linear(2, 1, "softmax"), train, validation, tmp_path, task="classification", metric=accuracy, teacher=teacher,
        augment=lambda epoch, seed, options: (moved, np.zeros(80, int)),
    )  # fmt: skip
    assert bench.evaluate(teacher) == 1.0
    assert distil(bench, {**LINEAR, "min_updates": 60, "weight": 1.0}).figures["validation_after"] == 1.0


def test_signals_beside_and_signals_kept_make_the_same_student(
    toy_arrays: dict, image_teacher: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = [{"kind": "outputs"}, {"kind": "attention"}]
    found = []
    for limit in (technique.SIGNAL_BYTES, 0):
        monkeypatch.setattr(technique, "SIGNAL_BYTES", limit)
        place = tmp_path / str(limit)
        place.mkdir()
        outcome = distil(image_context(toy_arrays, place, image_teacher), {"epochs": 2, "losses": losses})
        found.append(outcome.model.get_weights())
        assert not list(place.glob("*signals*"))
    for first, second in zip(*found, strict=True):
        assert first == pytest.approx(second, abs=1e-3)


def test_the_callers_teacher_stays_as_it_was(toy_arrays: dict, image_teacher: keras.Model, tmp_path: Path) -> None:
    before = image_teacher.get_weights()
    distil(image_context(toy_arrays, tmp_path, image_teacher), {"epochs": 1, "losses": [{"kind": "hints"}]})
    assert image_teacher.trainable and len(image_teacher.trainable_variables) == 10
    assert all(np.array_equal(a, b) for a, b in zip(before, image_teacher.get_weights(), strict=True))


def test_several_teachers_of_different_seeds_say_their_mean(toy_arrays: dict, tmp_path: Path) -> None:
    """The members are trained apart; logits are averaged as probabilities."""
    from penjing.compression.distillation.teachers import mean_of_outputs

    members = [linear(3, seed) for seed in (1, 2)]
    together, kind = mean_of_outputs(members, "classification")
    x = np.random.default_rng(0).normal(size=(5, 20)).astype("float32")
    expected = np.mean([keras.ops.softmax(member(x)) for member in members], axis=0)
    assert kind == "softmax"
    assert together.predict(x, verbose=0) == pytest.approx(expected, abs=1e-6)
    built: list[keras.Model] = []

    def build_teacher() -> keras.Model:
        built.append(keras.models.clone_model(image_network(4, 0, "member")))
        return built[-1]

    bench = image_context(toy_arrays, tmp_path, None, build_teacher=build_teacher)
    settings = {"epochs": 1, "teacher": {"members": 2, "epochs": 1}}
    outcome = distil(bench, settings)
    assert len(built) == 2 and "2 teachers of" in outcome.summary
    first, second = (model.get_layer("hidden").get_weights()[0] for model in built[:2])
    assert not np.allclose(first, second)
    distil(replace(bench, model=image_network(6, 1, "student")), settings)
    assert len(built) == 2  # from the cache


def test_a_teacher_can_have_its_own_options_of_the_augmentation(toy_arrays: dict, tmp_path: Path) -> None:
    """The teacher is trained with the option, the student without; another value asks for another teacher."""
    drawn: list[dict] = []

    def augment(epoch: int, seed: int, options: Mapping[str, Any]) -> Any:
        drawn.append(dict(options))
        return toy_arrays["x"][:120], toy_arrays["y"][:120]

    def teacher(options: dict) -> dict:
        return {"epochs": 2, "teacher": {"epochs": 3, "augment_options": options}}

    bench = image_context(
        toy_arrays, tmp_path, None, augment=augment, build_teacher=lambda: image_network(4, 0, "teacher")
    )
    distil(bench, teacher({"loudness": 2.0}))
    assert drawn == [{"loudness": 2.0}] * 3 + [{}] * 2
    for options, trained in (({"loudness": 2.0}, 0), ({"loudness": 3.0}, 3), ({}, 3)):
        drawn.clear()
        distil(replace(bench, model=image_network(6, 1, "student")), teacher(options))
        assert drawn == [options] * trained + [{}] * 2


def test_options_of_an_augmentation_that_is_not_there_or_not_used_are_refused(toy_arrays: dict, tmp_path: Path) -> None:
    bench = image_context(toy_arrays, tmp_path, None, build_teacher=lambda: image_network(4, 0, "teacher"))
    with pytest.raises(UsageError, match="no augmentation to set loudness of"):
        distil(bench, {"teacher": {"augment_options": {"loudness": 2.0}}})
    for more in ({"source": "reference"}, {"augment": False}):
        with pytest.raises(ValidationError, match="augment_options are for a domain's teacher"):
            DistillSettings.model_validate({"teacher": {"augment_options": {"loudness": 2.0}, **more}})


def test_members_of_a_given_teacher_are_refused(toy_arrays: dict, image_teacher: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one teacher was given"):
        distil(image_context(toy_arrays, tmp_path, image_teacher), {"teacher": {"members": 2}})


def test_a_teacher_that_is_worse_is_told_of(toy_arrays: dict, image_teacher: keras.Model, tmp_path: Path) -> None:
    good = keras.models.clone_model(image_teacher)
    good.set_weights(image_teacher.get_weights())
    bench = image_context(toy_arrays, tmp_path, image_network(6, 5, "untrained"), good)
    worse = distil(bench, {"epochs": 1})
    assert "WARNING: the teacher is worse" in worse.summary
    assert worse.figures["teacher_validation"] < worse.figures["validation_before"]
    assert "WARNING" not in distil(image_context(toy_arrays, tmp_path, image_teacher), {"epochs": 1}).summary


def test_a_teacher_of_other_shapes_is_refused(toy_arrays: dict, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the teacher's inputs do not fit"):
        distil(image_context(toy_arrays, tmp_path, linear(4, 0)), {})


def test_an_estimator_teaches_out_of_fold(toy_arrays: dict, tmp_path: Path) -> None:
    """A nearest neighbour that had seen the tossed labels would be sure of them, and so would the student."""
    from sklearn.neighbors import KNeighborsClassifier

    y = np.random.default_rng(0).integers(0, 4, 600)
    bench = image_context({**toy_arrays, "y": y}, tmp_path, KNeighborsClassifier(1))
    outcome = distil(bench, {"epochs": 1, "teacher": {"folds": 4}})
    assert "KNeighborsClassifier, out of fold" in outcome.summary
    # The mean divergence of an untrained student from a teacher that tosses coins, not from one that knows the labels.
    assert outcome.figures["loss_labels_last"] == pytest.approx(1.4, abs=0.15)
    from penjing.compression.distillation.out_of_fold import soft_labels
    from penjing.compression.settings.distillation import TeacherSettings

    labels = soft_labels(bench, TeacherSettings(folds=4), KNeighborsClassifier(1))
    assert np.mean(labels.outputs.argmax(1) == bench.train.y) < 0.4


def test_groups_of_the_data_reach_the_folds(toy_arrays: dict, tmp_path: Path) -> None:
    from sklearn.neighbors import KNeighborsClassifier

    bench = image_context(toy_arrays, tmp_path, None)
    from penjing.compression.distillation.out_of_fold import soft_labels
    from penjing.compression.settings.distillation import TeacherSettings

    # Every example stands twice; its twin is in its group.
    twice = np.repeat(np.arange(100), 2)
    y = np.random.default_rng(0).integers(0, 4, 100)[twice]
    doubled = replace(bench.train, x=bench.train.x[twice], y=y)
    leaking = soft_labels(replace(bench, train=doubled), TeacherSettings(), KNeighborsClassifier(1))
    (tmp_path / "soft-labels.npz").unlink()
    grouped = replace(doubled, groups=twice.astype(str))
    honest = soft_labels(replace(bench, train=grouped), TeacherSettings(), KNeighborsClassifier(1))
    assert np.mean(leaking.outputs.argmax(1) == y) > 0.7
    assert np.mean(honest.outputs.argmax(1) == y) < 0.45


def test_an_estimator_is_not_asked_about_augmented_inputs(toy_arrays: dict, tmp_path: Path) -> None:
    bench = image_context(toy_arrays, tmp_path, None, augment=lambda epoch, seed, options: None)
    with pytest.raises(RecipeError, match="cannot teach on augmented inputs"):
        distil(bench, {"teacher": {"source": "estimator", "parameters": {"n_estimators": 5}}})


def test_the_reference_teaches_the_pruned_model_which_stays_pruned(
    toy_model: Path, toy_data: Path, tmp_path: Path
) -> None:
    recipe = """
    [[steps]]
    technique = "prune-weights"
    sparsity = 0.97
    epochs = 0
    [[steps]]
    technique = "distill"
    epochs = 2
    min_updates = 30
    learning_rate = 0.003
    teacher = { source = "reference" }
    [[steps.losses]]
    kind = "outputs"
    [[steps.losses]]
    kind = "hints"
    layers = [["relu", "relu"]]
    """
    result = penjing.compress(toy_model, recipe=Recipe.from_toml(recipe), data=toy_data, output=tmp_path / "run")
    assert result.bundle is not None
    step = json.loads((tmp_path / "run/steps/02-distill/outcome.json").read_text())
    assert step["figures"]["validation_after"] > step["figures"]["validation_before"] + 0.1
    assert "from the reference of" in step["summary"]
    model = keras.models.load_model(tmp_path / "run/steps/02-distill/model.keras", compile=False)
    assert (np.asarray(model.get_layer("hidden").kernel) == 0).mean() > 0.95


# -------------------------------------------------------------------------------------------- the narrower student


def test_a_narrower_copy_is_taught_from_scratch(toy_arrays: dict, image_teacher: keras.Model, tmp_path: Path) -> None:
    """Of the reference, not of what the last step left."""
    bench = image_context(toy_arrays, tmp_path, None, reference=lambda: image_teacher)
    outcome = distil(
        bench,
        {
            "student": "width",
            "width_multiplier": 0.5,
            "epochs": 1,
            "min_updates": 120,
            "batch_size": 20,
            "learning_rate": 0.01,
            "teacher": {"source": "reference"},
        },
    )
    assert outcome.model.get_layer("hidden").units == 12
    assert outcome.figures["student_parameters"] < 0.4 * outcome.figures["teacher_parameters"]
    assert outcome.figures["validation_after"] > 0.7
    assert ("hidden", "24 -> 12 units; new weights") in {(row.layer, row.change) for row in outcome.layers}


class Promise:
    summary = "3 weights stay zero"


def test_a_narrower_copy_keeps_no_promises_so_there_must_be_none(
    toy_arrays: dict, image_teacher: keras.Model, tmp_path: Path
) -> None:
    bench = image_context(toy_arrays, tmp_path, image_teacher)
    with pytest.raises(RecipeError, match="cannot keep the promises") as caught:
        distil(bench, {"student": "width"}, invariants=(Promise(),))
    assert "3 weights stay zero" in (caught.value.why or "")


def test_explaining_tells_the_new_widths(image_teacher: keras.Model) -> None:
    told = {
        change.layer: change.change
        for change in technique.explain(image_teacher, DistillSettings(student="width", width_multiplier=0.25))
    }
    assert told["backbone/conv"] == "12 -> 3 filters; new weights"
    assert {change.layer for change in technique.explain(image_teacher, DistillSettings())} == set(told)


# ---------------------------------------------------------------------------------------------------------- resuming


class CutOffError(Exception):
    pass


KINDS: dict[str, dict] = {
    "outputs": {"losses": [{"kind": "outputs"}, {"kind": "decoupled"}], "class_weight": "balanced", "keep": "best"},
    "layers": {"losses": [{"kind": "hints"}, {"kind": "attention"}, {"kind": "relations"}]},
    "estimator": {"teacher": {"source": "estimator", "parameters": {"n_estimators": 5}, "members": 2}},
    "width": {"student": "width"},
    "augmented": {"min_updates": 20},
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_training_that_was_cut_goes_on_to_the_same_weights(
    toy_arrays: dict, image_teacher: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(finetuning, "CHECKPOINT_SECONDS", 0.0)
    settings = {"epochs": 3, "batch_size": 50, **KINDS[kind]}
    x, y = toy_arrays["x"][:200], toy_arrays["y"][:200]

    def augment(epoch: int, seed: int, options: Any) -> tuple[np.ndarray, np.ndarray]:
        noise = np.random.default_rng((epoch, seed)).normal(0, 0.2, x.shape)
        return (x + noise).astype("float32"), y

    def run(name: str, cut_at: int | None = None) -> list[np.ndarray]:
        (tmp_path / name).mkdir(exist_ok=True)
        bench = image_context(
            toy_arrays, tmp_path / name, image_teacher, augment=augment if kind == "augmented" else None
        )
        trainer = bench.fit.__self__  # type: ignore[attr-defined]
        seen = []

        def evaluate(model: keras.Model) -> float:
            seen.append(len(seen))
            if cut_at is not None and len(seen) > cut_at:
                raise CutOffError
            return bench.evaluate(model)

        # What was drawn before, by a teacher that was trained or not, must not matter.
        keras.utils.set_random_seed(len(counted))
        outcome = distil(bench, settings, fit=replace(trainer, evaluate=evaluate).fit)
        counted.append(len(seen))
        return outcome.model.get_weights()

    counted: list[int] = []
    whole = run("whole")
    with pytest.raises(CutOffError):
        run("cut", cut_at=2)
    resumed = run("cut")
    assert counted == [3, 1]
    assert all(np.array_equal(first, second) for first, second in zip(whole, resumed, strict=True))


# ---------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"losses": [{"kind": "hints"}, {"kind": "hints"}]}, "each kind of loss may stand once"),
        ({"losses": []}, "at least 1 item"),
        ({"losses": [{"kind": "hint"}]}, "does not match any of the expected tags"),
        ({"losses": [{"kind": "hints"}], "teacher": {"source": "estimator"}}, "has no layers"),
        ({"losses": [{"kind": "hints"}], "teacher": {"members": 2}}, "cannot be averaged"),
        ({"losses": [{"kind": "relations"}], "batch_size": 512}, "batch_size"),
        ({"losses": [{"kind": "relations", "angle": 0, "distance": 0}]}, "nothing to compare"),
        ({"teacher": {"source": "reference", "members": 2}}, "one reference only"),
        ({"width_multiplier": 1.0}, "less than 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DistillSettings.model_validate(settings)


def test_a_mistake_in_a_table_of_losses_is_found_at_its_line() -> None:
    from penjing.compression.plan import plan_steps
    from penjing.host import PluginHost

    text = """
[[steps]]
technique = "distill"
[[steps.losses]]
kind = "hints"
layres = []

[[steps]]
technique = "quantize"
mode = "int7"
"""
    host = PluginHost.from_modules({})
    with pytest.raises(RecipeError, match="layres") as caught:
        plan_steps(Recipe.from_toml(text), host, host.resolve)
    assert "line 4" in (caught.value.where or "")
    with pytest.raises(RecipeError, match="mode") as caught:
        plan_steps(Recipe.from_toml(text.replace("layres = []", "")), host, host.resolve)
    assert caught.value.where == "recipe, line 10"


def test_the_pages_recipes_are_valid() -> None:
    from penjing.compression.plan import plan_steps
    from penjing.host import PluginHost

    page = Path(__file__).resolve().parents[2] / "docs/techniques/distill.md"
    recipes = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    host = PluginHost.from_modules({})
    first, second = (plan_steps(Recipe.from_toml(text), host, host.resolve)[0].settings for text in recipes)
    assert [loss.kind for loss in first.losses] == ["outputs", "attention"]  # type: ignore[attr-defined]
    assert second.teacher.parameters == {"n_estimators": 300}  # type: ignore[attr-defined]
    named = set(re.findall(r"^\| ([^|]*) \|", page.read_text(encoding="utf-8"), re.MULTILINE))
    text = " ".join(named)
    for name in (set(DistillSettings.model_fields) - {"losses"}) - set(TrainingSettings.model_fields):
        assert name in text, name
