"""Standardised uptake values: activity × body size / dose at the time the activity is corrected to.

SUV = A [Bq/ml] · size / dose [Bq]; size is body weight in g (SUVbw), lean mass (SUVlbm), ideal weight
(SUVibw) or body surface in cm² (SUVbsa). Boellaard et al. 2015, doi:10.1007/s00259-014-2961-x; QIBA
FDG-PET/CT profile. Any two SUVs of one scan differ by the ratio of their sizes; the dose cancels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hexscope.core.image import Image
from hexscope.core.quantity import Quantity
from hexscope.core.results import LedgerEntry
from hexscope.errors import MissingFact, QuantityError
from hexscope.modality.base import Ledger, no_conversion
from hexscope.modality.body import body_size
from hexscope.modality.clock import Moment, acquisition, correction_moment, frame_seconds, injection, scan_start
from hexscope.modality.facts import number, text, words

TAGS = {
    "Units": "(0054,1001)",
    "PatientWeight": "(0010,1030)",
    "PatientSize": "(0010,1020)",
    "PatientSex": "(0010,0040)",
    "RadionuclideTotalDose": "(0018,1074)",
    "RadionuclideHalfLife": "(0018,1075)",
    "DecayCorrection": "(0054,1102)",
    "CorrectedImage": "(0028,0051)",
    "ActualFrameDuration": "(0018,1242)",
    "PhilipsSUVScaleFactor": "(7053,1000)",
    "PhilipsActivityScaleFactor": "(7053,1009)",
}

_INJECTION = {
    "RadiopharmaceuticalStartDateTime": "RadiopharmaceuticalStartDateTime (0018,1078)",
    "RadiopharmaceuticalStartTime": "RadiopharmaceuticalStartTime (0018,1072)",
}

#: A dose below this cannot make an image: 0.1 MBq. Such a number is in MBq or mCi, and which is not guessed.
LEAST_DOSE_BQ = 1e5
#: Heaviest patient on record, rounded up, in kg. A larger number is in grams or pounds.
MOST_WEIGHT_KG = 650.0
#: Enhanced PET Image Storage: there the dose is in MBq (PS3.3 C.8.22.4), in all others in Bq (C.8.9.2).
_ENHANCED_PET = "1.2.840.10008.5.1.4.1.1.130"
#: Codes of Corrected Image and the enhanced object's own words for them (PS3.3 C.8.22.5).
_ENHANCED_CORRECTIONS = {"ATTN": "AttenuationCorrected", "DECY": "DecayCorrected"}


@dataclass(frozen=True)
class Header:
    """The facts of one PET image toward ``wanted``. Each method gives a value or raises, naming the field."""

    image: Image
    wanted: Quantity

    @property
    def name(self) -> str:
        return self.image.name or "this image"

    def missing(self, keyword: str, code: str = "value.missing_fact", purpose: str | None = None) -> MissingFact:
        """The error for an absent field: which, in how many slices, for what."""
        facts, files = self.image.facts, len(self.image.files)
        counts = facts.get("missing_in") or {}
        slices = counts.get(keyword, files)
        where = f"absent in {slices} of {files} slices of" if files else "absent in"
        return MissingFact(
            f"{purpose or self.wanted.value} needs {keyword} {TAGS[keyword]}; "
            f"it is {where} {self.name}. No default is assumed.",
            code=code,
        )

    def require_same(self, keyword: str) -> None:
        """Refuse a value that holds for the whole series and differs between its slices."""
        values = (self.image.facts.get("differing") or {}).get(keyword, 1)
        if values > 1:
            raise QuantityError(
                f"{self.wanted.value} needs one {keyword} {TAGS[keyword]} for the series; the slices of {self.name} "
                f"have {values} different ones",
                code="value.differing_facts",
            )

    def require(self, keyword: str, code: str = "value.missing_fact") -> float:
        """A number above 0, the same in all slices."""
        counts = self.image.facts.get("missing_in") or {}
        value = number(self.image.facts, keyword)
        if value is None or value <= 0 or counts.get(keyword, 0):
            raise self.missing(keyword, code)
        self.require_same(keyword)
        return value

    def weight_kg(self) -> float:
        weight = self.require("PatientWeight", "value.missing_weight")
        if weight > MOST_WEIGHT_KG:
            raise QuantityError(
                f"PatientWeight (0010,1030) is {weight:g} kg, which no patient weighs; correct it",
                code="value.missing_weight",
            )
        return weight

    def dose(self) -> float:
        """Bq at the time of injection. A dose written in MBq against the standard is refused, not scaled."""
        dose = self.require("RadionuclideTotalDose", "value.missing_dose")
        tracers = number(self.image.facts, "radiopharmaceuticals") or 1
        if tracers > 1:
            raise QuantityError(
                f"{self.name} names {tracers:g} radiopharmaceuticals (0054,0016); {self.wanted.value} holds for one",
                code="value.differing_facts",
            )
        if dose < LEAST_DOSE_BQ and text(self.image.facts, "SOPClassUID") == _ENHANCED_PET:
            return dose * 1e6
        if dose < LEAST_DOSE_BQ:
            raise QuantityError(
                f"RadionuclideTotalDose (0018,1074) is {dose:g} Bq; no image comes of so little. It may be "
                "in MBq or mCi against the standard: write it in Bq",
                code="value.missing_dose",
            )
        return dose

    def require_corrections(self) -> None:
        """Attenuation always; decay unless the header says that no decay correction was made; units alike in all
        slices."""
        facts = self.image.facts
        self.require_same("Units")
        done = {*words(facts, "CorrectedImage")}
        done |= {code for code, word in _ENHANCED_CORRECTIONS.items() if text(facts, word).upper() == "YES"}
        uncorrected = text(facts, "DecayCorrection").upper() == "NONE"
        lacking = [c for c in ("ATTN", "DECY") if c not in done and not (c == "DECY" and uncorrected)]
        if lacking:
            raise QuantityError(
                f"{self.wanted.value} needs data corrected for attenuation and decay; CorrectedImage "
                f"(0028,0051) of {self.name} is {', '.join(words(facts, 'CorrectedImage')) or 'absent'}: "
                f"it lacks {', '.join(lacking)}",
                code="value.no_correction",
            )

    # ---- decay ----------------------------------------------------------------------------------------

    def reference(self) -> str:
        """What the activity is corrected to: ADMIN, START or NONE (PS3.3 C.8.9.1), or an enhanced object's DATE."""
        reference = text(self.image.facts, "DecayCorrection").upper()
        if reference in ("ADMIN", "START", "NONE"):
            self.require_same("DecayCorrection")
            return reference
        if not reference and correction_moment(self.image.facts) is not None:
            return "DATE"
        raise self.missing("DecayCorrection")

    def half_life(self) -> float:
        """Seconds; only asked for where the dose decays."""
        return self.require("RadionuclideHalfLife")

    def scan(self) -> Moment:
        """The moment that the activity refers to: START's, or that of the uncorrected frame."""
        facts, reference = self.image.facts, self.reference()
        found = {"START": scan_start, "NONE": acquisition, "DATE": correction_moment}[reference](facts)
        if found is None:
            raise self._no_time("SeriesDate (0008,0021) and SeriesTime (0008,0031) or AcquisitionTime (0008,0032)")
        return found

    def given(self) -> Moment:
        """When the tracer was injected."""
        if not any(text(self.image.facts, keyword) for keyword in _INJECTION):
            raise self._no_time(f"{' and '.join(_INJECTION.values())} are absent")
        found = injection(self.image.facts, self.scan(), self.half_life())
        if isinstance(found, str):
            raise self._no_time(found)
        return found

    def dose_at_reference(self) -> tuple[float, Ledger]:
        """The dose in Bq, decayed to the moment that the activity is corrected to, with its ledger.

        Decay Correction (0054,1102), DICOM PS3.3 C.8.9.1: ADMIN refers to the injection, START to the start
        of the series, NONE to the frame as it was measured.
        """
        dose, reference = self.dose(), self.reference()
        tag = TAGS["DecayCorrection"] if reference != "DATE" else "(0018,9701)"
        ledger: Ledger = (
            LedgerEntry("dose", dose, "Bq", TAGS["RadionuclideTotalDose"]),
            LedgerEntry("decay corrected to", reference, "", tag),
        )
        if reference == "ADMIN":
            return dose, ledger
        factor, more = self._decay(reference)
        return dose * factor, (*ledger, *more)

    def _decay(self, reference: str) -> tuple[float, Ledger]:
        """What is left of the dose at the reference, as a fraction."""
        half_life, scan, given = self.half_life(), self.scan(), self.given()
        elapsed = (scan.when - given.when).total_seconds()
        factor = 2.0 ** (-elapsed / half_life)
        ledger = [
            LedgerEntry("half-life", half_life, "s", TAGS["RadionuclideHalfLife"]),
            LedgerEntry("injected at", given.when.isoformat(sep=" "), "", given.tag),
            LedgerEntry("scan started at", scan.when.isoformat(sep=" "), "", scan.tag),
            LedgerEntry("time between", elapsed, "s", f"{given.tag} to {scan.tag}"),
        ]
        if reference == "NONE":
            factor *= self._mean_over_frame(half_life)
        ledger.append(LedgerEntry("decay factor", factor, "", "2^(−t/T½)"))
        return factor, tuple(ledger)

    def _mean_over_frame(self, half_life_s: float) -> float:
        """Mean of 2^(−t/T½) over the frame: an uncorrected frame counts the activity while it decays."""
        if words(self.image.facts, "SeriesType")[:1] != ("STATIC",):
            raise QuantityError(
                f"{self.wanted.value} without decay correction (DecayCorrection NONE) holds for one frame: "
                "SeriesType (0054,1000) must be STATIC. Have the scanner correct the decay to START or ADMIN",
                code="value.no_correction",
            )
        duration = frame_seconds(self.image.facts)
        if duration is None:
            raise self.missing("ActualFrameDuration", "value.missing_time")
        x = math.log(2.0) * duration / half_life_s
        return -math.expm1(-x) / x

    def _no_time(self, what: str) -> MissingFact:
        return MissingFact(
            f"{self.wanted.value} of {self.name} needs the time from injection to scan: {what}. No default is assumed.",
            code="value.missing_time",
        )

    # ---- body and counts ------------------------------------------------------------------------------

    def size(self, kind: Quantity) -> tuple[float, Ledger]:
        """Body size of a SUV, in g (cm² for SUVbsa)."""
        weight = self.weight_kg()
        ledger = (LedgerEntry("weight", weight, "kg", TAGS["PatientWeight"]),)
        if kind is Quantity.SUVBW:
            return weight * 1000.0, ledger
        height, sex = self.require("PatientSize"), text(self.image.facts, "PatientSex").upper()
        if kind is not Quantity.SUVBSA and sex not in ("M", "F"):
            raise self.missing("PatientSex", purpose=kind.value)
        size, unit, source = body_size(kind, weight, height, sex)
        more = (
            LedgerEntry("height", height, "m", TAGS["PatientSize"]),
            LedgerEntry("sex", sex, "", TAGS["PatientSex"]),
        )
        return size, (*ledger, *more, LedgerEntry("body size", size, unit, source))

    def counts_factor(self) -> tuple[Quantity, LedgerEntry]:
        """What Philips' private group makes of counts, and by which factor.

        (7053,1000) makes SUVbw and comes first; where it is absent or 0, (7053,1009) makes Bq/ml. Both hold after
        the rescale. Philips PET conformance; QIBA FDG-PET/CT vendor-neutral pseudo-code.
        """
        if self.wanted is not Quantity.BQML:
            factor = self._philips("PhilipsSUVScaleFactor")
            if factor is not None:
                return Quantity.SUVBW, LedgerEntry("SUV scale factor", factor, "SUVbw per count", "(7053,1000)")
        factor = self._philips("PhilipsActivityScaleFactor")
        if factor is not None:
            entry = LedgerEntry("activity concentration scale factor", factor, "Bq/ml per count", "(7053,1009)")
            return Quantity.BQML, entry
        wanted = "(7053,1009)" if self.wanted is Quantity.BQML else "(7053,1000) or (7053,1009)"
        raise MissingFact(
            f"{self.name} is in {text(self.image.facts, 'Units') or 'counts'}; {self.wanted.value} needs Philips' SUV "
            f"or activity scale factor {wanted}, which it lacks or which is 0. No default is assumed.",
            code="value.missing_fact",
        )

    def _philips(self, keyword: str) -> float | None:
        factor = number(self.image.facts, keyword)
        if factor is None or factor <= 0:
            return None
        return self.require(keyword)


