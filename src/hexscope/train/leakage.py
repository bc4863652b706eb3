"""Near-equal images: stills of one lesion, neighbouring slices, copies saved anew. They must not part in a division.

Two images count as near copies where both a small picture of them, less what all images of the table share, and their
fine detail, shifted a little, agree. The first alone takes images of like framing for copies, the second alone is slow.
Heads of two patients share the detail of their rims, but share it with the mirror image too: only what agrees better
than with the mirror image counts, or chains of strangers would become one patient.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.image import Image
from hexscope.io.case import Case, Refusal

Floats = NDArray[np.float32]

#: Sides of the small picture (2 and 3 axes), and of the one that holds the detail.
_SMALL, _FINE = {2: 32, 3: 10}, 96
#: Smaller images have no detail to compare.
_LEAST_SIDE = 48
#: Correlations from which two images are near copies: of pictures less what is common, and of detail; by how much the
#: detail must agree better than with the mirror image; and from where that is not asked, as of copies saved anew.
_ALIKE, _SAME_DETAIL, _BEYOND_MIRROR, _CERTAIN = 0.6, 0.3, 0.2, 0.8
#: Pixels of the fine picture by which detail may be shifted.
_SHIFT = 2
#: Rows of the table of correlations held at once.
_ROWS = 1024


@dataclass(frozen=True, eq=False)
class Picture:
    """What is kept of an image to compare it: ``small`` is flat, ``fine`` (96, 96) its detail, locally scaled."""

    small: Floats
    fine: Floats


def picture(image: Image) -> Picture | None:
    """The picture of an image; of a volume the fine one is of its middle slice. None where it is too small."""
    array = image.array.mean(axis=-1) if "c" in image.axes else image.array
    if array.ndim not in _SMALL or min(array.shape[-2:]) < (_LEAST_SIDE if array.ndim == 2 else _SMALL[3]):
        return None
    small = array
    for axis in range(array.ndim):
        small = _pooled(small, axis, _SMALL[array.ndim])
    small = np.sqrt(small - small.min()).ravel()
    small = (small - small.mean()) / (small.std() + 1e-6)
    fine = array if array.ndim == 2 else array[array.shape[0] // 2]
    for axis in range(2):
        fine = _pooled(fine, axis, _FINE)
    detail = fine - ndimage.gaussian_filter(fine, 2)
    local = np.sqrt(ndimage.gaussian_filter(detail**2, 4)) + 0.02 * fine.std() + 1e-6
    return Picture(small.astype(np.float32), np.clip(detail / local, -3, 3).astype(np.float32))


def _pooled(array: NDArray[np.generic], axis: int, cells: int) -> Floats:
    """Means over ``cells`` equal parts of an axis; where there are fewer pixels, they repeat."""
    edges = np.linspace(0, array.shape[axis], cells + 1).astype(int)
    starts = np.minimum(edges[:-1], array.shape[axis] - 1)
    shape = [1] * array.ndim
    shape[axis] = cells
    sums = np.add.reduceat(array, starts, axis=axis, dtype=np.float32)
    return np.asarray(sums / np.maximum(np.diff(edges), 1).reshape(shape), dtype=np.float32)


def near_copies(pictures: Sequence[Picture | None]) -> Iterator[tuple[int, int, float]]:
    """Pairs of near-equal images, first index below second, with the correlation of their detail."""
    at = [i for i, one in enumerate(pictures) if one is not None]
    held = [one for one in pictures if one is not None]
    sizes = Counter(len(one.small) for one in held)
    if len(held) < 3 or len(sizes) > 1:
        return
    small = np.stack([one.small for one in held])
    small -= np.median(small, axis=0)
    small /= small.std(axis=0) + 0.2  # what hardly varies over the table tells little
    small -= small.mean(axis=1, keepdims=True)
    small /= np.linalg.norm(small, axis=1, keepdims=True) + 1e-6
    for start in range(0, len(small), _ROWS):
        alike = small[start : start + _ROWS] @ small.T >= _ALIKE
        for row, column in np.argwhere(alike).tolist():
            first, second = start + row, column
            if first < second:
                same = _alike(held[first].fine, held[second].fine)
                if same >= _SAME_DETAIL:
                    yield at[first], at[second], same


def _alike(one: Floats, other: Floats) -> float:
    """The correlation of their detail; 0 where the mirror image of ``other`` agrees nearly as well."""
    same = _detail(one, other)
    if same < _SAME_DETAIL or same >= _CERTAIN:
        return same
    return same if same - max(0.0, _detail(one, other[:, ::-1])) >= _BEYOND_MIRROR else 0.0


def _detail(one: Floats, other: Floats) -> float:
    """The best correlation of the inner part of ``one`` with ``other`` shifted by up to two pixels."""
    side = len(one) - 2 * _SHIFT
    inner = _unit(one[_SHIFT:-_SHIFT, _SHIFT:-_SHIFT])
    moved = (
        _unit(other[dy : dy + side, dx : dx + side]) for dy in range(2 * _SHIFT + 1) for dx in range(2 * _SHIFT + 1)
    )
    return max(float((inner * part).sum()) for part in moved)


def _unit(part: Floats) -> Floats:
    part = part - part.mean()
    return np.asarray(part / (np.linalg.norm(part) + 1e-6), dtype=np.float32)


# ---- mending ------------------------------------------------------------------------------------------------

#: Words of the column split, by which side keeps a case that has near copies on several.
_RANK = ("test", "testing", "val", "valid", "validation", "train", "training")


@dataclass(frozen=True)
class Mended:
    """Cases whose near copies belong to one patient and one fold, those left out, and what was told."""

    cases: tuple[Case, ...]
    refused: tuple[Refusal, ...] = ()
    told: tuple[str, ...] = ()


def mended(cases: Sequence[Case], pictures: Mapping[str, Picture | None]) -> Mended:
    """Join the patients of near copies, so that no division parts them.

    Where the table's folds part them, all take the fold of the first; where its column split does, the test side keeps
    its cases and the others' copies are left out.
    """
    group = {case.group: case.group for case in cases}
    pairs = []
    for first, second, same in near_copies([pictures.get(case.case) for case in cases]):
        a, b = _head(group, cases[first].group), _head(group, cases[second].group)
        if a != b:
            group[b] = a
            pairs.append((same, cases[first].case, cases[second].case))
    if not pairs:
        return Mended(tuple(cases))
    joined = [replace(case, group=_head(group, case.group)) for case in cases]
    told = [_told(pairs, len({case.group for case in cases}), len({case.group for case in joined}))]
    joined, moved = _one_fold(joined)
    joined, refused = _one_side(joined)
    if moved:
        told.append(f"{moved} cases were moved to another fold, to that of their near copies")
    return Mended(tuple(joined), tuple(refused), tuple(told))


def _head(group: Mapping[str, str], name: str) -> str:
    while group[name] != name:
        name = group[name]
    return name


def _told(pairs: list[tuple[float, str, str]], before: int, after: int) -> str:
    shown = ", ".join(f"{a} and {b}" for _, a, b in sorted(pairs, reverse=True)[:5])
    return (
        f"images of different patients are nearly equal, and these patients are taken for one ({before} groups became "
        f"{after}): {shown}{' …' if len(pairs) > 5 else ''}. Look at them"
    )


def _one_fold(cases: Sequence[Case]) -> tuple[list[Case], int]:
    first: dict[str, int | None] = {}
    for case in cases:
        first.setdefault(case.group, case.fold)
    moved = sum(case.fold != first[case.group] for case in cases)
    return [replace(case, fold=first[case.group]) for case in cases], moved


def _one_side(cases: Sequence[Case]) -> tuple[list[Case], list[Refusal]]:
    sides: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        sides[case.group].add((case.split or "").strip().lower())
    kept: list[Case] = []
    refused: list[Refusal] = []
    for case in cases:
        held = sides[case.group]
        best = min(held, key=lambda word: _RANK.index(word) if word in _RANK else len(_RANK))
        if (case.split or "").strip().lower() == best:
            kept.append(case)
        else:
            refused.append(Refusal(case.case, f"a near copy of it, or of its patient's images, is on the side {best}"))
    return kept, refused
