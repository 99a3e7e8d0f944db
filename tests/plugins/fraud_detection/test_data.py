"""What the domain loads: parts, inputs, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from penjing.contract import DataRequest, Splits
from penjing.errors import DataError, RecipeError
from penjing.runner.data_checks import check_splits
from penjing_datasets.transaction_simulation import simulate_transactions
from penjing_fraud_detection.data import DEFAULTS, load_data, splits_of_history
from penjing_fraud_detection.inputs import LARGEST_INPUT, Inputs, input_names, preprocess
from penjing_fraud_detection.reading import History

SMALL = {"customers": 300, "terminals": 600, "days": 80}


@pytest.fixture(scope="module")
def sample() -> Splits:
    return load_data(DataRequest(options=SMALL))


def test_the_sample_is_sound_and_says_what_it_is(sample: Splits) -> None:
    check_splits(sample, "binary")
    assert sample.synthetic
    assert sample.labels == ("genuine", "fraud")
    assert len(sample.train) > len(sample.test) > 1_000
    assert sample.train.x.shape[1] == len(input_names())


def test_equal_seeds_load_equal_data(sample: Splits) -> None:
    again = load_data(DataRequest(options=SMALL))
    np.testing.assert_array_equal(again.train.x, sample.train.x)
    assert again.sha256 == sample.sha256
    assert load_data(DataRequest(options=SMALL, seed=1)).sha256 != sample.sha256


def test_inputs_lie_within_their_limit_and_vary(sample: Splits) -> None:
    assert np.abs(sample.train.x).max() <= LARGEST_INPUT
    assert (sample.train.x.std(axis=0) > 0.01).all()


def test_a_bundle_makes_the_same_inputs_from_its_own_parameters(sample: Splits) -> None:
    parameters = json.loads(json.dumps(dict(sample.preprocessing)))
    np.testing.assert_array_equal(preprocess(sample.test.raw, parameters), sample.test.x)


def test_parts_follow_each_other_in_time(sample: Splits) -> None:
    days = {name: set(getattr(sample, name).slices["day"]) for name in ("train", "validation", "test")}
    assert max(days["validation"]) < min(days["train"]) <= max(days["train"]) < min(days["test"])


def test_no_card_or_customer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_simulated(path, **SMALL)
    splits = load_data(DataRequest(path=path))
    told = repr((splits.preprocessing, splits.notes, splits.source, list(splits.test.ids), list(splits.test.groups)))
    assert "4929-" not in told
    assert "shop" not in told


def test_the_handbooks_files_count_as_published(handbook: History) -> None:
    splits = splits_of_history(handbook, source="the Handbook", options=DEFAULTS, synthetic=False)
    assert len(handbook.transactions) == 1_466_282
    assert (len(splits.train), splits.train.y.sum()) == (67_240, 598)
    assert (len(splits.test), splits.test.y.sum()) == (58_264, 385)
    assert set(splits.validation.slices["day"]) == {f"2018-07-{day}" for day in range(11, 18)}
    check_splits(splits, "binary")


def test_too_few_days_are_refused_with_their_dates(tmp_path: Path) -> None:
    write_simulated(tmp_path / "t.csv", customers=100, terminals=200, days=20)
    with pytest.raises(DataError, match="20 days are too few") as caught:
        load_data(DataRequest(path=tmp_path / "t.csv"))
    assert "2018-04-20" in (caught.value.why or "")


def test_a_part_without_fraud_is_refused(tmp_path: Path) -> None:
    write_simulated(tmp_path / "t.csv", keep_fraud=False, **SMALL)
    with pytest.raises(DataError, match="no fraud"):
        load_data(DataRequest(path=tmp_path / "t.csv"))


@pytest.mark.parametrize(
    ("options", "kind"),
    [({"train_dayz": 7}, RecipeError), ({"train_days": 0}, RecipeError), ({"train_start": "x"}, DataError)],
)
def test_wrong_options_are_refused(options: dict, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        load_data(DataRequest(options={**SMALL, **options}))


def test_a_flat_table_is_split_in_the_order_of_time(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    write_flat(tmp_path / "creditcard.csv", generator.permutation(2_000).astype(float), generator)
    splits = load_data(DataRequest(path=tmp_path / "creditcard.csv"))
    check_splits(splits, "binary")
    times = [np.array([int(name.split()[1]) for name in getattr(splits, part).ids]) for part in ("train", "test")]
    assert len(times[0]) == 1_200
    assert splits.train.x.shape == (1_200, 4)
    assert any("order of time" in note for note in splits.notes)


def test_a_flat_table_without_time_is_split_by_class(tmp_path: Path) -> None:
    write_flat(tmp_path / "t.csv", None, np.random.default_rng(0))
    splits = load_data(DataRequest(path=tmp_path / "t.csv"))
    shares = [getattr(splits, part).y.mean() for part in ("train", "validation", "test")]
    assert max(shares) - min(shares) < 0.005
    assert any("too good" in note for note in splits.notes)


def test_one_class_only_is_refused_in_a_flat_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("V1,Class\n" + "".join(f"{number},0\n" for number in range(100)))
    with pytest.raises(DataError, match="no fraud"):
        load_data(DataRequest(path=tmp_path / "t.csv"))


def test_inputs_survive_their_json() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 3))
    inputs = Inputs.fitted("table", ("a", "b", "c"), rows, (), 7)
    again = Inputs.from_json(json.loads(json.dumps(inputs.to_json())))
    assert again == inputs
    np.testing.assert_array_equal(again.of(rows), inputs.of(rows))


def write_simulated(path: Path, *, keep_fraud: bool = True, **size: int) -> None:
    made = simulate_transactions(**size, seed=2)
    times = np.datetime_as_string(made.time.astype("datetime64[s]"))
    fraud = made.fraud if keep_fraud else np.zeros_like(made.fraud)
    lines = [
        f"{time},card-4929-{customer},shop-{terminal},{amount},{label}"
        for time, customer, terminal, amount, label in zip(
            times, made.customer, made.terminal, made.amount, fraud, strict=True
        )
    ]
    path.write_text("\n".join(["TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD", *lines]) + "\n")


def write_flat(path: Path, time: np.ndarray | None, generator: np.random.Generator) -> None:
    fraud = generator.random(2_000) < 0.05
    columns = [generator.normal(2 * fraud), generator.normal(size=2_000), generator.normal(size=2_000)]
    columns += [generator.exponential(50, 2_000), fraud.astype(int)]
    header = "V1,V2,V3,Amount,Class"
    if time is not None:
        columns, header = [time, *columns], "Time," + header
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in zip(*columns, strict=True))]) + "\n")
