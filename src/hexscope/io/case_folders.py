"""Case tables of others that are folders: the Decathlon's and nnU-Net's dataset.json, and one folder a class."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hexscope.errors import FormatError, InputError, UsageError
from hexscope.io.case import WHOLE, Case, CaseTable, Refusal, parted, words_of
from hexscope.io.reading import inventory

#: What the channel names of others mean as "MODALITY:QUANTITY"; an unknown one means nothing here.
_KINDS = {"ct": "CT:HU", "mri": "MR", "mr": "MR", "t1": "MR", "t2": "MR", "flair": "MR", "us": "US"}
_NO_PATIENT = "names no patients: every case counts as a patient of its own"
#: Names of folders that stand for a division, not for a class.
_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``; FormatError where it is none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise FormatError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(data, dict):
        raise FormatError(f"{path} holds no JSON object")
    return data


def read_dataset(path: Path, data: Mapping[str, Any], inputs: Sequence[str] | None = None) -> CaseTable:
    """Training cases of a ``dataset.json``: the Decathlon's lists its files, nnU-Net's counts on their names.

    MSD: doi:10.1038/s41467-022-30695-9. nnU-Net: versions 1 and 2, regions and the ignore label too.
    """
    channels = _channels(path, data)
    chosen = _chosen(path, tuple(channels.values()), inputs)
    classes, regions, ignore = _labels(path, data)
    listed = _listed(path.parent, data) or _found(path.parent, data)
    cases, refused = parted(_dataset_case(*entry, channels, chosen) for entry in listed)
    return CaseTable(
        source=path,
        cases=cases,
        inputs=chosen,
        targets=("mask",) if cases else (),
        classes=classes,
        regions=regions,
        ignore=ignore,
        kinds={name: _KINDS[name.lower()] for name in chosen if name.lower() in _KINDS},
        refused=refused,
        notes=(f"{path.name} {_NO_PATIENT}",),
    )


def _channels(path: Path, data: Mapping[str, Any]) -> dict[int, str]:
    """Input name by channel number; names that occur twice are numbered."""
    said = data.get("channel_names", data.get("modality"))
    if not isinstance(said, dict) or not said:
        raise FormatError(f"{path} lacks channel_names (or modality): the name of each channel by its number")
    try:
        numbered = {int(k): str(v).strip().replace(" ", "_") for k, v in said.items()}
    except ValueError as error:
        raise FormatError(f"{path}, channel_names: {error}; channels are numbered from 0") from error
    names = list(numbered.values())
    return {k: v if names.count(v) == 1 else f"{v}_{k}" for k, v in sorted(numbered.items())}


def _chosen(path: Path, known: tuple[str, ...], inputs: Sequence[str] | None) -> tuple[str, ...]:
    unknown = [name for name in inputs or () if name not in known]
    if unknown:
        raise UsageError(f"{path} has no input {', '.join(unknown)}; it has {', '.join(known)}")
    return tuple(dict.fromkeys(inputs)) if inputs else known


def _labels(path: Path, data: Mapping[str, Any]) -> tuple[dict[int, str], dict[str, tuple[int, ...]], int | None]:
    """Names by value, regions, and the ignore value. MSD writes value: name, nnU-Net name: value or values."""
    said = data.get("labels")
    if not isinstance(said, dict):
        raise FormatError(f"{path} lacks labels: names and values of what the masks hold")
    try:
        by_value = all(str(k).isdecimal() for k in said)
        pairs = [(str(v), (int(k),)) for k, v in said.items()] if by_value else list(_named_values(said))
    except (TypeError, ValueError) as error:
        raise FormatError(f"{path}, labels: {error}; values are whole numbers") from error
    ignore = next((values[0] for name, values in pairs if name == "ignore"), None)
    pairs = [(name, values) for name, values in pairs if name != "ignore" and values != (0,)]
    if any(len(values) > 1 for _, values in pairs):
        return dict(enumerate((name for name, _ in pairs), start=1)), dict(pairs), ignore
    return {values[0]: name for name, values in pairs}, {}, ignore


def _named_values(said: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    for name, value in said.items():
        yield str(name), tuple(int(v) for v in value) if isinstance(value, list | tuple) else (int(value),)


Listed = list[tuple[str, tuple[Path, ...], Path]]


def _listed(folder: Path, data: Mapping[str, Any]) -> Listed:
    """(case, images, mask) as the file lists them: MSD's ``training``, or nnU-Net's ``dataset``."""
    out: Listed = []
    for entry in data.get("training") or ():
        if isinstance(entry, dict) and "image" in entry and "label" in entry:
            image = folder / str(entry["image"])
            out.append((_stem(image.name), (image,), folder / str(entry["label"])))
    for name, entry in (data.get("dataset") or {}).items():
        out.append((str(name), tuple(folder / str(i) for i in entry["images"]), folder / str(entry["label"])))
    return out


def _found(folder: Path, data: Mapping[str, Any]) -> Listed:
    """(case, images, mask) by nnU-Net's names: ``labelsTr/CASE.nii.gz`` and ``imagesTr/CASE_0000.nii.gz``."""
    ending = str(data.get("file_ending", ".nii.gz"))
    masks = sorted((folder / "labelsTr").glob(f"*{ending}"))
    if not masks:
        raise InputError(f"{folder} holds no labelsTr/*{ending}; nnU-Net's raw folder has imagesTr and labelsTr")
    images = sorted((folder / "imagesTr").glob(f"*{ending}"))
    out: Listed = []
    for mask in masks:
        name = mask.name.removesuffix(ending)
        own = tuple(p for p in images if p.name.startswith(f"{name}_") and _is_channel(p.name, name, ending))
        out.append((name, own, mask))
    return out


