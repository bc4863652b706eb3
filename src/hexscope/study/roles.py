"""Roles: which image is the reference, which ones are brought onto it, which stay alone, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from hexscope.core.image import Image

#: Who makes the better reference: CT has true geometry and covers most; MR distorts; PET is coarse.
_RANK = {"CT": 0, "MR": 1, "PT": 2}
_WHY = {
    "CT": ("CT has the truest geometry here", "CT 的几何最可靠"),
    "MR": ("no CT is there, and MR is finer than PET", "没有 CT，而 MR 比 PET 更精细"),
    "PT": ("PET is the only kind of volume here", "只有 PET 体数据"),
}


@dataclass(frozen=True)
class Decision:
    """One thing that was decided for the user, with the reason in both languages."""

    about: str
    what: str
    why: str
    why_zh: str

    def as_json(self) -> dict[str, str]:
        return {"about": self.about, "decision": self.what, "reason": self.why, "reason_zh": self.why_zh}


@dataclass(frozen=True)
class Pair:
    """A moving image and the reference it is brought onto. ``same_frame``: both claim one frame of reference.

    ``via`` names another moving series of the same frame, already registered, whose transform serves here too.
    """

    fixed: str
    moving: str
    same_frame: bool
    via: str | None = None


@dataclass(frozen=True)
class Plan:
    """The reference of each patient, the pairs to join in order, and the decisions with their reasons."""

    references: tuple[str, ...]
    pairs: tuple[Pair, ...]
    decisions: tuple[Decision, ...]


def plan_study(images: Mapping[str, Image], *, one_patient: bool = False) -> Plan:
    """Group volumes by patient, choose a reference for each, and list what is brought onto it.

    Images without a patient identity are joined to nothing, unless ``one_patient`` says that all are of one.
    """
    decisions: list[Decision] = []
    groups: dict[str, list[str]] = defaultdict(list)
    for key, image in images.items():
        alone = _stands_alone(image)
        patient = "one" if one_patient else str(image.facts.get("PatientID") or "").strip()
        if alone is not None:
            decisions.append(Decision(key, "alone", *alone))
        elif not patient:
            why = "the file names no patient; pass --one-patient if all images are of one"
            decisions.append(Decision(key, "alone", why, "文件未注明患者；若都属于同一患者，请加 --one-patient"))
        else:
            groups[patient].append(key)
    references, pairs = [], []
    for members in groups.values():
        reference, joined, reasons = _plan_group(images, members)
        references.append(reference)
        pairs.extend(joined)
        decisions.extend(reasons)
    return Plan(tuple(references), tuple(pairs), tuple(decisions))


def _stands_alone(image: Image) -> tuple[str, str] | None:
    """Why an image takes no part in registration; None where it does."""
    if not image.is_volume:
        return ("not a placed volume, so there is nothing to register", "不是有位置信息的体数据，无从配准")
    if image.modality not in _RANK:
        return ("only CT, MR and PET volumes are brought together", "只有 CT、MR、PET 体数据参与配准")
    if min(image.grid.shape) < 4:
        return (f"it is {min(image.grid.shape)} thick: too few slices to register", "切片太少，无法配准")
    return None


def _plan_group(images: Mapping[str, Image], members: list[str]) -> tuple[str, list[Pair], list[Decision]]:
    def rank(key: str) -> tuple[int, float]:
        grid = images[key].grid
        return _RANK[images[key].modality], -float(grid.voxel_volume_ml or 0) * _count(grid.shape)

    ordered = sorted(members, key=rank)
    reference = ordered[0]
    why, why_zh = _WHY[images[reference].modality]
    if len(ordered) > 1:
        why, why_zh = f"{why}; of its kind it covers most", f"{why_zh}；且在同类中覆盖最广"
    decisions = [Decision(reference, "reference", why, why_zh)]
    pairs: list[Pair] = []
    first_of_frame: dict[str, str] = {}
    for key in ordered[1:]:
        same = bool(images[reference].grid.same_frame(images[key].grid))
        frame = images[key].grid.frame_of_reference
        via = None if same or frame is None else first_of_frame.get(frame)
        pairs.append(Pair(reference, key, same, via))
        decisions.append(_pair_decision(key, same, None if via is None else images[via].name))
        if frame is not None and not same:
            first_of_frame.setdefault(frame, key)
    return reference, pairs, decisions


def _pair_decision(key: str, same: bool, via: str | None) -> Decision:
    if same:
        return Decision(
            key,
            "checked",
            "it shares the frame of reference of the reference image: checked, and moved only if it must be",
            "与参考图像共用坐标系：先核查，非必要不移动",
        )
    if via is not None:
        return Decision(
            key,
            "moved with its frame",
            f"it shares its frame of reference with {via}, which was registered",
            f"与已配准的 {via} 共用坐标系，沿用其变换",
        )
    return Decision(
        key,
        "moving",
        "same patient, another frame of reference: registered onto the reference image",
        "同一患者但坐标系不同：配准到参考图像",
    )


def _count(shape: tuple[int, ...]) -> int:
    out = 1
    for n in shape:
        out *= n
    return out
