"""Bring images together: register pairs of different frames, check those that claim to share one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from hexscope.core.image import Image
from hexscope.core.transform import Transform
from hexscope.register import check, register
from hexscope.study.result import Registration
from hexscope.study.roles import Pair, Plan
from hexscope.study.workplace import Workplace, fingerprint

Say = Callable[..., object]


def join_pairs(
    plan: Plan, images: Mapping[str, Image], names: Mapping[str, str], place: Workplace, say: Say
) -> tuple[tuple[Registration, ...], dict[str, str]]:
    """One `Registration` a pair, in the order of the plan; and, by moving series, what failed."""
    made: dict[str, Registration] = {}
    failed: dict[str, str] = {}
    for pair in plan.pairs:
        word = "checking {moving} against {fixed}" if pair.same_frame else "registering {moving} onto {fixed}"
        say(word, moving=names[pair.moving], fixed=names[pair.fixed])
        try:
            made[pair.moving] = _join(pair, images, made, place)
        except Exception as error:  # a pair that fails is told; the others go on
            failed[pair.moving] = f"registration: {error}"
    return tuple(made.values()), failed


def _join(
    pair: Pair, images: Mapping[str, Image], made: Mapping[str, Registration], place: Workplace
) -> Registration:
    fixed, moving = images[pair.fixed], images[pair.moving]
    leader = None if pair.via is None else made.get(pair.via)
    if leader is not None and leader.usable:
        # The leader's transform brings this image along; whether it fits here too is checked on this image itself.
        brought = replace(moving, grid=_moved(moving, leader.transform))
        transform = replace(leader.transform, certificate=check(fixed, brought).certificate)
    else:
        name = f"transforms/{_slug(pair)}.tfm"
        stamp = fingerprint((*fixed.files, *moving.files))
        earlier = place.finished_transform(name, stamp)
        transform = earlier or (check(fixed, moving) if pair.same_frame else register(fixed, moving))
        place.keep_transform(name, transform, stamp)
        return Registration(pair.fixed, pair.moving, transform, pair.same_frame, None, name)
    name = f"transforms/{_slug(pair)}.tfm"
    place.keep_transform(name, transform, "")
    return Registration(pair.fixed, pair.moving, transform, pair.same_frame, pair.via, name)


def _moved(moving: Image, transform: Transform) -> object:
    affine = transform.matrix @ moving.grid.require_affine("a registration")
    return replace(moving.grid, affine=affine, frame_of_reference=transform.fixed_frame)


def _slug(pair: Pair) -> str:
    return f"{pair.moving[-24:]}-to-{pair.fixed[-24:]}".replace(":", "-").replace("/", "-").replace("=", "-")
