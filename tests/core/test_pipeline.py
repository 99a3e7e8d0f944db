"""A recipe runs step by step; what is killed goes on to the same file; a broken promise stops the run."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import penjing
from penjing.contract import OutcomeInfo, RunInfo, StepInfo, Technique
from penjing.errors import CheckFailedError, DataError, ModelError, PluginError, RunFolderError, UsageError
from penjing.hookspecs import hookimpl
from penjing.host import PluginHost
from penjing.recipe import Recipe

RECIPE = """
name = "short"
[[steps]]
technique = "prune-weights"
sparsity = 0.5
epochs = 6
frequency = 7
[[steps]]
technique = "finetune"
epochs = 6
[[steps]]
technique = "quantize"
"""


def sha256(run: Path) -> str:
    return hashlib.sha256((run / "bundle/model.tflite").read_bytes()).hexdigest()


def command(model: Path, data: Path, recipe: Path, output: Path, *more: str) -> list[str]:
    verb = [sys.executable, "-m", "penjing", "compress", str(model), "--data", str(data)]
    return [*verb, "--recipe", str(recipe), "--output", str(output), "--quiet", *more]


def test_killed_at_any_moment_a_run_goes_on_to_the_same_file(toy_model: Path, toy_data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "short.toml"
    recipe.write_text(RECIPE)
    whole = tmp_path / "whole"
    subprocess.run(command(toy_model, toy_data, recipe, whole), check=True, stdout=subprocess.DEVNULL)
    killed = tmp_path / "killed"
    kills = 0
    # Killed after the first step has begun, after it has ended, and in the verification.
    for landmark in ("steps/01-prune-weights/fingerprint.txt", "steps/01-prune-weights/outcome.json", "bundle"):
        process = subprocess.Popen(
            command(toy_model, toy_data, recipe, killed, "--resume"),
            stdout=subprocess.DEVNULL,
        )
        while process.poll() is None and not (killed / landmark).exists():
            time.sleep(0.01)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
    assert kills >= 2
    subprocess.run(command(toy_model, toy_data, recipe, killed, "--resume"), check=True, stdout=subprocess.DEVNULL)
    assert sha256(killed) == sha256(whole)
    first = json.loads((whole / "metrics.json").read_text())
    second = json.loads((killed / "metrics.json").read_text())
    for document in (first, second):
        for which in ("reference", "compressed"):
            del document[which]["latency_us"]
    assert first == second


class CutOffError(Exception):
    pass


@pytest.mark.parametrize("step", ["finetune", "prune-weights", "distill", "cluster-weights", "factorize"])
def test_a_training_that_ends_between_epochs_goes_on_to_the_same_weights(
    toy_model: Path, toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Order of examples, optimizer, masks and dropout all go on where they were."""
    import keras

    from penjing.compression import finetuning, workbench

    student = keras.models.clone_model(keras.models.load_model(toy_model, compile=False))
    monkeypatch.setattr(finetuning, "CHECKPOINT_SECONDS", 0.0)
    more = {"factorize": "macs = 0.6"}.get(step, "")
    recipe = Recipe.from_toml(f'[[steps]]\ntechnique = "{step}"\nepochs = 5\nbatch_size = 50\n{more}\n')

    def run(name: str, resume: bool) -> list:
        penjing.compress(
            student,
            recipe=recipe,
            data=toy_data,
            output=tmp_path / name,
            resume=resume,
            teacher=keras.models.load_model(toy_model, compile=False),
        )
        (place,) = (tmp_path / name / "steps").iterdir()
        return keras.models.load_model(place / "model.keras", compile=False).get_weights()

    whole = run("whole", resume=False)
    epoch = workbench.EpochProgress.epoch

    def interrupt(self: workbench.EpochProgress, number: int, figures: dict) -> None:
        epoch(self, number, figures)
        if number == 3:
            raise CutOffError

    monkeypatch.setattr(workbench.EpochProgress, "epoch", interrupt)
    with pytest.raises(PluginError, match="failed"):
        run("cut", resume=False)
    seen: list[int] = []
    monkeypatch.setattr(
        workbench.EpochProgress,
        "epoch",
        lambda self, number, figures: (seen.append(number), epoch(self, number, figures))[1],
    )
    resumed = run("cut", resume=True)
    assert seen == [4, 5]
    assert all((first == second).all() for first, second in zip(whole, resumed, strict=True))


