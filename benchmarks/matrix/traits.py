"""Words on a case that reasons may point at, from its header."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.91",
          "1.2.840.10008.1.2.4.203")  # fmt: skip


def traits_of(files: Sequence[Path]) -> list[str]:
    """``dicom``, the photometric interpretation, ``lossy``, ``multi-frame``, the SOP class … of the first file."""
    import pydicom

    with files[0].open("rb") as stream:
        head = stream.read(352)
    if head[128:132] != b"DICM":
        return [files[0].suffix.lower() or "no suffix", *(["nifti"] if head[344:347] in (b"n+1", b"ni1") else [])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            header = pydicom.dcmread(files[0], stop_before_pixels=True)
            return ["dicom", *_words(header)]
        except Exception:
            return ["dicom", "broken header"]


def _words(header: Any) -> list[str]:
    syntax = str(header.file_meta.get("TransferSyntaxUID", ""))
    words = [
        str(header.get("PhotometricInterpretation", "no pixels")),
        str(header.get("Modality", "")),
        class_name(header.get("SOPClassUID", "")),
    ]
    tests = {
        "lossy": syntax in _LOSSY,
        "multi-frame": int(header.get("NumberOfFrames") or 1) > 1,
        "functional groups": "PerFrameFunctionalGroupsSequence" in header,
        "modality LUT": "ModalityLUTSequence" in header,
        "real-world values": "RealWorldValueMappingSequence" in header,
        "placed": "ImagePositionPatient" in header or "PerFrameFunctionalGroupsSequence" in header,
        "colour": int(header.get("SamplesPerPixel") or 1) > 1,
        "one bit": header.get("BitsAllocated") == 1,
        "32 bit": header.get("BitsAllocated") == 32,
        "Philips": "philips" in str(header.get("Manufacturer", "")).lower(),
        "overlay": (0x6000, 0x0010) in header,
        "palette tables": "RedPaletteColorLookupTableDescriptor" in header,
    }
    return [*words, *(word for word, true in tests.items() if true)]


def class_name(uid: str) -> str:
    from pydicom.uid import UID

    return UID(uid).name if uid else "no SOP class"
