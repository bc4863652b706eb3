"""Segment, detect and measure each case with what needs no trained model."""

from __future__ import annotations

from dataclasses import replace

from hexscope.core.image import Image, Mask
from hexscope.core.measure import measure
from hexscope.core.quantity import Quantity
from hexscope.detect import Sphere, detect
from hexscope.errors import GeometryError, HexscopeError, MissingFact, NoModelError
from hexscope.io.reading import refusal
from hexscope.modality import of_code
from hexscope.segment import segment
from hexscope.study.result import Case, problem, with_faults

Liver = Sphere | Mask | None


def in_working_quantity(case: Case) -> Case:
    """The image in the quantity its modality works in (SUVbw for PET), or the reason why not."""
    modality = None if case.image is None else of_code(case.image.modality)
    if case.image is None or modality is None or modality.working is None:
        return case
    try:
        image, ledger = modality.convert(case.image, modality.working)
    except MissingFact as error:
        fault = refusal(error, "value.missing_fact")
        return replace(case, image=None, audited=with_faults(case.audited, fault))
    except HexscopeError as error:  # kept as stored: a CT without rescale, say
        return replace(case, problems=(*case.problems, str(error)))
    facts = {**image.facts, "ledger": tuple(entry.as_json() for entry in ledger)}
    return replace(case, image=replace(image, facts=facts))


def find_structures(case: Case) -> Case:
    """Body, lung, bone, tissue or fan, measured."""
    if case.image is None:
        return case
    try:
        mask = segment(case.image)
        rows = tuple(m.as_json() for m in measure(mask, _same_grid(case.image, mask)))
        return replace(case, segmented=mask, measures=(*case.measures, *rows))
    except NoModelError:
        return case  # nothing here fits the modality: not a failure
    except GeometryError as error:
        if "z" not in case.image.axes:
            return case  # a plain picture, where the rule is for volumes
        return replace(case, problems=(*case.problems, problem("segmentation", error)))
    except Exception as error:
        return replace(case, problems=(*case.problems, problem("segmentation", error)))


def find_candidates(case: Case, liver: Liver) -> Case:
    """Hot-lesion candidates on PET in SUVbw: the fixed threshold, and the liver's where one is given."""
    image = case.image
    if image is None or image.modality != "PT" or image.quantity is not Quantity.SUVBW:
        return case
    try:
        findings = detect(image) if liver is None else detect(image, threshold="liver", liver=liver)
        return replace(case, findings=findings)
    except Exception as error:
        return replace(case, problems=(*case.problems, problem("detection", error)))


def measure_drawn(case: Case, images: dict[str, Image]) -> Case:
    """Measure a mask that came with the study (RTSTRUCT, SEG) on the image it was drawn on."""
    if case.mask is None:
        return case
    image = images.get(case.drawn_on or "")
    try:
        on = None if image is None else _same_grid(image, case.mask)
        return replace(case, measures=tuple(m.as_json() for m in measure(case.mask, on)))
    except Exception as error:
        return replace(case, problems=(*case.problems, problem("measurement", error)))


def _same_grid(image: Image, mask: Mask) -> Image | None:
    return image if image.is_volume and image.grid.same_as(mask.grid) else None
