"""Real-world value maps: what stored numbers mean in a named unit (DICOM PS3.3 C.7.6.16.2.11).

A map takes the stored value, not the rescaled one. It counts where the rescale leads to no quantity: then numbers
become the map's. Where its unit is unknown here nothing is changed, and the unit is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from hexscope.core.faults import Fault
from hexscope.core.quantity import Quantity
from hexscope.io.dicom_frames import Frame
from hexscope.io.dicom_header import value_of
from hexscope.io.dicom_stored import Slice

#: UCUM code of Measurement Units (0040,08EA): the quantity, and what one unit is of the quantity's own unit.
#: SUV units are those of DICOM CID 85; {SUVlbm}g/ml names no formula and stays arbitrary.
_UNITS: dict[str, tuple[Quantity, float]] = {
    "[hnsf'U]": (Quantity.HU, 1.0),
    "{SUVbw}g/ml": (Quantity.SUVBW, 1.0),
    "{SUVlbm(Janma)}g/ml": (Quantity.SUVLBM, 1.0),
    "{SUVlbm(James128)}g/ml": (Quantity.SUVLBM_JAMES, 1.0),
    "{SUVbsa}cm2/ml": (Quantity.SUVBSA, 1.0),
    "{SUVibw}g/ml": (Quantity.SUVIBW, 1.0),
    "Bq/ml": (Quantity.BQML, 1.0),
    "kBq/ml": (Quantity.BQML, 1e3),
    "MBq/ml": (Quantity.BQML, 1e6),
    "mm2/s": (Quantity.DIFFUSION, 1.0),
    "um2/s": (Quantity.DIFFUSION, 1e-6),
    "10-6.mm2/s": (Quantity.DIFFUSION, 1e-6),
    "10*-6.mm2/s": (Quantity.DIFFUSION, 1e-6),
    "10-3.mm2/s": (Quantity.DIFFUSION, 1e-3),
    "10*-3.mm2/s": (Quantity.DIFFUSION, 1e-3),
    "cm2/s": (Quantity.DIFFUSION, 100.0),
    "cm/s": (Quantity.VELOCITY, 1.0),
    "mm/s": (Quantity.VELOCITY, 0.1),
    "m/s": (Quantity.VELOCITY, 100.0),
}


@dataclass(frozen=True)
class ValueMap:
    """One item of the sequence. slope and intercept are as stored, in ``unit``; None where a table stands instead.
    ``first`` and ``last`` bound the stored values it holds for."""

    label: str
    unit: str
    meaning: str
    slope: float | None
    intercept: float | None
    first: float | None
    last: float | None

    @property
    def quantity(self) -> Quantity:
        return _UNITS.get(self.unit, (Quantity.ARBITRARY, 1.0))[0]

    @property
    def is_usable(self) -> bool:
        """Linear, and in a unit that is a quantity here?"""
        return bool(self.slope) and self.intercept is not None and self.quantity is not Quantity.ARBITRARY

    def onto(self, part: Slice) -> Slice:
        """The slice with this map in place of its rescale or Modality LUT, in the quantity's own unit."""
        scale = _UNITS[self.unit][1]
        return replace(part, slope=(self.slope or 1.0) * scale, intercept=(self.intercept or 0.0) * scale, lut=None)


def value_maps(frame: Frame) -> tuple[ValueMap, ...]:
    """All maps of a frame, in the header's order."""
    return tuple(_map_of(item) for item in frame.get("RealWorldValueMappingSequence") or ())


def _map_of(item: Any) -> ValueMap:
    codes = value_of(item, "MeasurementUnitsCodeSequence")
    code = codes[0] if codes else {}
    unit = str(value_of(code, "CodeValue") or "").strip().replace("/mL", "/ml")
    scheme = str(value_of(code, "CodingSchemeDesignator") or "").strip()
    return ValueMap(
        str(value_of(item, "LUTLabel") or "").strip(),
        unit if scheme == "UCUM" else f"{scheme}:{unit}",
        str(value_of(code, "CodeMeaning") or "").strip(),
        _number(item, "RealWorldValueSlope"),
        _number(item, "RealWorldValueIntercept"),
        _bound(item, "FirstValueMapped"),
        _bound(item, "LastValueMapped"),
    )


def _number(item: Any, keyword: str) -> float | None:
    try:
        return float(value_of(item, keyword))
    except (TypeError, ValueError):
        return None


def _bound(item: Any, keyword: str) -> float | None:
    whole = _number(item, f"RealWorldValue{keyword}")
    return _number(item, f"DoubleFloatRealWorldValue{keyword}") if whole is None else whole


@dataclass(frozen=True)
class Mapped:
    """What the maps of a series come to: the slices to read, their quantity, and what is told of it."""

    slices: tuple[Slice, ...]
    quantity: Quantity
    facts: dict[str, Any]
    faults: tuple[Fault, ...] = ()


def mapped(frames: Sequence[Frame], slices: Sequence[Slice], quantity: Quantity) -> Mapped:
    """Slices and quantity after the maps. They stay as they are where the rescale already leads to a quantity, where
    a frame lacks the map, or where no map is linear and in a known unit."""
    maps = [value_maps(frame) for frame in frames]
    if not maps[0]:
        return Mapped(tuple(slices), quantity, {})
    facts: dict[str, Any] = {"real_world_value_maps": [asdict(m) for m in maps[0]]}
    if quantity in (Quantity.ARBITRARY, Quantity.COUNTS):
        for wanted in maps[0]:
            own = [next((m for m in found if _same_kind(m, wanted)), None) for found in maps]
            chosen = [m for m in own if m is not None and m.is_usable]
            if len(chosen) == len(frames):
                return _taken(frames[0], chosen, slices, facts)
        facts["unit"] = maps[0][0].unit
    return Mapped(tuple(slices), quantity, facts)


def _same_kind(one: ValueMap, other: ValueMap) -> bool:
    return (one.unit, one.label) == (other.unit, other.label)


def _taken(first: Frame, chosen: Sequence[ValueMap], slices: Sequence[Slice], facts: dict[str, Any]) -> Mapped:
    named = chosen[0]
    bounds = "" if named.first is None else f", for stored values {named.first:g} to {named.last:g}"
    told = f"{first.header.path.name}: {named.label or 'a map'} in {named.unit}{bounds}"
    new = tuple(m.onto(part) for m, part in zip(chosen, slices, strict=True))
    facts["value_map"] = asdict(named)
    return Mapped(new, named.quantity, facts, (Fault("value.real_world_map", told),))
