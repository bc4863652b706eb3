"""From a path to series, and from a series to an Image or a Mask."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from hexscope.core.faults import Fault
from hexscope.core.geometry import Grid
from hexscope.core.image import Image, Mask
from hexscope.core.quantity import Quantity
from hexscope.core.results import Audited
from hexscope.errors import AmbiguousSeries, FormatError, GeometryError, HexscopeError, InputError, UsageError
from hexscope.io.formats import FORMATS
from hexscope.io.series import Format, Inventory, Series
from hexscope.modality import named, of_code

Progress = Callable[[int, int], object]

_HEAD_BYTES = 4096
#: Image formats that are not ours: what they are called, how their bytes begin, how their names end.
_FOREIGN = (
    ("MINC", b"CDF", ".mnc"),
    ("MINC", b"\x89HDF", ".mnc"),
    ("FreeSurfer MGH", b"\x00\x00\x00\x01", ".mgh"),
    ("FreeSurfer MGZ", b"\x1f\x8b", ".mgz"),
    ("AFNI", b"", ".head"),
    ("AFNI", b"", ".brik"),
    ("Philips PAR/REC", b"#", ".par"),
    ("ECAT", b"MATRIX", ".v"),
)


def inventory(path: str | Path, *, progress: Progress | None = None) -> Inventory:
    """Everything a file or folder holds, sorted by content into series. Reads headers only.

    A bad file never stops the others: it is among ``others`` with its fault. ``progress(done, total)`` counts files.
    Raises InputError where the path does not exist.
    """
    files = _files_under(Path(path))
    claimed: dict[int, list[Path]] = defaultdict(list)
    others: list[Audited] = []
    for file in files:
        owner = _owner(file)
        if isinstance(owner, Fault):
            others.append(Audited(str(file), False, owner.kind.verdict, (owner,)))
        else:
            claimed[owner].append(file)
    found: list[Series] = []
    done = len(others)
    for index in sorted(claimed):
        unique, copies = _without_copies(FORMATS[index], claimed[index])
        others.extend(copies)
        count = _Counter(progress, done, len(files))
        part = FORMATS[index].scan(unique, progress=count)
        done += len(claimed[index])
        found.extend(part.series)
        others.extend(part.others)
    found.sort(key=lambda series: ("image", "mask", "none").index(series.kind))
    return Inventory(tuple(found), tuple(others))


class _Counter:
    """Turns a format's own count into a count over all files."""

    def __init__(self, progress: Progress | None, before: int, total: int) -> None:
        self._progress, self._before, self._total = progress, before, total

    def __call__(self, done: int) -> None:
        if self._progress is not None:
            self._progress(self._before + done, self._total)


