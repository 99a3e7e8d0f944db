"""The report's sections say what the figures say, can be heard, and hold nothing that runs."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from penjing.contract import DataRequest, Evaluation, Splits
from penjing_keyword_spotting.data import load_data
from penjing_keyword_spotting.sections import report_sections

TITLES = ["On a stream", "In noise", "Each word, before and after", "By speaker", "Hardest clips"]


def shifted(x: np.ndarray) -> np.ndarray:
    """A model that is sometimes right, and sure of itself."""
    guess = (np.abs(x).sum(axis=(1, 2, 3)) * 10).astype(int) % 8
    return np.eye(8)[guess] * 0.9 + 0.0125


def evaluated(splits: Splits) -> Evaluation:
    predict = {"reference": lambda x: shifted(x[::-1])[::-1], "compressed": shifted}
    outputs = {name: function(splits.test.x) for name, function in predict.items()}
    return Evaluation(splits=splits, outputs=outputs, predict=predict, reference=None, content=b"")


@pytest.fixture(scope="module")
def splits() -> Splits:
    return load_data(DataRequest(options={"voices": 8, "stream_hours": 0.05, "clips_in_report": 5}))


@pytest.fixture(scope="module")
def sections(splits: Splits) -> dict[str, str]:
    return {section.title: section.html for section in report_sections(evaluated(splits))}


def test_all_sections_are_there_and_well_formed(sections: dict[str, str]) -> None:
    from xml.etree import ElementTree

    assert list(sections) == TITLES
    for html in sections.values():
        closed = re.sub(r"<audio ([^>]*)controls ", r'<audio \1controls="" ', html)
        ElementTree.fromstring(f"<div>{closed}</div>")
        assert "<script" not in html and "http" not in html


def test_the_stream_says_what_it_is_made_of(splits: Splits, sections: dict[str, str]) -> None:
    from penjing_keyword_spotting.stream_metrics import recording_of

    recording = recording_of(splits.test, splits)
    text = sections["On a stream"]
    for figure in (f"{len(recording.words)} words", f"{recording.others} other words", f"{recording.hours:.2f} hours"):
        assert figure in text
    assert "1 false accepts an hour on the validation part" in text


def test_the_hardest_clips_are_the_surest_errors_and_can_be_heard(splits: Splits, sections: dict[str, str]) -> None:
    outputs = shifted(splits.test.x)
    wrong = {name for name, o, y in zip(splits.test.ids, outputs, splits.test.y, strict=True) if o.argmax() != y}
    html = sections["Hardest clips"]
    named = [name for name in splits.test.ids if f"<td>{name}</td>" in html]
    assert len(named) == 5 and set(named) <= wrong
    sounds = re.findall(r'src="data:audio/flac;base64,([^"]+)"', html)
    assert len(sounds) == 5
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sounds[0])), dtype="float32")
    assert rate == 16_000 and any(np.allclose(samples, raw, atol=1 / 32_000) for raw in splits.test.raw)


def test_nobody_is_heard_where_no_clips_are_wanted(splits: Splits) -> None:
    quiet = replace(splits, extra={**splits.extra, "clips_in_report": 0})
    html = "".join(section.html for section in report_sections(evaluated(quiet)))
    assert "<audio" not in html and "people's voices" not in html


def test_names_of_files_are_text_and_unknown_speakers_said(splits: Splits) -> None:
    nasty = replace(splits.test, groups=None, ids=[f"<img src=x>{n}" for n in range(len(splits.test))])
    sections = {s.title: s.html for s in report_sections(evaluated(replace(splits, test=nasty)))}
    assert "<img" not in "".join(sections.values()) and "&lt;img src=x&gt;" in sections["Hardest clips"]
    assert "not known" in sections["By speaker"]


def test_each_word_has_its_recall_before_and_after(splits: Splits, sections: dict[str, str]) -> None:
    html = sections["Each word, before and after"]
    right = shifted(splits.test.x).argmax(axis=1) == splits.test.y
    for number, label in enumerate(splits.labels):
        after = right[splits.test.y == number].mean()
        assert re.search(rf"<title>{label}: [0-9.]+ before, {after:.3f} after</title>", html)
