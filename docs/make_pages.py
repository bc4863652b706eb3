"""Make the pages that come from the code: docs/modalities.md (both languages) and docs/coverage.md.

    python docs/make_pages.py

Coverage is tried, not claimed: every verb runs on the digital patient's image of every modality, and the table says
what happened. The models that ship are told from their cards. A test makes the tables again and compares.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import hexscope as hx
from hexscope.modality import ALL
from hexscope.models.matrix import MEASURED

DOCS = Path(__file__).parent
TASKS = ("segment", "detect", "classify", "register", "fuse")
SHIPPED = Path(hx.__file__).parent / "models" / "shipped"
#: What a model of a task is told by: the first that its card has.
FIGURES = {
    "segment": ("f1_50", "dice_where_present", "dice"),
    "detect": ("ap50",),
    "classify": ("auc",),
}
MODALITIES = {"CT": "ct", "MR": "t1", "XR": "xray", "US": "us", "PT": "pet", "SM": "slide"}


def coverage(images: Mapping[str, hx.Image]) -> dict[tuple[str, str], str]:
    """ "works", "needs your model" or "not offered" for each task and modality, by trying."""
    cells = {}
    for code, image in images.items():
        partner = (images["CT"] if code != "CT" else images["MR"]) if image.is_volume else image
        tries: dict[str, Callable[[], object]] = {
            "segment": lambda image=image: hx.segment(image),
            "detect": lambda image=image: hx.detect(image),
            "register": lambda image=image, partner=partner: hx.register(partner, image),  # planes: on themselves
            "fuse": lambda image=image: _fuse(image, images),
        }
        for task in TASKS:
            cells[task, code] = _outcome(tries.get(task))
    return cells


def _fuse(image: hx.Image, images: Mapping[str, hx.Image]) -> object:
    if image.is_volume:
        return hx.fuse(images["CT"], image, through=hx.Transform(kind="identity"), force=True).rgb(10)
    if image.modality == "SM":
        image = image.crop((0, 0), (64, 80))
    return hx.fuse(image, image).picture


def _outcome(attempt: Callable[[], object] | None) -> str:
    if attempt is None:
        return "needs your model"
    try:
        attempt()
    except hx.NoModelError:
        return "needs your model"
    except hx.HexscopeError:
        return "not offered"
    return "works"


def phantom_images(folder: Path) -> dict[str, hx.Image]:
    """One image of each modality out of a folder with study/ROLE."""
    return {code: hx.read(folder / "study" / role) for code, role in MODALITIES.items()}


def coverage_page(cells: Mapping[tuple[str, str], str]) -> str:
    names = {m.code: m.name for m in ALL}
    head = "| task | " + " | ".join(names[c] for c in MODALITIES) + " |"
    lines = [
        "# What works on what",
        "",
        "Made by `make docs`, by trying every task on the digital patient's image of every modality; a test makes it",
        "again and compares. *Needs your model*: no rule does it for any image of the modality; train a model, or see",
        "below whether one that ships was made for yours. *Not offered*: refused with the reason (a task that the",
        "numbers of that modality do not allow).",
        "",
        head,
        "|" + "---|" * (len(MODALITIES) + 1),
    ]
    for task in TASKS:
        lines.append(f"| {task} | " + " | ".join(cells[task, c] for c in MODALITIES) + " |")
    lines += ["", "## On what it was measured", "", "The phantom is synthetic; what is real is named as such.", ""]
    lines += ["| task | modality | measured on |", "|---|---|---|"]
    for task in TASKS:
        for code in MODALITIES:
            if cells[task, code] == "works":
                lines.append(f"| {task} | {names[code]} | {MEASURED.get((task, code), 'phantom (it runs)')} |")
    lines += ["", *ships()]
    return "\n".join(lines) + "\n"


def ships() -> list[str]:
    """The models that ship, with the figure that counts, on patients they never saw."""
    lines = [
        "## Models that ship",
        "",
        "Each has its card (`card.toml`) with its limits and licence. Figures are of patients whom the measured",
        "networks never saw, with their 95 % interval, and of one collection: another hospital's images may do worse.",
        "",
        "| model | task | modality | tells apart | figure | n |",
        "|---|---|---|---|---|---|",
    ]
    names = {m.code: m.name for m in ALL}
    for folder in sorted(SHIPPED.iterdir()):
        card = hx.ModelCard.from_toml(folder / "card.toml")
        metric = next(name for name in FIGURES[card.task] if name in card.metrics)
        mean, low, high, n = card.metrics[metric]
        many = f"{len(card.classes)} classes" if len(card.classes) > 3 else ", ".join(card.classes)
        where = names.get(card.modality, "any picture")
        shown = f"{metric} {mean:.3f} ({low:.3f} … {high:.3f})"
        lines.append(f"| {folder.name} | {card.task} | {where} | {many} | {shown} | {n} |")
    return lines


def modalities_page(language: str) -> str:
    title = "# 六种模态" if language == "zh" else "# The six modalities"
    said = (
        "由 `make docs` 根据 `hexscope guide` 的文本生成。"
        if language == "zh"
        else "Made by `make docs` from the texts of `hexscope guide`."
    )
    parts = [title, said]
    for modality in ALL:
        text = modality.guide_text("zh" if language == "zh" else "en")
        parts.append("\n".join("#" + line if line.startswith("#") else line for line in text.strip().splitlines()))
    return "\n\n".join(parts) + "\n"


def main() -> int:
    (DOCS / "modalities.md").write_text(modalities_page("en"), encoding="utf-8")
    (DOCS / "modalities.zh.md").write_text(modalities_page("zh"), encoding="utf-8")
    sys.path.insert(0, str(DOCS.parent))
    with tempfile.TemporaryDirectory() as name:
        from tests.tidy import tidy_phantom

        folder = Path(name)
        tidy_phantom(hx.phantom(folder / "phantom"), folder)
        (DOCS / "coverage.md").write_text(coverage_page(coverage(phantom_images(folder))), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
