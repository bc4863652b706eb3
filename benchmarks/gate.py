"""The input gate on real images: how often it cries on sound ones, and which corruptions it catches.

    python benchmarks/gate.py [--fill] [--only WORD] [--data FOLDER] [--rows FILE]

Each set's images are divided into five folds by patient (or the table's own). A gate that knows four of them judges the
sound images of the fifth, and some of these spoilt in up to thirteen ways (``corruptions.py``). A substitute (other
modality, other organ) and a crop are resampled to the size and spacing of the image they replace, so that these tell
nothing. --fill measures what is missing (about a CPU minute a set) and keeps it in ``results/gate.jsonl``; without it
the table of what is there is printed. Gross are all corruptions but turns and mirrors (cells have no up, and the left
of many images is the mirror of the right) and swapped colours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import corruptions
import numpy as np
from filled import asked, fill, read
from scipy import special

from hexscope.core.geometry import Grid
from hexscope.core.image import Image
from hexscope.io.cases import open_images, read_cases
from hexscope.models.fingerprint import fingerprint
from hexscope.models.recipe import Channel, Normalise, Recipe
from hexscope.trust.gate import gate

#: Images of each set that are spoilt, and that stand in for others.
SPOILT, SUBSTITUTES = 30, 12
SUBTLE = ("mirrored", "upside down", "quarter turn", "colours swapped")
FOLDS = 5


@dataclass(frozen=True)
class Source:
    """Images of one column of a set, as what they are taken, and made into planes where they are volumes."""

    folder: str
    column: str = "image"
    kind: str = ""
    flatten: Callable[[Image], Image] | None = None

    def images(self, data: Path) -> list[Image]:
        table = read_cases(data / self.folder / "cases.csv", [self.column])
        chosen = np.random.default_rng(0).permutation(len(table.cases))[:SUBSTITUTES]
        found = [open_images(table.cases[i], self.kinds)[self.column] for i in chosen]
        return [self.flatten(image) for image in found] if self.flatten else found

    @property
    def kinds(self) -> dict[str, str]:
        return {self.column: self.kind} if self.kind else {}


def middle(image: Image) -> Image:
    array = np.ascontiguousarray(image.array[image.array.shape[0] // 2])
    return Image.from_array(array, Grid(array.shape))


def shadow(image: Image) -> Image:
    """A radiograph made of a CT: attenuation summed from front to back, made grey (synthetic)."""
    through = np.clip(image.array.astype(np.float32) + 1000, 0, None).mean(axis=1)
    return Image.from_array((255 * through / through.max()).astype(np.uint8), Grid(through.shape))


SARCOMA_MR = Source("pet-ct-mr-sarcoma", "mr", "MR")
SARCOMA_CT = Source("pet-ct-mr-sarcoma", "ct")
#: name -> (images, their axes, another organ, another modality)
SETS: dict[str, tuple[Source, int, Source, Source]] = {
    "hippocampus, MR volumes": (Source("mr-hippocampus", kind="MR"), 3, SARCOMA_MR, SARCOMA_CT),
    "breast ultrasound": (Source("us-breast", kind="US"), 2, Source("us-fetal-head"), Source("mr-brain-tumour")),
    "fetal head ultrasound": (Source("us-fetal-head", kind="US"), 2, Source("us-breast"), Source("xray-chest")),
    "chest X-ray": (
        Source("xray-chest", kind="DX"),
        2,
        Source("pet-ct-mr-sarcoma", "ct", flatten=shadow),
        Source("mr-brain-tumour"),
    ),
    "brain tumour, MR slices": (
        Source("mr-brain-tumour", kind="MR"),
        2,
        Source("pet-ct-mr-sarcoma", "mr", "MR", flatten=middle),
        Source("xray-chest"),
    ),
    "nuclei, histology": (Source("path-nuclei", kind="SM:RGB"), 2, Source("path-blood-cells"), Source("us-breast")),
}


def main() -> None:
    chosen = asked(__doc__, "gate")
    for name in SETS if chosen.fill else ():
        if chosen.only in name:
            fill(chosen.rows, name, chosen.data / SETS[name][0].folder, partial(measured, name, chosen.data))
    for line in table(list(read(chosen.rows).values())):
        print(line)


# ---- measuring ----------------------------------------------------------------------------------------------


def measured(name: str, data: Path) -> dict[str, Any]:
    since = time.process_time()
    source, dims, organ, modality = SETS[name]
    cases = sorted(read_cases(data / source.folder / "cases.csv", [source.column]).cases, key=lambda c: c.case)
    first = open_images(cases[0], source.kinds)[source.column]
    channel = Channel(source.column, first.modality, first.quantity, Normalise())
    recipe = Recipe((channel,), dims, (8,) * dims, (32,) * dims, (8,) * dims)
    clean = [fingerprint(open_images(c, source.kinds), recipe) for c in cases]
    each = (time.process_time() - since) / len(cases)
    groups = [c.group for c in cases]
    fold = folds_of(groups, [c.fold for c in cases])
    gates = {
        part: gate(
            [row for row, f in zip(clean, fold, strict=True) if f != part],
            [g for g, f in zip(groups, fold, strict=True) if f != part],
            [f for f in fold if f != part] if cases[0].fold is not None else None,
        )
        for part in sorted(set(fold))
    }
    verdicts = [gates[f].judge(row).verdict for row, f in zip(clean, fold, strict=True)]
    kinds = ways(organ.images(data), modality.images(data))
    caught: dict[str, dict[str, int]] = {kind: {"n": 0, "caught": 0, "refused": 0} for kind in kinds}
    rng = np.random.default_rng(1)
    for i in rng.permutation(len(cases))[:SPOILT]:
        image = open_images(cases[i], source.kinds)[source.column]
        for kind, spoil in kinds.items():
            bad = spoil(image, rng)
            if bad is None:
                continue
            verdict = gates[fold[i]].judge(fingerprint(bad, recipe)).verdict
            caught[kind]["n"] += 1
            caught[kind]["caught"] += verdict != "pass"
            caught[kind]["refused"] += verdict == "refuse"
    alarms = {g: float(np.mean([v != "pass" for v, h in zip(verdicts, groups, strict=True) if h == g])) for g in groups}
    return {
        "n": len(cases),
        "patients": len(alarms),
        "alarms": sum(v != "pass" for v in verdicts),
        "alarms_by_patient": round(float(np.mean(list(alarms.values()))), 4),
        "refused": sum(v == "refuse" for v in verdicts),
        "caught": {kind: count for kind, count in caught.items() if count["n"]},
        "cpu_s_an_image": round(each, 4),
        "cpu_s": round(time.process_time() - since, 1),
    }


def folds_of(groups: Sequence[str], said: Sequence[int | None]) -> list[int]:
    if all(f is not None for f in said):
        return [int(f or 0) for f in said]
    names = sorted(set(groups))
    order = np.random.default_rng(0).permutation(len(names))
    dealt = {names[i]: k % FOLDS for k, i in enumerate(order)}
    return [dealt[g] for g in groups]


def ways(organ: Sequence[Image], modality: Sequence[Image]) -> Mapping[str, corruptions.Corruption]:
    return {
        "through a window": corruptions.window,
        "inverted": corruptions.inverted,
        "other modality": corruptions.other_kind(modality),
        "other organ": corruptions.other_kind(organ),
        "spacing x 10": corruptions.spacing,
        "noise": corruptions.noise,
        "blurred": corruptions.blurred,
        "cropped": corruptions.cropped,
        "half lost": corruptions.half_lost,
        "mirrored": corruptions.mirrored,
        "upside down": corruptions.upside_down,
        "quarter turn": corruptions.turned,
        "colours swapped": corruptions.colours,
    }


# ---- the table ----------------------------------------------------------------------------------------------


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    kinds = list(dict.fromkeys(kind for row in rows for kind in row["caught"]))
    short = [row["task"].split(",")[0] for row in rows]
    yield "| | " + " | ".join(short) + " |"
    yield "|---|" + "---|" * len(rows)
    yield "| sound images (patients) | " + " | ".join(f"{r['n']} ({r['patients']})" for r in rows) + " |"
    yield "| alarms on them, exact 95 % interval | " + " | ".join(share(r["alarms"], r["n"]) for r in rows) + " |"
    yield "| refused of them | " + " | ".join(str(r["refused"]) for r in rows) + " |"
    for kind in kinds:
        counts = [row["caught"].get(kind) for row in rows]
        shown = ["–" if c is None else f"{c['caught']}/{c['n']} ({c['refused']} refused)" for c in counts]
        yield f"| {kind} | " + " | ".join(shown) + " |"
    gross = [sums([c for kind, c in row["caught"].items() if kind not in SUBTLE]) for row in rows]
    yield "| **all gross ones** | " + " | ".join(f"**{a / n:.3f}** of {n}" for a, n in gross) + " |"
    yield "| CPU-s an image | " + " | ".join(f"{row['cpu_s_an_image']:.3f}" for row in rows) + " |"
    yield ""
    caught, of = (sum(part) for part in zip(*gross, strict=True)) if gross else (0, 0)
    alarms, sound = sum(r["alarms"] for r in rows), sum(r["n"] for r in rows)
    yield f"all sets: gross corruptions caught {share(caught, of)}, alarms on sound images {share(alarms, sound)}"


def sums(counts: Sequence[Mapping[str, int]]) -> tuple[int, int]:
    return sum(c["caught"] for c in counts), sum(c["n"] for c in counts)


def share(k: int, n: int) -> str:
    """With the exact interval of Clopper and Pearson (doi:10.1093/biomet/26.4.404)."""
    low = 0.0 if k == 0 else float(special.betaincinv(k, n - k + 1, 0.025))
    high = 1.0 if k == n else float(special.betaincinv(k + 1, n - k, 0.975))
    return f"{k / max(n, 1):.3f} ({low:.3f} … {high:.3f})"


if __name__ == "__main__":
    main()