def _is_channel(file: str, case: str, ending: str) -> bool:
    number = file.removesuffix(ending)[len(case) + 1 :]
    return len(number) == 4 and number.isdecimal()


def _stem(name: str) -> str:
    return name.removesuffix(".gz").removesuffix(".nii").rpartition("/")[2]


def _dataset_case(
    name: str, images: tuple[Path, ...], mask: Path, channels: Mapping[int, str], chosen: Sequence[str]
) -> Case | Refusal:
    absent = [path for path in (*images, mask) if not path.exists()]
    if absent or not images:
        return Refusal(name, f"{absent[0]} is not there" if absent else "no image file bears its name in imagesTr")
    if len(images) not in (1, len(channels)):
        return Refusal(name, f"{len(images)} image files for {len(channels)} channels")
    if len(images) == len(channels):
        found = dict(zip(channels.values(), images, strict=True))
    else:  # one file of several channels: the reader calls its fourth axis time
        found = {name: Path(f"{images[0]}#1@t={at}") for at, name in enumerate(channels.values())}
    return Case(name, name, {k: found[k] for k in chosen}, {WHOLE: mask})


# ---- one folder a class -----------------------------------------------------------------------------------


def read_class_folders(folder: Path) -> CaseTable:
    """``CLASS/file`` or ``train/CLASS/file``: the folder's name is the label, each file or folder in it a case."""
    tops = _subfolders(folder)
    divided = [top for top in tops if top.name.lower() in _SPLITS and _subfolders(top)]
    if divided and len(divided) < len(tops):
        strange = ", ".join(t.name for t in tops if t not in divided)
        raise InputError(
            f"{folder} mixes divisions ({', '.join(t.name for t in divided)}) and other folders ({strange})"
        )
    found: list[tuple[Path, str, str | None]] = []
    for top in divided or [folder]:
        split = _SPLITS[top.name.lower()] if divided else None
        found += [(item, sub.name, split) for sub in _subfolders(top) for item in _items(sub)]
    cases, refused = parted(_item_case(folder, *entry) for entry in found)
    if not cases:
        raise InputError(
            f"{folder} holds no cases: it needs cases.csv, dataset.json, a COCO file, or one folder of images a class"
        )
    return CaseTable(
        source=folder,
        cases=cases,
        inputs=("image",),
        targets=("label",),
        classes=dict(enumerate(words_of(cases), start=1)),
        refused=refused,
        notes=(f"{folder.name} {_NO_PATIENT}",),
    )


def _item_case(folder: Path, item: Path, label: str, split: str | None) -> Case | Refusal:
    name = item.relative_to(folder).as_posix()
    if item.is_file() and not inventory(item).series:
        return Refusal(name, f"{item} is no image that can be read")
    return Case(name, name, {"image": item}, label=label, split=split)


def _subfolders(folder: Path) -> list[Path]:
    return [p for p in _items(folder) if p.is_dir()]


def _items(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.startswith("."))
