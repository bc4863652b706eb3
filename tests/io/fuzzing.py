"""Broken files on purpose: small files of every kind, mutants of them, and a child process that must survive them.

    python -m tests.io.fuzzing FIRST LAST FOLDER      read these mutants, one line of JSON each

A mutant is named by its number alone: seed file, kind of damage and place follow from it. A reader may refuse it with a
HexscopeError; `Trouble` is anything else: another exception, a dead process, more than 10 s, more than 1 GiB.
"""

from __future__ import annotations

import gzip
import json
import random
import resource
import select
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 10.0
SPARE_BYTES = 1 << 30
_EXTREMES = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


@dataclass(frozen=True)
class Trouble:
    """A mutant that was not refused cleanly."""

    number: int
    seed: str
    what: str


# ---- sound files --------------------------------------------------------------------------------------------


def make_seeds(folder: Path) -> list[Path]:
    """One small sound file of every kind, in alphabetical order."""
    import hexscope as hx
    from hexscope.core.image import Label
    from hexscope.io.nifti import save_nifti
    from hexscope.io.slide import save_pyramid

    turn = np.array([[0.36, 0.8, 0.48], [0.48, -0.6, 0.64], [-0.8, 0.0, 0.6]])[:, ::-1]
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array([3.0, 0.7, 0.5])
    affine[:3, 3] = [-31.5, 17.25, 102.0]
    numbers = (np.arange(5 * 71 * 67, dtype=np.int32) % 1999 - 500).astype(np.int16).reshape(5, 71, 67)
    volume = hx.Image.from_array(numbers, hx.Grid(numbers.shape, affine), modality="CT", quantity="HU")
    colours = np.random.default_rng(0).integers(0, 256, (70, 110, 3), dtype=np.uint8)
    for name in ("v.nii", "v.nii.gz", "v.nrrd", "v.mha"):
        hx.save(volume, folder / name)
    save_nifti(volume.with_array(numbers.astype(np.float64) / 7, "made"), folder / "f.nii")
    hx.save(volume, folder / "series")
    _compressed(sorted((folder / "series").iterdir())[0], folder)
    hx.save(hx.Mask((numbers > 0,), volume.grid, (Label(1, "part"),)), folder / "mask.nii.gz")
    picture = hx.Image.from_array(colours, quantity="RGB", axes=("y", "x", "c"))
    for name in ("p.png", "p.jpg", "p.tif"):
        hx.save(picture, folder / name)
    save_pyramid(colours, folder / "s.tif", spacing_mm=(0.0005, 0.00025), levels=2)
    save_pyramid(
        colours, folder / "s.svs", spacing_mm=None, levels=2, description="Aperio Image Library v1\r\n|MPP = 0.5"
    )
    return sorted(p for p in folder.iterdir() if p.is_file())


def _compressed(plain: Path, folder: Path) -> None:
    """The slice in several transfer syntaxes, and a cine of it."""
    import pydicom
    from imagecodecs import jpeg8_encode
    from pydicom.encaps import encapsulate
    from pydicom.uid import (
        DeflatedExplicitVRLittleEndian,
        JPEG2000Lossless,
        JPEGBaseline8Bit,
        JPEGLosslessSV1,
        JPEGLSLossless,
        RLELossless,
    )

    plain.rename(folder / "plain.dcm")
    for name, syntax in (("rle", RLELossless), ("jls", JPEGLSLossless), ("j2k", JPEG2000Lossless)):
        dataset = pydicom.dcmread(folder / "plain.dcm")
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(folder / f"{name}.dcm")
    for name, syntax, lossless in (("jpg", JPEGBaseline8Bit, False), ("ljpg", JPEGLosslessSV1, True)):
        dataset = pydicom.dcmread(folder / "plain.dcm")
        frame = dataset.pixel_array.astype(np.uint8)
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
        dataset.PixelData = encapsulate([jpeg8_encode(frame, lossless=lossless)])
        dataset["PixelData"].VR, dataset.file_meta.TransferSyntaxUID = "OB", syntax
        dataset.save_as(folder / f"{name}.dcm")
    dataset = pydicom.dcmread(folder / "plain.dcm")
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(folder / "deflated.dcm")


# ---- damage -------------------------------------------------------------------------------------------------


