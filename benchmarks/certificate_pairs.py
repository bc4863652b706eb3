"""Pairs of images whose right pose is known, for the registration certificate.

Two sides share no patient: on "tune" the score is fitted, on "held out" it is tried. A pair is of one side only.

right      another modality or contrast of one patient, moved by a known rigid motion
synthetic  an image and a made-up repeat of it (values re-mapped by a smooth curve that need not rise, 4 % noise, a
           warp of 0.4 voxels), moved
part       right, but the moving image shows half, or a slab, of the field
mirror     mirrored along one axis, then moved a little
foreign    another patient, centre laid on centre
hopeless   noise; two parts of a body that have nothing in common; another part of the body

Mirrored, foreign and hopeless pairs have no right pose: any answer to them is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import ndimage

import hexscope as hx
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.core.transform import Transform, rigid

RIGHT = ("right", "synthetic", "part")
SIDES = ("tune", "held out")
SARCOMA = {"tune": ("STS_002", "STS_003", "STS_008", "STS_012"), "held out": ("STS_015", "STS_018", "STS_024")}
BRAINS = {"tune": ("1000", "1001"), "held out": ("1002", "1003")}
SCLEROSIS = {"tune": ("raw", ("FLAIR", "T1W", "T2W")), "held out": ("mni", ("FLAIR", "T1", "T2"))}
_FILES = {
    "CT": ("CT_image", "CT", Quantity.HU),
    "MR": ("MR_T1_image", "MR", Quantity.ARBITRARY),
    "PT": ("PET_image", "PT", Quantity.SUVBW),
}
#: Most that a pair is moved: degrees about each axis, and mm along each.
_USUAL, _WIDE, _LITTLE = (15.0, 20.0), (45.0, 40.0), (5.0, 5.0)


@dataclass(frozen=True)
class Pair:
    """Two images by name ("set patient channel"), what is done to each, and how far the moving one is moved."""

    number: int
    side: str
    kind: str
    what: str
    fixed: str
    moving: str
    change: str = ""
    fixed_change: str = ""
    reach: tuple[float, float] = _USUAL

    @property
    def has_truth(self) -> bool:
        return self.kind in RIGHT

    @property
    def patients(self) -> set[str]:
        return {name.rsplit(" ", 1)[0] for name in (self.fixed, self.moving)}


class Images:
    """The real images, read once."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.named = lru_cache(maxsize=16)(self._named)
        self.hippocampi = sorted(p.name[12:15] for p in (data / "mr-hippocampus" / "images").glob("*.nii.gz"))
        folder = data / "pet-ct-mr-sarcoma" / "nifti"
        whole = {p for side in SIDES for p in SARCOMA[side]} | {"STS_019"}
        self.pet_only = [p.name for p in sorted(folder.iterdir()) if p.name not in whole]

    def _named(self, name: str) -> Image:
        group, patient, channel = name.split(" ")
        if group == "sarcoma":
            stem, modality, quantity = _FILES[channel]
            path = self.data / "pet-ct-mr-sarcoma" / "nifti" / patient / f"{stem}.nii.gz"
            return replace(hx.read(path), modality=modality, quantity=quantity)
        if group == "neck":
            return hx.quantify(hx.read(self.data / "pet-headneck-dicom" / "PET"), "SUVbw")
        folder = self.data / "mr-multiple-sclerosis"
        paths = {
            "raw": folder / "raw" / "patient01" / f"study1_{channel}.nii.gz",
            "mni": folder / "mni" / "patient07" / f"{channel}.nii.gz",
            "brain": self.data / "mr-brain-labels" / f"{patient}_image.nii.gz",
            "hippocampus": self.data / "mr-hippocampus" / "images" / f"hippocampus_{patient}.nii.gz",
        }
        return replace(hx.read(paths[group]), modality="MR")

    def made(self, pair: Pair) -> tuple[Image, Image, Transform]:
        """The fixed image, the moving one as it is moved, and the transform that takes it back."""
        rng = np.random.default_rng(pair.number)
        fixed = _changed(self.named(pair.fixed), pair.fixed_change, rng)
        moving = _changed(self.named(pair.moving), pair.change, rng)
        if pair.kind in ("foreign", "hopeless"):
            moving = moved(moving, rigid((0, 0, 0), tuple(fixed.grid.center_mm - moving.grid.center_mm), (0, 0, 0)))
        turn, shift = pair.reach
        by = rigid(
            tuple(rng.uniform(-turn, turn, 3)), tuple(rng.uniform(-shift, shift, 3)), tuple(moving.grid.center_mm)
        )
        return fixed, moved(moving, by), by.inverse


