"""What differs is never stacked: echoes, phases, times, sizes, orientations, scouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hexscope.core.image import Image
from hexscope.errors import InputError
from tests.io.dicom_files import COLUMN, MR, NORMAL, ORIGIN, ROW, STEP, codes, ct_slice, scan, stack


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


def test_temporal_positions(tmp_path: Path) -> None:
    for t in (1, 2, 3):
        write(tmp_path, 100 * t, TemporalPositionIdentifier=t)
    check(by_id(tmp_path), {":t=1": 100, ":t=2": 200, ":t=3": 300})


def test_trigger_times_that_differ_from_slice_to_slice_are_matched_by_rank(tmp_path: Path) -> None:
    for phase in (0, 1):
        write(tmp_path, 500 * phase, TriggerTime=[10.0 * k + 300 * phase for k in range(5)])
    check(by_id(tmp_path), {":trigger=1": 0, ":trigger=2": 500})


def test_echo_within_time_splits_twice(tmp_path: Path) -> None:
    for t in (1, 2):
        for echo in (1, 2):
            write(tmp_path, 100 * t + echo, TemporalPositionIdentifier=t, EchoNumbers=echo)
    check(by_id(tmp_path), {f":echo={e}:t={t}": 100 * t + e for e in (1, 2) for t in (1, 2)})


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
        write(tmp_path, 10 * t, SOPClassUID=MR, FrameReferenceTime=1000.0 * (t + 1))
    check(by_id(tmp_path), {":time=1000": 0, ":time=2000": 10, ":time=3000": 20})


def test_images_of_series_come_back_as_images(tmp_path: Path) -> None:
    write(tmp_path, 0)
    (series,) = scan(tmp_path).series
    image = series.load()
    assert isinstance(image, Image) and image.modality == "CT" and image.quantity == "HU"
    assert len(image.files) == 5 and image.files[0] != image.files[1]
