"""Four makers' PET headers, synthetic, written as files and read back: from stored numbers to SUV.

Each JSON holds the header, the sums worked out by hand (``working``) and what must come of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.errors import MissingFact, QuantityError
from hexscope.modality import PT
from hexscope.modality.clock import scan_start
from tests.io.dicom_files import NORMAL, ORIGIN, STEP, dataset, item, only, pixel_tags, place, save, stack
from tests.io.dicom_files import PT as PET_STORAGE

HEADERS = Path(__file__).parent / "headers"
MAKERS = sorted(path.stem for path in HEADERS.glob("*.json"))
COUNT = 12
STORED = stack(COUNT)
#: One slope a slice, no two alike.
SLOPES = [0.5 + 0.125 * k for k in range(COUNT)]


def golden(maker: str) -> dict[str, Any]:
    return dict(json.loads((HEADERS / f"{maker}.json").read_text()))


def write(folder: Path, case: dict[str, Any], *, creators: bool = True) -> Image:
    """The header on twelve slices, read back. Without ``creators`` the private blocks lost their names."""
    for k in range(COUNT):
        ds = dataset(PET_STORAGE, "PT")
        ds.RadiopharmaceuticalInformationSequence = [item(**case["radiopharmaceutical"])]
        for entry in case["private"]:
            group, element = int(entry["group"], 16), int(entry["element"], 16)
            if creators:
                block = ds.private_block(group, entry["creator"], create=True)
                block.add_new(element, entry["vr"], entry["value"])
            else:
                ds.add_new(group << 16 | 0x1000 | element, entry["vr"], entry["value"])
        tags = {**pixel_tags(STORED[k]), **place(ORIGIN + NORMAL * STEP * k), **case["header"]}
        save(ds, folder / f"{k:02d}.dcm", **tags, RescaleSlope=SLOPES[k], RescaleIntercept=0, InstanceNumber=k + 1)
    image = only(folder).load()
    assert isinstance(image, Image)
    return image


def changed(case: dict[str, Any], **values: Any) -> dict[str, Any]:
    """The case with header values changed; None takes one away, also from the radiopharmaceutical's item."""
    out = json.loads(json.dumps(case))
    for keyword, value in values.items():
        part = out["radiopharmaceutical"] if keyword.startswith("Radio") else out["header"]
        part[keyword] = value
        if value is None:
            del part[keyword]
    return dict(out)


@pytest.mark.parametrize("maker", MAKERS)
def test_every_factor_of_every_maker(tmp_path: Path, maker: str) -> None:
    case = golden(maker)
    image = write(tmp_path, case)
    assert PT.audit(image) == ()
    activity = STORED.astype(np.float64) * np.array(SLOPES)[:, None, None]
    np.testing.assert_allclose(image.array, activity, rtol=1e-6)
    for name, factor in case["factors"].items():
        converted, ledger = PT.convert(image, Quantity.named(name))
        np.testing.assert_allclose(converted.array, activity * factor, rtol=2e-6, err_msg=f"{maker} {name}")
        assert all(entry.tag for entry in ledger), "each factor names the field it came from"
        assert (ledger[0].value, ledger[0].tag) == ("0.5 to 1.875, one a slice", "(0028,1053)")


@pytest.mark.parametrize("maker", MAKERS)
def test_the_scan_start_of_every_maker(tmp_path: Path, maker: str) -> None:
    case = golden(maker)
    found = scan_start(write(tmp_path, case).facts)
    assert found is not None
    when, tag = case["scan_start"]
    assert abs((found.when - np.datetime64(when).astype(object)).total_seconds()) < 1e-3
    assert found.tag.startswith(tag)


def test_there_are_four_makers() -> None:
    assert MAKERS == ["ge", "philips_bqml", "philips_counts", "siemens"]


def test_private_elements_are_found_without_their_creator(tmp_path: Path) -> None:
    image = write(tmp_path, golden("philips_counts"), creators=False)
    assert PT.convert(image, Quantity.SUVBW)[1][1].tag == "(7053,1000)"


def test_a_strangers_private_block_is_not_taken(tmp_path: Path) -> None:
    case = golden("philips_counts")
    for entry in case["private"]:
        entry["creator"] = "SOMEONE ELSE"
    image = write(tmp_path, case)
    with pytest.raises(MissingFact, match=r"\(7053,1000\) or \(7053,1009\)"):
        PT.convert(image, Quantity.SUVBW)