def moved(image: Image, by: Transform) -> Image:
    return replace(image, grid=replace(image.grid, affine=by.matrix @ image.grid.affine))


def pairs(images: Images) -> list[Pair]:
    """All of them, in a fixed order: the number of a pair is the seed of its motion."""
    rows = [(side, *row) for side in SIDES for part in _PARTS for row in part(images, side)]
    return [
        Pair(number, side, kind, what, fixed, moving, **more)
        for number, (side, kind, what, fixed, moving, more) in enumerate(rows, start=1)
    ]


Row = tuple[str, str, str, str, dict[str, object]]


def _sarcoma(images: Images, side: str) -> Iterator[Row]:
    patients = SARCOMA[side]
    for i, patient in enumerate(patients):
        ct, mr, pt = (f"sarcoma {patient} {channel}" for channel in _FILES)

        def other(step: int, channel: str, i: int = i) -> str:
            return f"sarcoma {patients[(i + 1 + step % (len(patients) - 1)) % len(patients)]} {channel}"

        for reach in (_USUAL, _USUAL, _WIDE):
            yield "right", "MR to CT", ct, mr, {"reach": reach}
        yield "right", "CT to MR", mr, ct, {}
        for _ in range(2):
            yield "right", "PET to CT", ct, pt, {}
            yield "right", "PET to MR", mr, pt, {}
        yield "part", "half an MR to CT", ct, mr, {"change": "crop 0 0 .5"}
        for what, fixed, moving in (("CT", ct, ct), ("MR", mr, mr)):
            yield "synthetic", what, fixed, moving, {"change": "repeat"}
        for what, fixed, moving, axis in (
            ("MR to CT", ct, mr, 2),
            ("MR to CT", ct, mr, 1),
            ("CT to MR", mr, ct, 0),
            ("PET to CT", ct, pt, 2),
            ("CT to CT", ct, ct, 2),
        ):
            yield "mirror", what, fixed, moving, {"change": f"mirror {axis}", "reach": _LITTLE}
        for step, what, fixed, channel in (
            (0, "MR to CT", ct, "MR"),
            (1, "MR to CT", ct, "MR"),
            (0, "CT to CT", ct, "CT"),
            (1, "MR to MR", mr, "MR"),
            (0, "PET to CT", ct, "PT"),
            (1, "PET to PET", pt, "PT"),
        ):
            yield "foreign", what, fixed, other(step, channel), {"reach": _LITTLE}
        yield "hopeless", "noise", ct, mr, {"change": "noise", "reach": _LITTLE}
        yield "hopeless", "apart", ct, mr, {"change": "crop 0 .6 1", "fixed_change": "crop 0 0 .4", "reach": _LITTLE}
        brain = BRAINS[side][i % len(BRAINS[side])]
        yield "hopeless", "brain to limb", ct, f"brain {brain} T1", {"reach": _LITTLE}


def _sclerosis(images: Images, side: str) -> Iterator[Row]:
    group, (flair, t1, t2) = SCLEROSIS[side]
    flair, t1, t2 = (f"{group} 1 {channel}" for channel in (flair, t1, t2))
    for what, fixed, moving in (("T1 to FLAIR", flair, t1), ("T2 to FLAIR", flair, t2), ("T2 to T1", t1, t2)):
        for reach in (_USUAL, _USUAL, _USUAL, _WIDE):
            yield "right", what, fixed, moving, {"reach": reach}
        for axis in (2, 1):
            yield "mirror", what, fixed, moving, {"change": f"mirror {axis}", "reach": _LITTLE}
    for brain in BRAINS[side]:
        for channel in (flair, t1):
            yield "foreign", "T1 to another's brain", channel, f"brain {brain} T1", {"reach": _LITTLE}


