"""The audit finds what is ruined also where there are many slices to look at."""

from __future__ import annotations

import numpy as np

from penjing.metrics import accuracy
from penjing.verify.audit import audit_slices


def test_among_hundreds_of_slices_one_that_is_ruined_is_still_found() -> None:
    generator = np.random.default_rng(3)
    slices, members = 250, 30
    sensor = np.repeat(np.arange(slices), members).astype(str)
    reference = (generator.random(slices * members) < 0.9).astype(float)
    compressed = reference.copy()
    compressed[sensor == "17"] = 0.0
    rows = audit_slices(
        accuracy,
        np.ones(len(sensor), int),
        reference,
        compressed,
        {"sensor": sensor},
        higher_is_better=True,
        resamples=50,
    )
    assert [row.value for row in rows if row.verdict == "damaged"] == ["17"]
