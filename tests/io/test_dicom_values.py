"""What a number means after the header had its say: rescale types, value maps, look-up tables, windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.io.reading import open_series
from tests.io.dicom_files import (
    CR,
    CT,
    MR,
    PT,
    SC,
    codes,
    dataset,
    item,
    only,
    pixel_tags,
    place,
    save,
    stack,
    write_stack,
)

STORED = stack(5)
HEIGHTS = [0.0, 3.0, 6.0, 9.0, 12.0]


def value_map(unit: str, slope: float, intercept: float, label: str = "map", scheme: str = "UCUM") -> Any:
    code = item(CodeValue=unit, CodingSchemeDesignator=scheme, CodeMeaning=f"meaning of {unit}")
    return item(
        LUTLabel=label, RealWorldValueSlope=slope, RealWorldValueIntercept=intercept,
        RealWorldValueFirstValueMapped=0, RealWorldValueLastValueMapped=3000, MeasurementUnitsCodeSequence=[code],
    )  # fmt: skip


def series(folder: Path, sop_class: str, modality: str, maps: Any, **tags: Any) -> Image:
    """Five slices; ``maps(k)`` gives the value maps of slice k."""
    for k in range(5):
        ds = dataset(sop_class, modality)
        here = maps(k)
        if here:
            ds.RealWorldValueMappingSequence = here
        position = np.array([-31.5, 17.25, 102.0]) + 3.0 * k * np.cross([0.36, 0.48, -0.8], [0.8, -0.6, 0.0])
        save(ds, folder / str(k), **{**pixel_tags(STORED[k]), **place(position), **tags})
    image = open_series(only(folder))
    assert isinstance(image, Image)
    return image


@pytest.mark.parametrize(
    ("unit", "quantity", "scale"),
    [
        ("mm2/s", Quantity.DIFFUSION, 1.0),
        ("um2/s", Quantity.DIFFUSION, 1e-6),
        ("10-6.mm2/s", Quantity.DIFFUSION, 1e-6),
        ("Bq/mL", Quantity.BQML, 1.0),
        ("kBq/ml", Quantity.BQML, 1000.0),
        ("{SUVbw}g/ml", Quantity.SUVBW, 1.0),
        ("[hnsf'U]", Quantity.HU, 1.0),
        ("cm/s", Quantity.VELOCITY, 1.0),
    ],
)
def test_a_map_in_a_known_unit_makes_the_numbers(tmp_path: Path, unit: str, quantity: Quantity, scale: float) -> None:
    """The map takes stored values, slice by slice, not those of the rescale beside it."""
    image = series(
        tmp_path, MR, "MR", lambda k: [value_map(unit, 0.5 + k, 7.0)], RescaleSlope=9, RescaleIntercept=5,
        EchoTime=80, RepetitionTime=3000, MagneticFieldStrength=3,
    )  # fmt: skip
    slopes = (0.5 + np.arange(5))[:, None, None]
    assert image.quantity is quantity
    np.testing.assert_allclose(image.array, (STORED * slopes + 7.0) * scale, rtol=1e-6)
    assert [f.code for f in image.faults if f.code.startswith("value")] == ["value.real_world_map"]
    assert image.facts["value_map"]["unit"].casefold() == unit.casefold()
    assert "0 to 3000" in image.faults[-1].detail


@pytest.mark.parametrize(
    ("unit", "scheme"), [("1", "UCUM"), ("ms", "UCUM"), ("mm2/s", "99LOCAL"), ("{SUVlbm}g/ml", "UCUM")]
)
def test_a_map_in_an_unknown_unit_is_told_and_not_applied(tmp_path: Path, unit: str, scheme: str) -> None:
    image = series(tmp_path, MR, "MR", lambda k: [value_map(unit, 0.25, 1.0, scheme=scheme)])
    assert image.quantity is Quantity.ARBITRARY
    np.testing.assert_array_equal(image.array, STORED)
    assert image.facts["unit"] == (unit if scheme == "UCUM" else f"99LOCAL:{unit}")
    assert image.facts["real_world_value_maps"][0]["slope"] == 0.25


def test_a_map_that_some_slices_lack_is_not_applied(tmp_path: Path) -> None:
    image = series(tmp_path, MR, "MR", lambda k: [value_map("mm2/s", 1e-6, 0.0)] if k != 3 else [])
    assert image.quantity is Quantity.ARBITRARY


def test_a_rescale_that_leads_to_a_quantity_stays(tmp_path: Path) -> None:
    image = series(tmp_path, PT, "PT", lambda k: [value_map("{SUVbw}g/ml", 1e-4, 0.0)], Units="BQML", RescaleSlope=2)
    assert image.quantity is Quantity.BQML
    np.testing.assert_array_equal(image.array, STORED * 2.0)
    assert image.facts["real_world_value_maps"][0]["unit"] == "{SUVbw}g/ml"


def test_of_several_maps_the_known_one_counts(tmp_path: Path) -> None:
    maps = [value_map("1", 3.0, 0.0, "plain"), value_map("mm2/s", 1e-6, 0.0, "ADC")]
    image = series(tmp_path, MR, "MR", lambda k: maps)
    assert image.quantity is Quantity.DIFFUSION and image.facts["value_map"]["label"] == "ADC"
    np.testing.assert_allclose(image.array, STORED * 1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "image_type", "quantity", "code"),
    [
        ("HU", "AXIAL", Quantity.HU, []),
        ("US", "AXIAL", Quantity.HU, ["value.assumed_hu"]),
        ("Z_EFF", "AXIAL", Quantity.ARBITRARY, ["value.unknown_rescale"]),
        ("ED", "AXIAL", Quantity.ARBITRARY, ["value.unknown_rescale"]),
        ("mGy", "AXIAL", Quantity.ARBITRARY, ["value.unknown_rescale"]),
        ("OD", "AXIAL", Quantity.ARBITRARY, ["value.unknown_rescale"]),
    ],
)
def test_rescale_types_of_ct(tmp_path: Path, kind: str, image_type: str, quantity: Quantity, code: list[str]) -> None:
    folder = tmp_path / "ct"
    write_stack(folder, STORED, HEIGHTS, RescaleType=kind, RescaleSlope=2, RescaleIntercept=-1000)
    image = open_series(only(folder))
    assert image.quantity is quantity and image.facts["RescaleType"] == kind
    assert [f.code for f in image.faults] == code
    np.testing.assert_array_equal(image.array, STORED * 2.0 - 1000)


def test_a_perfusion_map_saved_as_ct_is_no_hu(tmp_path: Path) -> None:
    folder = tmp_path / "ct"
    write_stack(folder, STORED, HEIGHTS, RescaleType="US", ImageType=["DERIVED", "PRIMARY", "PERFUSION", "RCBF"])
    image = open_series(only(folder))
    assert image.quantity is Quantity.ARBITRARY and "unspecified" in image.faults[0].detail


def test_a_ct_names_both_fields_it_lacks(tmp_path: Path) -> None:
    folder = tmp_path / "ct"
    write_stack(folder, STORED, HEIGHTS, RescaleSlope=None, RescaleIntercept=None)
    (fault,) = open_series(only(folder)).faults
    assert "RescaleSlope (0028,1053) and RescaleIntercept (0028,1052) are absent" in fault.detail


def test_an_mr_names_all_fields_it_lacks(tmp_path: Path) -> None:
    image = series(tmp_path, MR, "MR", lambda k: [], RepetitionTime=3000)
    (fault,) = [f for f in image.faults if f.code == "value.bare_header"]
    assert "EchoTime (0018,0081), MagneticFieldStrength (0018,0087)" in fault.detail


def words(table: list[int]) -> bytes:
    return np.array(table, "<u2").tobytes()


def lut(kind: str, first: int, table: list[int], **more: Any) -> Any:
    return item(LUTDescriptor=[len(table), first, 16], ModalityLUTType=kind, LUTData=words(table), **more)


def test_a_modality_lut_is_applied_and_a_voi_lut_is_not(tmp_path: Path) -> None:
    array = np.arange(77, dtype=np.uint16).reshape(7, 11)
    table = [(7 * k * k) % 4001 for k in range(60)]
    ds = dataset(SC, "OT")
    ds.ModalityLUTSequence = [lut("OD", 10, table, LUTExplanation="film")]
    ds.VOILUTSequence = [item(LUTDescriptor=[4, 0, 8], LUTData=words([9, 9, 9, 9]), LUTExplanation="bright")]
    windows = {"WindowCenter": [40, 300], "WindowWidth": [400, 1500], "WindowCenterWidthExplanation": ["soft", "bone"]}
    save(ds, tmp_path / "a", **pixel_tags(array), **windows, VOILUTFunction="SIGMOID")
    image = only(tmp_path).load()
    np.testing.assert_array_equal(image.array, np.array(table)[np.clip(array.astype(int) - 10, 0, 59)])
    assert image.facts["modality_lut"] == {"explanation": "film", "entries": 60, "first": 10, "bits": 16, "type": "OD"}
    assert image.facts["windows"] == [
        {"center": 40.0, "width": 400.0, "explanation": "soft", "function": "SIGMOID"},
        {"center": 300.0, "width": 1500.0, "explanation": "bone", "function": "SIGMOID"},
    ]
    assert image.facts["voi_luts"] == [{"explanation": "bright", "entries": 4, "first": 0, "bits": 8}]


@pytest.mark.parametrize(
    ("kind", "quantity"), [("HU", Quantity.HU), ("US", Quantity.HU), ("Z_EFF", Quantity.ARBITRARY)]
)
def test_a_ct_with_a_modality_lut(tmp_path: Path, kind: str, quantity: Quantity) -> None:
    array = np.arange(77, dtype=np.uint16).reshape(7, 11)
    ds = dataset(CT, "CT")
    ds.ModalityLUTSequence = [lut(kind, 0, list(range(500, 577)))]
    save(ds, tmp_path / "a", **pixel_tags(array), **place([1.0, 2.0, 3.0]))
    series = only(tmp_path)
    assert series.quantity is quantity
    np.testing.assert_array_equal(series.load().array.squeeze(), array + 500)


def test_a_map_stands_in_place_of_a_modality_lut(tmp_path: Path) -> None:
    array = np.arange(77, dtype=np.uint16).reshape(7, 11)
    ds = dataset(MR, "MR")
    ds.ModalityLUTSequence = [lut("US", 0, list(range(500, 577)))]
    ds.RealWorldValueMappingSequence = [value_map("um2/s", 3.0, 0.0)]
    save(ds, tmp_path / "a", **pixel_tags(array), **place([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(only(tmp_path).load().array.squeeze(), array * 3e-6, rtol=1e-6)


def test_monochrome1_and_windows_change_no_value(tmp_path: Path) -> None:
    array = np.arange(77, dtype=np.uint16).reshape(7, 11)
    tags = {**pixel_tags(array), "PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
    save(dataset(CR, "CR"), tmp_path / "a", **tags, WindowCenter=30, WindowWidth=20)
    series = only(tmp_path)
    np.testing.assert_array_equal(series.load().array, array)
    assert codes(series) == ["value.inverted_polarity", "geometry.no_spacing"][::-1]


def test_real_pet_slices_keep_their_slopes(shared_data: Path) -> None:
    """The maximum that the data's own description gives, and a mean of the body about 1."""
    import hexscope as hx

    image = hx.read(shared_data / "pet-headneck-dicom" / "PET")
    assert isinstance(image, Image)
    suv = hx.quantify(image, "SUVbw")
    assert suv.array.max() == pytest.approx(19.51, abs=0.01)


