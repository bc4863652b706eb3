"""The arguments of every command, as DESIGN's contract names them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from hexscope import __version__
from hexscope.cli import classifying, detecting, evaluating, fusing, jobs, learning, looking, making, registering
from hexscope.cli.words import tr

Command = argparse.ArgumentParser


def build_parser(language: str) -> argparse.ArgumentParser:
    """The whole parser, with its help in ``language``."""

    def t(text: str) -> str:
        return tr(text, language)

    parser = argparse.ArgumentParser(
        prog="hexscope",
        description=t("Six kinds of medical image, five tasks, one physical space."),
        epilog=t("Research software, not a medical device: candidates and scores, never a diagnosis."),
    )
    parser.add_argument("--version", action="version", version=f"hexscope {__version__}")
    commands = parser.add_subparsers(title=t("commands"), metavar="COMMAND")

    def command(name: str, run: Callable[..., Any], about: str) -> Command:
        sub = commands.add_parser(name, help=t(about), description=t(about), epilog=parser.epilog)
        sub.set_defaults(run=run)
        sub.add_argument("--json", action="store_true", help=t("print one JSON value on stdout"))
        sub.add_argument("--lang", choices=("en", "zh"), help=t("language of messages"))
        return sub

    _add_looking(command, t)
    _add_making(command, t)
    _add_tasks(command, t)
    learning.add_commands(command, t)
    _add_jobs(command, t)
    return parser


def spacing(text: str) -> tuple[float, ...]:
    """``z,y,x`` or ``y,x`` in mm."""
    values = tuple(float(part) for part in text.split(","))
    if len(values) not in (2, 3) or min(values) <= 0:
        raise argparse.ArgumentTypeError(f"spacing is z,y,x or y,x in mm, above 0; got {text!r}")
    return values


def span(text: str) -> tuple[float | None, float | None]:
    """``low,high``, either of them may be left out."""
    low, comma, high = text.partition(",")
    if not comma:
        raise argparse.ArgumentTypeError(f"a range is LOW,HIGH or LOW, or ,HIGH; got {text!r}")
    return float(low) if low.strip() else None, float(high) if high.strip() else None


def names(text: str) -> list[str]:
    """``a,b,c``."""
    return [part.strip() for part in text.split(",") if part.strip()]


def pattern(text: str) -> tuple[str, str]:
    """``PATTERN=KIND``; a kind alone is that of every file."""
    name, equals, kind = text.partition("=") if "=" in text else ("*", "=", text)
    if not (name and equals and kind):
        raise argparse.ArgumentTypeError(f"declare files as PATTERN=MODALITY[:QUANTITY] or PATTERN=mask; got {text!r}")
    return name, kind


def _image(sub: Command, t: Callable[[str], str], name: str = "image", **more: Any) -> None:
    sub.add_argument(
        name,
        metavar=name.upper(),
        help=t("file, folder of one series, PATH#SERIES, or PATH#SERIES@t=N for one time point"),
        **more,
    )


def _spacing(sub: Command, t: Callable[[str], str]) -> None:
    sub.add_argument("--spacing-mm", type=spacing, metavar="Z,Y,X", help=t("spacing of an image that does not say"))


def _reading(sub: Command, t: Callable[[str], str]) -> None:
    _spacing(sub, t)
    sub.add_argument(
        "--as",
        dest="kind_of_image",
        metavar="MODALITY[:QUANTITY]",
        help=t("what an image is that does not say, e.g. CT:HU or PT:SUVbw"),
    )
    sub.add_argument("--even", action="store_true", help=t("interpolate uneven or missing slices instead of refusing"))


def _out(sub: Command, t: Callable[[str], str]) -> None:
    sub.add_argument("-o", "--out", required=True, metavar="OUT", help=t("where to write; its name says the format"))


def _add_looking(command: Callable[..., Command], t: Callable[[str], str]) -> None:
    sub = command("info", looking.info, "what lies at PATH, by series; headers only")
    sub.add_argument("path", metavar="PATH")
    sub = command("audit", looking.audit, "a verdict on every series and file: ok, repaired, refused, ignored")
    sub.add_argument("path", metavar="PATH")
    sub = command("guide", looking.guide, "the guide of a modality: what it measures, its unit, its traps")
    sub.add_argument("modality", metavar="MODALITY", nargs="?")
    sub = command("measure", looking.measure, "volume, area, diameter and values, per label of a mask")
    _image(sub, t, "mask")
    sub.add_argument("--on", metavar="IMAGE", help=t("the image whose values are measured"))
    _spacing(sub, t)
    sub = command("features", looking.features, "radiomic features of a structure, by IBSI name")
    _image(sub, t)
    _image(sub, t, "mask")
    _reading(sub, t)
    sub.add_argument("--label", type=looking.label, metavar="N", help=t("value or name of the structure in the mask"))
    sub.add_argument("--family", type=names, metavar="A,B", help="morph,plane,loc,stat,ih,ivh,cm,rlm,szm,dzm,ngt,ngl")
    sub.add_argument("--by", type=names, metavar="A,B", help=t("how slices come together in textures: 2D, 2.5D, 3D"))
    levels = sub.add_mutually_exclusive_group()
    levels.add_argument("--bins", type=int, metavar="N", help=t("number of grey levels; 32"))
    levels.add_argument("--bin-width", type=float, metavar="W", help=t("or their width, in the unit of the image"))
    sub.add_argument("--range", type=span, metavar="LOW,HIGH", help=t("values that count"))
    sub.add_argument("--outlier-sd", type=float, metavar="N", help=t("deviations beyond which a value is left out"))
    sub.add_argument(
        "--resample-mm", type=spacing, metavar="Z,Y,X", help=t("spacing that image and mask are brought to")
    )


def _add_making(command: Callable[..., Command], t: Callable[[str], str]) -> None:
    sub = command("convert", making.convert, "an image or mask in the format of the name of OUT")
    _image(sub, t)
    _out(sub, t)
    _reading(sub, t)
    sub.add_argument("--like", metavar="GRID", help=t("an image whose grid the result takes (contours need one)"))
    sub = command("quantify", making.quantify, "an image in another quantity (HU, SUVbw, ...), with its ledger")
    _image(sub, t)
    sub.add_argument("quantity", metavar="QUANTITY")
    _out(sub, t)
    _reading(sub, t)
    sub = command("resample", making.resample, "an image or mask on another grid; a mask stays a mask")
    _image(sub, t)
    sub.add_argument("--to", required=True, metavar="GRID", help=t("the image whose grid is taken"))
    sub.add_argument("--through", metavar="T", help=t("a transform from register"))
    sub.add_argument("--how", choices=("linear", "cubic", "nearest", "vote"), default="linear")
    _out(sub, t)
    _reading(sub, t)
    sub = command("register", registering.register, "the transform that brings MOVING onto FIXED, with a verdict on it")
    _image(sub, t, "fixed", nargs="?")
    _image(sub, t, "moving", nargs="?")
    _out(sub, t)
    _spacing(sub, t)
    registering.add_register(sub, t)
    sub = command("certify", registering.certify, "a verdict on whether MOVING lies on FIXED, as it is or through T")
    _image(sub, t, "fixed")
    _image(sub, t, "moving")
    _spacing(sub, t)
    registering.add_certify(sub, t)
    sub = command("fuse", fusing.fuse, "two images in one frame: picture or volume, numbers kept")
    _image(sub, t, "a")
    _image(sub, t, "b")
    _out(sub, t)
    fusing.add_fuse(sub, t)
    sub = command("evaluate", evaluating.evaluate, "a model on labelled cases, or a way to fuse on pairs, scored")
    evaluating.add_evaluate(sub, t)


def _add_tasks(command: Callable[..., Command], t: Callable[[str], str]) -> None:
    sub = command(
        "segment", making.segment, "structures, by a trained model or by rules: body, lung, bone, tissue, fan"
    )
    _image(sub, t, "images", nargs="*")
    _out(sub, t)
    _reading(sub, t)
    sub.add_argument("--what", type=names, metavar="A,B", help="body, lung, bone, tissue, fan")
    sub.add_argument("--model", metavar="M", help=t("name of a model, or a model folder"))
    learning.add_input(sub, t)
    sub.add_argument("--uncertainty", metavar="OUT", help=t("also write how unsure each pixel is, 0 to 1"))
    _force(sub, t)
    sub = command("detect", detecting.detect, "candidates: hot lesions on PET by rule, or what a trained model finds")
    _image(sub, t, "images", nargs="*")
    _out(sub, t)
    _reading(sub, t)
    detecting.add_detect(sub, t)
    _force(sub, t)
    sub = command("classify", classifying.classify, "class scores by a trained model, and the classes not excluded")
    _image(sub, t, "images", nargs="*")
    _reading(sub, t)
    classifying.add_classify(sub, t)
    _force(sub, t)


def _force(sub: Command, t: Callable[[str], str]) -> None:
    word = t("go on where the model's input gate refuses the image")
    sub.add_argument("--force", action="store_true", default=None, help=word)


def _add_jobs(command: Callable[..., Command], t: Callable[[str], str]) -> None:
    sub = command("study", jobs.study, "a messy folder becomes a study with a report")
    sub.add_argument("folder", metavar="FOLDER")
    sub.add_argument("-o", "--out", required=True, metavar="REPORT_DIR")
    sub.add_argument("--resume", action="store_true", help=t("go on where an interrupted run stopped"))
    sub.add_argument(
        "--one-patient", action="store_true", help=t("all images are of one patient (files without names)")
    )
    sub.add_argument("--liver", metavar="MASK|X,Y,Z,R", help=t("liver mask, or a sphere: centre in LPS mm and radius"))
    sub.add_argument(
        "--model",
        dest="models",
        action="append",
        metavar="M",
        help=t("use this model wherever its modality is; others are used where image and card say that they fit"),
    )
    sub.add_argument(
        "--as",
        dest="kinds",
        action="append",
        type=pattern,
        metavar="[PATTERN=]MODALITY[:QUANTITY]",
        help=t("what files are that do not say: e.g. 'CT*=CT:HU', 'PET*=PT:SUVbw', '*mask*=mask'"),
    )
    sub = command("phantom", jobs.phantom, "write the digital patient (synthetic) as a messy folder with its truth")
    sub.add_argument("-o", "--out", required=True, metavar="DIR")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--faults", default="all", help=t("all, none, or fault codes a,b"))
    sub = command("demo", jobs.demo, "phantom, its study, its report, and the comparison with the truth")
    sub.add_argument("-o", "--out", default="demo", metavar="DIR")
    sub.add_argument("--seed", type=int, default=0)
