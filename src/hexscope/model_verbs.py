"""The public verbs about models: predict, train, evaluate, plan, and what is on the shelf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hexscope.core.image import Image
from hexscope.core.results import Findings, Scores
from hexscope.errors import HexscopeError, UsageError
from hexscope.io.reading import Progress

if TYPE_CHECKING:
    from hexscope.io.case import CaseTable
    from hexscope.io.datasets import Fetched, PublicSet
    from hexscope.models.apply import Prediction
    from hexscope.models.shelf import Model, Shelf
    from hexscope.train.order import Trained
    from hexscope.train.plan import Plan

__all__ = ["compare_plans", "data_get", "evaluate", "import_model", "models", "plan", "predict", "train"]


def predict(images: Image | Mapping[str, Image], model: str | Path | Model, *, force: bool = False) -> Prediction:
    """The answer of a model on one case: its mask, how sure each pixel is, and the Dice to expect of it.

    ``images`` is the image of the model's only input, or its images by input name. The mask lies on the grid of the
    first input. Raises NoModelError for an unknown model, UsageError where inputs lack, QuantityError where an image is
    not what its input asks for, RefusedError where the model's input gate finds it far from the training images;
    ``force`` makes a warning of that.
    """
    return open_model(model, force=force).predict(images)


def open_model(model: str | Path | Model, *, force: bool = False) -> Model:
    """The model of that name or folder; ``force``: its input gate warns and refuses nothing. NoModelError lists the
    known ones."""
    from hexscope.models.shelf import Model, find_model

    found = model if isinstance(model, Model) else find_model(model)
    return replace(found, forced=True) if force and not found.forced else found


def drift(model: Model, answers: Sequence[Findings] | Sequence[Scores]) -> str:
    """What to beware of with a batch of answers, one a patient and in order: that they no longer look like those that
    the model's promises rest on. Empty where they do."""
    from hexscope.evaluate.drift import drift as run

    found = run(model, answers)
    return "" if found is None else found.sentence


def models() -> Shelf:
    """The models that are found: shipped ones, then those in $HEXSCOPE_MODELS or the user's data folder.

    ``.models`` are open models with their ``card``; ``.broken`` says what stood in the way of others.
    """
    from hexscope.models.shelf import shelf

    return shelf()


def models_matrix() -> list[dict[str, Any]]:
    """Task by modality: what works, by which rule or model, on what it was measured, and the figures of models."""
    from hexscope.models.matrix import matrix

    return matrix(models().models)


def import_model(folder: str | Path, out: str | Path) -> Model:
    """Copy a model folder to ``out`` after looking at it: card, network and sizes. Nothing is left where it fails."""
    from hexscope.models.shelf import import_model as run

    return run(Path(folder), Path(out))


def train(
    task: str,
    cases: str | Path,
    *,
    name: str,
    out: str | Path | None = None,
    inputs: Sequence[str] | None = None,
    allow_missing: bool = False,
    kinds: str | Mapping[str, str] | None = None,
    classes: Mapping[int, str] | None = None,
    **order: Any,
) -> Trained:
    """Make a model from labelled cases: checked, divided by patient, planned with reasons, measured on patients it
    never saw, and written with its card and report to the folder ``out`` (else under ``name`` on your own shelf).

    inputs  columns to take as channels, in this order; the answer lies on the grid of the first
    kinds   what images are that do not say: "MR" for all, or by input "pet=PT:SUVbw,ct=CT:HU" (or a mapping)
    classes names by label value, where the table does not say
    order   the rest of `hexscope.train.order.Order`: minutes (10), seed (0), folds, overrides, resume, progress, and
            papers for the card ({"trained_on", "licence", "limits"})

    Needs torch: ``pip install hexscope[train]``. UsageError, InputError or RefusedError say what forbids it.
    """
    from hexscope.io.cases import read_cases
    from hexscope.models.shelf import user_folder

    _require_torch()
    from hexscope.train.order import Order, Papers
    from hexscope.train.session import train as run

    table = read_cases(cases, inputs, allow_missing, classes)
    declared = kinds_by_input(kinds, table.inputs) if isinstance(kinds, str | None) else dict(kinds)
    papers = Papers(**order.pop("papers", {}))
    folder = user_folder() / name if out is None else Path(out)
    made = run(task, table, folder, Order(name=name, kinds=declared, papers=papers, **order))
    return replace(made, told=(*made.told, *_reported(made, table, declared, order.get("folds") is None)))


