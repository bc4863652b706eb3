"""Whole slides: opened fast, read by region and by level, microns only where they are real."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pydicom
import pytest
import tifffile
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

from hexscope.errors import FormatError, UsageError
from hexscope.io.raster import RASTER
from hexscope.io.slide import SLIDE, save_pyramid
from hexscope.io.slide_dicom import scan_dicom_slide

DICE = np.random.default_rng(6)
PIXELS = DICE.integers(0, 255, (307, 411, 3), dtype=np.uint8)


def _load(path: Path) -> Any:
    assert SLIDE.sniff(path.read_bytes()[:4096], path)
    found = SLIDE.scan([path])
    assert len(found.series) == 1, found.others
    return found.series[0].load()


def test_pyramid_is_read_by_openslide_and_by_us(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    save_pyramid(PIXELS, path, spacing_mm=(0.0005, 0.00025), levels=3, lossless=True)
    other = openslide.OpenSlide(str(path))
    assert other.level_dimensions == ((411, 307), (205, 153), (102, 76))
    assert float(other.properties["openslide.mpp-x"]) == pytest.approx(0.25, rel=1e-4)
    assert float(other.properties["openslide.mpp-y"]) == pytest.approx(0.5, rel=1e-4)
    image = _load(path)
    assert (image.modality, image.quantity, image.axes) == ("SM", "RGB", ("y", "x", "c"))
    assert image.grid.plane == "slide"
    assert image.grid.spacing_mm == pytest.approx((0.0005, 0.00025), rel=1e-4)
    assert np.array_equal(image.array, PIXELS)
    assert np.array_equal(image.crop((31, 57), (300, 290)).array, PIXELS[31:300, 57:290])
    half = image.at_level(1)
    assert half.shape == (153, 205, 3)
    assert half.grid.spacing_mm == pytest.approx((0.0005 * 307 / 153, 0.00025 * 411 / 205), rel=1e-4)
    mean = PIXELS[:306, :410].reshape(153, 2, 205, 2, 3).mean(axis=(1, 3))
    assert np.abs(half.array - mean).max() <= 0.5


def test_jpeg_pyramid_is_close(tmp_path: Path) -> None:
    smooth = np.stack([np.add.outer(np.arange(600), np.arange(700)) // 8] * 3, axis=-1).astype(np.uint8)
    save_pyramid(smooth, tmp_path / "a.tif", spacing_mm=None)
    image = _load(tmp_path / "a.tif")
    assert len(image.pixels.levels) == 2
    assert np.abs(image.array.astype(int) - smooth).max() < 8
    assert image.grid.spacing_mm is None
    assert [f.code for f in image.faults] == ["geometry.no_spacing"]


def test_only_rgb_bytes_become_slides(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="RGB"):
        save_pyramid(PIXELS[..., 0], tmp_path / "a.tif", spacing_mm=None)


def test_ome_pyramid(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    told = {"PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.5}
    with tifffile.TiffWriter(path, ome=True) as file:
        how: dict[str, Any] = {"tile": (128, 160), "photometric": "rgb", "compression": "deflate"}
        file.write(PIXELS, subifds=1, metadata=told, **how)
        file.write(PIXELS[::2, ::2], subfiletype=1, **how)
    image = _load(path)
    assert image.grid.spacing_mm == pytest.approx((0.0005, 0.00025))
    assert image.pixels.levels == ((307, 411, 3), (154, 206, 3))
    assert np.array_equal(image.array, PIXELS)
    assert np.array_equal(image.pixels.read((slice(9, 140), slice(150, 206)), 1), PIXELS[::2, ::2][9:140, 150:206])


@pytest.mark.parametrize("dpi", [72, 300, 96])
def test_a_printers_resolution_is_no_spacing(dpi: int, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, tile=(128, 128), photometric="rgb", resolution=(dpi, dpi), resolutionunit="INCH")
    assert _load(path).grid.spacing_mm is None


def test_plain_pictures_go_to_raster(tmp_path: Path) -> None:
    pages = np.stack([PIXELS[..., 0]] * 5)
    for name, array in (("rgb.tif", PIXELS), ("grey.tif", PIXELS[..., 0]), ("pages.tif", pages)):
        tifffile.imwrite(tmp_path / name, array)
        head = (tmp_path / name).read_bytes()[:4096]
        assert not SLIDE.sniff(head, tmp_path / name)
        assert RASTER.sniff(head, tmp_path / name)


def test_a_tile_that_lies_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    save_pyramid(PIXELS, path, spacing_mm=None, levels=2, lossless=True)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["TileWidth"].overwrite(1 << 28)
    assert SLIDE.scan([path]).others[0].faults[0].code == "file.too_large"


def test_threads_share_a_slide(tmp_path: Path) -> None:
    ome = tmp_path / "a.ome.tif"
    tifffile.imwrite(ome, PIXELS, tile=(64, 64), photometric="rgb", compression="deflate", ome=True)
    save_pyramid(PIXELS, tmp_path / "b.tif", spacing_mm=None, levels=2, lossless=True)
    _dicom(tmp_path / "c.dcm", sparse=True)
    images = [_load(ome), _load(tmp_path / "b.tif"), scan_dicom_slide([tmp_path / "c.dcm"]).series[0].load()]
    corners = [(int(y), int(x)) for y, x in DICE.integers(0, 200, (60, 2))]
    for image in images:
        whole = image.array
        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(lambda c, i=image: i.crop(c, (c[0] + 90, c[1] + 90)).array, corners))
        for (y, x), part in zip(corners, parts, strict=True):
            assert np.array_equal(part, whole[y : y + 90, x : x + 90])


# ---- DICOM ----------------------------------------------------------------------------------------------

TILE = (100, 150)


def _tiles(pixels: np.ndarray) -> list[tuple[int, int, np.ndarray]]:
    out = []
    for y in range(0, pixels.shape[0], TILE[0]):
        for x in range(0, pixels.shape[1], TILE[1]):
            tile = np.zeros((*TILE, 3), np.uint8)
            part = pixels[y : y + TILE[0], x : x + TILE[1]]
            tile[: part.shape[0], : part.shape[1]] = part
            out.append((y, x, tile))
    return out


def _dicom(
    path: Path, pixels: np.ndarray = PIXELS, *, sparse: bool = False, flavour: str = "VOLUME", zipped: bool = False,
    told: bool = True,
) -> Path:  # fmt: skip
    """A small DICOM slide; sparse ones lack their first tile and hold the others backwards."""
    tiles = _tiles(pixels)
    tiles = tiles[:0:-1] if sparse else tiles
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.77.1.6", f"1.2.3.{abs(hash(path.name)) % 10**9}"
    data.SeriesInstanceUID, data.Modality = "1.2.3.4", "SM"
    data.ImageType = ["ORIGINAL", "PRIMARY", flavour, "NONE"]
    data.TotalPixelMatrixRows, data.TotalPixelMatrixColumns = pixels.shape[:2]
    data.Rows, data.Columns = TILE
    data.NumberOfFrames = len(tiles)
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing = ["0.0005", "0.00025"]
    shared.PixelMeasuresSequence = [measures]
    data.SharedFunctionalGroupsSequence = [shared]
    if sparse:
        data.DimensionOrganizationType = "TILED_SPARSE"
        data.PerFrameFunctionalGroupsSequence = [_placed(y, x) for y, x, _ in tiles]
    elif told:
        data.DimensionOrganizationType = "TILED_FULL"
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = JPEG2000Lossless if zipped else ExplicitVRLittleEndian
    frames = [tile for _, _, tile in tiles]
    if zipped:
        import imagecodecs

        frames_j2k = [imagecodecs.jpeg2k_encode(f, codecformat="j2k", reversible=True, mct=False) for f in frames]
        data.PixelData = encapsulate(frames_j2k, has_bot=not told)
        data["PixelData"].VR = "OB"
    else:
        data.PixelData = b"".join(f.tobytes() for f in frames)
        data["PixelData"].VR = "OB"
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = (
        data.SOPClassUID,
        data.SOPInstanceUID,
    )
    data.save_as(path, enforce_file_format=True)
    return path


def _placed(y: int, x: int) -> Dataset:
    item, position = Dataset(), Dataset()
    position.RowPositionInTotalImagePixelMatrix, position.ColumnPositionInTotalImagePixelMatrix = y + 1, x + 1
    item.PlanePositionSlideSequence = [position]
    return item


@pytest.mark.parametrize("zipped", [False, True])
def test_dicom_full(zipped: bool, tmp_path: Path) -> None:
    found = scan_dicom_slide([_dicom(tmp_path / "a", zipped=zipped)])
    image = found.series[0].load()
    assert image.grid.spacing_mm == pytest.approx((0.0005, 0.00025))
    assert np.array_equal(image.array, PIXELS)
    assert image.steps == ()


def test_dicom_sparse_is_white_where_nothing_was_scanned(tmp_path: Path) -> None:
    image = scan_dicom_slide([_dicom(tmp_path / "a", sparse=True)]).series[0].load()
    wanted = PIXELS.copy()
    wanted[: TILE[0], : TILE[1]] = 255
    assert np.array_equal(image.array, wanted)


def test_dicom_levels_join_and_labels_stay_out(tmp_path: Path) -> None:
    files = [
        _dicom(tmp_path / "coarse", PIXELS[::2, ::2]),
        _dicom(tmp_path / "label", PIXELS[:50, :60], flavour="LABEL"),
        _dicom(tmp_path / "fine"),
    ]
    found = scan_dicom_slide(files)
    assert len(found.series) == 1
    image = found.series[0].load()
    assert image.pixels.levels == ((307, 411, 3), (154, 206, 3))
    assert np.array_equal(image.at_level(1).array, PIXELS[::2, ::2])
    assert [(Path(o.where).name, o.verdict) for o in found.others] == [("label", "ignored")]


def test_dicom_with_an_untold_order_is_told(tmp_path: Path) -> None:
    smooth = np.stack([np.add.outer(np.arange(307) // 3, np.arange(411) // 4)] * 3, axis=-1).astype(np.uint8)
    image = scan_dicom_slide([_dicom(tmp_path / "a", smooth, told=False)]).series[0].load()
    assert np.array_equal(image.array, smooth)
    assert "row by row (not in the file" in image.steps[0]


def test_dicom_cut_short(tmp_path: Path) -> None:
    path = _dicom(tmp_path / "a", zipped=True)
    header = pydicom.dcmread(path)
    header.NumberOfFrames = 99
    header.save_as(path)
    image = scan_dicom_slide([path]).series[0].load()
    with pytest.raises(FormatError, match="99 frames"):
        _ = image.array
    path.write_bytes(path.read_bytes()[:300])
    assert scan_dicom_slide([path]).others[0].faults[0].code.startswith("file.")


# ---- focal planes, optical paths, photographs of the glass --------------------------------------------------

PLANES = [np.roll(PIXELS, 17 * k, axis=0) // (k + 1) for k in range(3)]


def _stacked(path: Path, planes: list[np.ndarray], *, full: bool, paths: int = 1) -> Path:
    """Focal planes (and optical paths, the first of which counts) in one instance."""
    ds = pydicom.dcmread(_dicom(path))
    layers = [(p, z) for p in range(paths) for z in range(len(planes))]
    frames = [tile for p, z in layers for _, _, tile in _tiles(planes[z] // (1 + 9 * p))]
    ds.NumberOfFrames, ds.PixelData = len(frames), b"".join(f.tobytes() for f in frames)
    if paths > 1:
        ds.NumberOfOpticalPaths = paths
    if full:
        ds.TotalPixelMatrixFocalPlanes = len(planes)
    else:
        ds.DimensionOrganizationType = "TILED_SPARSE"
        ds.PerFrameFunctionalGroupsSequence = [_layered(y, x, p, z) for p, z in layers for y, x, _ in _tiles(planes[z])]
    ds.save_as(path)
    return path


def _layered(y: int, x: int, path: int, z: int) -> Dataset:
    item, optical = _placed(y, x), Dataset()
    item.PlanePositionSlideSequence[0].ZOffsetInSlideCoordinateSystem = 0.002 * (3 - z)
    optical.OpticalPathIdentifier = f"path {path}"
    item.OpticalPathIdentificationSequence = [optical]
    return item


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("paths", [1, 2])
def test_the_middle_focal_plane_is_read_and_told(tmp_path: Path, full: bool, paths: int) -> None:
    found = scan_dicom_slide([_stacked(tmp_path / "a", PLANES, full=full, paths=paths)])
    image = found.series[0].load()
    assert np.array_equal(image.array, PLANES[1])
    assert "focal plane 2 of 3" in image.steps
    assert ("optical path 1 of 2" in image.steps) is (paths == 2)
    assert [f.code for f in image.faults] == ["series.focal_planes"]
    assert "3 focal planes; number 2" in image.faults[0].detail


def _at_height(path: Path, pixels: np.ndarray, height_mm: float, **tags: str) -> Path:
    ds = pydicom.dcmread(_dicom(path, pixels))
    origin = Dataset()
    origin.ZOffsetInSlideCoordinateSystem = height_mm
    ds.TotalPixelMatrixOriginSequence = [origin]
    for keyword, value in tags.items():
        setattr(ds, keyword, value)
    ds.save_as(path)
    return path


def test_focal_planes_in_files_of_their_own(tmp_path: Path) -> None:
    heights = (0.004, 0.0, 0.002)
    files = [_at_height(tmp_path / f"{k}", PLANES[k], heights[k]) for k in range(3)]
    found = scan_dicom_slide([*files, _dicom(tmp_path / "coarse", PIXELS[::2, ::2])])
    image = found.series[0].load()
    assert image.pixels.levels == ((307, 411, 3), (154, 206, 3))
    assert np.array_equal(image.array, PLANES[2])
    assert [f.code for f in image.faults] == ["series.focal_planes"]
    assert sorted(Path(o.where).name for o in found.others) == ["0", "1"]
    assert all("another focal plane of 2" in o.faults[0].detail for o in found.others)


def test_two_files_at_one_place_are_refused(tmp_path: Path) -> None:
    found = scan_dicom_slide([_at_height(tmp_path / n, PIXELS, 0.001) for n in "ab"])
    assert not found.series
    assert {o.faults[0].code for o in found.others} == {"geometry.conflicting_slice"}


def test_parts_of_a_concatenation_are_refused(tmp_path: Path) -> None:
    found = scan_dicom_slide([_at_height(tmp_path / "a", PIXELS, 0.0, ConcatenationUID="1.2.9")])
    assert not found.series and "concatenation" in found.others[0].faults[0].detail


def test_two_frames_at_one_place_are_refused(tmp_path: Path) -> None:
    path = _dicom(tmp_path / "a", sparse=True)
    ds = pydicom.dcmread(path)
    ds.PerFrameFunctionalGroupsSequence[1] = ds.PerFrameFunctionalGroupsSequence[0]
    ds.save_as(path)
    with pytest.raises(FormatError, match="frames 1 and 2 claim one place"):
        _ = scan_dicom_slide([path]).series[0].load().array


@pytest.mark.parametrize("flavour", ["LABEL", "OVERVIEW", "THUMBNAIL", "LOCALIZER"])
def test_photographs_of_the_glass_are_never_an_image(tmp_path: Path, flavour: str) -> None:
    found = scan_dicom_slide([_dicom(tmp_path / "a", flavour=flavour)])
    assert not found.series and found.others[0].verdict == "ignored"


def test_an_ome_label_larger_than_the_tissue_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        how: dict[str, Any] = {"tile": (128, 160), "photometric": "rgb", "compression": "deflate"}
        file.write(np.repeat(PIXELS, 2, axis=0), metadata={"Name": "Label image"}, **how)
        file.write(PIXELS, metadata={"Name": "tissue"}, **how)
    assert np.array_equal(_load(path).array, PIXELS)


@pytest.mark.parametrize(("unit", "per_unit"), [("CENTIMETER", 10.0), ("INCH", 25.4)])
@pytest.mark.parametrize("ome", [False, True])
def test_resolution_in_either_unit_and_of_both_axes(tmp_path: Path, unit: str, per_unit: float, ome: bool) -> None:
    """0.5 µm down, 0.25 µm across."""
    path = tmp_path / ("a.ome.tif" if ome else "a.tif")
    resolution = (per_unit / 0.00025, per_unit / 0.0005)
    tifffile.imwrite(
        path, PIXELS, tile=(128, 160), photometric="rgb", resolution=resolution, resolutionunit=unit, ome=ome,
        metadata={} if ome else None,
    )  # fmt: skip
    assert _load(path).grid.spacing_mm == pytest.approx((0.0005, 0.00025), rel=1e-4)


def test_real_slides(shared_data: Path) -> None:
    svs = _load(shared_data / "path-slides" / "small_HE.svs")
    assert svs.shape == (2967, 2220, 3)
    assert svs.grid.spacing_mm == pytest.approx((0.000499, 0.000499))
    ours = svs.crop((1000, 1100), (1100, 1250)).array
    theirs = openslide.OpenSlide(str(shared_data / "path-slides" / "small_HE.svs"))
    assert np.array_equal(ours, np.asarray(theirs.read_region((1100, 1000), 0, (150, 100)))[..., :3])
    dicom = scan_dicom_slide([shared_data / "path-slides" / "small_dicom.dcm"]).series[0].load()
    assert dicom.shape == (2638, 3236, 3)
    corner = dicom.pixels.read((slice(1250, 1300), slice(1900, 1950)))
    assert corner.mean() > 225, "the glass between the pieces of tissue is white"
    assert dicom.grid.spacing_mm is None
    assert "column by column" in dicom.steps[0]
    seam = dicom.crop((490, 0), (510, 3236)).array.astype(int)
    assert np.abs(seam[10] - seam[9]).mean() < 2 * np.abs(np.diff(seam[:9], axis=0)).mean() + 1
