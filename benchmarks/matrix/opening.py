"""What each reader makes of some files: pictures with their grids, as a user of it gets them by its own manual.

Each function takes paths of one case (one file, or the slices of one series) and gives `Picture`s. What it raises is
a refusal. Affines map array indices (…, z, y, x, 1) to LPS mm.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass
class Picture:
    """``array`` in ``axes`` (t, z, y, x, c); ``affine`` (4, 4) of (z, y, x), or None; ``spacing`` ends with (y, x)."""

    array: Any
    axes: str
    affine: Any = None
    spacing: Any = None


class Refused(Exception):
    """The reader says that it cannot, with its reason."""


class OtherKind(Refused):
    """The reader does not claim to read this kind of file."""


def is_dicom(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(132)
    return head[128:132] == b"DICM"


# ---- ours ---------------------------------------------------------------------------------------------------


def hexscope(paths: Sequence[Path], folder: Path) -> list[Picture]:
    import hexscope as hx
    from hexscope.errors import HexscopeError
    from hexscope.io.reading import open_mask, open_series, refusal

    found = hx.info(folder)
    out, reasons = [], [f"{f.code}: {f.detail}" for item in found.others for f in item.faults]
    for series in found.series:
        if series.kind == "none":
            reasons += [f"{f.code}: {f.detail}" for f in series.faults]
            continue
        try:
            out.append(_ours(open_mask(series, found) if series.kind == "mask" else open_series(series)))
        except HexscopeError as error:
            reasons.append(f"{refusal(error).code}: {error}")
    if not out:
        raise Refused("; ".join(reasons) or "nothing found")
    return out


def _ours(thing: Any) -> Picture:
    affine = _four(thing.grid.affine)
    if hasattr(thing, "layers"):
        layers = np.stack([np.asarray(layer) for layer in thing.layers])
        return Picture(layers, "t" + "zyx"[-thing.grid.ndim :], affine)
    coarsest = len(thing.pixels.levels) - 1
    array = thing.at_level(coarsest).array if np.prod(thing.shape, dtype=float) > 1 << 28 else thing.array
    return Picture(array, "".join(thing.axes), affine, thing.grid.spacing)


def _four(affine: Any) -> Any:
    """A plane's (4, 3) affine with the normal as its z column."""
    if affine is None or affine.shape[1] == 4:
        return affine
    normal = np.cross(affine[:3, 1], affine[:3, 0])
    return np.column_stack([np.append(normal / np.linalg.norm(normal), 0.0), affine])


# ---- theirs -------------------------------------------------------------------------------------------------


def simpleitk(paths: Sequence[Path], folder: Path) -> list[Picture]:
    import SimpleITK as sitk

    sitk.ProcessObject.GlobalWarningDisplayOff()
    try:
        if len(paths) == 1:
            image = sitk.ReadImage(str(paths[0]))
        else:
            reader = sitk.ImageSeriesReader()
            names = reader.GetGDCMSeriesFileNames(str(folder))
            if not names:
                raise Refused("no DICOM series found")
            reader.SetFileNames(names)
            image = reader.Execute()
    except RuntimeError as error:
        raise Refused(str(error).strip().splitlines()[-1]) from error
    array = sitk.GetArrayFromImage(image)
    dims = image.GetDimension()
    axes = "tzyx"[4 - dims :] + ("c" if image.GetNumberOfComponentsPerPixel() > 1 else "")
    affine = np.eye(4)
    count = min(dims, 3)
    direction = np.array(image.GetDirection()).reshape(dims, dims)[:count, :count]
    affine[:count, :count] = direction * np.array(image.GetSpacing())[:count]
    affine[:count, 3] = image.GetOrigin()[:count]
    return [Picture(array, axes, affine[:, [2, 1, 0, 3]])]


