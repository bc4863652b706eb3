"""A trained detector on an image: region, candidates, features and classifier, merging; nothing of it needs torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.results import Finding, Findings
from hexscope.detect.candidates import Candidates, of_filters, of_network, together
from hexscope.detect.evidence import evidence
from hexscope.detect.judge import FIT, SHARES, Judged, merged, of_peaks
from hexscope.detect.parts import parts_of
from hexscope.detect.region import region_of
from hexscope.errors import FormatError, NoModelError, RefusedError
from hexscope.models.boxes import given, middles, world_box
from hexscope.models.contract import Inputs
from hexscope.models.detector import Detector
from hexscope.models.peaks import Maps, maps, peaks
from hexscope.models.prepare import Prepared, prepare
from hexscope.models.shelf import Model
from hexscope.trust.promise import HeldOut, promise

Floats = NDArray[np.floating[Any]]

#: Held-out scores beside the card, from which a promise is made.
CALIBRATION = "calibration.json"
#: The worst misses of training's own figures, for the report.
WORST = "training/worst.json"


@dataclass(frozen=True, eq=False)
class Found:
    """Candidates of one image, best first, down to the least.

    boxes   (n, 2 * dims) least and greatest edges in pixels of the (first) image
    kinds   (n,) number of the likeliest class
    scores  (n,) 0..1
    shares  (n, classes) what speaks for each class
    fit     (n,) how well the box fits, 0..1 (see `hexscope.detect.judge.Judged`)
    evidence  by name of a feature (n,): what spoke for each
    labels  on the image's grid, where candidates have outlines: 1 for the first of them, 2 for the second, …
    """

    boxes: Floats
    kinds: NDArray[np.intp]
    scores: Floats
    shares: Floats
    fit: Floats
    evidence: Mapping[str, Floats]
    engine: str
    warnings: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    labels: NDArray[np.uint16] | None = None


def look(model: Model, images: Inputs) -> Found:
    """Every candidate of one case: ``images`` by input name, or the image of the only input.

    A model that segments is read as a detector: each part of a structure, or each object, is a candidate.

    Raises NoModelError for a model of another task, RefusedError where the model's input gate shuts, and what
    `hexscope.models.prepare.prepare` raises.
    """
    card = model.card
    if card.task == "segment":
        return _segmented(model, images)
    if card.task != "detect" or card.recipe is None or card.detector is None:
        raise NoModelError(f"model {card.name} is made to {card.task}, not to detect")
    beware = model.admit(images)
    prepared = prepare(images, card.recipe)
    seen_by, engine = maps(model.network, prepared, card.recipe, mirror=card.detector.mirror)
    held, table = judged(model, card.detector, prepared, seen_by)
    warnings = [s.removeprefix("warning: ") for s in prepared.steps if s.startswith("warning: ")]
    told = [s for s in prepared.steps if not s.startswith("warning: ")]
    return Found(
        boxes=given(held.boxes, prepared),
        kinds=held.shares.argmax(axis=1) if len(held.shares) else np.zeros(0, np.intp),
        scores=held.scores,
        shares=held.shares,
        fit=held.fit,
        evidence=table,
        engine=engine,
        warnings=(*beware, *warnings),
        steps=(*told, f"detect: model {card.name} ({engine})"),
    )


def _segmented(model: Model, images: Inputs) -> Found:
    made = model.predict(images)
    parts = parts_of(made, model.card)
    shares = np.zeros((len(parts.boxes), len(model.card.classes)))
    shares[np.arange(len(shares)), parts.kinds] = parts.scores
    step = f"detect: parts of what model {model.card.name} segmented ({made.engine})"
    return Found(
        boxes=parts.boxes,
        kinds=parts.kinds,
        scores=parts.scores,
        shares=shares,
        fit=parts.scores,
        evidence={},
        engine=made.engine,
        warnings=made.warnings,
        steps=(step,),
        labels=parts.labels,
    )


def judged(model: Model, detector: Detector, prepared: Prepared, seen_by: Maps) -> tuple[Judged, dict[str, Floats]]:
    """Candidates scored and merged, and the features that weigh most with the trees."""
    if not detector.judged:
        return of_peaks(peaks(seen_by, prepared.grid.shape, same=detector.same)), {}
    found, region = candidates(detector, prepared, seen_by)
    table, names = evidence(found, prepared.array, region, seen_by, model.card.classes)
    if not len(found):
        return Judged(found.boxes, np.zeros((0, len(model.card.classes))), np.zeros(0), np.zeros(0)), {}
    said = model.trees.run(table)
    if said[FIT].shape[1] != 2:
        raise FormatError(
            f"the classifier of model {model.card.name} ({model.folder}) gives one number for how a box fits, where "
            "the chances of no and yes are asked: an earlier version of Hexscope made it. Train the model anew"
        )
    held = merged(found, said[SHARES], said[FIT][:, 1], detector.same)
    return held, {name: table[held.rows, names.index(name)] for name in detector.speaks if name in names}


def candidates(detector: Detector, prepared: Prepared, seen_by: Maps) -> tuple[Candidates, NDArray[np.bool_]]:
    """The first two stages: the region, and what may lie there."""
    region = region_of(prepared.array[0], detector.region)
    parts = [of_network(seen_by, prepared.grid.shape)]
    if detector.candidates != "network":
        parts.append(of_filters(prepared.array, region, detector.sizes))
    return together(parts), region


# ---- findings -----------------------------------------------------------------------------------------------


def find(
    model: Model,
    images: Inputs,
    *,
    sensitivity: float | None = None,
    confidence: float | None = None,
    score: float | None = None,
    within: Mask | None = None,
) -> Findings:
    """Candidates of a trained detector on one case, best first, with what is promised of them.

    sensitivity  share of the lesions to be found: sets the score from which candidates count, by what held-out patients
                 taught; with ``confidence`` in the form that holds for that very set. RefusedError where they are too
                 few or the share is out of reach
    score        the score itself; neither: the one that the card names
    within       only candidates whose middle lies in this mask

    Not a diagnosis. ``mask`` holds the ellipse in each box, or, of a model that segments, the outlines.
    """
    found = look(model, images)
    detector = model.card.detector or Detector()
    first = images if isinstance(images, Image) else images[model.card.inputs[0].name]
    said: Mapping[str, Any] | None = None
    least = detector.score if score is None else score
    if sensitivity is not None:
        given_word = promise(held_out(model), sensitivity, confidence)
        least, said = given_word.require(), given_word.as_json()
    keep = found.scores >= least
    if within is not None:
        keep &= _within(found.boxes, first, within)
    at = np.flatnonzero(keep)
    items = tuple(_finding(model, first, found, int(i), n) for n, i in enumerate(at, start=1))
    step = f"{found.steps[-1]}; score of at least {least:.3g}"
    steps = (*first.steps, *found.steps[:-1], step, *(f"warning: {w}" for w in found.warnings))
    return Findings(
        items=items,
        method=f"model {model.card.name}: {stages(model.card.detector)}; score of at least {least:.3g}",
        mask=replace(_outlines(found, at, first.grid), files=first.files, name=first.name),
        promise=said,
        warnings=(*found.warnings, *(() if items else ("no candidate was found",))),
        steps=steps,
    )


def stages(detector: Detector | None) -> str:
    """The four stages in words."""
    if detector is None:
        return "parts of what it segments"
    judge = "gradient-boosted trees on features" if detector.judged else "the network's own score"
    return f"region {detector.region}, candidates of {detector.candidates}, {judge}, merged at IoU {detector.same:g}"


def held_out(model: Model) -> HeldOut:
    """What held-out patients taught of this model. RefusedError where nothing is kept of them."""
    path = model.folder / CALIBRATION
    try:
        return HeldOut.from_data(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise RefusedError(
            f"model {model.card.name} keeps no figures of held-out patients ({CALIBRATION}): nothing can be promised. "
            "Leave --sensitivity out"
        ) from error
    except ValueError as error:
        raise FormatError(f"{path} is not JSON: {error}") from error


def _within(boxes: Floats, image: Image, mask: Mask) -> NDArray[np.bool_]:
    from hexscope.core.resample import resample

    where = (mask if mask.grid.same_as(image.grid) else resample(mask, image.grid)).any
    index = np.clip(np.floor(middles(boxes)).astype(int), 0, np.array(image.grid.shape) - 1)
    return np.asarray(where[tuple(index.T)])


def _finding(model: Model, image: Image, found: Found, i: int, label: int) -> Finding:
    box, grid = found.boxes[i], image.grid
    dims = grid.ndim
    middle = middles(box[None])[0]
    placed = grid.affine is not None and dims == 3
    measures: dict[str, float | None] = {}
    if len(model.card.classes) > 1:
        total = max(float(found.shares[i].sum()), 1e-9)
        measures |= {f"share/{n}": float(v) / total for n, v in zip(model.card.classes, found.shares[i], strict=True)}
    if found.labels is None:
        measures["box_fit"] = float(found.fit[i])
    measures |= {f"evidence/{name}": float(values[i]) for name, values in found.evidence.items()}
    sides = box[dims:] - box[:dims]
    if grid.spacing_mm is not None:
        measures["longest_side_mm"] = float((sides * np.array(grid.spacing_mm)).max())
    return Finding(
        score=float(found.scores[i]),
        kind=model.card.classes[int(found.kinds[i])],
        center_lps_mm=tuple(grid.to_world(middle - 0.5).tolist()) if placed else None,
        center_px=None if placed else tuple(float(v) for v in middle),
        box_lps_mm=world_box(box, grid) if placed else None,
        box_px=None if placed else tuple(round(float(v), 2) for v in box),
        volume_ml=_volume(found, i, grid),
        measures=measures,
        series=str(image.facts.get("SeriesInstanceUID", image.name)),
        label=label,
    )


def _volume(found: Found, i: int, grid: Grid) -> float | None:
    """Of an outlined candidate on a grid that says its spacing; a box has none."""
    if found.labels is None or grid.voxel_volume_ml is None or grid.ndim != 3:
        return None
    return float((found.labels == i + 1).sum()) * grid.voxel_volume_ml


def _outlines(found: Found, at: NDArray[np.intp], grid: Grid) -> Mask:
    """Labels 1, 2, … of the candidates ``at``: their outlines, or the ellipses in their boxes."""
    if found.labels is None:
        return _ellipses(found.boxes[at], grid)
    new = np.zeros(len(found.boxes) + 1, np.uint16)
    new[at + 1] = np.arange(1, len(at) + 1)
    return Mask.from_array(new[found.labels], grid, {n: f"candidate {n}" for n in range(1, len(at) + 1)})


def _ellipses(boxes: Floats, grid: Grid) -> Mask:
    """The ellipse that fills each box, the best on top: labels 1, 2, … in the order of ``boxes``."""
    out = np.zeros(grid.shape, np.uint16)
    dims = grid.ndim
    for label in range(len(boxes), 0, -1):
        low, high = boxes[label - 1, :dims], boxes[label - 1, dims:]
        start = np.maximum(np.floor(low).astype(int), 0)
        stop = np.minimum(np.ceil(high).astype(int), grid.shape)
        axes: Any = np.ogrid[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
        ends = zip(axes, low, high, strict=True)
        far = sum(((x + 0.5 - (a + b) / 2) / max((b - a) / 2, 0.5)) ** 2 for x, a, b in ends)
        out[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))][far <= 1.0] = label
    return Mask.from_array(out, grid, {n: f"candidate {n}" for n in range(1, len(boxes) + 1)})