def convert(image: Image, wanted: Quantity) -> tuple[Image, Ledger]:
    """A PET image as another SUV, from Bq/ml, Philips counts or a stored SUV, or counts as Bq/ml; float32.

    Returns the image and the factors with the header fields they came from. Raises MissingFact where a field
    is absent, QuantityError where no conversion exists or corrections are lacking.
    """
    if wanted is image.quantity:
        tag = "Units (0054,1001), SUVType (0054,1006)"
        return image, (LedgerEntry(f"stored as {wanted.value}", 1.0, "", tag),)
    header = Header(image, wanted)
    if image.quantity is Quantity.COUNTS and (wanted.is_suv or wanted is Quantity.BQML):
        factor, ledger = _from_counts(header)
    elif image.quantity is Quantity.BQML and wanted.is_suv:
        factor, ledger = _from_activity(header)
    elif image.quantity.is_suv and wanted.is_suv:
        factor, ledger = _from_suv(header, image.quantity)
    else:
        return no_conversion(image, wanted)
    ledger = (
        *_slopes(image),
        *ledger,
        LedgerEntry("factor", factor, f"{wanted.value} per {image.quantity.value}", "all of the above"),
    )
    step = f"{wanted.value} = {image.quantity.value} × {factor:.6g}"
    return image.with_array(image.array.astype(np.float32) * np.float32(factor), step, quantity=wanted), ledger


