"""How a header wants its image shown. Told in the facts, never applied: values stay what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hexscope.io.dicom_facts import plain
from hexscope.io.dicom_frames import Frame
from hexscope.io.dicom_header import value_of


def display_facts(frame: Frame) -> dict[str, Any]:
    """Windows and look-up tables of a frame.

    ``windows``     one mapping a window: center, width, explanation, function (PS3.3 C.11.2.1.2, C.11.2.1.3);
                    in the units after the Modality LUT or rescale
    ``voi_luts``    one a VOI LUT: explanation, entries, first value mapped, bits (C.11.2.1.1)
    ``modality_lut``  the same and its type, where one stands in place of the rescale (C.11.1); it is applied
    """
    facts: dict[str, Any] = {}
    windows = _windows(frame)
    if windows:
        facts["windows"] = windows
    vois = [_table(item) for item in frame.get("VOILUTSequence") or ()]
    if vois:
        facts["voi_luts"] = vois
    tables = frame.get("ModalityLUTSequence")
    if tables:
        kind = str(value_of(tables[0], "ModalityLUTType") or "").strip()
        facts["ModalityLUTType"] = kind
        facts["modality_lut"] = {**_table(tables[0]), "type": kind}
    return facts


def _windows(frame: Frame) -> list[dict[str, Any]]:
    centers, widths = _listed(frame.get("WindowCenter")), _listed(frame.get("WindowWidth"))
    names = _listed(frame.get("WindowCenterWidthExplanation"))
    function = str(frame.get("VOILUTFunction") or "LINEAR").strip()
    out = []
    for i, (center, width) in enumerate(zip(centers, widths, strict=False)):
        told = str(names[i]).strip() if i < len(names) else ""
        out.append({"center": center, "width": width, "explanation": told, "function": function})
    return out


def _listed(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    told = plain(value)
    return told if isinstance(told, list) else (told,)


def _table(item: Any) -> dict[str, Any]:
    descriptor = _listed(value_of(item, "LUTDescriptor"))
    entries, first, bits = descriptor if len(descriptor) == 3 else (None, None, None)
    told = str(value_of(item, "LUTExplanation") or "").strip()
    return {"explanation": told, "entries": 65536 if entries == 0 else entries, "first": first, "bits": bits}