def mutant(seed: bytes, name: str, number: int) -> bytes:
    """The ``number``-th damage done to a file; always the same."""
    rng = random.Random(number)
    if name.endswith(".gz") and rng.random() < 0.7:  # damage what is inside, or the checksum hides it
        return gzip.compress(_damaged(gzip.decompress(seed), name[:-3], rng), mtime=0)
    return _damaged(seed, name, rng)


def _damaged(data: bytes, name: str, rng: random.Random) -> bytes:
    ways: list[Callable[[bytes, random.Random], bytes]] = [_flip, _cut, _length, _splice]
    special = {".dcm": _tag, ".nii": _nifti_field, ".tif": _tiff_entry, ".svs": _tiff_entry}.get(Path(name).suffix)
    if special is not None:
        ways += [special] * 4
    return rng.choice(ways)(data, rng)


def _flip(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        out[_place(len(out), rng)] ^= 1 << rng.randrange(8)
    return bytes(out)


def _place(size: int, rng: random.Random) -> int:
    """Somewhere; headers, at the front, as often as the rest."""
    return rng.randrange(size if rng.random() < 0.5 else min(size, 1024))


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: _place(len(data), rng)]


def _length(data: bytes, rng: random.Random) -> bytes:
    """An extreme number where a length may stand."""
    width, order = rng.choice(("H", "I", "I", "Q")), rng.choice("<>")
    number = struct.pack(order + width, rng.choice(_EXTREMES) & ((1 << 8 * struct.calcsize(width)) - 1))
    at = min(_place(len(data), rng), max(len(data) - len(number), 0))
    return data[:at] + number + data[at + len(number) :]


def _splice(data: bytes, rng: random.Random) -> bytes:
    """A piece taken out, or put in twice."""
    start = _place(len(data), rng)
    stop = min(len(data), start + rng.choice((1, 2, 4, 16, 256)))
    return data[:start] + data[stop:] if rng.random() < 0.5 else data[:stop] + data[start:]


def _tag(data: bytes, rng: random.Random) -> bytes:
    """A DICOM element with another value, or gone."""
    import pydicom
    from pydicom import config

    config.settings.reading_validation_mode = config.settings.writing_validation_mode = config.IGNORE
    dataset = pydicom.dcmread(BytesIO(data), force=True)
    element = rng.choice([e for e in dataset if e.VR != "SQ" and e.keyword != "PixelData"] or [None])
    if element is None:
        return _flip(data, rng)
    numeric = {
        "US": (0, 1, 3, 7, 65535), "UL": _EXTREMES, "SS": (-1, 0, 32767), "FD": (float("nan"), 1e300), "UI": ("1.2",),
        "DS": ("1e308", "-0", "nan", "0", "1e-30"), "IS": ("0", "-1", "2147483647", "99999999999"),
    }  # fmt: skip
    if rng.random() < 0.3:
        del dataset[element.tag]
    else:
        values = numeric.get(element.VR, ("", "x" * 5000, "\\\\", "０", "MONOCHROME1", "PALETTE COLOR", "YBR_FULL_422"))
        element._value = rng.choice(values)
    out = BytesIO()
    try:
        dataset.save_as(out)
    except Exception:  # what cannot be written at all is broken another way
        return _flip(data, rng)
    return out.getvalue()


def _nifti_field(data: bytes, rng: random.Random) -> bytes:
    """One field of a NIfTI-1 header with an extreme value."""
    out = bytearray(data)
    kind, at, values = rng.choice((
        ("<h", 40 + 2 * rng.randrange(8), (-1, 0, 1, 32767)),  # dim
        ("<h", 70, (0, 1, 2, 64, 128, 1024, 2048, 2304, 9999)),  # datatype
        ("<f", 76 + 4 * rng.randrange(8), (0.0, -1.0, float("nan"), 1e38)),  # pixdim
        ("<f", 108, (0.0, -1.0, 1e9, 1e38, float("inf"), float("nan"))),  # vox_offset
        ("<f", 112 + 4 * rng.randrange(2), (0.0, float("nan"), float("inf"), 1e38)),  # scl
        ("<h", 252 + 2 * rng.randrange(2), (-1, 0, 1, 9)),  # form codes
        ("<f", 256 + 4 * rng.randrange(18), (0.0, float("nan"), 1e38)),  # quaternion, srow
        ("<i", 352, (-1, 0, 8, 0x7FFFFFFF)),  # size of the extension
    ))  # fmt: skip
    struct.pack_into(kind, out, at, rng.choice(values))
    return bytes(out)