@pytest.mark.parametrize("suv", ["0", "0.0", None])
def test_philips_activity_factor_counts_where_the_suv_factor_is_0_or_absent(tmp_path: Path, suv: str | None) -> None:
    case = golden("philips_counts")
    case["private"][0]["value"] = suv
    if suv is None:
        del case["private"][0]
    image = write(tmp_path, case)
    converted, ledger = PT.convert(image, Quantity.SUVBW)
    # By hand: counts × 1.75 = Bq/ml; 73,000 g / (290 MBq × 2^(−3657 s / 6586.199707 s)).
    factor = 1.75 * 73e3 / (290e6 * 2 ** (-3657 / 6586.199707))
    np.testing.assert_allclose(converted.array, image.array * factor, rtol=2e-6)
    assert ledger[1].tag == "(7053,1009)"
    assert {"dose", "weight", "decay factor"} <= {entry.name for entry in ledger}
    assert PT.audit(image) == ()


def test_philips_without_any_factor_is_refused_by_both_names(tmp_path: Path) -> None:
    case = golden("philips_counts")
    for entry in case["private"]:
        entry["value"] = "0"
    image = write(tmp_path, case)
    assert [f.code for f in PT.audit(image)] == ["value.missing_fact"]
    assert "(7053,1000) or (7053,1009)" in PT.audit(image)[0].detail
    with pytest.raises(MissingFact, match="is 0"):
        PT.convert(image, Quantity.SUVBW)


@pytest.mark.parametrize(
    ("keyword", "code", "told"),
    [
        ("PatientWeight", "value.missing_weight", "PatientWeight (0010,1030)"),
        ("RadionuclideTotalDose", "value.missing_dose", "RadionuclideTotalDose (0018,1074)"),
        ("RadionuclideHalfLife", "value.missing_fact", "RadionuclideHalfLife (0018,1075)"),
        ("DecayCorrection", "value.missing_fact", "DecayCorrection (0054,1102)"),
    ],
)
def test_what_is_missing_is_counted_over_the_slices(tmp_path: Path, keyword: str, code: str, told: str) -> None:
    image = write(tmp_path, changed(golden("siemens"), **{keyword: None}))
    with pytest.raises(MissingFact) as caught:
        PT.convert(image, Quantity.SUVBW)
    assert caught.value.code == code
    assert told in str(caught.value) and "absent in 12 of 12 slices" in str(caught.value)


def test_the_audit_names_every_missing_field_at_once(tmp_path: Path) -> None:
    gone = dict.fromkeys(
        ("PatientWeight", "RadionuclideTotalDose", "RadionuclideHalfLife", "DecayCorrection", "CorrectedImage")
    )
    details = " ".join(f.detail for f in PT.audit(write(tmp_path, changed(golden("siemens"), **gone))))
    for keyword in gone:
        assert keyword in details
    times = dict.fromkeys(("RadiopharmaceuticalStartTime", "RadiopharmaceuticalStartDateTime", "RadionuclideHalfLife"))
    (tmp_path / "b").mkdir()
    details = " ".join(f.detail for f in PT.audit(write(tmp_path / "b", changed(golden("ge"), **times))))
    assert "RadionuclideHalfLife" in details and "RadiopharmaceuticalStartTime (0018,1072)" in details


@pytest.mark.parametrize(
    ("keyword", "value"), [("PatientWeight", 99), ("RadionuclideTotalDose", 99e6), ("Units", "CNTS")]
)
def test_slices_that_disagree_are_refused(tmp_path: Path, keyword: str, value: Any) -> None:
    write(tmp_path, golden("ge"))
    path = tmp_path / "05.dcm"
    ds = pydicom.dcmread(path)
    part = ds.RadiopharmaceuticalInformationSequence[0] if keyword.startswith("Radio") else ds
    setattr(part, keyword, value)
    ds.save_as(path)
    image = only(tmp_path).load()
    assert isinstance(image, Image)
    with pytest.raises(QuantityError, match=f"one {keyword} .*have 2 different ones") as caught:
        PT.convert(image, Quantity.SUVBW)
    assert caught.value.code == "value.differing_facts"
    assert "value.differing_facts" in [f.code for f in PT.audit(image)]


def test_two_tracers_are_refused(tmp_path: Path) -> None:
    write(tmp_path, golden("ge"))
    for path in tmp_path.glob("*.dcm"):
        ds = pydicom.dcmread(path)
        ds.RadiopharmaceuticalInformationSequence.append(ds.RadiopharmaceuticalInformationSequence[0])
        ds.save_as(path)
    image = only(tmp_path).load()
    assert isinstance(image, Image)
    with pytest.raises(QuantityError, match="2 radiopharmaceuticals"):
        PT.convert(image, Quantity.SUVBW)