def dcm2niix(paths: Sequence[Path], folder: Path) -> list[Picture]:
    import nibabel

    if not any(map(is_dicom, paths)):
        raise OtherKind("DICOM only")
    program = Path(sys.executable).with_name("dcm2niix")
    with tempfile.TemporaryDirectory() as out:
        command = [str(program), "-z", "n", "-b", "n", "-f", "%s_%d", "-o", out, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        files = sorted(Path(out).glob("*.nii"))
        if not files:
            said = [line for line in (done.stdout + done.stderr).splitlines() if "rror" in line or "arning" in line]
            raise Refused(said[-1] if said else f"no output, exit status {done.returncode}")
        return [_nifti(nibabel.load(file)) for file in files]


def nibabel_(paths: Sequence[Path], folder: Path) -> list[Picture]:
    import nibabel
    from nibabel.nicom import dicomwrappers

    if not any(map(is_dicom, paths)):
        try:
            return [_nifti(nibabel.load(paths[0]))]
        except nibabel.filebasedimages.ImageFileError as error:
            raise OtherKind(str(error)) from error
    if len(paths) > 1:
        raise OtherKind("single DICOM objects only")
    wrapper = dicomwrappers.wrapper_from_file(paths[0])
    array, affine = np.asarray(wrapper.get_data()), np.asarray(wrapper.affine)
    if array.ndim == 2:
        return [Picture(array, "yx", affine[:, [2, 0, 1, 3]])]
    axes = "yxzt"[: array.ndim]
    order = [axes.index(a) for a in ("tzyx" if "t" in axes else "zyx")]
    return [Picture(array.transpose(order), "".join(axes[i] for i in order), affine[:, [2, 0, 1, 3]])]


def _nifti(image: Any) -> Picture:
    array = np.asanyarray(image.dataobj)
    if array.dtype.names:
        array = np.stack([array[n] for n in array.dtype.names], axis=-1)
        axes = "xyz"[: array.ndim - 1] + "c"
    else:
        axes = "xyztuvw"[: array.ndim]
    while len(axes) > 3 and array.shape[-1] == 1 and axes[-1] != "c":
        array, axes = array[..., 0], axes[:-1]
    order = [axes.index(a) for a in "wvutzyxc" if a in axes]
    affine = None if image.affine is None else (LPS @ image.affine)[:, [2, 1, 0, 3]]
    return Picture(array.transpose(order), "".join(axes[i] for i in order), affine)


def highdicom(paths: Sequence[Path], folder: Path) -> list[Picture]:
    import highdicom as hd
    import pydicom

    if not any(map(is_dicom, paths)):
        raise OtherKind("DICOM only")
    if len(paths) > 1:
        volume = hd.get_volume_from_series([pydicom.dcmread(p) for p in paths])
        return [_volume(volume)]
    image = hd.imread(paths[0])
    try:
        return [_volume(image.get_volume())]
    except (RuntimeError, ValueError, AttributeError):
        frames = np.asarray(image.get_frames())
    colour = "c" if frames.ndim == 4 else ""
    return [Picture(frames, "tyx" + colour)]


def _volume(volume: Any) -> Picture:
    return Picture(volume.array, "zyx" + ("c" if volume.array.ndim == 4 else ""), np.asarray(volume.affine))


def pydicom_(paths: Sequence[Path], folder: Path) -> list[Picture]:
    import pydicom
    from pydicom.pixels import apply_color_lut, apply_modality_lut

    if not any(map(is_dicom, paths)):
        raise OtherKind("DICOM only")
    out = []
    for path in paths:
        dataset = pydicom.dcmread(path)
        array = dataset.pixel_array
        if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
            array = apply_color_lut(array, dataset)
        elif dataset.get("SamplesPerPixel", 1) == 1:
            array = apply_modality_lut(array, dataset)
        colour = (
            "c"
            if array.ndim > 2
            and array.shape[-1] in (3, 4)
            and (dataset.get("SamplesPerPixel", 1) > 1 or "PALETTE" in dataset.get("PhotometricInterpretation", ""))
            else ""
        )
        lead = "t" if array.ndim - len(colour) == 3 else ""
        out.append(Picture(np.asarray(array), lead + "yx" + colour))
    return out


READERS: dict[str, Callable[[Sequence[Path], Path], list[Picture]]] = {
    "hexscope": hexscope,
    "SimpleITK": simpleitk,
    "dcm2niix": dcm2niix,
    "nibabel": nibabel_,
    "highdicom": highdicom,
    "pydicom": pydicom_,
}
OURS = "hexscope"
