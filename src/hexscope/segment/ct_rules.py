"""Body, lungs and bone on CT, from Hounsfield units and shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hexscope.core.image import Image
from hexscope.core.quantity import Quantity, require_quantity
from hexscope.segment.found import Found
from hexscope.segment.view import Part, View, closed, filled, grown, large, opened, shrunk

#: Half way between air (−1000) and water: where a blurred edge between the two truly lies.
_TISSUE_HU = -500.0
#: Aerated lung lies below, soft tissue above; Hu et al. 2001, doi:10.1109/42.929615, come near it.
_LUNG_HU = -400.0
_AIRWAY_HU = -920.0
#: Spongy bone begins about here; dense contrast medium lies above it too.
_BONE_HU = 200.0
_CORTEX_HU = 300.0
#: A hole in bone is marrow where it is no larger than the shaft of a femur is wide inside, or denser than soft tissue.
_MARROW_MM2, _MARROW_HU = 200.0, 100.0

_TABLE_MM = 5.0
_LEAST_LUNG_ML = 50.0
_LEAST_BONE_ML = 0.5
#: A smaller piece of body than this part of the largest is a thing beside the patient.
_LEAST_PIECE = 0.03


def find(image: Image, names: Sequence[str]) -> Found:
    """``names`` out of body, lung, bone. Lungs come as "lung left" and "lung right", by the patient's side.

    Raises QuantityError where the numbers are not HU, GeometryError where there is no volume.
    """
    require_quantity(image.quantity, Quantity.HU, "segmenting CT")
    view = View.of(image, "segmenting CT")
    body = _body(view)
    parts: dict[str, Part] = {}
    warnings: list[str] = []
    if "body" in names:
        parts["body"] = view.refined(body, view.array > _TISSUE_HU, 1.01 * max(view.coarse_mm))
    if "lung" in names:
        lungs, found = _lungs(view, body)
        parts.update(lungs)
        warnings += found
    if "bone" in names:
        parts["bone"] = _bone(view, body)
    warnings += [f"no {name} was found" for name, part in parts.items() if not part.any()]
    if body.all():
        warnings.append("no air around the body: the image is cropped inside it, or the numbers are not HU")
    return Found(
        image.grid,
        {name: view.back(part) for name, part in parts.items()},
        f"HU thresholds and shape: {', '.join(names)}",
        tuple(warnings),
    )


def _body(view: View) -> Part:
    """Coarse: solid pieces without thin things (couch, clothes), each slice filled."""
    solid = opened(view.coarse > _TISSUE_HU, view.coarse_mm, _TABLE_MM)
    pieces = large(solid, 1)
    if not pieces:
        return np.zeros(view.coarse.shape, bool)
    kept = [piece for piece in pieces if piece.sum() >= _LEAST_PIECE * pieces[0].sum()]
    return filled(np.any(kept, axis=0))


# ---- lungs ----------------------------------------------------------------------------------------------


def _lungs(view: View, body: Part) -> tuple[dict[str, Part], list[str]]:
    aerated = shrunk(body, view.coarse_mm, 3.0) & (view.coarse < _LUNG_HU)
    aerated &= ~_airways(view, aerated)
    least = _LEAST_LUNG_ML / view.coarse_ml
    pieces = [p for p in large(aerated, least) if np.median(view.coarse[p]) > -960]  # bowel gas is emptier
    left, right, notes = _sides(view, pieces, body)
    fine = view.array < _LUNG_HU
    out = {}
    for name, part in (("lung left", left), ("lung right", right)):
        # vessels by closing, nodules by filling; in space, or the top of the liver would be filled too
        whole = ndimage.binary_fill_holes(closed(part, view.coarse_mm, 6.0)) if part.any() else part
        out[name] = view.refined(whole, fine, 1.01 * max(view.coarse_mm))
    out["lung right"] &= ~out["lung left"]
    return out, notes


def _airways(view: View, aerated: Part) -> Part:
    """Trachea and main bronchi: a tall piece of pure air that is slim in every slice."""
    for piece in large(aerated & (view.coarse < _AIRWAY_HU), 1.0 / view.coarse_ml):
        areas = piece.sum(axis=(1, 2)) * view.coarse_mm[1] * view.coarse_mm[2]
        tall = np.count_nonzero(areas) * view.coarse_mm[0] >= 30.0
        if tall and areas.max() <= 1500.0:
            return grown(piece, view.coarse_mm, 3.0)
    return np.zeros(aerated.shape, bool)


def _sides(view: View, pieces: list[Part], body: Part) -> tuple[Part, Part, list[str]]:
    """Pieces sorted into left and right by the LPS x of their centres against the body's."""
    left, right = np.zeros(body.shape, bool), np.zeros(body.shape, bool)
    if not pieces:
        return left, right, []
    notes = []
    if _spans(view, pieces[0], body):
        apart = _parted(view, pieces[0])
        if len(apart) < 2:
            notes.append("left and right lung could not be told apart; both are in one")
        pieces = [*apart, *pieces[1:]]
    middle = _center_x(view, body)
    for piece in pieces:
        side = left if _center_x(view, piece) > middle else right
        side |= piece
    return left, right, notes


