"""The command fuse and its arguments."""

from __future__ import annotations

import argparse
import math
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hexscope as hx
from hexscope.cli.console import Console

_MOVING = (".gif", ".apng", ".webp")


def numbers(text: str) -> tuple[float, ...]:
    """``a,b,c``."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"numbers are a,b,…; got {text!r}") from error


def shown(text: str) -> tuple[float, float] | str:
    """``LOW,HIGH`` in the image's unit, or the name of a window."""
    if not any(c.isdigit() for c in text):
        return text
    values = numbers(text)
    if len(values) != 2 or not values[0] < values[1]:
        raise argparse.ArgumentTypeError(f"a window is LOW,HIGH with LOW < HIGH, or a name; got {text!r}")
    return values[0], values[1]


def add_fuse(sub: argparse.ArgumentParser, t: Callable[[str], str]) -> None:
    ways = "overlay, modulated, contour, checkerboard, max, difference, energy, pyramid, guided, detail"
    sub.add_argument("--how", default="overlay", metavar="HOW", help=ways)
    sub.add_argument("--alpha", type=float, default=0.5, help=t("share of B, 0 to 1"))
    sub.add_argument("--palette", metavar="P", help="grey, hot iron, pet, hot metal blue, pet 20 step, rainbow")
    sub.add_argument("--threshold", type=float, metavar="V", help=t("show B only from this value on, in its unit"))
    sub.add_argument("--levels", type=numbers, metavar="V,V", help=t("values of B that contours are drawn at"))
    window = t("values of {image} shown black and white, or the name of a window")
    for letter in ("a", "b"):
        sub.add_argument(f"--window-{letter}", type=shown, metavar="L,H|NAME", help=window.format(image=letter.upper()))
        sub.add_argument(
            f"--as-{letter}",
            metavar="MODALITY[:QUANTITY]",
            help=t("what an image is that does not say, e.g. CT:HU or PT:SUVbw; B also: mask"),
        )
    sub.add_argument(
        "--plane", metavar="P", help=t("axial, coronal, sagittal, or the LPS direction x,y,z looked along")
    )
    sub.add_argument("--at", type=numbers, metavar="MM", help=t("LPS coordinate of the plane, or a point x,y,z in it"))
    sub.add_argument("--slab-mm", type=float, default=0.0, metavar="MM", help=t("thickness that the plane shows"))
    sub.add_argument("--project", choices=("mean", "max", "min"), help=t("what is shown of a thick plane; mean"))
    sub.add_argument("--mip", action="store_true", help=t("maximum projection through all; .gif, .apng, .webp turn"))
    sub.add_argument(
        "--interpolate", choices=("linear", "nearest", "cubic"), help=t("how values of B are brought to A")
    )
    sub.add_argument("--frames", type=int, default=36, metavar="N", help=t("pictures of one turn"))
    sub.add_argument("--through", metavar="T", help=t("a transform from register"))
    sub.add_argument("--force", action="store_true", help=t("fuse although the registration is rejected"))


def fuse(options: Namespace, console: Console) -> int:
    a = hx.read(options.a, kind=options.as_a)
    b = hx.read_mask(options.b) if options.as_b == "mask" else hx.read(options.b, kind=options.as_b)
    if isinstance(a, hx.Mask):
        raise hx.UsageError(f"{options.a} is a mask; give the image first and the mask second")
    through = None if options.through is None else hx.read_transform(options.through)
    turns = Path(options.out).suffix.lower() in _MOVING
    view = None if turns else _view(options)
    look = _look(options)
    if turns and a.quantity is hx.Quantity.HU:
        look.setdefault("window_base", "bone")  # seen through, soft tissue would be all white
    fused = hx.fuse(a, b, how=options.how, through=through, force=options.force, view=view, **look)
    hx.save(hx.turn(fused, options.frames) if turns else fused.as_saved(options.out), options.out)
    certificate = None if fused.certificate is None else fused.certificate.as_json()
    value = {"out": options.out, "how": options.how, "certificate": certificate, "made": fused.told()}
    verdict = "" if certificate is None else f"  {certificate['verdict']} ({certificate['score']:.2f})"
    console.result(value, [f"{options.out}  {options.how}{verdict}", fused.told()])
    return 0


def _look(options: Namespace) -> dict[str, Any]:
    look = {
        "alpha": options.alpha,
        "palette": options.palette,
        "threshold": options.threshold,
        "levels": options.levels,
        "interpolate": options.interpolate,
        "window_base": options.window_a,
        "window_over": options.window_b,
    }
    return {name: value for name, value in look.items() if value is not None}


def _view(options: Namespace) -> hx.View | None:
    """The view asked for; None: the whole grid of A."""
    if options.mip:
        return hx.View(_plane(options.plane or "coronal"), slab_mm=math.inf, project="max")
    if options.plane is None:
        if options.at is not None or options.slab_mm or options.project:
            raise hx.UsageError("--at, --slab-mm and --project say which plane: add --plane axial")
        return None
    at = options.at if options.at is None or len(options.at) > 1 else options.at[0]
    return hx.View(_plane(options.plane), at, options.slab_mm, options.project or "mean")


def _plane(text: str) -> str | tuple[float, ...]:
    return numbers(text) if "," in text else text