class Watching:
    """A plugin with an observer, and techniques that misbehave."""

    def __init__(self) -> None:
        self.seen: list[tuple] = []

    @hookimpl
    def penjing_before_step(self, run: RunInfo, step: StepInfo) -> None:
        self.seen.append(("before", step.technique))
        raise RuntimeError("an observer must not stop a run")

    @hookimpl
    def penjing_after_step(self, run: RunInfo, step: StepInfo, outcome: OutcomeInfo) -> None:
        self.seen.append(("after", step.technique, outcome.resumed, outcome.flash_bytes))

    @hookimpl
    def penjing_run_finished(self, run: RunInfo) -> None:
        self.seen.append(("finished", run.metrics["compressed"]["flash_bytes"]))

    @hookimpl
    def penjing_techniques(self):
        here = f"{__name__}:"
        settings = "penjing.compression.settings.training:FinetuneSettings"
        for name in ("revive-weights", "fail", "return-nothing"):
            yield Technique(name=name, summary=name, settings=settings, apply=here + name.replace("-", "_"))


def revive_weights(context, settings):
    from penjing.contract import StepOutcome

    layer = context.model.get_layer("hidden")
    layer.set_weights([value + 1.0 for value in layer.get_weights()])
    return StepOutcome(model=context.model, summary="undid everything")


def fail(context, settings):
    raise ZeroDivisionError("by design")


def return_nothing(context, settings):
    return None


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> tuple[PluginHost, Watching]:
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())
    plugin = Watching()
    return PluginHost.from_modules({"watching": plugin}), plugin


def _this_module():
    import types

    module = types.ModuleType(__name__)
    module.__dict__.update(globals())
    return module


def run(host: PluginHost, toy_model: Path, toy_data: Path, output: Path, *steps: str, resume: bool = False):
    text = "".join(f"[[steps]]\n{step}\n" for step in steps)
    return penjing.compress(
        toy_model, recipe=Recipe.from_toml(text), data=toy_data, output=output, host=host, resume=resume
    )


PRUNE = 'technique = "prune-weights"\nsparsity = 0.5\nepochs = 0'
QUANTIZE = 'technique = "quantize"'


def test_observers_hear_of_every_step_and_cannot_stop_a_run(
    watching: tuple[PluginHost, Watching], toy_model: Path, toy_data: Path, tmp_path: Path
) -> None:
    host, plugin = watching
    result = run(host, toy_model, toy_data, tmp_path / "run", PRUNE, QUANTIZE)
    size = result.metrics["compressed"]["flash_bytes"]
    steps = [event[:2] for event in plugin.seen]
    assert steps == [
        ("before", "prune-weights"),
        ("after", "prune-weights"),
        ("before", "quantize"),
        ("after", "quantize"),
        ("finished", size),
    ]
    assert plugin.seen[3] == ("after", "quantize", False, size)
    assert any("an observer must not stop" in str(problem) for problem in host.plugins[1].problems)


def test_a_step_that_undoes_an_earlier_one_stops_the_run(
    watching: tuple[PluginHost, Watching], toy_model: Path, toy_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckFailedError, match="breaks a promise") as caught:
        run(watching[0], toy_model, toy_data, tmp_path / "run", PRUNE, 'technique = "revive-weights"')
    assert "hidden" in (caught.value.why or "")
    assert not (tmp_path / "run/steps/02-revive-weights/outcome.json").exists()
    assert not (tmp_path / "run/bundle").exists()


@pytest.mark.parametrize(("technique", "reason"), [("fail", "ZeroDivisionError: by design"), ("return-nothing", None)])
def test_a_technique_that_fails_is_named_with_its_plugin(
    watching: tuple[PluginHost, Watching], toy_model: Path, toy_data: Path, tmp_path: Path, technique: str, reason
) -> None:
    with pytest.raises(PluginError) as caught:
        run(watching[0], toy_model, toy_data, tmp_path / "run", f'technique = "{technique}"')
    assert "test-watching 0 (entry point 'watching')" in (caught.value.where or "")
    assert caught.value.why == reason


def test_a_finished_run_is_not_run_again(
    watching: tuple[PluginHost, Watching], toy_model: Path, toy_data: Path, tmp_path: Path
) -> None:
    host, plugin = watching
    first = run(host, toy_model, toy_data, tmp_path / "run", QUANTIZE)
    plugin.seen.clear()
    again = run(host, toy_model, toy_data, tmp_path / "run", QUANTIZE, resume=True)
    assert again.metrics == first.metrics
    assert plugin.seen == []


def test_a_changed_step_is_run_again_and_the_ones_before_it_are_kept(
    watching: tuple[PluginHost, Watching], toy_model: Path, toy_data: Path, tmp_path: Path
) -> None:
    host, plugin = watching
    before = run(host, toy_model, toy_data, tmp_path / "run", PRUNE, QUANTIZE)
    plugin.seen.clear()
    result = run(host, toy_model, toy_data, tmp_path / "run", PRUNE, QUANTIZE + '\nmode = "float16"', resume=True)
    resumed = {event[1]: event[2] for event in plugin.seen if event[0] == "after"}
    assert resumed == {"prune-weights": True, "quantize": False}
    assert "float16" in (tmp_path / "run/recipe.toml").read_text()
    assert result.metrics["compressed"]["flash_bytes"] > before.metrics["compressed"]["flash_bytes"]