def _require_torch() -> None:
    for package in ("torch", "onnx"):
        if find_spec(package) is None:
            raise UsageError(f"training needs {package}, which is not installed: pip install 'hexscope[train]'")


def _reported(made: Trained, table: CaseTable, kinds: Mapping[str, str], unseen: bool) -> tuple[str, ...]:
    """Write the model's report; what hinders that costs the report, not the model. Cases are drawn where the model
    never saw them."""
    from hexscope.study.model_report import Cases, write_model_report

    measured = {case.case for case in made.validation.cases}
    held = tuple(case for case in table.cases if case.case in measured)
    drawn = unseen or open_model(made.model).card.task in ("classify", "detect")  # these keep what models unseen said
    shown = Cases(replace(table, cases=held, refused=()), {**table.kinds, **kinds}) if drawn else None
    try:
        write_model_report(open_model(made.model), made.validation, shown)
    except HexscopeError as error:
        return (f"the report could not be written: {error}",)
    return ()


def kinds_by_input(text: str | None, inputs: Sequence[str]) -> dict[str, str]:
    """``MR`` for every input, or ``pet=PT:SUVbw,ct=CT:HU`` for each: what images are that do not say."""
    if text is None:
        return {}
    if "=" not in text:
        return dict.fromkeys(inputs, text)
    kinds = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    strange = [name for name in kinds if name not in inputs]
    if strange:
        raise UsageError(
            f"inputs were declared that are not there: {', '.join(strange)}; there are {', '.join(inputs)}"
        )
    return kinds


def evaluate(
    model: str | Path | Model,
    cases: str | Path,
    *,
    kinds: str | Mapping[str, str] | None = None,
    per_case: bool = False,
    allow_missing: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """A model on labelled cases: ``{metric: {mean, low, high, n}}``, the interval drawn by patient.

    kinds     what images are that do not say, as the user vouches: as in ``train``
    per_case  also every case, under ``cases``

    A case that fails is in ``failed`` with its reason, and in no mean; the others go on. `hexscope.io.cases` says
    which tables are read. Raises UsageError where the table and the model have nothing in common.
    """
    from hexscope.evaluate.segmentation import cases_for, evaluate_model

    opened = open_model(model)
    table = cases_for(opened.card, cases, allow_missing=allow_missing)
    declared = kinds_by_input(kinds, table.inputs) if isinstance(kinds, str | None) else kinds
    if opened.card.task == "detect":
        from hexscope.evaluate.detection import evaluate_detector

        return evaluate_detector(opened, table, kinds=declared, progress=progress)[0].as_json(per_case=per_case)
    if opened.card.task == "classify":
        from hexscope.evaluate.classification import evaluate_classifier

        return evaluate_classifier(opened, table, kinds=declared, progress=progress).as_json(per_case=per_case)
    return evaluate_model(opened, table, kinds=declared, progress=progress).as_json(per_case=per_case)


def plan(model: str | Path | Model) -> Plan:
    """How a model was made: every automatic choice with its reason, what else was considered, and the override.

    FormatError where the model folder holds no plan.
    """
    from hexscope.train.plan import Plan

    return Plan.read(open_model(model).folder)


def compare_plans(one: str | Path | Model, other: str | Path | Model) -> list[dict[str, Any]]:
    """The choices in which two models differ, with both values, both reasons, and the facts behind them."""
    from hexscope.train.plan import differences

    return differences(plan(one), plan(other))


def data_get(name: str, out: str | Path, *, source: str | None = None, progress: Any = None) -> Fetched:
    """Fetch a public set into the new folder ``out``, checked and unpacked, with a table of its cases.

    source  a folder or address that holds the same files, instead of their public addresses

    UsageError lists the known sets; InputError where it cannot be fetched, does not fit its checksum, or must be asked
    for at its page.
    """
    from hexscope.io.datasets import find_set, get_set

    return get_set(find_set(name), Path(out), source=source, progress=progress)


def public_sets() -> tuple[PublicSet, ...]:
    """The public sets that ``data_get`` knows, with their licences."""
    from hexscope.io.datasets import public_sets as known

    return known()