def _tiff_entry(data: bytes, rng: random.Random) -> bytes:
    """One field of the first directory of a little-endian TIFF: its kind, count or value."""
    start = struct.unpack("<I", data[4:8])[0]
    count = struct.unpack("<H", data[start : start + 2])[0]
    at = start + 2 + 12 * rng.randrange(count)
    out = bytearray(data)
    place, kind = rng.choice(((0, "<H"), (2, "<H"), (4, "<I"), (8, "<I"), (8, "<I")))
    limit = (1 << 8 * struct.calcsize(kind)) - 1
    struct.pack_into(kind, out, at + place, rng.choice((*_EXTREMES, 90000)) & limit)
    return bytes(out)


# ---- reading them -------------------------------------------------------------------------------------------


def _child(first: int, last: int, folder: Path) -> None:
    """Read mutants ``first`` up to ``last``, not included; each is announced before and judged after."""
    import warnings

    warnings.simplefilter("ignore")
    seeds = sorted((folder / "seeds").glob("*.*"))
    for seed in seeds:
        _read(seed)  # sound files are read first: all libraries are loaded, and what they take is known
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + SPARE_BYTES, taken + SPARE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in range(first, last):
        seed = seeds[number % len(seeds)]
        place = folder / f"{number}-{seed.name}"
        place.write_bytes(mutant(seed.read_bytes(), seed.name, number))
        _say({"number": number, "seed": seed.name})
        _say({"number": number, "seed": seed.name, **_judged(place)})
        place.unlink()


def _say(words: dict[str, Any]) -> None:
    print(json.dumps(words), flush=True)


def _judged(path: Path) -> dict[str, Any]:
    before = time.process_time()
    try:
        result = {"outcome": _read(path)}
    except MemoryError:
        result = {"trouble": "asks for more than 1 GiB"}
    except Exception as error:
        result = {"trouble": f"{type(error).__name__}: {error}"[:300]}
    return {**result, "cpu_s": round(time.process_time() - before, 3)}


def _read(path: Path) -> str:
    """Info, reading and audit; ``read``, or the code of the refusal."""
    import hexscope as hx
    from hexscope.core.pixels import check_whole

    for series in hx.info(path).series:
        series.as_json(1)
    outcome = "read"
    try:
        thing = hx.read(path)
        if isinstance(thing, hx.Image):
            check_whole(thing.pixels)
            _ = thing.array
    except hx.HexscopeError as error:
        outcome = error.code or type(error).__name__
    for item in hx.audit(path):
        if any("does not fit into memory" in fault.detail for fault in item.faults):
            raise MemoryError
    return outcome


def run(first: int, last: int, folder: Path) -> Iterator[dict[str, Any] | Trouble]:
    """Every mutant's judgement, in order; a child that dies or hangs is told as `Trouble` and started again."""
    at = first
    while at < last:
        command = [sys.executable, "-m", "tests.io.fuzzing", str(at), str(last), str(folder)]
        with tempfile.TemporaryFile() as said, subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said, cwd=ROOT
        ) as child:  # fmt: skip
            try:
                at = yield from _listened(child, at, said)
            finally:
                child.kill()


def _listened(child: subprocess.Popen[bytes], at: int, said: Any) -> Iterator[dict[str, Any] | Trouble]:
    """What a child says; gives the number to go on with when it ends."""
    assert child.stdout
    open_case: dict[str, Any] = {}
    while True:
        ready = select.select([child.stdout], [], [], SECONDS if open_case else 60.0)[0]
        line = child.stdout.readline() if ready else b""
        if not line:
            status = child.poll() if not ready else child.wait()
            said.seek(0)
            words = said.read().decode(errors="replace").strip().splitlines()[-1:]
            if not open_case:
                if status == 0:
                    return at
                raise RuntimeError(f"the child ended with {status}: {words}")
            what = f"no answer within {SECONDS:g} s" if not ready else f"ended the process with {status}: {words}"
            yield Trouble(open_case["number"], open_case["seed"], what)
            return int(open_case["number"]) + 1
        told = json.loads(line)
        if "cpu_s" not in told:
            open_case = told
            continue
        open_case, at = {}, int(told["number"]) + 1
        if "trouble" in told:
            yield Trouble(told["number"], told["seed"], told["trouble"])
        else:
            yield told


if __name__ == "__main__":
    _child(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
