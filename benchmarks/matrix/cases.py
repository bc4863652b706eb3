"""Which files are read: those that packages ship, one by one, and the series of folders."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Package and the folder of its files; the second column is what stands before their names in the table.
PACKAGES = (
    ("pydicom", "data/test_files"),
    ("data_store", "data"),  # pydicom-data
    ("wsidicom_data", "data"),
    ("nibabel", "tests/data"),
)
#: Sources and words, not images.
_NO_IMAGE = {".py", ".pyc", ".rst", ".md", ".txt", ".json", ".m", ".toml", ".csv", ".xml", ".hash"}
#: The other half of a pair, read with its header.
_SECOND_HALVES = {".rec", ".brik", ".gz"}


@dataclass(frozen=True)
class Case:
    """A file, or the files of one series, under a name for the table."""

    name: str
    files: tuple[Path, ...]

    @property
    def digest(self) -> str:
        sums = hashlib.sha256()
        for file in self.files:
            sums.update(file.read_bytes())
        return sums.hexdigest()[:16]


def package_cases() -> Iterator[Case]:
    """Each file alone, in alphabetical order; the series of pydicom's DICOMDIR folders together as well."""
    for package, inside in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            continue
        root = Path(next(iter(spec.submodule_search_locations))) / inside
        label = "pydicom-data" if package == "data_store" else package
        for file in sorted(p for p in root.rglob("*") if p.is_file() and p.suffix.lower() not in _NO_IMAGE):
            if "__pycache__" not in file.parts and not _is_second_half(file):
                yield Case(f"{label}/{file.relative_to(root).as_posix()}", (file,))
        nested = root / "dicomdirtests"
        if nested.is_dir():
            yield from (c for c in folder_cases(nested, f"{label}/dicomdirtests") if len(c.files) > 1)


def _is_second_half(file: Path) -> bool:
    return file.suffix.lower() in _SECOND_HALVES and any(
        p != file and p.suffix in (".PAR", ".HEAD") and p.stem == file.name.split(".")[0] for p in file.parent.iterdir()
    )


def folder_cases(root: Path, label: str = "") -> Iterator[Case]:
    """The DICOM series of a folder by Series Instance UID, every other file alone."""
    import pydicom

    label = label or root.name
    series: dict[str, list[Path]] = {}
    for file in sorted(p for p in root.rglob("*") if p.is_file() and p.suffix.lower() not in _NO_IMAGE):
        try:
            header = pydicom.dcmread(file, specific_tags=["SeriesInstanceUID"], stop_before_pixels=True)
        except Exception:
            yield Case(f"{label}/{file.relative_to(root).as_posix()}", (file,))
            continue
        series.setdefault(str(header.get("SeriesInstanceUID", file)), []).append(file)
    for files in series.values():
        yield Case(_series_name(files, root, label), tuple(files))


def _series_name(files: Sequence[Path], root: Path, label: str) -> str:
    first = files[0].relative_to(root).as_posix()
    return f"{label}/{first}" + (f" and {len(files) - 1} more" if len(files) > 1 else "")
