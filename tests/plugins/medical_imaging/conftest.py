"""A small trained network as Keras model, float file, int8 file and bundle, made once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penjing import load_bundle
from penjing.contract import DataRequest, ExportSettings, ModelRequest, Splits
from penjing_medical_imaging import NOT_CLINICAL
from penjing_medical_imaging.data import load_data


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A network that has seen the synthetic sample for a few seconds."""

    splits: Splits
    model: Any
    float_file: bytes
    int8_file: bytes
    bundle: Any


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    import keras

    from penjing.bundle.storage import write_bundle
    from penjing.export.litert import to_litert
    from penjing_medical_imaging.models import build_model

    keras.utils.set_random_seed(1)
    splits = load_data(DataRequest(seed=1, options={"patients": 60}))
    options = {"stem_filters": 8, "filters": 24, "blocks": 1}
    model = build_model(ModelRequest(splits=splits, seed=1, options=options))
    model.compile(keras.optimizers.Adam(5e-3), "binary_crossentropy")
    model.fit(splits.train.x, splits.train.y.astype(np.float32), epochs=4, batch_size=32, verbose=0)
    int8 = to_litert(model, ExportSettings(mode="int8", calibration_examples=64), splits.train.x[:64])
    folder: Path = tmp_path_factory.mktemp("medical") / "bundle"
    tensor = {"dtype": "int8", "scale": 0.1, "zero_point": 0}
    write_bundle(
        folder,
        int8,
        {
            "domain": "medical-imaging",
            "name": "test",
            "task": "binary",
            "labels": list(splits.labels),
            "inputs": [{"meaning": splits.input_meaning, "shape": [1, 28, 28, 1], **tensor}],
            "outputs": [{"meaning": splits.output_meaning, "shape": [1, 1], **tensor}],
            "preprocessing": dict(splits.preprocessing),
            "recipe": 'name = "test"\n',
            "lineage": {
                "data_source": splits.source,
                "data_sha256": splits.sha256,
                "synthetic": True,
                "seed": 1,
                "versions": {},
                "steps": [],
                "created": "2026-01-01T00:00:00+00:00",
            },
            "metrics": {
                "operating_point[threshold]": {"estimate": 0.4},
                "operating_point[sensitivity]": {"estimate": 0.9},
                "operating_point[specificity]": {"estimate": 0.8},
            },
            "intended_use": NOT_CLINICAL,
        },
    )
    return Trained(
        splits=splits,
        model=model,
        float_file=to_litert(model, ExportSettings()),
        int8_file=int8,
        bundle=load_bundle(folder),
    )