def _slopes(image: Image) -> Ledger:
    """What made the stored numbers: one slope, or how far those of the slices reach."""
    slopes = image.facts.get("rescale_slopes") or ()
    if not slopes:
        return ()
    value = slopes[0] if len(slopes) == 1 else f"{slopes[0]:g} to {slopes[-1]:g}, one a slice"
    return (LedgerEntry("rescale slope", value, image.quantity.value, "(0028,1053)"),)


def _from_activity(header: Header) -> tuple[float, Ledger]:
    header.require_corrections()
    size, of_size = header.size(header.wanted)
    dose, of_dose = header.dose_at_reference()
    return size / dose, (*of_size, *of_dose)


def _from_counts(header: Header) -> tuple[float, Ledger]:
    header.require_corrections()
    becomes, entry = header.counts_factor()
    factor = float(entry.value)
    if becomes is header.wanted:
        return factor, (entry,)
    ratio, more = _from_suv(header, becomes) if becomes is Quantity.SUVBW else _from_activity(header)
    return factor * ratio, (entry, *more)


def _from_suv(header: Header, source: Quantity) -> tuple[float, Ledger]:
    old, of_old = header.size(source)
    new, of_new = header.size(header.wanted)
    return new / old, tuple(dict.fromkeys((*of_old, *of_new)))
