"""What every format must pass: known by content, listed without pixels, read truly, written and read back, and
never a crash on broken bytes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.errors import HexscopeError
from hexscope.io.dicom import DICOM
from hexscope.io.dicom_write import save_file
from hexscope.io.itk import ITK, save_itk
from hexscope.io.nifti import NIFTI, save_nifti
from hexscope.io.raster import RASTER, save_picture
from hexscope.io.series import Format, Series
from hexscope.io.slide import SLIDE, save_pyramid
from tests.conftest import OBLIQUE

SHAPE = (5, 7, 11)


def _volume() -> Image:
    affine = np.eye(4)
    affine[:3, :3] = OBLIQUE * np.array([3.0, 0.7, 0.5])
    affine[:3, 3] = [-31.5, 17.25, 102.0]
    grid = Grid(SHAPE, affine, frame_of_reference="1.2.840.99999.1")
    array = (np.arange(385, dtype=np.int16) * 3 - 500).reshape(SHAPE)
    return Image.from_array(array, grid, modality="CT", quantity="HU", steps=("made up", "切片"))


def _picture() -> Image:
    grid = Grid((7, 11), spacing_mm=(0.7, 0.5), plane="detector")
    return Image.from_array(np.arange(77, dtype=np.uint16).reshape(7, 11) * 31, grid, modality="XR", steps=("made",))


def _slice() -> Image:
    affine = np.eye(4)[:, [1, 0, 3]] * [0.7, 0.5, 1.0] + np.array([[0, 0, 3.0], [0, 0, -8.0], [0, 0, 40.0], [0, 0, 0]])
    affine[2:, :2] = 0
    grid = Grid((7, 11), affine, frame_of_reference="1.2.840.99999.1")
    return Image.from_array(np.arange(77, dtype=np.int16).reshape(7, 11) * 31 - 900, grid, modality="CT", quantity="HU")


def _slide() -> Image:
    array = np.random.default_rng(5).integers(0, 255, (307, 411, 3), dtype=np.uint8)
    grid = Grid((307, 411), spacing_mm=(0.0005, 0.00025), plane="slide")
    return Image.from_array(array, grid, modality="SM", quantity="RGB", axes=("y", "x", "c"))


def _save_slide(image: Image, path: Path) -> None:
    save_pyramid(image.array, path, spacing_mm=image.grid.spacing_mm, levels=2, lossless=True)


@dataclass(frozen=True)
class Case:
    """A format, a file of it, and which promises it makes."""

    kind: Format
    file: str
    image: Callable[[], Image]
    save: Callable[[Image, Path], object]
    keeps_steps: bool = True


CASES = {
    "nifti": Case(NIFTI, "a.nii", _volume, save_nifti),
    "nifti-gz": Case(NIFTI, "a.nii.gz", _volume, save_nifti),
    "nrrd": Case(ITK, "a.nrrd", _volume, save_itk),
    "mha": Case(ITK, "a.mha", _volume, save_itk),
    "png": Case(RASTER, "a.png", _picture, save_picture),
    "tiff": Case(RASTER, "a.tif", _picture, save_picture),
    "slide": Case(SLIDE, "a.tiff", _slide, _save_slide, keeps_steps=False),
    "dicom": Case(DICOM, "a.dcm", _slice, save_file, keeps_steps=False),
}
KEEP_MASKS = ("nifti", "nifti-gz", "nrrd", "mha", "png", "tiff")


@pytest.fixture(params=CASES, name="case")
def _case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def _only(kind: Format, path: Path) -> Series:
    found = kind.scan([path])
    assert len(found.series) == 1, found.others
    return found.series[0]


def _head(path: Path) -> bytes:
    return path.read_bytes()[:4096]


class TestFormat:
    """The conformance class. A new format adds one line to ``CASES``."""

    def test_is_known_by_content(self, case: Case, tmp_path: Path) -> None:
        path = tmp_path / case.file
        case.save(case.image(), path)
        nameless = path.rename(tmp_path / "export-0017")
        assert case.kind.sniff(_head(nameless), nameless)
        loaded = _only(case.kind, nameless).load()
        assert isinstance(loaded, Image)
        assert np.array_equal(loaded.array, case.image().array)

    def test_knows_no_other(self, case: Case, tmp_path: Path) -> None:
        for number, other in enumerate(CASES.values()):
            path = tmp_path / f"{number}-{other.file}"
            other.save(other.image(), path)
            mine = other.kind is case.kind or (case.kind is RASTER and other.kind is SLIDE)  # a slide is a TIFF too
            assert case.kind.sniff(_head(path), path) == mine

    def test_scan_tells_without_pixels(self, case: Case, tmp_path: Path) -> None:
        path, image = tmp_path / case.file, case.image()
        case.save(image, path)
        series = _only(case.kind, path)
        assert (series.kind, series.shape, series.axes) == ("image", image.shape, image.axes)
        assert (series.modality, series.quantity) == (image.modality, image.quantity)
        assert series.grid is not None
        assert series.grid.plane == image.grid.plane
        assert series.files == (str(path),)

    def test_keeps_numbers_and_places(self, case: Case, tmp_path: Path) -> None:
        path, image = tmp_path / case.file, case.image()
        case.save(image, path)
        back = _only(case.kind, path).load()
        assert isinstance(back, Image)
        assert np.array_equal(back.array, image.array)
        assert back.axes == image.axes
        assert (back.modality, back.quantity) == (image.modality, image.quantity)
        if image.grid.affine is None:
            assert back.grid.affine is None
            assert back.grid.spacing_mm == pytest.approx(image.grid.spacing_mm, rel=1e-6)
        else:
            assert back.grid.same_as(image.grid)
            assert back.grid.frame_of_reference == image.grid.frame_of_reference
        if case.keeps_steps:
            assert back.steps == image.steps

    def test_reads_a_region(self, case: Case, tmp_path: Path) -> None:
        path, image = tmp_path / case.file, case.image()
        case.save(image, path)
        back = _only(case.kind, path).load()
        assert isinstance(back, Image)
        start, stop = (1, 2, 3)[-image.grid.ndim :], (4, 6, 8)[-image.grid.ndim :]
        assert np.array_equal(back.crop(start, stop).array, image.crop(start, stop).array)

    def test_says_nothing_it_does_not_know(self, case: Case, tmp_path: Path) -> None:
        image = replace(case.image(), grid=Grid(case.image().grid.shape, plane="unknown"))
        if case.kind is DICOM:
            pytest.skip("a CT slice without a place is refused when it is written")
        case.save(image, tmp_path / case.file)
        back = _only(case.kind, tmp_path / case.file).load()
        assert isinstance(back, Image)
        assert back.grid.spacing_mm is None
        assert back.grid.affine is None

    @pytest.mark.parametrize("keep", [0.02, 0.3, 0.7, 0.98])
    def test_cut_short_is_a_fault(self, case: Case, tmp_path: Path, keep: float) -> None:
        path = tmp_path / case.file
        case.save(case.image(), path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * keep)])
        _must_refuse(case.kind, path)

    def test_scribbled_bytes_never_crash(self, case: Case, tmp_path: Path) -> None:
        path = tmp_path / case.file
        case.save(case.image(), path)
        whole, dice = path.read_bytes(), random.Random(7)
        for _ in range(25):
            broken = bytearray(whole)
            for _ in range(6):
                broken[dice.randrange(min(len(broken), 700))] = dice.randrange(256)
            path.write_bytes(broken)
            _must_not_crash(case.kind, path)

    def test_progress_counts_files(self, case: Case, tmp_path: Path) -> None:
        path, seen = tmp_path / case.file, list[int]()
        case.save(case.image(), path)
        case.kind.scan([path], progress=seen.append)
        assert seen == [1]


@pytest.mark.parametrize("name", KEEP_MASKS)
def test_masks_stay_masks(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    grid = case.image().grid
    array = np.arange(np.prod(grid.shape)).reshape(grid.shape) % 4 * (np.arange(grid.shape[-1]) > 2)
    mask = Mask.from_array(array, grid, {1: "liver", 2: "脾", 3: 'a "b"'}, steps=("drawn",))
    save = {NIFTI: save_nifti, ITK: save_itk, RASTER: save_picture}[case.kind]  # type: ignore[index]
    save(mask, tmp_path / case.file)
    series = _only(case.kind, tmp_path / case.file)
    assert series.kind == "mask"
    back = series.load()
    assert isinstance(back, Mask)
    assert np.array_equal(back.array, mask.array)
    assert back.labels == mask.labels
    assert back.steps == mask.steps
    assert back.grid.same_as(grid) or grid.affine is None


def _must_refuse(kind: Format, path: Path) -> None:
    """Not taken for its own any more, refused with a reason, or refused when read."""
    if not kind.sniff(_head(path), path):
        return
    found = kind.scan([path])
    if found.others:
        assert all(item.faults for item in found.others)
        return
    with pytest.raises(HexscopeError):
        for series in found.series:
            thing = series.load()
            assert isinstance(thing, Image)
            _ = thing.array


def _must_not_crash(kind: Format, path: Path) -> None:
    if not kind.sniff(_head(path), path):
        return
    for series in kind.scan([path]).series:
        try:
            thing = series.load()
            _ = thing.array
        except HexscopeError as error:
            assert str(error)
