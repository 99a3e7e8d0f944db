"""Each check of the kit fails for a domain that is wrong in what it looks at, and for that reason."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from penjing.contract import DataRequest, Domain, FittedBaseline, Metric, ModelRequest, Splits
from penjing.scaffold import new_plugin
from penjing.testing import CheckResult, DomainUnderTest, checks_for
from penjing.testing.checks import run_check
from penjing.testing.source_tree import visible

PACKAGE = "penjing_leak_detection"
SMALL = ("data.machines=8", "data.windows=12")
"""Enough for whatever trains nothing."""


@pytest.fixture(scope="module")
def leaks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Domain]:
    """The domain of the template, importable as long as these tests run."""
    made = new_plugin("leak-detection", directory=tmp_path_factory.mktemp("leaks") / "source")
    with visible(made.folder):
        from penjing_leak_detection.plugin import penjing_domains

        (domain,) = penjing_domains()
        yield domain


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Makes a module of functions: broken(load_data=f) -> the name of the module."""

    def make(**functions: Any) -> str:
        module = ModuleType("broken_leaks")
        vars(module).update(functions)
        monkeypatch.setitem(sys.modules, "broken_leaks", module)
        return "broken_leaks"

    return make


def outcome(check: str, subject: DomainUnderTest) -> CheckResult:
    (found,) = [each for each in checks_for(subject) if each.name == check]
    return run_check(found, subject)


def load(request: DataRequest) -> Splits:
    from penjing_leak_detection.data import load_data

    return load_data(request)


def with_train(splits: Splits, **changes: Any) -> Splits:
    return replace(splits, train=replace(splits.train, **changes))


def asks_the_network(request: DataRequest) -> Splits:
    with contextlib.suppress(OSError):  # whoever swallows the error wanted the network all the same
        socket.create_connection(("192.0.2.1", 80), timeout=0.1)
    return load(request)


def ignores_the_seed(request: DataRequest) -> Splits:
    return load(replace(request, seed=0))


def draws_from_the_clock(request: DataRequest) -> Splits:
    return load(replace(request, seed=time.monotonic_ns()))


def eats_an_option(request: DataRequest) -> Splits:
    splits = load(request)
    request.options.pop("machines")  # type: ignore[attr-defined]
    return splits


def gives_doubles(request: DataRequest) -> Splits:
    splits = load(request)
    return with_train(splits, x=splits.train.x.astype(np.float64))


def forgets_a_column(request: DataRequest) -> Splits:
    splits = load(request)
    return replace(splits, test=replace(splits.test, slices={}))


def keeps_an_array(request: DataRequest) -> Splits:
    return replace(load(request), preprocessing={"scale": np.float32(1.0)})


def mixes_machines(request: DataRequest) -> Splits:
    splits = load(request)
    return with_train(splits, groups=np.full(len(splits.train), splits.test.groups[0]))


def repeats_an_id(request: DataRequest) -> Splits:
    splits = load(request)
    return with_train(splits, ids=[splits.train.ids[1], *splits.train.ids[1:]])


def names_no_group(request: DataRequest) -> Splits:
    return with_train(load(request), groups=None)


def takes_any_option(request: DataRequest) -> Splits:
    return load(replace(request, options={k: v for k, v in request.options.items() if "such" not in k}))


def opens_blindly(request: DataRequest) -> Splits:
    if request.path is not None:
        request.path.read_text()
    return load(request)


@pytest.mark.parametrize(
    ("check", "function", "said"),
    [
        ("check_sample_is_offline", asks_the_network, "wants the network"),
        ("check_sample_is_seeded", ignores_the_seed, "seed 1 gives the same training part as seed 0"),
        ("check_sample_is_seeded", draws_from_the_clock, "train.x differs when it is loaded again with seed 0"),
        ("check_request_is_not_changed", eats_an_option, "the options are others after the call"),
        ("check_sample_fits_the_contract", gives_doubles, "float64 instead of float32"),
        ("check_sample_fits_the_contract", forgets_a_column, "test: there is no slice column 'label'"),
        ("check_sample_fits_the_contract", keeps_an_array, "something else than JSON values"),
        ("check_no_example_or_group_in_two_parts", mixes_machines, "groups stand in train and in test"),
        ("check_no_example_or_group_in_two_parts", repeats_an_id, "train: 1 ids stand there more than once"),
        ("check_groups_are_given", names_no_group, "there are no groups in train"),
        ("check_unknown_options_are_refused", takes_any_option, "taken without a word"),
        ("check_missing_data_is_refused", opens_blindly, "FileNotFoundError instead of DataError"),
    ],
)
def test_a_fault_of_the_data_is_found(leaks: Domain, broken, check: str, function: Any, said: str) -> None:
    good = DomainUnderTest(leaks, overrides=SMALL)
    assert outcome(check, good).outcome == "passed"
    bad = DomainUnderTest(replace(leaks, load_data=f"{broken(load_data=function)}:load_data"), overrides=SMALL)
    result = outcome(check, bad)
    assert result.outcome == "failed" and said in result.reason and result.remedy, result


