"""Bring images together: register pairs of different frames, check those that claim to share one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from hexscope.core.image import Image
from hexscope.core.transform import Transform
from hexscope.register import check, register
from hexscope.study.result import Case, Registration
from hexscope.study.roles import Pair, Plan
from hexscope.study.workplace import Workplace, fingerprint

Tell = Callable[..., object]


def join_pairs(
    plan: Plan, cases: Mapping[str, Case], place: Workplace, tell: Tell
) -> tuple[tuple[Registration, ...], dict[str, str]]:
    """One `Registration` a pair, in the order of the plan; and, by moving series, what failed."""
    made: dict[str, Registration] = {}
    failed: dict[str, str] = {}
    for pair in plan.pairs:
        fixed, moving = cases[pair.fixed], cases[pair.moving]
        word = "checking {moving} against {fixed}" if pair.same_frame else "registering {moving} onto {fixed}"
        tell(word, moving=moving.title, fixed=fixed.title)
        try:
            made[pair.moving] = _join(pair, fixed, moving, made.get(pair.via or ""), place)
        except Exception as error:  # a pair that fails is told; the others go on
            failed[pair.moving] = f"registration: {error}"
    return tuple(made.values()), failed


def _join(pair: Pair, fixed: Case, moving: Case, leader: Registration | None, place: Workplace) -> Registration:
    assert fixed.image is not None and moving.image is not None
    name = f"transforms/{moving.number:02d}-to-{fixed.number:02d}.tfm"
    stamp = fingerprint((*fixed.image.files, *moving.image.files))
    transform = place.finished_transform(name, stamp)
    if transform is None:
        transform = _found(pair, fixed.image, moving.image, leader)
        place.keep_transform(name, transform, stamp)
    return Registration(pair.fixed, pair.moving, transform, pair.same_frame, pair.via, name)


def _found(pair: Pair, fixed: Image, moving: Image, leader: Registration | None) -> Transform:
    if pair.same_frame:
        checked = check(fixed, moving)
        if checked.certificate is None or checked.certificate.verdict != "reject":
            return checked
        found = register(fixed, moving)
        sure = found.certificate is not None and found.certificate.verdict == "accept"
        return found if sure else checked  # moved only where the better place is certain
    if leader is None or not leader.usable:
        return register(fixed, moving)
    # The transform of another image of this frame brings this one along; whether it fits is judged on this one.
    affine = leader.transform.matrix @ moving.grid.require_affine("a registration")
    brought = replace(moving.grid, affine=affine, frame_of_reference=fixed.grid.frame_of_reference)
    return replace(leader.transform, certificate=check(fixed, replace(moving, grid=brought)).certificate)
