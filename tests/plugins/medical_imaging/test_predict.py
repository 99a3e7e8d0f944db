"""Images on the device: decision, operating point, abstention, heat map; and what is no image refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dicom_files import write_dicom
from penjing.contract import PredictRequest
from penjing.errors import DataError, UsageError
from penjing_medical_imaging.predict import predict


@pytest.fixture(scope="module")
def picture(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("predict") / "scan.png"
    Image.fromarray(trained.splits.test.raw[0, :, :, 0]).resize((112, 112), Image.Resampling.BICUBIC).save(path)
    return path


def rows(trained: Any, *inputs: Path, **options: Any) -> list[dict[str, Any]]:
    return list(predict(PredictRequest(bundle=trained.bundle, inputs=tuple(map(str, inputs)), options=options)))


def test_a_row_says_decision_operating_point_and_use(trained: Any, picture: Path) -> None:
    (row,) = rows(trained, picture)
    assert row["decision"] == ("lesion" if row["probability"] > 0.4 else "no lesion")
    assert (row["threshold"], row["sensitivity"], row["specificity"]) == (0.4, 0.9, 0.8)
    assert row["ppv at 0.1"] == pytest.approx(0.09 / (0.09 + 0.18), abs=1e-4)
    assert row["use"] == "not for clinical use"
    assert row["abstain"] is False and row["unfamiliarity"] <= row["limit"]


def test_the_prevalence_can_be_told(trained: Any, picture: Path) -> None:
    (row,) = rows(trained, picture, prevalence=0.5)
    assert row["ppv at 0.5"] == pytest.approx(0.45 / 0.55, abs=1e-4)
    with pytest.raises(UsageError, match="--prevalence"):
        rows(trained, picture, prevalence=1.5)


def test_the_model_sees_what_training_saw(trained: Any, tmp_path: Path) -> None:
    expected = np.asarray(trained.bundle.predict(trained.splits.test.x[:5]))[:, 0]
    for number in range(5):
        Image.fromarray(trained.splits.test.raw[number, :, :, 0]).save(tmp_path / f"{number}.png")
    found = [row["probability"] for row in rows(trained, *sorted(tmp_path.glob("*.png")))]
    assert np.allclose(found, expected, atol=1e-4)


def test_noise_is_flagged(trained: Any, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (28, 28)).astype(np.uint8)).save(tmp_path / "noise.png")
    (row,) = rows(trained, tmp_path / "noise.png")
    assert row["abstain"] is True and row["unfamiliarity"] > row["limit"]


def test_explaining_draws_a_heat_map(trained: Any, picture: Path, tmp_path: Path) -> None:
    (row,) = rows(trained, picture, explain=True, heat_maps=tmp_path)
    assert Path(row["heat_map"]) == tmp_path / "scan.png.heat.png"
    assert Image.open(row["heat_map"]).size == (448, 448)
    assert [file.name for file in tmp_path.iterdir()] == ["scan.png.heat.png"]
    with pytest.raises(UsageError, match="no such folder"):
        rows(trained, picture, explain=True, heat_maps=tmp_path / "gone")


def test_a_dicom_file_gives_the_same_as_its_picture(trained: Any, tmp_path: Path) -> None:
    pytest.importorskip("pydicom", reason="DICOM needs pydicom")
    values = trained.splits.test.raw[1, :, :, 0]
    Image.fromarray(values).save(tmp_path / "a.png")
    write_dicom(
        tmp_path / "a.dcm",
        values.astype(np.uint16) * 16,
        patient="P1",
        name="Roe^Max",
        WindowCenter=2040.5,
        WindowWidth=4081,
    )
    inverted = (255 - values.astype(np.uint16)) * 16
    write_dicom(
        tmp_path / "b.dcm",
        inverted,
        patient="P1",
        name="Roe^Max",
        WindowCenter=2040.5,
        WindowWidth=4081,
        PhotometricInterpretation="MONOCHROME1",
    )
    found = [row["probability"] for row in rows(trained, tmp_path / "a.png", tmp_path / "a.dcm", tmp_path / "b.dcm")]
    assert np.ptp(found) < 0.02
    assert not any("Roe" in str(row) for row in rows(trained, tmp_path / "a.dcm"))


@pytest.mark.parametrize("content", [b"", b"plain text", b"\x89PNG\r\n\x1a\n cut"])
@pytest.mark.parametrize("name", ["x.png", "x.dcm"])
def test_what_is_no_image_is_refused(trained: Any, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        rows(trained, tmp_path / name)
    assert name in str(caught.value)


def test_nothing_and_a_folder_are_refused(trained: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to look at"):
        rows(trained)
    with pytest.raises(DataError, match="a folder"):
        rows(trained, tmp_path)


def test_prediction_loads_nothing_heavy(trained: Any, picture: Path) -> None:
    program = (
        "import sys\n"
        "from penjing import load_bundle\n"
        "from penjing.contract import PredictRequest\n"
        "from penjing_medical_imaging import plugin\n"
        "from penjing_medical_imaging.predict import predict\n"
        f"bundle = load_bundle({str(trained.bundle.folder)!r})\n"
        f"request = PredictRequest(bundle=bundle, inputs=({str(picture)!r},),"
        f" options={{'explain': True, 'heat_maps': {str(picture.parent)!r}}})\n"
        "assert list(predict(request))\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'pandas', 'matplotlib', 'jinja2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