def test_a_parametric_map_of_floats(tmp_path: Path) -> None:
    """Float pixels, the map in the shared functional group, its bounds as doubles (PS3.3 C.7.6.16.2.11)."""
    array = (np.arange(2 * 77, dtype=np.float32) * 1.5 - 3).reshape(2, 7, 11)
    tags = pixel_tags(array)
    tags["FloatPixelData"] = tags.pop("PixelData")
    for keyword in ("BitsStored", "HighBit", "PixelRepresentation"):
        del tags[keyword]
    found = value_map("um2/s", 2.0, 1.0)
    del found.RealWorldValueFirstValueMapped, found.RealWorldValueLastValueMapped
    found.DoubleFloatRealWorldValueFirstValueMapped, found.DoubleFloatRealWorldValueLastValueMapped = -3.0, 226.5
    shared = item(
        RealWorldValueMappingSequence=[found],
        PlaneOrientationSequence=[item(ImageOrientationPatient=place([0, 0, 0])["ImageOrientationPatient"])],
        PixelMeasuresSequence=[item(PixelSpacing=[0.7, 0.5], SliceThickness=3)],
    )
    ds = dataset("1.2.840.10008.5.1.4.1.1.30", "MR")
    ds.SharedFunctionalGroupsSequence = [shared]
    normal = np.cross([0.36, 0.48, -0.8], [0.8, -0.6, 0.0])
    ds.PerFrameFunctionalGroupsSequence = [
        item(PlanePositionSequence=[item(ImagePositionPatient=[round(v, 6) for v in (3.0 * k * normal).tolist()])])
        for k in range(2)
    ]
    save(ds, tmp_path / "a", **tags)
    image = open_series(only(tmp_path))
    assert image.quantity is Quantity.DIFFUSION
    np.testing.assert_allclose(image.array, (array * 2 + 1) * 1e-6, rtol=1e-5)
    assert "-3 to 226.5" in next(f.detail for f in image.faults if f.code == "value.real_world_map")
