"""Checks of a technique, on the kit's toy task."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import ValidationError

from penjing.contract import LayerChange, Preview
from penjing.errors import PenjingError
from penjing.heavy import import_tensorflow
from penjing.testing.arrays import digest, unchanged
from penjing.testing.checks import ConformanceError, NotApplicableError
from penjing.testing.technique_subject import TechniqueUnderTest

NO_SETTING = "no_such_setting_exists"


def check_settings_refuse_unknown_keys(subject: TechniqueUnderTest) -> None:
    """An unknown setting is refused.

    Give the settings model model_config = ConfigDict(extra="forbid", frozen=True).
    """
    values = subject.settings.model_dump()
    try:
        subject.settings_model.model_validate({**values, NO_SETTING: 1})
    except ValidationError as error:
        if not any(fault["type"] == "extra_forbidden" for fault in error.errors()):
            raise ConformanceError(f"the settings are refused for another reason: {error}") from error
        return
    raise ConformanceError(f"'{NO_SETTING}' is taken without a word")


def check_settings_explain_themselves(subject: TechniqueUnderTest) -> None:
    """Every setting has a description, and the technique a summary.

    Write Field(default=..., description="..."): messages about a wrong value quote it.
    """
    missing = [name for name, field in subject.settings_model.model_fields.items() if not field.description]
    if missing or not subject.technique.summary:
        raise ConformanceError("no description: " + ", ".join(missing or ["the technique"]))


def check_import_strings_resolve(subject: TechniqueUnderTest) -> None:
    """Every import string of the technique leads to something that can be called.

    Write "package.module:function", and install the package in the environment that is checked.
    """
    technique = subject.technique
    named = {
        "settings": technique.settings,
        "apply": technique.apply,
        "explain": technique.explain,
        "preview": technique.preview,
        "search_space": technique.search_space,
        **{f"invariants[{index}]": text for index, text in enumerate(technique.invariants)},
    }
    import_tensorflow()  # quietly, before a module of the technique does it
    wrong = []
    for name, text in named.items():
        try:
            if text is not None and not callable(subject.resolve(text)):
                wrong.append(f"{name}: '{text}' cannot be called")
        except PenjingError as error:
            wrong.append(f"{name}: {error}")
    if wrong:
        raise ConformanceError("\n".join(wrong))


def check_search_space_is_valid(subject: TechniqueUnderTest) -> None:
    """Every value of the search space is one that the settings take.

    Names are fields of the settings model, values lists of what they may be.
    """
    if subject.technique.search_space is None:
        raise NotApplicableError("the technique has no search space")
    given = subject.settings.model_dump(exclude_unset=True)
    for name, values in subject.resolve(subject.technique.search_space)().items():
        if name not in subject.settings_model.model_fields:
            raise ConformanceError(f"there is no setting '{name}'")
        for value in values:
            try:
                subject.settings_model.model_validate({**given, name: value})
            except ValidationError as error:
                raise ConformanceError(f"{name} = {value!r}: {error.errors()[0]['msg']}") from error


def check_explain_changes_nothing(subject: TechniqueUnderTest) -> None:
    """`explain` says what would happen, layer by layer, and leaves the model as it was.

    Return LayerChange for every layer, also for those that are left alone, with the reason.
    """
    if subject.technique.explain is None:
        raise NotApplicableError("the technique does not explain itself")
    model = subject.reference
    weights = digest(model.get_weights())
    rows = list(subject.resolve(subject.technique.explain)(model, subject.settings))
    if digest(model.get_weights()) != weights:
        raise ConformanceError("the model has other weights afterwards")
    if not rows or not all(isinstance(row, LayerChange) for row in rows):
        raise ConformanceError(f"it gives {len(rows)} rows, not all of them LayerChange")


def check_apply_makes_a_working_model(subject: TechniqueUnderTest) -> None:
    """The step ends with a model of the same inputs and outputs, finite, that becomes a file.

    Return StepOutcome(model=..., summary=...) and keep the model's first and last shapes.
    """
    result = subject.result
    before = subject.reference
    for side in ("inputs", "outputs"):
        ours = [tuple(tensor.shape) for tensor in getattr(before, side)]
        theirs = [tuple(tensor.shape) for tensor in getattr(result.model, side)]
        if ours != theirs:
            raise ConformanceError(f"{side} were {ours} and are {theirs}")
    outputs = np.asarray(result.model.predict(subject.bench.validation.x, verbose=0))
    if not np.isfinite(outputs).all():
        raise ConformanceError("the model's outputs are not finite")


def check_apply_says_what_it_did(subject: TechniqueUnderTest) -> None:
    """The step's summary has numbers, or says that nothing was done: the report shows it.

    Write "1,024 of 2,048 weights zero", not "done".
    """
    (record,) = subject.result.records
    did_nothing = digest(subject.result.model.get_weights()) == digest(subject.reference.get_weights())
    has_numbers = any(character.isdigit() for character in record.summary)
    if not record.summary or not (has_numbers or did_nothing):
        raise ConformanceError(f"the summary is {record.summary!r}")


def check_data_is_not_changed(subject: TechniqueUnderTest) -> None:
    """The step leaves training and validation data as they were.

    Copy an array before changing it.
    """
    with unchanged("the step", subject.bench.train, subject.bench.validation):
        subject.apply(subject.name, folder="data")


def check_same_seed_gives_the_same_file(subject: TechniqueUnderTest) -> None:
    """Run again with the same seed, the step gives the same file, byte by byte.

    Draw everything from context.seed.
    """
    if subject.apply(subject.name, folder="again").content != subject.result.content:
        raise ConformanceError("the two files differ")


def check_preview_has_the_right_sizes(subject: TechniqueUnderTest) -> None:
    """`preview` leaves the sizes that the step leaves.

    `penjing explain` goes on from it, and says what the file will cost.
    """
    if subject.technique.preview is None:
        if subject.technique.changes_structure:
            raise ConformanceError("the technique changes the structure and has no preview")
        raise NotApplicableError("the technique has no preview")
    preview = subject.resolve(subject.technique.preview)(subject.reference, subject.settings)
    if not isinstance(preview, Preview):
        raise ConformanceError(f"it gives a {type(preview).__name__} instead of Preview")
    expected, found = (
        sorted(tuple(weight.shape) for weight in model.weights) for model in (subject.result.model, preview.model)
    )
    if expected != found:
        raise ConformanceError(f"the preview has weights {found}, the step leaves {expected}")


def check_promises_hold(subject: TechniqueUnderTest) -> None:
    """What the step promises is true of the model and of the file that it leaves, also after a resume.

    check and check_file find violations; to_state and from_state are inverses.
    """
    promises = _promises(subject)
    for promise in promises:
        for what, found in (
            ("model", promise.check(subject.result.model)),
            ("file", promise.check_file(subject.result.content)),
        ):
            if found:
                raise ConformanceError(
                    f"{promise.summary}: the {what} breaks it at {found[0].layer}: {found[0].detail}"
                )
        again = type(promise).from_state(promise.to_state())
        if digest(dict(again.to_state())) != digest(dict(promise.to_state())):
            raise ConformanceError(f"{promise.summary}: from_state(to_state()) has another state")


def check_promises_notice_what_breaks_them(subject: TechniqueUnderTest) -> None:
    """The model before the step, which keeps none of its promises, is told apart from the one after it.

    A check that finds nothing anywhere guards nothing: count what is promised, in the model and in the file.
    """
    for promise in _promises(subject):
        if not promise.check(subject.reference):
            raise ConformanceError(f"{promise.summary}: check finds nothing wrong with the model before the step")
        if not promise.check_file(subject.reference_file):
            raise ConformanceError(f"{promise.summary}: check_file finds nothing wrong with the file before the step")


def check_promises_survive_every_legal_successor(subject: TechniqueUnderTest) -> None:
    """What the step promises stays true through every technique that may follow it, in the model and in the file.

    hold() must put a constraint on every variable that is promised something about, resized() must follow channels
    that go; what cannot follow belongs into `not_before`.
    """
    _promises(subject)
    _run_pairs(subject, [(subject.name, name) for name in subject.successors()])


def check_promises_of_legal_predecessors_are_kept(subject: TechniqueUnderTest) -> None:
    """The step breaks no promise of a technique that may stand before it.

    Train with context.fit, which holds all promises; say in `not_after` what cannot be kept.
    """
    pairs = [(name, subject.name) for name in subject.predecessors()]
    if not pairs:
        raise NotApplicableError("no technique with promises may stand before it")
    _run_pairs(subject, pairs)


def _run_pairs(subject: TechniqueUnderTest, pairs: list[tuple[str, str]]) -> None:
    broken = []
    for pair in pairs:
        try:
            subject.apply(*pair, folder=f"after-{pair[0]}")
        except PenjingError as error:
            broken.append(f"{' > '.join(pair)}: {error}")
    if broken:
        raise ConformanceError("\n".join(broken))


def _promises(subject: TechniqueUnderTest) -> list[Any]:
    if not subject.technique.invariants:
        raise NotApplicableError("the technique promises nothing")
    promises = subject.promises()
    if not promises:
        raise ConformanceError("the step declares invariants, and promises nothing with these settings")
    return promises