def _spans(view: View, piece: Part, body: Part) -> bool:
    """Does a piece hold much on both sides of the middle of the body?"""
    x = _world_x(view)[np.nonzero(piece)]
    beyond = float(np.mean(x > _center_x(view, body)))
    return 0.2 < beyond < 0.8


def _parted(view: View, piece: Part) -> list[Part]:
    """Lungs that touch, parted: shrink until two halves remain, then give each voxel to the nearer half."""
    for radius in (2.0, 4.0, 6.0, 9.0, 12.0):
        cores = large(shrunk(piece, view.coarse_mm, radius), 0.1 * piece.sum())[:2]
        if len(cores) == 2:
            far = [ndimage.distance_transform_edt(~core, sampling=view.coarse_mm) for core in cores]
            return [piece & (far[0] <= far[1]), piece & (far[0] > far[1])]
    return [piece]


def _world_x(view: View) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """LPS x of each coarse voxel, up to a constant."""
    columns = view.grid.require_affine("telling left from right")[0, :3] * view.steps
    z, y, x = np.ogrid[tuple(slice(n) for n in view.coarse.shape)]
    return np.asarray(columns[0] * z + columns[1] * y + columns[2] * x, dtype=np.float64)


def _center_x(view: View, part: Part) -> float:
    return float(_world_x(view)[np.nonzero(part)].mean())


# ---- bone -----------------------------------------------------------------------------------------------


def _bone(view: View, body: Part) -> Part:
    """Dense pieces that hold some cortex, with marrow. Dense contrast medium and metal look the same."""
    near = view.full(grown(body, view.coarse_mm, max(view.coarse_mm)))
    dense = near & (view.array > _BONE_HU)
    voxel_ml = view.coarse_ml / float(np.prod(view.steps))
    labels, n = ndimage.label(dense, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=n + 1)
    cortex = np.bincount(labels[view.array > _CORTEX_HU], minlength=n + 1)
    kept = (sizes * voxel_ml >= _LEAST_BONE_ML) & (cortex > 0)
    kept[0] = False
    return with_marrow(kept[labels], view.array, view.spacing_mm)


def with_marrow(bone: Part, hu: NDArray[Any], spacing_mm: Sequence[float]) -> Part:
    """Holes filled slice by slice where marrow fills them: small ones, and those as dense as spongy bone.

    The cavity of the skull, the spinal canal and what the pelvis rings in are holes too, and no bone.
    """
    out = np.array(bone)
    pixel_mm2 = float(spacing_mm[1] * spacing_mm[2])
    for plane, values in zip(out, hu, strict=True):
        holes, n = ndimage.label(ndimage.binary_fill_holes(plane) & ~plane)
        area = np.bincount(holes.ravel(), minlength=n + 1)
        mean = np.bincount(holes.ravel(), values.ravel(), minlength=n + 1) / np.maximum(area, 1)
        marrow = (area * pixel_mm2 <= _MARROW_MM2) | (mean >= _MARROW_HU)
        marrow[0] = False
        plane |= marrow[holes]
    return out