def _files_under(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.exists():
        raise InputError(f"{path} does not exist; give a file, a folder, or PATH#SERIES")
    return sorted(p for p in path.rglob("*") if not p.is_dir())


def _owner(file: Path) -> int | Fault:
    """Index of the format that takes the file, or the fault that says why none does."""
    try:
        with file.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError as error:
        return Fault("file.unreadable", f"{file.name}: {error.strerror}")
    if not head:
        return Fault("file.empty", f"{file.name} holds no bytes")
    for index, kind in enumerate(FORMATS):
        if kind.sniff(head, file):
            return index
    for name, mark, suffix in _FOREIGN:
        if head.startswith(mark) and file.name.lower().endswith(suffix):
            return Fault("file.foreign", f"{file.name} is {name}, which is not among the formats read here")
    return Fault("file.junk", f"{file.name} is not an image: no known format starts with {head[:4]!r}")


def _without_copies(kind: Format, files: Sequence[Path]) -> tuple[list[Path], list[Audited]]:
    """Leave out files whose bytes are those of another. DICOM knows its copies by their UID itself."""
    if kind.name == "DICOM" or len(files) < 2:
        return list(files), []
    by_size: dict[int, list[Path]] = defaultdict(list)
    for file in files:
        by_size[file.stat().st_size].append(file)
    seen: dict[bytes, Path] = {}
    unique, copies = [], []
    for file in files:
        twins = by_size[file.stat().st_size]
        first = seen.setdefault(_digest(file), file) if len(twins) > 1 else file
        if first is file:
            unique.append(file)
        else:
            fault = Fault("file.duplicate", f"{file.name} has the same bytes as {first.name}")
            copies.append(Audited(str(file), False, fault.kind.verdict, (fault,)))
    return unique, copies


def _digest(file: Path) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


# ---- choosing one ---------------------------------------------------------------------------------------


def split_selector(text: str | Path) -> tuple[Path, str | None]:
    """``PATH#SERIES`` into path and series; a path that exists as it stands has no selector."""
    whole = Path(text)
    if whole.exists() or "#" not in str(text):
        return whole, None
    path, _, selector = str(text).rpartition("#")
    return Path(path), selector


def _time_of(selector: str | None) -> tuple[str | None, int | None]:
    """``3@t=5`` into series 3 and time point 5 (counted from 0)."""
    if selector is None or "@t=" not in selector:
        return selector, None
    series, _, time = selector.rpartition("@t=")
    if not time.isdecimal():
        raise UsageError(f"a time point is a whole number from 0; got @t={time}")
    return series, int(time)


def pick(found: Inventory, selector: str | None, where: str) -> Series:
    """The one series that is meant, by number (as ``info`` counts, from 1), uid, or because it is alone."""
    if selector is not None:
        for number, series in enumerate(found.series, start=1):
            if selector in (str(number), series.id):
                return series
        raise UsageError(f"{where} has no series {selector!r}; it has {_listing(found.series)}")
    readable = [s for s in found.series if s.kind != "none"]
    if len(readable) == 1:
        return readable[0]
    if readable:
        raise AmbiguousSeries(
            f"{where} holds {len(readable)} series; name one as {where}#NUMBER: {_listing(found.series)}"
        )
    faults = [f for item in found.audited() for f in item.faults]
    code = faults[0].code if len(faults) == 1 else None
    reason = f"{faults[0].detail}. {faults[0].kind.remedy}" if faults else "it is empty"
    raise FormatError(f"{where} holds no image: {reason}", code=code)


def _listing(series: Iterable[Series]) -> str:
    rows = [
        f"#{n} {s.modality} {s.kind} {'x'.join(map(str, s.shape))} {s.description}".strip()
        for n, s in enumerate(series, start=1)
    ]
    return "; ".join(rows) or "none"


def read(
    path: str | Path,
    *,
    spacing_mm: Sequence[float] | None = None,
    kind: str | None = None,
    even: bool = False,
    on: Image | Grid | None = None,
) -> Image | Mask:
    """The image or mask at ``path``: a file, a folder of one series, or ``PATH#SERIES``.

    ``PATH#SERIES@t=N`` takes one time point of a cine or dynamic series, counted from 0.

    spacing_mm  (z, y, x) or (y, x), for a file that does not say; refused where the file does
    kind        "CT:HU", "PT:SUVbw", "US" …: modality and quantity of a file that names none (NIfTI, PNG), as the user
                vouches; refused where the file says otherwise
    even        resample uneven slices, or fill a missing one, by interpolation; without it they are refused
    on          the grid on which contours (RTSTRUCT) or a SEG are wanted; contours also look for the series they
                were drawn on in the same folder

    Raises InputError (with a fault code) where the file cannot be read truly, AmbiguousSeries where several
    series lie in the folder.
    """
    place, selector = split_selector(path)
    selector, time = _time_of(selector)
    found = inventory(place)
    series = pick(found, selector, str(place))
    if series.kind == "none":
        reason = "; ".join(f.detail for f in series.faults)
        raise InputError(f"{place} holds no image: {reason}", code=series.faults[0].code if series.faults else None)
    if series.kind == "mask":
        return open_mask(series, found, on)
    image = open_series(series, even=even)
    if time is not None:
        image = image.frame(time)
    if spacing_mm is not None:
        image = image.calibrated(spacing_mm)
    return image if kind is None else declared(image, kind)


def declared(image: Image, kind: str) -> Image:
    """The image with the modality and quantity that the user vouches for."""
    code, _, quantity = kind.partition(":")
    modality = named(code)
    wanted = Quantity.named(quantity) if quantity else image.quantity
    for said, word in ((image.modality, modality.code), (image.quantity, wanted)):
        if said not in ("OT", Quantity.ARBITRARY, word):
            raise UsageError(f"{image.name} says that it is {said}; {word} was declared. Leave the declaration out")
    step = f"declared {modality.code} in {wanted.value} by the user"
    return replace(image, modality=modality.code, quantity=wanted, steps=(*image.steps, step))


def open_series(series: Series, *, even: bool = False) -> Image:
    """Load an image series and let its modality look at it."""
    load = series.load_even if even and series.load_even is not None else series.load
    image = load()
    if not isinstance(image, Image):
        raise UsageError(f"{series.id} is a mask; an image is needed here")
    modality = of_code(image.modality)
    found = () if modality is None else modality.audit(image)
    unique = dict.fromkeys((*series.faults, *image.faults, *found))
    if even and series.load_even is not None:
        mended = ("geometry.uneven_spacing", "geometry.missing_slice", "geometry.gantry_tilt")
        unique = {f: None for f in unique if f.code not in mended}
    name = image.name or series.description or Path(series.files[0]).name
    step = f"read from {series.format}, {len(series.files)} {'file' if len(series.files) == 1 else 'files'}"
    return replace(image, faults=tuple(unique), name=name, steps=(*image.steps, step))


def open_mask(series: Series, found: Inventory, on: Image | Grid | None = None) -> Mask:
    """Load a mask, on the grid that is asked for, or on that of the image it was drawn on."""
    grid = on.grid if isinstance(on, Image) else on
    if series.load_on is None:
        mask = series.load()
    else:
        if grid is None:
            drawn_on = [s.grid for s in found.series if s.id in series.references and s.grid is not None]
            grid = drawn_on[0] if drawn_on else None
        mask = series.load() if grid is None else series.load_on(grid)
    if not isinstance(mask, Mask):
        raise UsageError(f"{series.id} is an image; a mask is needed here")
    return mask


def read_image(path: str | Path, *, kind: str | None = None) -> Image:
    """``read`` where only an image will do."""
    thing = read(path, kind=kind)
    if not isinstance(thing, Image):
        raise UsageError(f"{path} is a mask; an image is needed here")
    return thing


def read_mask(path: str | Path, *, on: Image | Grid | None = None) -> Mask:
    """``read`` where only a mask will do; an image of whole numbers (a label map) is taken as one."""
    thing = read(path, on=on)
    if isinstance(thing, Mask):
        return thing
    from hexscope.io.masks import mask_from_image

    return mask_from_image(thing)


def refusal(error: HexscopeError, fallback: str = "file.unreadable") -> Fault:
    """The fault that an error stands for."""
    code = error.code or ("geometry.bad_affine" if isinstance(error, GeometryError) else fallback)
    return Fault(code, str(error))
