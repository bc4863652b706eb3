"""How the phantom's files are written: headers that say SYNTHETIC, names that tell nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.io.dicom_write import save_series
from hexscope.phantom.pet import HALF_LIFE_S, INJECTED_BQ, UPTAKE_S, WEIGHT_KG, becquerel_per_ml
from hexscope.phantom.scan import Plane, Volume
from hexscope.phantom.slide import Slide

SYNTHETIC = "SYNTHETIC digital patient by Hexscope; no person was scanned"
PATIENT_ID = "HEXSCOPE-PHANTOM"

_SCAN_TIME = datetime(2026, 1, 15, 9, 44, 0)
_MOST_FILES = 2000

_PATIENT: dict[str, object] = {
    "PatientName": "Synthetic^Phantom",
    "PatientID": PATIENT_ID,
    "PatientSex": "O",
    "PatientSize": 1.74,
    "PatientWeight": WEIGHT_KG,
    "QualityControlSubject": "YES",
    "StudyDescription": SYNTHETIC,
    "StudyID": "1",
    "StudyDate": f"{_SCAN_TIME:%Y%m%d}",
    "StudyTime": "083000",
    "Manufacturer": "Hexscope (synthetic)",
    "ImageComments": SYNTHETIC,
}


@dataclass(frozen=True, eq=False)
class Written:
    """One series on disk.

    Attributes:
        role: the word by which the truth file and the faults speak of it ("ct", "t1" ...).
        uid: its Series Instance UID, or the name of its file where it is no DICOM.
        image: what was written.
        description: its Series Description.
        files: absolute paths, in slice order.
        facts: the header values by DICOM keyword that are its own.
    """

    role: str
    uid: str
    image: Image
    description: str
    files: tuple[Path, ...]
    facts: Mapping[str, object]


class Desk:
    """Writes one phantom into one folder, under shuffled names without extension, as exports come."""

    def __init__(self, folder: Path, seed: int, rng: np.random.Generator) -> None:
        self.folder = folder
        self.seed = seed
        self.rng = rng
        self._names = self._shuffled()
        for name in _FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)

    def uid(self, *parts: object) -> str:
        """A DICOM UID that follows from the seed and `parts` (form 2.25, PS3.5 B.2)."""
        digest = hashlib.sha256("/".join(map(str, ("hexscope phantom", self.seed, *parts))).encode()).digest()
        return f"2.25.{int.from_bytes(digest[:15], 'big')}"

    def name(self) -> str:
        """A fresh file name, relative to the folder."""
        return next(self._names)

    def series(
        self,
        role: str,
        image: Image,
        description: str,
        facts: Mapping[str, object],
        without: Sequence[str] = (),
    ) -> Written:
        """Write `image` as a DICOM series; header fields named in `without` are left out."""
        uid = self.uid("series", role)
        header = {
            **_PATIENT,
            "SeriesDescription": f"{description} (SYNTHETIC)",
            "SeriesNumber": int(self.rng.integers(2, 900)),
            "StudyInstanceUID": self.uid("study"),
            "SeriesInstanceUID": uid,
            **facts,
        }
        kept = {keyword: value for keyword, value in header.items() if keyword not in without}
        seed = f"hexscope phantom {self.seed} {role}"
        files = save_series(image, self.folder, facts=kept, names=lambda _: self.name(), uid_seed=seed)
        return Written(role, uid, image, f"{description} (SYNTHETIC)", tuple(files), facts)

    def _shuffled(self) -> Iterator[str]:
        for number in self.rng.permutation(_MOST_FILES):
            yield f"{_FOLDERS[int(number) % len(_FOLDERS)]}/IM{int(number):05d}"


_FOLDERS = ("export/A", "export/B", "disc 2")


def volume_image(scan: Volume, modality: str, frame: str) -> Image:
    """A scanned volume as an Image: CT in HU, MR without unit, PET in Bq/ml as scanners store it."""
    grid = Grid(scan.array.shape, scan.affine, frame_of_reference=frame)
    if scan.unit == "SUVbw":
        return Image.from_array(
            becquerel_per_ml(scan.array), grid, modality=modality, quantity=Quantity.BQML, name=modality
        )
    quantity = Quantity.HU if scan.unit == "HU" else Quantity.ARBITRARY
    return Image.from_array(scan.array.astype(np.int16), grid, modality=modality, quantity=quantity, name=modality)


def plane_image(scan: Plane, modality: str) -> Image:
    """An X-ray (mm in the detector plane) or an ultrasound picture (mm in the patient) as an Image."""
    grid = Grid(scan.array.shape, None, scan.spacing_mm, plane="detector" if modality == "XR" else "patient")
    return Image.from_array(scan.array, grid, modality=modality, name=modality)


def slide_image(slide: Slide) -> Image:
    """The slide as an Image, mm on the glass."""
    side = slide.microns_per_pixel / 1000.0
    grid = Grid(slide.rgb.shape[:2], None, (side, side), plane="slide")
    return Image.from_array(slide.rgb, grid, modality="SM", quantity=Quantity.RGB, axes=("y", "x", "c"), name="slide")


def pet_facts() -> dict[str, object]:
    """Dose and times of the PET: activity corrected to the start of the series (DICOM PS3.3 C.8.9.1)."""
    injected = _SCAN_TIME - timedelta(seconds=UPTAKE_S)
    rate = np.log(2.0) / HALF_LIFE_S
    return {
        "SeriesDate": f"{_SCAN_TIME:%Y%m%d}",
        "SeriesTime": f"{_SCAN_TIME:%H%M%S}",
        "AcquisitionDate": f"{_SCAN_TIME:%Y%m%d}",
        "AcquisitionTime": f"{_SCAN_TIME:%H%M%S}",
        "DecayCorrection": "START",
        "DecayFactor": round(float(rate * _FRAME_S / -np.expm1(-rate * _FRAME_S)), 6),
        "ActualFrameDuration": int(_FRAME_S * 1000),
        "FrameReferenceTime": 0,
        "Radiopharmaceutical": "FDG -- fluorodeoxyglucose (simulated)",
        "RadiopharmaceuticalStartTime": f"{injected:%H%M%S}",
        "RadiopharmaceuticalStartDateTime": f"{injected:%Y%m%d%H%M%S}",
        "RadionuclideTotalDose": INJECTED_BQ,
        "RadionuclideHalfLife": HALF_LIFE_S,
        "RadionuclidePositronFraction": 0.967,
    }


_FRAME_S = 180.0