def _brains(images: Images, side: str) -> Iterator[Row]:
    one, two = (f"brain {patient} T1" for patient in BRAINS[side])
    for mine, other in ((one, two), (two, one)):
        for reach in (_USUAL, _USUAL, _WIDE):
            yield "synthetic", "brain T1", mine, mine, {"change": "repeat", "reach": reach}
        yield "mirror", "brain T1", mine, mine, {"change": "mirror 2", "reach": _LITTLE}
        for _ in range(2):
            yield "foreign", "brain T1", mine, other, {"reach": _LITTLE}


def _hippocampi(images: Images, side: str) -> Iterator[Row]:
    few = images.hippocampi[:6] if side == "tune" else images.hippocampi[-6:]
    for i, patient in enumerate(few):
        mine, other = f"hippocampus {patient} T1", f"hippocampus {few[(i + 1) % len(few)]} T1"
        yield "synthetic", "hippocampus", mine, mine, {"change": "repeat", "reach": (10.0, 8.0)}
        yield "foreign", "hippocampus", mine, other, {"reach": _LITTLE}
        yield "mirror", "hippocampus", mine, mine, {"change": "mirror 2", "reach": _LITTLE}


def _pets(images: Images, side: str) -> Iterator[Row]:
    half = len(images.pet_only) // 2
    few = images.pet_only[:half] if side == "tune" else images.pet_only[half:]
    for i in range(0, len(few) - 1, 2):
        mine, other = (f"sarcoma {patient} PT" for patient in few[i : i + 2])
        yield "synthetic", "PET", mine, mine, {"change": "repeat", "reach": (10.0, 10.0)}
        yield "foreign", "PET to PET", mine, other, {"reach": _LITTLE}
        yield "mirror", "PET", other, other, {"change": "mirror 2", "reach": _LITTLE}


def _neck(images: Images, side: str) -> Iterator[Row]:
    if side == "tune":
        return
    whole = "neck 1 PT"
    for low in (0.2, 0.45, 0.7):
        yield "part", "slab of a body PET", whole, whole, {"change": f"crop 0 {low} {low + 0.25}+repeat"}
    for patient in SARCOMA[side][:2]:
        yield "hopeless", "limb PET to body", whole, f"sarcoma {patient} PT", {"reach": _LITTLE}


_PARTS = (_sarcoma, _sclerosis, _brains, _hippocampi, _pets, _neck)


# ---- what is done to an image -------------------------------------------------------------------------------


def _changed(image: Image, change: str, rng: np.random.Generator) -> Image:
    for step in filter(None, change.split("+")):
        word, *values = step.split(" ")
        if word == "crop":
            image = _cropped(image, int(values[0]), float(values[1]), float(values[2]))
            continue
        array = {"mirror": _mirrored, "noise": _noise, "repeat": _repeat}[word](image, rng, *values)
        image = image.with_array(np.ascontiguousarray(array), word)
    return image


def _cropped(image: Image, axis: int, low: float, high: float) -> Image:
    start, stop = [0, 0, 0], list(image.grid.shape)
    start[axis], stop[axis] = int(low * stop[axis]), int(high * stop[axis])
    part = image.array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    grid = image.grid.crop(start, stop)
    return Image.from_array(np.ascontiguousarray(part), grid, modality=image.modality, quantity=image.quantity)


def _mirrored(image: Image, rng: np.random.Generator, axis: str) -> np.ndarray:
    return np.flip(image.array, int(axis))


def _noise(image: Image, rng: np.random.Generator) -> np.ndarray:
    return ndimage.gaussian_filter(rng.normal(size=image.array.shape), 2).astype(np.float32)


def _repeat(image: Image, rng: np.random.Generator) -> np.ndarray:
    low, high = np.percentile(image.array, [0.5, 99.5])
    heights = np.concatenate([[0.0], rng.uniform(0.1, 1, 5)])
    values = np.interp((image.array - low) / (high - low), np.linspace(0, 1, 6), heights)
    values = (values + rng.normal(0, 0.04, values.shape)).astype(np.float32)
    bent = [ndimage.gaussian_filter(rng.normal(size=values.shape), 6) for _ in range(3)]
    index = [i + 0.4 * b / b.std() for i, b in zip(np.indices(values.shape), bent, strict=True)]
    return ndimage.map_coordinates(values, index, order=1, mode="nearest")
