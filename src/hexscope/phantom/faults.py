"""The faults planted among the phantom's files; each has the function of its code in `PLANTS`.

Each writes or spoils files and says what the audit ought to find: a verdict, on a path or on a series.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Picture

from hexscope.core.faults import FAULTS
from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.errors import UsageError
from hexscope.phantom.desk import Desk, Written

Series = Mapping[str, Written]


@dataclass(frozen=True)
class Planted:
    """One planted fault.

    Attributes:
        code: in the fault table of `hexscope.core.faults`.
        paths: the files it sits in.
        series: Series Instance UID where the audit must tell it of a series; None where of each path.
        note: what was done.
    """

    code: str
    paths: tuple[Path, ...]
    series: str | None
    note: str

    @property
    def verdict(self) -> str:
        """What the audit ought to say of the item because of this fault."""
        return FAULTS[self.code].verdict


def truncated_file(desk: Desk, sound: Series) -> Planted:
    """A lone CT slice that ends in the middle of its pixels."""
    made = desk.series("truncated", _slices(sound["ct"].image, 50, 51), "CT copied halfway", {"PatientPosition": "HFS"})
    data = made.files[0].read_bytes()
    made.files[0].write_bytes(data[: int(len(data) * 0.6)])
    return Planted("file.truncated", made.files, None, "a CT file cut at 60 % of its bytes")


def duplicate_slice(desk: Desk, sound: Series) -> Planted:
    """A CT slice that was sent twice as two objects: equal in all but its SOP Instance UID."""
    original = sound["ct"].files[61]
    copy = desk.folder / desk.name()
    copy.write_bytes(_with_new_uid(original.read_bytes()))
    return Planted("geometry.duplicate_slice", (original, copy), sound["ct"].uid, "one slice as two objects")


def missing_slice(desk: Desk, sound: Series) -> Planted:
    """A second CT series whose eighth slice was lost."""
    made = desk.series("ct gap", _slices(sound["ct"].image, 40, 56), "CT with a lost slice", {"PatientPosition": "HFS"})
    made.files[7].unlink()
    left = tuple(path for path in made.files if path.exists())
    return Planted("geometry.missing_slice", left, made.uid, "the eighth of 16 slices was deleted")


def uneven_spacing(desk: Desk, sound: Series) -> Planted:
    """A third CT series whose upper half was shifted by less than a step."""
    made = desk.series("ct uneven", _slices(sound["ct"].image, 60, 74), "CT in two steps", {"PatientPosition": "HFS"})
    for path in made.files[7:]:
        _shift_slice(path, 1.3)
    return Planted("geometry.uneven_spacing", made.files, made.uid, "the upper 7 of 14 slices moved up by 1.3 mm")


def missing_weight(desk: Desk, sound: Series) -> Planted:
    """A second PET whose header does not give the patient's weight."""
    image = _slices(sound["pet"].image, 30, 44)
    facts = sound["pet"].facts
    made = desk.series("pet no weight", image, "PET without weight", facts, without=("PatientWeight",))
    return Planted("value.missing_weight", made.files, made.uid, "PatientWeight (0010,1030) left out")


def scout(desk: Desk, sound: Series) -> Planted:
    """A localizer: the CT summed from front to back."""
    image = sound["ct"].image
    flat = image.array.astype(np.float32).mean(axis=1)[::-1]
    affine = np.asarray(image.grid.affine)
    plane = np.column_stack([-affine[:, 0], affine[:, 2], affine[:, 3]])
    plane[:3, 2] += affine[:3, 0] * (image.shape[0] - 1) + affine[:3, 1] * (image.shape[1] - 1) / 2.0
    grid = Grid(flat.shape, plane, frame_of_reference=image.grid.frame_of_reference)
    look = Image.from_array(flat.astype(np.int16), grid, modality="CT", quantity=Quantity.HU, name="scout")
    facts = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "PatientPosition": "HFS"}
    made = desk.series("scout", look, "Scout", facts)
    return Planted("series.scout", made.files, made.uid, "a localizer image of the CT")


