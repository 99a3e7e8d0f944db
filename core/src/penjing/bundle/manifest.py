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
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the content, in lower-case hexadecimal")


class TensorEntry(_Strict):
    """An input or output of the model."""

    meaning: str = Field(description="what it is, with unit: 'log-mel spectrogram, 49 frames x 40 bands'")
    shape: list[int] = Field(description="with the batch dimension, 1")
    dtype: str = Field(description="numpy's name: int8, int16, float32")
    scale: float = Field(description="one step in real units; 0 where not quantized")
    zero_point: int = Field(description="the integer that stands for 0; 0 where not quantized")


class IntervalEntry(_Strict):
    """A figure with its interval on the test part."""

    estimate: float = Field(description="the figure on the whole test part")
    low: float | None = Field(default=None, description="lower end; null where there is no interval")
    high: float | None = Field(default=None, description="upper end")
    method: str = Field(default="", description="how the interval was made")
    n: int = Field(default=0, description="what was counted: examples, days")


class BudgetEntry(_Strict):
    """A limit and what was measured against it."""

    limit: str = Field(description="flash_bytes, arena_bytes, macs, latency_us or drop")
    value: float = Field(description="at most, in the unit that the limit's name carries")
    measured: float | None = Field(description="of the file, in the same unit; null where it could not be measured")
    holds: bool = Field(description="whether it was measured and is not above the limit")
    note: str = Field(default="", description="why it is missing, or what to bear in mind")


class StepEntry(_Strict):
    """A step that made the model what it is."""

    technique: str = Field(description="as recipes name it")
    plugin: str = Field(description="who brought it, with version")
    settings: dict[str, Any] = Field(description="all of them, defaults included")
    summary: str = Field(description="what it did, in one line")


class Lineage(_Strict):
    """Where the model came from."""

    data_source: str = Field(description="in words for a person")
    data_sha256: str = Field(description="of the content that was read")
    synthetic: bool = Field(description="true where the data was generated")
    seed: int = Field(description="of split, sample, training and bootstraps")
    versions: dict[str, str] = Field(description="of Python and the packages that made it")
    steps: list[StepEntry] = Field(description="in order")
    created: str = Field(description="UTC, ISO 8601")


class Manifest(_Strict):
    """The content of bundle.json."""

    schema_version: Literal[1] = Field(default=1, description="of this form; a reader refuses others")
    domain: str = Field(description="the domain's name; 'model' for a model without one")
    name: str = Field(description="the recipe's name")
    summary: str = Field(default="", description="what the model is, in one line")
    task: str = Field(description="classification, binary, multilabel, ordinal, regression, forecast or ranking")
    decision_threshold: float = Field(default=0.5, description="binary, multilabel: an output above it means yes")
    labels: list[str] = Field(default_factory=list, description="class names in output order")
    inputs: list[TensorEntry] = Field(description="of model.tflite, in its order")
    outputs: list[TensorEntry] = Field(description="of model.tflite, in its order")
    preprocessing: dict[str, Any] = Field(default_factory=dict, description="parameters of the domain's preprocess")
    recipe: str = Field(description="the recipe as TOML")
    lineage: Lineage = Field(description="data, seed, versions and steps")
    metrics: dict[str, IntervalEntry] = Field(default_factory=dict, description="of the file, on the test part")
    budget: list[BudgetEntry] = Field(default_factory=list, description="line by line; empty where none was set")
    intended_use: str = Field(default="", description="what it is for, and what not")
    data_license: str = Field(default="", description="of the data that it was trained on")
    files: dict[str, FileEntry] = Field(description="every file besides bundle.json, by its name")
