"""bundle.json: what the model is, what goes in and comes out, where it came from, and how well it did."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1
MODEL_FILE = "model.tflite"
MANIFEST_FILE = "bundle.json"


class _Strict(BaseModel):
    # "constants" leaves NaN in a free field for the JSON writer to refuse; else it would turn into null in silence.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, ser_json_inf_nan="constants")


class FileEntry(_Strict):
    """A file of the bundle besides bundle.json."""

    size: int = Field(ge=0, description="bytes")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class TensorEntry(_Strict):
    """An input or output of the model."""

    meaning: str = Field(description="what it is, with unit: 'log-mel spectrogram, 49 frames x 40 bands'")
    shape: list[int] = Field(description="with the batch dimension, 1")
    dtype: str
    scale: float = Field(description="one step in real units; 0 where not quantized")
    zero_point: int


class IntervalEntry(_Strict):
    """A figure with its interval on the test part."""

    estimate: float
    low: float | None = None
    high: float | None = None
    method: str = ""
    n: int = 0


class BudgetEntry(_Strict):
    """A limit and what was measured against it."""

    limit: str
    value: float
    measured: float | None
    holds: bool
    note: str = ""


class StepEntry(_Strict):
    """A step that made the model what it is."""

    technique: str
    plugin: str
    settings: dict[str, Any]
    summary: str


class Lineage(_Strict):
    """Where the model came from."""

    data_source: str
    data_sha256: str
    synthetic: bool = Field(description="true where the data was generated")
    seed: int
    versions: dict[str, str]
    steps: list[StepEntry]
    created: str = Field(description="UTC, ISO 8601")


class Manifest(_Strict):
    """The content of bundle.json."""

    schema_version: Literal[1] = 1
    domain: str
    name: str
    summary: str = ""
    task: str
    decision_threshold: float = 0.5
    labels: list[str] = Field(default_factory=list, description="class names in output order")
    inputs: list[TensorEntry]
    outputs: list[TensorEntry]
    preprocessing: dict[str, Any] = Field(default_factory=dict, description="parameters of the domain's preprocess")
    recipe: str = Field(description="the recipe as TOML")
    lineage: Lineage
    metrics: dict[str, IntervalEntry] = Field(default_factory=dict, description="of the file, on the test part")
    budget: list[BudgetEntry] = Field(default_factory=list)
    intended_use: str = ""
    data_license: str = ""
    files: dict[str, FileEntry]