def junk_files(desk: Desk, sound: Series) -> Planted:
    """What lies about in any export: a note, a desktop's droppings, an index page, bytes without sense."""
    noise = b"\xde\xad\xbe\xef" + desk.rng.bytes(5000)
    contents = {
        "export/readme.txt": b"SYNTHETIC: nothing in this folder comes from a person.\n",
        "export/A/.DS_Store": b"\x00\x00\x00\x01Bud1\x00\x00\x10\x00" + bytes(200),
        "disc 2/index.html": b"<!doctype html><title>SYNTHETIC disc</title>\n",
        f"{desk.name()}": noise,
    }
    for name, content in contents.items():
        (desk.folder / name).write_bytes(content)
    return Planted("file.junk", tuple(desk.folder / name for name in contents), None, "files that are no images")


def empty_file(desk: Desk, sound: Series) -> Planted:
    """A file of no bytes."""
    path = desk.folder / desk.name()
    path.write_bytes(b"")
    return Planted("file.empty", (path,), None, "a file without a byte")


_PHOTO = "disc 2/xray for slides.png"


def no_spacing(desk: Desk, sound: Series) -> Planted:
    """The X-ray saved as a PNG of 8 bits: pretty, and without a scale."""
    path = desk.folder / _PHOTO
    Picture.fromarray((sound["xray"].image.array >> 6).astype(np.uint8)).save(path)
    return Planted("geometry.no_spacing", (path,), path.name, "the X-ray as PNG, which holds no spacing")


def duplicate_file(desk: Desk, sound: Series) -> Planted:
    """A CT file once more, byte for byte, under another name. Readers keep the first in order of paths."""
    original = sound["ct"].files[37]
    copy = desk.folder / desk.name()
    shutil.copyfile(original, copy)
    return Planted("file.duplicate", (max(original, copy),), None, "a CT file twice; the later path is told")


PLANTS: Mapping[str, Callable[[Desk, Series], Planted]] = {
    "file.truncated": truncated_file,
    "geometry.duplicate_slice": duplicate_slice,
    "geometry.missing_slice": missing_slice,
    "geometry.uneven_spacing": uneven_spacing,
    "value.missing_weight": missing_weight,
    "series.scout": scout,
    "file.junk": junk_files,
    "file.empty": empty_file,
    "geometry.no_spacing": no_spacing,
    "file.duplicate": duplicate_file,
}
"""Fault code -> the function that plants it, in the order in which they are planted."""


def chosen(faults: str | Sequence[str]) -> tuple[str, ...]:
    """The codes to plant, in the order of `PLANTS`: "all", "none", one code, or several.

    Raises:
        UsageError: for a code that cannot be planted; it lists those that can.
    """
    if isinstance(faults, str):
        faults = {"all": tuple(PLANTS), "none": ()}.get(faults, (faults,))
    unknown = [code for code in faults if code not in PLANTS]
    if unknown:
        raise UsageError(f"cannot plant {', '.join(unknown)}; known are all, none, {', '.join(PLANTS)}")
    return tuple(code for code in PLANTS if code in faults)


def _slices(image: Image, start: int, stop: int) -> Image:
    """Slices `start` to `stop` of a volume, where they lie."""
    return image.crop((start, 0, 0), (stop, *image.shape[1:]))


def _element(data: bytes, tag: bytes, vr: bytes) -> tuple[int, int]:
    """Start and end of the value of the first such element of explicit little endian DICOM (PS3.5 7.1.2)."""
    start = data.index(tag + vr) + 8
    return start, start + int.from_bytes(data[start - 2 : start], "little")


def _with_new_uid(data: bytes) -> bytes:
    """The file with another SOP Instance UID of the same length, in its meta group too."""
    start, end = _element(data, b"\x08\x00\x18\x00", b"UI")
    uid = data[start:end].rstrip(b"\0")
    return data.replace(uid, uid[:-1] + (b"1" if uid.endswith(b"2") else b"2"))


def _shift_slice(path: Path, up_mm: float) -> None:
    """Raise z of Image Position (Patient) in a file of explicit little endian (PS3.5 7.1.2), in place."""
    data = path.read_bytes()
    start, end = _element(data, b"\x20\x00\x32\x00", b"DS")
    x, y, z = data[start:end].decode("ascii").split("\\")
    text = f"{x}\\{y}\\{float(z) + up_mm:.4f}".encode("ascii")
    text += b" " * (len(text) % 2)
    path.write_bytes(data[: start - 2] + len(text).to_bytes(2, "little") + text + data[end:])