def test_a_damaged_checkpoint_is_noticed(
    watching: tuple[PluginHost, Watching], toy_model: Path, toy_data: Path, tmp_path: Path
) -> None:
    run(watching[0], toy_model, toy_data, tmp_path / "run", PRUNE, QUANTIZE)
    (tmp_path / "run/run.json").write_text((tmp_path / "run/run.json").read_text().replace('"finished"', '"running"'))
    file = tmp_path / "run/steps/01-prune-weights/model.tflite"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(RunFolderError, match="missing or was changed"):
        run(watching[0], toy_model, toy_data, tmp_path / "run", PRUNE, QUANTIZE, resume=True)


def test_a_run_does_not_overwrite_what_it_does_not_know(toy_model: Path, toy_data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(RunFolderError, match="something else than a run"):
        penjing.compress(toy_model, data=toy_data, output=tmp_path, overwrite=True)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_run_that_failed_before_any_work_does_not_stand_in_the_way(
    toy_model: Path, toy_arrays: dict, toy_data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    with pytest.raises(DataError):
        penjing.compress(toy_model, data=bad_arrays(toy_arrays, y_test=toy_arrays["y"][400:] - 1), output=output)
    assert (output / "run.json").exists()
    assert penjing.compress(toy_model, data=toy_data, output=output).bundle is not None
    with pytest.raises(RunFolderError, match="holds a run already"):
        penjing.compress(toy_model, data=toy_data, output=output)


def test_quantizing_that_makes_a_tiny_file_larger_stops_and_says_so(tmp_path: Path) -> None:
    import keras
    import numpy as np

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    x = np.random.default_rng(0).normal(size=(90, 2)).astype("float32")
    data = {"x": x, "y": x[:, :1]}
    with pytest.raises(CheckFailedError, match="makes the file larger"):
        penjing.compress(model, Recipe.from_toml('[[steps]]\ntechnique = "quantize"'), data, output=tmp_path / "run")
    assert not (tmp_path / "run/bundle").exists()
    # The default recipe has something else to fall back on, which leaves so few weights as they are.
    figures = penjing.compress(model, None, data, output=tmp_path / "default").metrics
    assert figures["compressed"]["flash_bytes"] == figures["reference"]["flash_bytes"]


def test_distilling_without_a_teacher_is_refused(toy_model: Path, toy_data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no teacher"):
        run(PluginHost.from_modules({}), toy_model, toy_data, tmp_path / "run", 'technique = "distill"')


def bad_arrays(toy_arrays: dict, **changes) -> dict:
    x, y = toy_arrays["x"].copy(), toy_arrays["y"].copy()
    arrays = {
        "x_train": x[:300],
        "y_train": y[:300],
        "x_validation": x[300:400],
        "y_validation": y[300:400],
        "x_test": x[400:],
        "y_test": y[400:],
    }
    return {**arrays, **changes}


def test_bad_data_and_models_are_refused_before_any_work(toy_model: Path, toy_arrays: dict, tmp_path: Path) -> None:
    import keras
    import numpy as np

    x, y = toy_arrays["x"], toy_arrays["y"]
    holes = x[:300].copy()
    holes[7, 0, 0, 0] = np.nan
    cases: list[tuple[dict, type[Exception], str]] = [
        ({"x_train": holes}, DataError, "NaN or infinite values in 1 examples"),
        ({"x_test": x[:0], "y_test": y[:0]}, DataError, "the test part is empty"),
        ({"y_train": y[:299]}, DataError, "x_train has 300 rows, y_train 299"),
        ({"y_test": y[400:] - 1}, DataError, "labels of the test part are out of range"),
        ({"y_train": np.full(300, 9)}, DataError, "one class only"),
        ({"x_train": x[:300, :5]}, ModelError, "takes inputs of shape (8, 8, 1)"),
        ({"x_tset": x}, DataError, "unknown key 'x_tset'"),
    ]
    for changes, kind, message in cases:
        output = tmp_path / "run"
        with pytest.raises(kind) as caught:
            penjing.compress(toy_model, data=bad_arrays(toy_arrays, **changes), output=output, overwrite=True)
        assert message in str(caught.value), message
        assert not (output / "bundle").exists() and not list(output.rglob("*.tflite"))
    model = keras.models.load_model(toy_model)
    weights = model.get_weights()
    weights[0][0, 0, 0, 0] = np.inf
    model.set_weights(weights)
    with pytest.raises(ModelError, match="1 of 108 weights are NaN or infinite") as caught:
        penjing.compress(model, data=toy_arrays, output=tmp_path / "other")
    assert "'stem'" in (caught.value.where or "")
