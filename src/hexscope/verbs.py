"""The public verbs. Each takes an Image first, gives a new thing, changes nothing; only ``save``, ``study``,
``phantom`` and ``demo`` write. Those of two images are in `pair_verbs`, those of trained models in `model_verbs`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hexscope.core.faults import FAULTS
from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.image import Study as StudySet
from hexscope.core.quantity import Quantity
from hexscope.core.transform import Transform
from hexscope.errors import HexscopeError, NoModelError, QuantityError, UsageError
from hexscope.io.reading import Progress, inventory, read, read_image, read_mask
from hexscope.io.writing import save
from hexscope.modality import named, of_code
from hexscope.modality.base import Language

if TYPE_CHECKING:
    from hexscope.classify.nearest import Alike
    from hexscope.core.measure import LabelMeasures
    from hexscope.core.resample import How
    from hexscope.core.results import Audited, Findings, Scores
    from hexscope.io.series import Inventory
    from hexscope.models.shelf import Model
    from hexscope.phantom import PhantomFiles
    from hexscope.radiomics import Features, FeatureSettings
    from hexscope.study import StudyResult

__all__ = [
    "audit", "classify", "convert", "demo", "detect", "evidence", "features", "guide", "info", "measure", "nearest",
    "open_study", "phantom", "quantify", "read", "read_mask", "read_transform", "resample", "save", "segment", "study",
]  # fmt: skip


# ---- looking ------------------------------------------------------------------------------------------------


def info(path: str | Path, *, progress: Progress | None = None) -> Inventory:
    """What lies at ``path``, by series, from headers alone. ``.series[i].as_json(i + 1)`` is the row of the CLI."""
    return inventory(path, progress=progress)


def audit(path: str | Path, *, progress: Progress | None = None) -> tuple[Audited, ...]:
    """Every series and stray file with its verdict (ok, repaired, refused, ignored) and faults; pixels are read."""
    from hexscope.study.audit import audit_series

    found = inventory(path, progress=progress)
    judged = (audit_series(series, found)[0] for series in found.series)  # one at a time: nothing is kept
    return (*judged, *found.others)


def guide(modality: str | None = None, language: str = "en") -> str:
    """The guide of a modality (a page of Markdown), or, without one, the list of them. ``language``: en or zh."""
    from hexscope.modality import ALL

    lang: Language = "zh" if language == "zh" else "en"
    if modality is not None:
        return named(modality).guide_text(lang)
    rows = [f"- {m.guide}: {m.name_zh if lang == 'zh' else m.name}" for m in ALL]
    return "\n".join(rows)


def open_study(folder: str | Path) -> StudySet:
    """All images and masks of a folder that can be read, by series id. What cannot is in ``audit``."""
    from hexscope.study.audit import audit_inventory

    found = audit_inventory(inventory(folder))
    return StudySet(found.images, found.masks)


def read_transform(path: str | Path) -> Transform:
    """A transform from .tfm or .h5 (ITK's direction on disk), as a Transform from moving to fixed."""
    from hexscope.io.transforms import read_transform as read_file

    return read_file(Path(path))


def remedy_of(error: HexscopeError, language: str = "en") -> str:
    """What to do about an error, from the fault table; empty where its message says it all."""
    kind = FAULTS.get(error.code or "")
    if kind is None:
        return ""
    return kind.remedy_zh if language == "zh" else kind.remedy


# ---- numbers and grids --------------------------------------------------------------------------------------


def quantify(image: Image, quantity: Quantity | str) -> Image:
    """The image in another quantity. The factors used, with their header tags, are in ``facts["ledger"]``.

    Raises MissingFact where the header lacks what the formula needs, QuantityError where there is no formula.
    """
    wanted = quantity if isinstance(quantity, Quantity) else Quantity.named(quantity)
    modality = of_code(image.modality)
    if modality is None:
        if wanted is image.quantity:
            return image
        raise QuantityError(
            f"{image.name or 'this image'} does not say what modality it is, so {image.quantity.value} cannot "
            f"become {wanted.value}",
            code="value.wrong_quantity",
        )
    converted, ledger = modality.convert(image, wanted)
    entries = tuple(entry.as_json() for entry in ledger)
    return replace(converted, facts={**converted.facts, "ledger": entries})


def resample(
    thing: Image | Mask, to: Grid | Image, *, through: Transform | None = None, how: How = "linear"
) -> Image | Mask:
    """``thing`` on the grid ``to``; a Mask stays a mask (nearest neighbour), an Image is ``how`` interpolated."""
    from hexscope.core.resample import resample as onto

    return onto(thing, to.grid if isinstance(to, Image) else to, through=through, how=how)


def convert(
    path: str | Path,
    out: str | Path,
    *,
    like: str | Path | None = None,
    spacing_mm: Sequence[float] | None = None,
    kind: str | None = None,
    even: bool = False,
) -> Image | Mask:
    """Read ``path`` and save it in the format of the name of ``out``; gives what was written.

    ``like`` is an image whose grid the result takes: contours are drawn on it, the rest is resampled.
    """
    target = None if like is None else read_image(like)
    thing = read(path, spacing_mm=spacing_mm, kind=kind, even=even, on=target)
    if target is not None and not thing.grid.same_as(target.grid):
        thing = resample(thing, target)
    source = target if isinstance(thing, Mask) and target is not None and target.files else None
    save(thing, out, source=source)
    return thing


def measure(mask: Mask, image: Image | None = None) -> tuple[LabelMeasures, ...]:
    """Per label: volume, area, diameter and, with an image on the same grid, its values."""
    from hexscope.core.measure import measure as measure_labels

    return tuple(measure_labels(mask, image))


def features(
    image: Image,
    mask: Mask,
    *,
    label: int | str | None = None,
    families: Sequence[str] | None = None,
    settings: FeatureSettings | None = None,
) -> Features:
    """Radiomic features of one structure, by IBSI name: form, values, histogram, texture. See docs/features.md.

    A mapping of names to numbers, with the steps that led there. ``settings`` (`FeatureSettings`) say how
    the image is resampled, re-segmented and cut into grey levels.
    """
    from hexscope.radiomics import features as run

    return run(image, mask, label=label, families=families, settings=settings)


# ---- tasks --------------------------------------------------------------------------------------------------


def segment(
    image: Image,
    what: Sequence[str] | None = None,
    *,
    model: str | Path | Model | None = None,
    force: bool = False,
) -> Mask:
    """Structures of ``image`` as a Mask: by rules that need no trained model, or by ``model``.

    Rules: body, lung and bone on CT; tissue on slides; the fan in ultrasound. ``what`` names some of them; without it,
    all that fit the modality. A PET is brought into SUVbw first, and its steps say so. NoModelError where nothing fits.

    ``model`` is a name, a model folder or an open model. It gets the image as it is, and QuantityError says where that
    is not what it was made for. `predict` tells more: several inputs, uncertainty, the Dice to expect; and what
    ``force`` does.
    """
    if model is not None:
        if what is not None:
            raise UsageError("a model segments what it was trained for; leave what out")
        from hexscope.model_verbs import predict

        return predict(image, model, force=force).mask
    from hexscope.segment import segment as run

    _require_modality(image)
    return run(_in_suv(image), what)


def detect(
    image: Image | Mapping[str, Image],
    *,
    model: str | Path | Model | None = None,
    force: bool = False,
    **options: Any,
) -> Findings:
    """Candidates with place, score and class: hot lesions on PET by rule, or what ``model`` was trained to find.

    By rule, an image in Bq/ml is brought into SUVbw first, and its steps say so; options are those of
    `hexscope.detect.detect`: threshold, suv, liver, minimum_ml.

    ``model`` is a name, a model folder or an open model; ``image`` is that of its only input, or its images by input
    name. Options are then those of `hexscope.detect.lesions.find`: sensitivity, confidence, score, within. ``force``:
    what the model's input gate would refuse is only warned of.
    """
    if model is not None:
        from hexscope.detect.lesions import find
        from hexscope.model_verbs import open_model

        return find(open_model(model, force=force), image, **options)
    from hexscope.detect import detect as run

    if not isinstance(image, Image):
        raise UsageError("the rule for PET looks at one image; images by input name go with a model")
    _require_modality(image)
    return run(_in_suv(image), **options)


def classify(
    image: Image | Mapping[str, Image],
    model: str | Path | Model,
    *,
    coverage: float | None = 0.9,
    force: bool = False,
) -> Scores:
    """Class probabilities of one case, and the set of classes that cannot be excluded at this coverage.

    ``model`` is a name, a model folder or an open model; ``image`` is that of its only input, or its images by input
    name. Where the set does not hold exactly one class, ``abstains`` says that the model cannot tell. ``force``: what
    the model's input gate would refuse is only warned of.
    """
    from hexscope.classify import classify as run
    from hexscope.model_verbs import open_model

    return run(image, open_model(model, force=force), coverage=coverage)


def evidence(image: Image | Mapping[str, Image], model: str | Path | Model, name: str | None = None) -> Image:
    """How much each part of the image speaks for a class (None: the likeliest) of a classifier, on the image's grid."""
    from hexscope.classify.evidence import evidence as run
    from hexscope.model_verbs import open_model

    return run(image, open_model(model), name)


def nearest(image: Image | Mapping[str, Image], model: str | Path | Model, count: int = 5) -> list[Alike]:
    """The labelled cases that look most like this one to a classifier: names, labels and likeness from 0 to 1."""
    from hexscope.classify.evidence import nearest as run
    from hexscope.model_verbs import open_model

    return run(image, open_model(model), count)


def _require_modality(image: Image) -> None:
    """NoModelError for a file that does not say what it is, with the way to say it."""
    if image.modality == "OT":
        raise NoModelError(
            f"{image.name or 'this image'} does not say what modality it is, so no rule fits. If you know, declare it: "
            'read(path, kind="CT:HU"), or --as CT:HU, PT:SUVbw, MR, US, XR, SM'
        )


def _in_suv(image: Image) -> Image:
    """A PET in SUVbw, other images as they are: thresholds on uptake are stated in SUV."""
    return quantify(image, Quantity.SUVBW) if image.modality == "PT" else image


# ---- whole jobs ---------------------------------------------------------------------------------------------


def study(folder: str | Path, out: str | Path, **options: Any) -> StudyResult:
    """Sort, audit, quantify, register, fuse, segment, detect, measure and report a whole folder into ``out``."""
    from hexscope.study import study as run

    return run(Path(folder), Path(out), **options)


def phantom(out: str | Path, *, seed: int = 0, faults: str | Sequence[str] = "all") -> PhantomFiles:
    """Write the digital patient (synthetic) as a messy folder, with truth.json beside it."""
    from hexscope.phantom import write_phantom

    return write_phantom(Path(out), seed=seed, faults=faults)


def demo(out: str | Path, *, seed: int = 0, **options: Any) -> Mapping[str, Any]:
    """Phantom, its study, and the comparison with the truth: what was found and what was missed."""
    from hexscope.study.demo import demo as run

    return run(Path(out), seed=seed, **options)
