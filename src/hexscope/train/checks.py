"""Look at every case before training: one bad case is told and left out, a leak of patients stops everything."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hexscope.core.image import Image, Mask
from hexscope.errors import HexscopeError, InputError, UsageError
from hexscope.io.case import WHOLE, Case, CaseTable, Refusal, Target
from hexscope.io.case_boxes import OBJECT, object_names, open_objects
from hexscope.io.cases import IGNORE, ROUNDED, open_images, open_instances, open_mask
from hexscope.models.boxes import volumes
from hexscope.train.leakage import Picture, mended, picture
from hexscope.train.splits import require_no_leak

Progress = Callable[[int, int], object]

#: What each task learns from, the richest first.
TARGETS: Mapping[str, tuple[Target, ...]] = {
    "segment": ("mask", "instances"),
    "detect": ("boxes", "mask", "instances"),
    "classify": ("label",),
}
#: Labels that say that nothing was found: an empty mask is then what one expects.
NORMAL = frozenset({"normal", "healthy", "negative", "none", "no_finding", "no finding"})
#: A label value held by less than this part of the cases is told: it may be a slip of the pen.
_RARE = 0.02


@dataclass(frozen=True)
class CaseFacts:
    """What was seen of one case.

    shape, spacing_mm  of the first input, in array order
    kinds              (modality, quantity) by input
    voxels             pixels by structure; objects count as one structure
    values             name by stored label value (table names, else the file's)
    digest             SHA-256 of all inputs' pixels
    picture            of the first input, to find near copies by
    told               what a person should know of this case
    """

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...] | None
    kinds: Mapping[str, tuple[str, str]]
    voxels: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[int, str] = field(default_factory=dict)
    digest: str = ""
    picture: Picture | None = None
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checked:
    """The table with its usable cases only, what was seen of each, and what was refused or told."""

    table: CaseTable
    target: Target
    facts: Mapping[str, CaseFacts]
    refused: tuple[Refusal, ...]
    told: tuple[str, ...]

    @property
    def sizes(self) -> dict[str, float]:
        """Pixels of everything sought, by case: what folds are stratified by."""
        return {name: float(sum(facts.voxels.values())) for name, facts in self.facts.items()}

    def as_json(self) -> dict[str, Any]:
        refused = [{"case": r.case, "reason": r.reason} for r in self.refused]
        return {"usable": len(self.table.cases), "refused": refused, "told": list(self.told)}


def check(
    table: CaseTable, task: str, *, kinds: Mapping[str, str] | None = None, progress: Progress | None = None
) -> Checked:
    """Open every case of ``table`` as ``task`` ("segment", "detect", "classify") would, one at a time.

    Refused, case by case: what cannot be read; a mask that lies elsewhere than its image; label values that the table
    does not name; inputs of another quantity or number of axes than the other cases'. Told: empty masks, rare
    label values, equal and nearly equal images (their patients are taken for one), grids that differ by rounding.

    kinds  modality and quantity by input, see ``open_images``; the table's own where not given

    Raises RefusedError where the table parts a patient, InputError where no case is usable.
    """
    require_no_leak(table)
    if task not in TARGETS:
        raise UsageError(f"unknown task {task!r}; known are {', '.join(TARGETS)}")
    target = table.require(*TARGETS[task])
    declared = {**table.kinds, **(kinds or {})}
    facts: dict[str, CaseFacts] = {}
    refused = list(table.refused)
    for number, case in enumerate(table.cases, start=1):
        try:
            facts[case.case] = look(case, table, target, declared)
        except HexscopeError as error:
            refused.append(Refusal(case.case, str(error)))
        if progress is not None:
            progress(number, len(table.cases))
    refused += _odd_ones(facts)
    for refusal in refused:
        facts.pop(refusal.case, None)
    if not facts:
        reasons = "; ".join(f"{r.case}: {r.reason}" for r in refused[:3])
        raise InputError(f"no case of {table.source} can be used ({len(refused)} refused): {reasons}")
    joined, twins = _join_twins([c for c in table.cases if c.case in facts], facts)
    near = mended(joined, {name: seen.picture for name, seen in facts.items()})
    refused += near.refused
    for refusal in near.refused:
        facts.pop(refusal.case, None)
    joined = list(near.cases)
    usable = replace(table, cases=tuple(joined), kinds=declared)
    usable = replace(usable, classes=_classes(usable, target, facts))
    require_no_leak(usable)
    told = (*table.notes, *twins, *near.told, *_about_values(facts, target), *_about_cases(joined, facts))
    return Checked(usable, target, facts, tuple(refused), told)


def look(case: Case, table: CaseTable, target: Target, kinds: Mapping[str, str]) -> CaseFacts:
    """Open one case. Raises a HexscopeError that says why it cannot be used."""
    if not case.has(target):
        raise InputError(f"it has no {target}; fill the column to train on it")
    images = open_images(case, kinds)
    first = next(iter(images.values()))
    told = [f"{name} holds one value only" for name, image in images.items() if _is_flat(image)]
    voxels: dict[str, int] = {}
    values: dict[int, str] = {}
    if target == "boxes":
        sizes = volumes(open_objects(case, table, target, first).boxes)
        voxels = {OBJECT: int(sizes.sum())}
    if target in ("mask", "instances"):
        for mask in _masks(case, table, target, images):
            told += [step for step in mask.steps if step.startswith(ROUNDED)]
            voxels = voxels or _count(mask, object_names(table, target) if target == "instances" else ())
            values |= {} if target == "instances" else {label.value: label.name for label in mask.labels}
        if not sum(voxels.values()) and (case.label or "").lower() not in NORMAL:
            told.append("its mask is empty")
    return CaseFacts(
        shape=first.grid.shape,
        spacing_mm=first.grid.spacing_mm,
        kinds={name: (image.modality, image.quantity.value) for name, image in images.items()},
        voxels=voxels,
        values=values,
        digest=_digest(images),
        picture=picture(first),
        told=tuple(told),
    )


def _masks(case: Case, table: CaseTable, target: Target, images: Mapping[str, Image]) -> list[Mask]:
    """Every mask of the case; each lies on its input's grid (one for all lies on that of any input), or InputError."""
    first = next(iter(images.values()))
    if target == "mask" and table.masks_by == "input":
        pairs = [(open_mask(case, table, name, on=images[name]), {name: images[name]}) for name in images]
        for mask, own in pairs:
            _require_grid(mask, own)
        return [mask for mask, _ in pairs]
    mask = open_instances(case, on=first) if target == "instances" else open_mask(case, table, WHOLE, on=first)
    _require_grid(mask, images)
    return [mask]


def _require_grid(mask: Mask, images: Mapping[str, Image]) -> None:
    if any(mask.grid.same_as(image.grid) for image in images.values()):
        return
    name, image = next(iter(images.items()))
    if mask.grid.shape != image.grid.shape:
        what = f"has shape {mask.grid.shape} and the image {name} {image.grid.shape}"
    elif mask.grid.affine is None or image.grid.affine is None:
        what = (
            f"has spacing {mask.grid.spacing_mm} and the image {name} {image.grid.spacing_mm}, without a place of both"
        )
    else:
        off = float(np.abs(mask.grid.corners_mm() - image.grid.corners_mm()).max())
        what = f"lies {off:.3g} mm off the image {name}, of the same shape"
    raise InputError(
        f"the mask {what}. If it is right where it lies, bring it over with: hexscope resample MASK --to IMAGE -o OUT"
    )


def _count(mask: Mask, kinds: Sequence[str]) -> dict[str, int]:
    """Pixels of each structure; ``kinds``: what all numbered objects of the mask are."""
    if kinds:
        return {kinds[0]: int(np.count_nonzero(mask.any))}
    counts = [np.bincount(layer.ravel(), minlength=1) for layer in mask.layers]
    held = {label.name: counts[label.layer] for label in mask.labels if label.name != IGNORE}
    at = {label.name: label.value for label in mask.labels}
    return {name: int(count[at[name]]) if at[name] < len(count) else 0 for name, count in held.items()}


def _is_flat(image: Image) -> bool:
    array = image.array
    return bool(array.min() == array.max())


def _digest(images: Mapping[str, Image]) -> str:
    whole = hashlib.sha256()
    for name, image in images.items():
        array = np.ascontiguousarray(image.array)
        whole.update(f"{name} {array.shape} {array.dtype} ".encode())
        whole.update(array.tobytes())
    return whole.hexdigest()


# ---- the cases beside one another ---------------------------------------------------------------------------


def _odd_ones(facts: Mapping[str, CaseFacts]) -> list[Refusal]:
    """Cases whose inputs are of another kind or number of axes than most."""
    out = {}
    axes = Counter(len(f.shape) for f in facts.values())
    inputs = {name for f in facts.values() for name in f.kinds}
    usual = {name: Counter(f.kinds[name] for f in facts.values() if name in f.kinds) for name in inputs}
    for case, seen in facts.items():
        most = axes.most_common(1)[0][0]
        if len(seen.shape) != most:
            out[case] = f"it has {len(seen.shape)} axes and most cases {most}; a model learns one kind"
        for name, kind in seen.kinds.items():
            wanted = usual[name].most_common(1)[0][0]
            if kind != wanted:
                said, common = (f"{modality} in {quantity}" for modality, quantity in (kind, wanted))
                out[case] = f"its input {name} is {said} and that of most cases {common}; quantify it, or leave it out"
    return [Refusal(case, reason) for case, reason in out.items()]


def _join_twins(cases: Sequence[Case], facts: Mapping[str, CaseFacts]) -> tuple[list[Case], list[str]]:
    """Patients whose cases hold equal pixels are taken for one, so that no division parts them."""
    by_digest: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_digest[facts[case.case].digest].append(case)
    heads: dict[str, str] = {}
    told = []
    for twins in by_digest.values():
        if len(twins) < 2:
            continue
        names = ", ".join(case.case for case in twins)
        labels = {case.label for case in twins}
        told.append(f"{names} hold equal pixels" + (f" under labels {_words(labels)}" if len(labels) > 1 else ""))
        first = _head(heads, twins[0].group)
        for case in twins[1:]:
            other = _head(heads, case.group)
            if other != first:
                heads[other] = first
    groups = {case.group: _head(heads, case.group) for case in cases}
    if heads:
        told.append(f"{len(heads)} patients were joined with others for their equal pixels")
    return [c if groups[c.group] == c.group else replace(c, group=groups[c.group]) for c in cases], told


def _head(heads: Mapping[str, str], group: str) -> str:
    while group in heads:
        group = heads[group]
    return group


def _words(labels: set[str | None]) -> str:
    return " and ".join(sorted(str(label) for label in labels))


def _classes(table: CaseTable, target: Target, facts: Mapping[str, CaseFacts]) -> Mapping[int, str]:
    """Names by value: the table's, else those that the files bear."""
    if target == "instances" or (target == "boxes" and not table.classes):
        return {1: object_names(table, target)[0]}
    if target == "label":
        return dict(enumerate(table.label_names, start=1))
    if table.classes or target == "boxes":
        return table.classes
    names = {value: name for seen in facts.values() for value, name in seen.values.items() if name != IGNORE}
    return dict(sorted(names.items()))


def _about_values(facts: Mapping[str, CaseFacts], target: Target) -> list[str]:
    """Label values that few cases hold, and structures that no case holds."""
    if target != "mask":
        return []
    holders: dict[str, list[str]] = defaultdict(list)
    for case, seen in facts.items():
        for name, count in seen.voxels.items():
            holders[name] += [case] if count else []
    told = [f"no case holds {name}" for name, cases in holders.items() if not cases]
    for name, cases in holders.items():
        if 0 < len(cases) < _RARE * len(facts):
            told.append(f"only {len(cases)} of {len(facts)} cases hold {name}: {', '.join(cases[:5])}")
    return told


def _about_cases(cases: Sequence[Case], facts: Mapping[str, CaseFacts]) -> list[str]:
    """What was told of single cases, one line for each matter."""
    of: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        for word in facts[case.case].told:
            of[word].append(case.case)
    return [
        f"{word}: {', '.join(names[:5])}{' …' if len(names) > 5 else ''} ({len(names)})" for word, names in of.items()
    ]
