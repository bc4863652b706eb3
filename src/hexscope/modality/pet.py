"""PET: tracer activity, and the standardised uptake value (SUV) made from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hexscope.core.faults import Fault
from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.errors import HexscopeError
from hexscope.modality.base import Facts, Modality, Window
from hexscope.modality.facts import text
from hexscope.modality.suv import Header, convert

#: Units (0054,1001), DICOM PS3.3 C.8.9.1.1.3; GML and CM2ML are refined by SUV Type.
_UNITS = {"BQML": Quantity.BQML, "CNTS": Quantity.COUNTS, "CPS": Quantity.COUNTS, "PROPCNTS": Quantity.COUNTS}

#: SUV Type (0054,1006); where Units are GML and it is absent, body weight is meant (DICOM PS3.3 C.8.9.1).
#: LBM names no formula and is not here: it stays arbitrary rather than becoming one of two.
_SUV_TYPES = {
    "": Quantity.SUVBW,
    "BW": Quantity.SUVBW,
    "LBMJANMA": Quantity.SUVLBM,
    "LBMJAMES128": Quantity.SUVLBM_JAMES,
    "IBW": Quantity.SUVIBW,
}


def stored(facts: Facts) -> Quantity:
    """From Units and SUV Type. Units without a name here (PCNT, MLMINML …) are arbitrary."""
    units, kind = text(facts, "Units").upper(), text(facts, "SUVType").upper()
    if units == "GML":
        return _SUV_TYPES.get(kind, Quantity.ARBITRARY)
    if units == "CM2ML" and kind in ("", "BSA"):
        return Quantity.SUVBSA
    return _UNITS.get(units, Quantity.ARBITRARY)


def audit(image: Image) -> tuple[Fault, ...]:
    """What stands between the stored numbers and SUVbw, one fault a missing fact. Reads no pixels."""
    facts = Header(image, Quantity.SUVBW)
    if image.quantity is Quantity.COUNTS:
        found = _faults(facts.require_corrections, facts.counts_factor)
        by_activity = not found and facts.counts_factor()[0] is Quantity.BQML
        return _of_activity(facts) if by_activity else found
    if image.quantity is Quantity.BQML:
        return _of_activity(facts)
    return _unknown_units(image) if image.quantity is Quantity.ARBITRARY else ()


def _of_activity(facts: Header) -> tuple[Fault, ...]:
    """Every field that Bq/ml to SUVbw needs and lacks. Half-life and times count only where the dose decays."""
    found = _faults(facts.require_corrections, facts.weight_kg, facts.dose)
    no_reference = _faults(facts.reference)
    if no_reference:
        return (*found, *no_reference, *_faults(facts.half_life))
    if facts.reference() == "ADMIN":
        return found
    timing = _faults(facts.half_life, facts.scan, facts.given)
    return tuple(dict.fromkeys((*found, *timing, *_faults(facts.dose_at_reference))))


def _unknown_units(image: Image) -> tuple[Fault, ...]:
    units, kind = text(image.facts, "Units"), text(image.facts, "SUVType")
    if not units:
        return ()
    told = f"Units (0054,1001) are {units}" + (f", SUVType (0054,1006) is {kind}" if kind else "")
    why = "LBM names no formula" if kind.upper() == "LBM" else "together they name no quantity known here"
    return (Fault("value.unknown_units", f"{image.name or 'this PET'}: {told}; {why}"),)


def _faults(*checks: Callable[[], Any]) -> tuple[Fault, ...]:
    out: list[Fault] = []
    for check in checks:
        try:
            check()
        except HexscopeError as error:
            fault = Fault(error.code or "value.missing_fact", str(error))
            if fault not in out:
                out.append(fault)
    return tuple(out)


PT = Modality(
    code="PT",
    name="Positron emission tomography",
    name_zh="正电子发射断层成像",
    dicom=("PT", "PET"),
    guide="pet",
    stored=stored,
    windows=(
        Window("SUV 0 to 7", "SUV 0–7", 0.0, 7.0),
        Window("SUV 0 to 10", "SUV 0–10", 0.0, 10.0),
        Window("SUV 0 to 15 (brain)", "SUV 0–15（脑）", 0.0, 15.0),
    ),
    # Reconstruction may undershoot zero a little; urine reaches some hundreds.
    plausible={
        Quantity.SUVBW: (-5.0, 2000.0),
        Quantity.SUVLBM: (-5.0, 2000.0),
        Quantity.SUVLBM_JAMES: (-5.0, 2000.0),
        Quantity.SUVIBW: (-5.0, 2000.0),
        Quantity.BQML: (-1e5, 1e9),
    },
    needs=("Units", "DecayCorrection", "CorrectedImage", "PatientWeight", "RadionuclideTotalDose"),
    working=Quantity.SUVBW,
    audit=audit,
    convert=convert,
)
