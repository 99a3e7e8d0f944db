"""The report's section: drawings of what was forecast, whatever is missing in it."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

from made_traffic import made_series, made_splits
from penjing.contract import Evaluation
from penjing_traffic_forecasting.charts import Line, chart
from penjing_traffic_forecasting.report import report_section


def section(splits) -> str:
    outputs = np.repeat(np.maximum(splits.test.y, 0)[:, :, None] + 1.0, 4, axis=2)
    figures = {"metrics": {f"rmse_by_hour[{hour:02d}]": 1.0 for hour in range(24)}}
    metrics = {"reference": figures, "compressed": figures, "baselines": [{"name": "last value", **figures}]}
    every = {"reference": outputs, "compressed": outputs, "last value": outputs}
    return report_section(
        metrics, Evaluation(splits=splits, outputs=every, predict={}, reference=None, content=b"")
    ).html


def drawings(html: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring("<svg" + part.split("</svg>")[0] + "</svg>") for part in html.split("<svg")[1:]]


def test_forecasts_steps_and_hours_are_drawn() -> None:
    found = drawings(section(made_splits()))
    titles = [drawing.attrib["aria-label"] for drawing in found]
    assert len(found) == 4
    assert "60 min ahead on 2024-01-07" in titles[0]
    assert "at each step ahead" in titles[2]
    assert "by hour" in titles[3]
    assert found[0].find("polygon") is not None, "the band"
    assert len(found[2].findall("polyline")) == 3, "a line a model"


def test_missing_truth_interrupts_the_line() -> None:
    values = np.array(made_series().values)
    values[[*range(1_650, 1_670), *range(1_790, 1_810)]] = np.nan  # in each day of the test part
    whole, gapped = (drawings(section(made_splits(made_series(values=v))))[0] for v in (made_series().values, values))
    assert len(gapped.findall("polyline")) == len(whole.findall("polyline")) + 1
    assert "nan" not in ElementTree.tostring(gapped, "unicode")


def test_a_line_without_height_or_length_is_drawn() -> None:
    flat = Line(name="<b>", x=np.zeros(1), y=np.full(1, 3.0), colour="#000000")
    drawn = chart("a & b", [flat], across="x", upwards="y")
    assert "&lt;b&gt;" in drawn
    assert drawings(drawn)[0].attrib["aria-label"] == "a & b"