def test_a_slow_sample_is_found(leaks: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penjing.testing.data_checks.MOST_CPU_SECONDS", 0.0)
    assert "of processor time" in outcome("check_sample_is_quick", DomainUnderTest(leaks, overrides=SMALL)).reason


def _in_time(shift: int) -> Callable[[DataRequest], Splits]:
    """Days 0 to 9 of training, 10 to 19 of validation, and a test part that begins on a given day."""

    def load_data(request: DataRequest) -> Splits:
        splits = load(request)
        parts = {}
        for number, name in enumerate(("train", "validation", "test")):
            part = getattr(splits, name)
            start = shift if name == "test" else 10 * number
            days = start + np.arange(len(part)) % 10
            parts[name] = replace(part, slices={**part.slices, "day": days}, groups=np.full(len(part), "one pump"))
        return replace(splits, **parts)

    return load_data


@pytest.mark.parametrize(
    ("shift", "said"), [(20, ""), (18, "'day' of validation goes up to 19, the test part begins at 18")]
)
def test_a_split_by_time_may_share_groups_and_must_keep_the_order(leaks: Domain, broken, shift: int, said: str) -> None:
    domain = replace(leaks, split_by="time", load_data=f"{broken(load_data=_in_time(shift))}:load_data")
    subject = DomainUnderTest(domain, overrides=SMALL)
    assert outcome("check_no_example_or_group_in_two_parts", subject).outcome == "passed"
    result = outcome("check_time_order_is_kept", subject)
    assert result.reason == said
    assert result.outcome == ("failed" if said else "passed")


def test_a_split_by_time_without_a_column_of_time_cannot_be_seen_to_be_right(leaks: Domain) -> None:
    result = outcome("check_time_order_is_kept", DomainUnderTest(replace(leaks, split_by="time"), overrides=SMALL))
    assert result.outcome == "failed" and "no slice column tells the time: label" in result.reason


# ----------------------------------------------------------------------------------------------- the declaration


@pytest.mark.parametrize(
    ("check", "changes", "said"),
    [
        ("check_contract_version", {"contract_version": 2}, "contract version 2"),
        ("check_import_strings_resolve", {"build_teacher": f"{PACKAGE}.models:teach"}, "no attribute 'teach'"),
        ("check_import_strings_resolve", {"predict": f"{PACKAGE}:DOMAIN"}, "which cannot be called"),
        ("check_recipes_are_valid", {"recipes": {"quick": f"{PACKAGE}:recipes/default.toml"}}, "no recipe 'default'"),
        ("check_recipes_are_valid", {"recipes": {"default": f"{PACKAGE}:none.toml"}}, "missing from its package"),
        ("check_budget_can_be_read", {"budget": {"flsh": "1KB"}}, "did you mean 'flash'?"),
        ("check_states_licence_and_use", {"data_license": "", "intended_use": ""}, "empty: data_license, intended_use"),
    ],
)
def test_a_fault_of_the_declaration_is_found(leaks: Domain, check: str, changes: dict, said: str) -> None:
    result = outcome(check, DomainUnderTest(replace(leaks, **changes), overrides=SMALL))
    assert result.outcome == "failed" and said in result.reason, result


def test_a_plugin_that_is_heavy_loud_or_misspelt_is_found(tmp_path: Path) -> None:
    made = new_plugin("heavy-leaks", kind="observer", directory=tmp_path / "source")
    plugin = made.folder / "src/penjing_heavy_leaks/plugin.py"
    text = plugin.read_text()
    assert "run: RunInfo, step: StepInfo" in text
    text = text.replace("run: RunInfo, step: StepInfo", "run: RunInfo, setp: StepInfo")
    plugin.write_text(text.replace("import json", "import json\nimport h5py\nprint('hello')", 1))
    from penjing.testing.conformance import subjects_of

    with visible(made.folder) as name:
        (subject,) = subjects_of(name)
        results = {check.name: run_check(check, subject) for check in checks_for(subject)}
    for check, said in (
        ("check_declaring_module_is_light", '"h5py"'),
        ("check_declaring_module_is_quiet", "it prints: 'hello'"),
        ("check_hooks_are_well_formed", "has no argument 'setp'; its arguments are (run, step, outcome)"),
        ("check_plugin_works_in_the_host", "stage hooks"),
    ):
        assert results[check].outcome == "failed" and said in results[check].reason, results[check]
    assert "penjing_heavy_leaks" not in sys.modules


# -------------------------------------------------------------------------------------- models, metrics, baselines


def build(request: ModelRequest) -> Any:
    from penjing_leak_detection.models import build_model

    return build_model(request)


def scales_in_place(request: ModelRequest) -> Any:
    np.multiply(request.splits.train.x, 2, out=request.splits.train.x)
    return build(request)


def peeks(request: ModelRequest) -> Any:
    np.unique(request.splits.test.y)
    return build(request)


def starts_anywhere(request: ModelRequest) -> Any:
    model = build(request)
    generator = np.random.default_rng(time.monotonic_ns())
    model.set_weights([w + generator.normal(size=w.shape).astype(w.dtype) for w in model.get_weights()])
    return model


def takes_any_width(request: ModelRequest) -> Any:
    return build(replace(request, options={}))


def of_another_shape(splits: Splits, seed: int) -> FittedBaseline:
    return FittedBaseline(name="most frequent", predict=lambda x: np.zeros(len(x), np.float32))


def that_peeks(splits: Splits, seed: int) -> FittedBaseline:
    share = float(np.mean(splits.test.y))
    return FittedBaseline(name="a share", predict=lambda x: np.full((len(x), 3), share, np.float32))


def unscaled(raw: Any, parameters: Any) -> Any:
    return np.asarray(raw, np.float32)[..., None]


@pytest.mark.parametrize(
    ("check", "field", "function", "said"),
    [
        ("check_data_is_not_changed", "build_model", scales_in_place, "build_model has changed its Split in place"),
        ("check_test_part_is_not_read", "build_model", peeks, "build_model reads the test part (y)"),
        ("check_test_part_is_not_read", "baselines", that_peeks, "broken_leaks:f reads the test part (y)"),
        ("check_model_is_seeded", "build_model", starts_anywhere, "it has other weights"),
        ("check_unknown_options_are_refused", "build_model", takes_any_width, "[model]: the unknown key"),
        ("check_baseline_fits_the_metrics", "baselines", of_another_shape, "instead of (32, 3)"),
        ("check_preprocessing_makes_the_inputs", "preprocess", unscaled, "away from the inputs"),
    ],
)
def test_a_fault_of_what_is_built_is_found(
    leaks: Domain, broken, check: str, field: str, function: Any, said: str
) -> None:
    assert outcome(check, DomainUnderTest(leaks, overrides=("data.windows=12",))).outcome == "passed"
    name = f"{broken(f=function)}:f"
    bad = replace(leaks, **{field: (name,) if field == "baselines" else name})
    result = outcome(check, DomainUnderTest(bad, overrides=("data.windows=12",)))
    assert result.outcome == "failed" and said in result.reason, result


def test_an_augmentation_that_differs_or_does_not_is_found(leaks: Domain, broken) -> None:
    def of(draw: Callable[[int, int], int]) -> CheckResult:
        def augment(train: Any, splits: Any, *, epoch: int, seed: int, options: Any) -> Any:
            noise = np.random.default_rng(draw(epoch, seed)).normal(size=train.x.shape)
            return (train.x + noise).astype(np.float32), train.y

        domain = replace(leaks, augment=f"{broken(augment=augment)}:augment")
        return outcome("check_augmentation_is_seeded", DomainUnderTest(domain, overrides=SMALL))

    assert of(lambda epoch, seed: epoch + seed).outcome == "passed"
    assert "called twice for one epoch" in of(lambda epoch, seed: time.monotonic_ns()).reason
    assert "the same arrays in every epoch" in of(lambda epoch, seed: seed).reason


def _metric(broken: Callable[..., str], function: Any, **fields: Any) -> tuple[Metric, ...]:
    given = {"name": "figure", "function": f"{broken(figure=function)}:figure", "direction": "higher", "primary": True}
    return (Metric(**{**given, **fields}),)


def right(targets: Any, outputs: Any) -> float:
    return float(np.mean(np.asarray(outputs).argmax(1) == targets))


def sorts(targets: Any, outputs: Any) -> float:
    outputs.sort(axis=0)
    return right(targets, outputs)


def test_faults_of_metrics_are_found(leaks: Domain, broken) -> None:
    def result(check: str, function: Any, **fields: Any) -> CheckResult:
        domain = replace(leaks, metrics=_metric(broken, function, **fields))
        return outcome(check, DomainUnderTest(domain, overrides=SMALL))

    direction = "check_metrics_have_their_direction"
    assert result(direction, right).outcome == "passed"
    assert "for perfect outputs" in result(direction, right, direction="lower").reason
    assert result(direction, lambda t, o: -right(t, o), direction="lower").outcome == "passed"
    assert "figure is nan" not in result(direction, right).reason
    assert "'figure' has changed its ndarray in place" in result("check_metrics_change_nothing", sorts).reason
    assert "gives {" in result("check_primary_metric_is_one_figure", lambda t, o: {"a": 1.0}).reason


@pytest.mark.parametrize(
    ("targets", "outputs", "task"),
    [
        (np.array([0, 1, 1, 0]), np.array([[0.2], [0.7], [0.5], [0.1]]), "binary"),
        (np.array([0, 1, 1, 0]), np.array([-3.0, 2.0, 1.0, -1.0]), "binary"),
        (np.array([[0, 1], [1, 1], [0, 0]]), np.array([[0.2, 0.7], [0.5, 0.1], [0.3, 0.4]]), "multilabel"),
        (np.array([0, 2, 1]), np.array([[4.0, -1, 0], [0, 0, 1], [2, 2, 9]]), "classification"),
        (np.array([1.5, -2.0, 7.0]), np.array([[0.0], [1.0], [2.0]]), "regression"),
        (np.arange(12.0).reshape(2, 3, 2), np.zeros((2, 3, 2)), "forecast"),
    ],
)
def test_perfect_outputs_have_no_error_whatever_the_task(targets: Any, outputs: Any, task: str) -> None:
    from penjing.testing.metric_checks import perfect_outputs

    subject = SimpleNamespace(perfect_outputs=None, domain=SimpleNamespace(task=task))
    perfect = perfect_outputs(subject, targets, outputs.astype(np.float32))  # type: ignore[arg-type]
    assert perfect.shape == outputs.shape
    if task == "classification":
        assert (perfect.argmax(1) == targets).all()
    elif task in ("regression", "forecast"):
        np.testing.assert_allclose(perfect.reshape(targets.shape), targets)
    else:
        middle = 0.5 if outputs.min() >= 0 else 0.0
        assert ((perfect > middle).reshape(targets.shape) == (targets > 0)).all()


# ------------------------------------------------------------------------------------------------------- the run


FLASH = {"limit": "flash_bytes", "value": 100.0, "measured": 90.0, "holds": True, "note": ""}
ARENA = {**FLASH, "limit": "arena_bytes"}
UNKNOWN = {**ARENA, "measured": None, "holds": False, "note": "no TFLM"}
PAIR = {"runtimes": ["XNNPACK", "TFLM"], "n": 50, "equal_decisions": 1.0}
LARGE = {**FLASH, "measured": 101.0, "holds": False}
APART = {**PAIR, "equal_decisions": 0.9}
GUESS = {"name": "logistic regression on loudness and peak", "metrics": {"accuracy": 0.8}}
METRICS = {
    "primary_metric": "accuracy",
    "directions": {"accuracy": "higher"},
    "compressed": {"metrics": {"accuracy": 0.8}},
    "baselines": [{**GUESS, "metrics": {"accuracy": 0.7}}],
    "budget": [FLASH, ARENA],
    "conformance": {"pairs": [PAIR]},
}


@pytest.mark.parametrize(
    ("check", "changes", "said"),
    [
        ("check_model_beats_the_baseline", {"baselines": [GUESS]}, "0.8000 of 'logistic"),
        ("check_model_beats_the_baseline", {"directions": {"accuracy": "lower"}}, "0.7000 of 'logistic"),
        (
            "check_flash_is_within_the_budget",
            {"budget": [{**FLASH, "measured": 101.0, "holds": False}]},
            "measured 101",
        ),
        ("check_arena_is_within_the_budget", {"budget": [UNKNOWN]}, "could not be measured: no TFLM"),
        (
            "check_runtimes_agree",
            {"conformance": {"pairs": [{**PAIR, "equal_decisions": 0.9}]}},
            "90.0% of 50 decisions",
        ),
    ],
)
def test_a_fault_of_the_run_is_found(leaks: Domain, check: str, changes: dict, said: str) -> None:
    def result(metrics: dict) -> CheckResult:
        subject = DomainUnderTest(leaks, overrides=SMALL)
        subject._kept.get("the short run", lambda: SimpleNamespace(metrics=metrics))
        return outcome(check, subject)

    assert result(METRICS).outcome == "passed"
    found = result({**METRICS, **changes})
    assert found.outcome == "failed" and said in found.reason, found


def test_a_training_that_goes_another_way_the_second_time_is_found(leaks: Domain, tmp_path: Path) -> None:
    def result(second: dict) -> CheckResult:
        subject = DomainUnderTest(leaks)
        first = {"validation": 0.5, "history": {"loss": [1.0, 0.5]}}
        for name, record in (("run", first), ("again", second)):
            (tmp_path / name / "reference").mkdir(parents=True, exist_ok=True)
            (tmp_path / name / "reference" / "outcome.json").write_text(json.dumps(record))
        subject._kept.get("the short run", lambda: SimpleNamespace(folder=tmp_path / "run"))
        subject._kept.get("the second run", lambda: tmp_path / "again")
        return outcome("check_same_seed_gives_the_same_figures", subject)

    assert result({"validation": 0.5, "history": {"loss": [1.0, 0.5]}}).outcome == "passed"
    assert "0.5 and then 0.6" in result({"validation": 0.6, "history": {"loss": [1.0, 0.5]}}).reason
    assert "curves" in result({"validation": 0.5, "history": {"loss": [1.0, 0.4]}}).reason


@pytest.fixture(scope="module")
def run(leaks: Domain) -> DomainUnderTest:
    """One real run of the template's domain."""
    subject = DomainUnderTest(leaks, overrides=("reference.epochs=4", "data.windows=20"))
    assert outcome("check_run_ends_with_a_verified_bundle", subject).outcome == "passed"
    return subject


def _on_the_run(run: DomainUnderTest, domain: Domain) -> DomainUnderTest:
    subject = DomainUnderTest(domain, overrides=run.overrides)
    subject._kept.get("the short run", lambda: run.run)
    return subject


def test_a_prediction_that_needs_tensorflow_or_gives_nothing_is_found(
    run: DomainUnderTest, leaks: Domain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = "check_predict_works_without_tensorflow"
    assert outcome(check, run).outcome == "passed"
    (tmp_path / "leaks_on_the_desk.py").write_text(
        "from penjing_leak_detection.predict import predict as light\n"
        "def heavy(request):\n    import keras\n    return light(request)\n"
        "def nothing(request):\n    return []\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name, said in (("heavy", "No module named 'keras'"), ("nothing", "predict gave []")):
        result = outcome(check, _on_the_run(run, replace(leaks, predict=f"leaks_on_the_desk:{name}")))
        assert result.outcome == "failed" and said in result.reason, result


def test_a_bundle_that_lacks_what_prediction_needs_is_found(run: DomainUnderTest, leaks: Domain, broken) -> None:
    check = "check_bundle_makes_the_round_trip"
    assert outcome(check, run).outcome == "passed"

    def other_labels(request: DataRequest) -> Splits:
        return replace(load(request), labels=("a", "b", "c"))

    def other_parameters(request: DataRequest) -> Splits:
        return replace(load(request), preprocessing={"scale": 1.0})

    for function, said in ((other_labels, "labels"), (other_parameters, "preprocessing parameters are others")):
        domain = replace(leaks, load_data=f"{broken(load_data=function)}:load_data")
        result = outcome(check, _on_the_run(run, domain))
        assert result.outcome == "failed" and said in result.reason, result
