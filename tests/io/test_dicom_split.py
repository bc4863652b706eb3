"""What differs is never stacked: echoes, phases, times, sizes, orientations, scouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from hexscope.core.image import Image
from hexscope.errors import InputError
from tests.io.dicom_files import COLUMN, NORMAL, ORIGIN, PT, ROW, STEP, codes, ct_slice, scan, stack


def write(folder: Path, offset: int, *, count: int = 5, **tags: Any) -> None:
    for k in range(count):
        number = len(list(folder.iterdir()))
        own = {key: value[k] if callable(getattr(value, "copy", None)) and len(value) == count else value
               for key, value in tags.items()}  # fmt: skip
        ct_slice(folder / f"{(number * 7) % 97:02d}", stack()[k] + offset, ORIGIN + NORMAL * STEP * k, **own)


def by_id(folder: Path) -> dict[str, Any]:
    found = scan(folder)
    assert not found.others
    return {s.id.removeprefix("1.2.3.4.5"): s for s in found.series}


def check(series: dict[str, Any], expected: dict[str, int]) -> None:
    assert sorted(series) == sorted(expected)
    for name, offset in expected.items():
        assert "series.split" in codes(series[name])
        image = series[name].load()
        np.testing.assert_array_equal(image.array, stack() + offset)


def test_two_echoes_become_two_series(tmp_path: Path) -> None:
    write(tmp_path, 0, EchoNumbers=1, EchoTime=4.9)
    write(tmp_path, 1000, EchoNumbers=2, EchoTime=9.8)
    check(by_id(tmp_path), {":echo=1": 0, ":echo=2": 1000})


def test_echo_times_alone_are_enough(tmp_path: Path) -> None:
    write(tmp_path, 0, EchoTime=4.9)
    write(tmp_path, 1000, EchoTime=9.8)
    check(by_id(tmp_path), {":te=4.9": 0, ":te=9.8": 1000})


def test_magnitude_and_phase(tmp_path: Path) -> None:
    write(tmp_path, 0, ImageType=["ORIGINAL", "PRIMARY", "M", "ND"])
    write(tmp_path, 1000, ImageType=["ORIGINAL", "PRIMARY", "P", "ND"])
    check(by_id(tmp_path), {":type=M": 0, ":type=P": 1000})


def check_stacked(series: Any, offsets: list[int], keyword: str) -> Image:
    """One series with an axis t, each volume with its own numbers; a region of it is read alone."""
    assert "series.stacked" in codes(series) and series.verdict in ("ok", "repaired")
    image = series.load()
    assert image.axes == ("t", "z", "y", "x") and series.shape == image.shape == (len(offsets), 5, 7, 11)
    part = image.crop((1, 2, 3), (4, 6, 9)).array
    np.testing.assert_array_equal(part, np.stack([stack()[1:4, 2:6, 3:9] + n for n in offsets]))
    np.testing.assert_array_equal(image.array, np.stack([stack() + n for n in offsets]))
    np.testing.assert_allclose(image.grid.to_world((4, 0, 0)), ORIGIN + NORMAL * STEP * 4, atol=1e-9)
    assert image.facts["axis_t"] == keyword
    return image


def test_temporal_positions_make_the_axis_t(tmp_path: Path) -> None:
    for t in (2, 10, 1):
        write(tmp_path, 100 * t, TemporalPositionIdentifier=t, AcquisitionDate="20260102",
              AcquisitionTime=[f"2359{50 + k:02d}.25" if t == 1 else f"0000{t:02d}.5" for k in range(5)])  # fmt: skip
    (series,) = by_id(tmp_path).values()
    image = check_stacked(series, [100, 200, 1000], "TemporalPositionIdentifier")
    assert image.facts["axis_t_values"] == ["1", "2", "10"]
    assert "frame_times_ms" not in image.facts  # the clock runs backwards over midnight, and no date says so


def test_trigger_times_that_differ_from_slice_to_slice_are_matched_by_rank(tmp_path: Path) -> None:
    for phase in (0, 1):
        write(tmp_path, 500 * phase, TriggerTime=[10.0 * k + 300 * phase for k in range(5)])
    (series,) = by_id(tmp_path).values()
    assert check_stacked(series, [0, 500], "TriggerTime").facts["frame_times_ms"] == [0.0, 300.0]


def test_clocks_over_midnight(tmp_path: Path) -> None:
    for t, moment in enumerate(("20260102235958.5+0100", "20260103000001.0+0100", "20260103000009+0100")):
        write(tmp_path, 10 * t, AcquisitionDateTime=moment)
    (series,) = by_id(tmp_path).values()
    image = check_stacked(series, [0, 10, 20], "AcquisitionDateTime")
    assert image.facts["frame_times_ms"] == [0.0, 2500.0, 10500.0]


def test_a_cine_of_one_slice_keeps_its_place(tmp_path: Path) -> None:
    for t in range(4):
        write(tmp_path, 9 * t, count=1, TriggerTime=40.0 * t + 5)
    (series,) = by_id(tmp_path).values()
    image = series.load()
    assert image.axes == ("t", "z", "y", "x") and image.shape == (4, 1, 7, 11)
    np.testing.assert_array_equal(image.array[:, 0], [stack()[0] + 9 * t for t in range(4)])
    np.testing.assert_array_equal(image.frame(2).array, image.array[2])
    assert image.facts["frame_times_ms"] == [0.0, 40.0, 80.0, 120.0]


def test_times_of_differing_places_are_split(tmp_path: Path) -> None:
    write(tmp_path, 0, TemporalPositionIdentifier=1)
    write(tmp_path, 700, TemporalPositionIdentifier=2, count=4)
    found = by_id(tmp_path)
    assert {name: s.shape for name, s in found.items()} == {":t=1": (5, 7, 11), ":t=2": (4, 7, 11)}
    np.testing.assert_array_equal(found[":t=2"].load().array, stack()[:4] + 700)


def test_uneven_volumes_in_time_are_evened_together(tmp_path: Path) -> None:
    heights = (0.0, 3.0, 6.0, 12.0)
    for t in (0, 1):
        for k, h in enumerate(heights):
            plane = np.full((7, 11), round(100 * h) + 1000 * t, np.int16)
            ct_slice(tmp_path / f"{t}{3 - k}", plane, ORIGIN + NORMAL * h, TemporalPositionIdentifier=t + 1)
    (series,) = scan(tmp_path).series
    assert "geometry.missing_slice" in codes(series) and series.load_even is not None
    image = series.load_even()
    assert image.axes == ("t", "z", "y", "x") and image.shape == (2, 5, 7, 11)
    np.testing.assert_allclose(image.array[:, :, 3, 4], [[0, 300, 600, 900, 1200], [1000, 1300, 1600, 1900, 2200]])


def test_times_within_each_echo(tmp_path: Path) -> None:
    for t in (1, 2):
        for echo in (1, 2):
            write(tmp_path, 100 * t + echo, TemporalPositionIdentifier=t, EchoNumbers=echo)
    found = by_id(tmp_path)
    assert sorted(found) == [":echo=1", ":echo=2"]
    for echo in (1, 2):
        check_stacked(found[f":echo={echo}"], [100 + echo, 200 + echo], "TemporalPositionIdentifier")


def test_b_values_are_kinds_not_times(tmp_path: Path) -> None:
    for n, b in enumerate((0.0, 1000.0)):
        write(tmp_path, 100 * n, DiffusionBValue=b, AcquisitionNumber=n + 1, AcquisitionTime=f"10110{n}")
    check(by_id(tmp_path), {":b=0": 0, ":b=1000": 100})


@pytest.mark.parametrize(
    ("group", "creator", "element", "vr", "raw"),
    [
        (0x0019, "SIEMENS MR HEADER", 0x0C, "IS", (0, 800)),
        (0x0043, "GEMS_PARM_01", 0x39, "IS", ([1000000000, 8, 0, 0], [1000000800, 8, 0, 0])),
        (0x2001, "Philips Imaging DD 001", 0x03, "FL", (0.0, 800.0)),
        (0x0019, "SIEMENS MR HEADER", 0x0C, "UN", (b"0 ", b"800 ")),
    ],
)
def test_b_values_of_three_makers(
    tmp_path: Path, group: int, creator: str, element: int, vr: str, raw: tuple[Any, Any]
) -> None:
    for n, value in enumerate(raw):
        write(tmp_path, 100 * n, AcquisitionNumber=n + 1)
        for k in range(5):
            path = tmp_path / f"{((5 * n + k) * 7) % 97:02d}"
            ds = pydicom.dcmread(path)
            ds.private_block(group, creator, create=True).add_new(element, vr, value)
            ds.save_as(path)
    check(by_id(tmp_path), {":b=0": 0, ":b=800": 100})


def test_words_that_differ_along_one_volume_do_not_split_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        0,
        AcquisitionNumber=[1, 2, 3, 4, 5],
        AcquisitionTime=[f"1011{k:02d}" for k in (30, 20, 10, 40, 50)],
        AcquisitionDate="20260102",
    )
    (series,) = scan(tmp_path).series
    assert series.id == "1.2.3.4.5" and series.shape == (5, 7, 11) and not series.faults
    assert series.facts["AcquisitionTime"] == "101110"


def test_scouts_are_listed_and_never_stacked(tmp_path: Path) -> None:
    write(tmp_path, 0)
    ct_slice(tmp_path / "scout", stack()[0], ORIGIN, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    lone = [*COLUMN.tolist(), *NORMAL.tolist()]
    ct_slice(tmp_path / "lone", stack()[1], ORIGIN - 5 * ROW, ImageOrientationPatient=lone)
    found = {s.id: s for s in scan(tmp_path).series}
    kinds = sorted((s.kind, tuple(codes(s))) for s in found.values())
    assert kinds == [("image", ()), ("none", ("series.scout",)), ("none", ("series.scout",))]
    with pytest.raises(InputError) as error:
        found["1.2.3.4.5:scout"].load()
    assert error.value.code == "series.scout"


def test_sizes_and_orientations_are_parted(tmp_path: Path) -> None:
    write(tmp_path, 0)
    for k in range(4):
        ct_slice(tmp_path / f"big{k}", stack(4, (9, 6))[k], ORIGIN + NORMAL * STEP * k)
        turned = [*COLUMN.tolist(), *(-ROW).tolist()]
        ct_slice(tmp_path / f"turned{k}", stack()[k], ORIGIN + NORMAL * STEP * k, ImageOrientationPatient=turned)
    found = scan(tmp_path).series
    assert sorted(s.shape for s in found) == [(4, 7, 11), (4, 9, 6), (5, 7, 11)]
    assert all(codes(s) == ["series.mixed"] for s in found)
    assert len({s.id for s in found}) == 3


def test_dynamic_pet_is_told_by_frame_reference_time(tmp_path: Path) -> None:
    for t in (0, 1, 2):
        write(tmp_path, 10 * t, SOPClassUID=PT, Modality="PT", FrameReferenceTime=1000.0 * (t + 1) ** 2)
    (series,) = by_id(tmp_path).values()
    image = check_stacked(series, [0, 10, 20], "FrameReferenceTime")
    assert image.facts["frame_times_ms"] == [0.0, 3000.0, 8000.0]


def test_images_of_series_come_back_as_images(tmp_path: Path) -> None:
    write(tmp_path, 0)
    (series,) = scan(tmp_path).series
    image = series.load()
    assert isinstance(image, Image) and image.modality == "CT" and image.quantity == "HU"
    assert len(image.files) == 5 and image.files[0] != image.files[1]
