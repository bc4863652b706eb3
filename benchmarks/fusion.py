"""Fusion by the eight metrics of the literature, by what is kept of either input, and by the values beside the picture.

Run:  python benchmarks/fusion.py [--data FOLDER] [--tune]        (FOLDER holds fusion-pairs and pet-ct-mr-sarcoma)

First table: the literature's own lists (21 MRI-CT, 42 MRI-PET slices of 256 × 256, 8-bit; colour PET by its luma, as
there). Every row of ours is computed here; the networks' rows are their published means (Zhao 2023,
doi:10.1109/CVPR52729.2023.00572), not run. "ahead" counts the metrics of the eight on which a row is higher than
CDDFuse (trained on infrared and visible pictures) and CDDFuse* (trained on medical pairs). The two copies show what the
eight are worth: they fuse nothing. Behind the bar stands what is kept (hexscope.fuse.kept): 1 for a copy, but for
"invented", where 0 is best. Neighbouring slices of few patients count as cases there, so no interval is printed.

Second table: whole volumes of sarcoma patients, PET on CT, with the tumour as lesion: what is kept in 3-D, and how much
the values beside the picture differ from those of the files.

--tune shows how the one setting of "detail" was chosen: on either list alone, tested on the other.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from real_data import add_data, require

import hexscope as hx
from hexscope.evaluate.fusion import COPIES, picture_scores
from hexscope.fuse import FIELD, KEPT, body, fuse, merge

EIGHT = FIELD[:8]
OURS = ("overlay", "max", "energy", "pyramid", "guided", "detail")
PATIENTS = ("STS_002", "STS_003", "STS_008", "STS_012", "STS_015", "STS_018", "STS_024")
SIGMAS = (0.7, 1.0, 1.5, 2.0, 3.0)
Row = dict[str, float]
Pairs = list[tuple[hx.Image, hx.Image]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--tune", action="store_true")
    options = parser.parse_args()
    folder = options.data / "fusion-pairs"
    require(folder)
    lists = {kind: list(pairs_of(folder, kind)) for kind in ("CT", "PET")}
    published = read_published(folder / "TABLE.md")
    for kind, pairs in lists.items():
        one_list(kind, pairs, published[kind])
    if options.tune:
        tune(lists, published)
    require(options.data / "pet-ct-mr-sarcoma")
    volumes(options.data / "pet-ct-mr-sarcoma" / "nifti")


def pairs_of(folder: Path, kind: str) -> Iterator[tuple[hx.Image, hx.Image]]:
    with (folder / "cases.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            if row["case"].startswith(f"{kind}-"):
                yield hx.read(folder / row["a"]), hx.read(folder / row["b"])


def read_published(path: Path) -> dict[str, dict[str, Row]]:
    """Set, method -> metric -> mean."""
    out: dict[str, dict[str, Row]] = {"CT": {}, "PET": {}}
    for line in path.read_text().splitlines():
        cells = [c.strip() for c in line.strip("| ").split("|")]
        if cells[0].startswith("MRI-"):
            method = cells[1].split(" ")[0]
            out[cells[0].removeprefix("MRI-")][method] = dict(zip(EIGHT, map(float, cells[2:]), strict=True))
    return out


# ---- the literature's lists ---------------------------------------------------------------------------------


def one_list(kind: str, pairs: Pairs, published: dict[str, Row]) -> None:
    print(f"\nMRI-{kind}, {len(pairs)} slices")
    heads = "".join(f"{m:>7}" for m in EIGHT), "".join(f"{m:>9}" for m in KEPT)
    print(f"{'':16}{heads[0]}  ahead of CDDFuse, CDDFuse* |{heads[1]}{'SSIM 255':>10}{'ms':>7}")
    for name, row in published.items():
        line(name, row, published)
    scored = {how: scores_of(pairs, how) for how in OURS}
    for how, (rows, milliseconds) in scored.items():
        line(how, rows[how], published, milliseconds)
    for copy in COPIES:
        line(copy, scored["detail"][0][copy], published)


def scores_of(pairs: Pairs, how: str) -> tuple[dict[str, Row], float]:
    """Means of one way and of the two copies, and the milliseconds a slice."""
    found: dict[str, list[Row]] = {}
    seconds = 0.0
    for a, b in pairs:
        start = time.process_time()
        fused = fuse(a, b, how=how, window_base=(0, 255), window_over=(0, 255), palette="grey")
        grey = fused.grey
        seconds += time.process_time() - start
        names = {how: grey, **(dict(zip(COPIES, fused.brightness, strict=True)) if how == "detail" else {})}
        for name, picture in names.items():
            where = body(*fused.brightness)
            found.setdefault(name, []).append(picture_scores(picture, fused, where, None))
    return {name: means(rows) for name, rows in found.items()}, 1000 * seconds / len(pairs)


def means(rows: list[Row]) -> Row:
    return {name: float(np.nanmean([row[name] for row in rows])) for name in rows[0]}


def line(name: str, row: Row, published: dict[str, Row], milliseconds: float | None = None) -> None:
    ahead = [f"{wins(row, published[m]):d}/8" for m in ("CDDFuse", "CDDFuse*")]
    kept = "".join(f"{row[m]:9.2f}" if m in row else f"{'':9}" for m in (*KEPT, "SSIM 255"))
    cost = "" if milliseconds is None else f"{milliseconds:8.1f}"
    print(f"{name:16}{''.join(f'{row[m]:7.2f}' for m in EIGHT)}{ahead[0]:>18}{ahead[1]:>11} |{kept}{cost}", flush=True)


def wins(row: Row, other: Row) -> int:
    """Of the eight, rounded as the published table is, how many are higher."""
    return sum(round(row[m], 2) > other[m] for m in EIGHT)


# ---- the one setting ----------------------------------------------------------------------------------------


def tune(lists: dict[str, Pairs], published: dict[str, dict[str, Row]]) -> None:
    """For each width of "detail" the metrics ahead of CDDFuse on each list; in a tie, the least invented."""
    print(f"\nsetting of detail{'':7}{'MRI-CT ahead':>14}{'invented':>12}{'MRI-PET ahead':>16}{'invented':>12}")
    usual = merge.DETAIL_SIGMA
    found: dict[float, dict[str, tuple[int, float]]] = {}
    for sigma in SIGMAS:
        merge.DETAIL_SIGMA = sigma
        found[sigma] = {kind: judged(pairs, published[kind]["CDDFuse"]) for kind, pairs in lists.items()}
        ct, pet = found[sigma]["CT"], found[sigma]["PET"]
        print(f"sigma {sigma:3.1f}{'':15}{ct[0]:12d}/8{-ct[1]:12.3f}{pet[0]:14d}/8{-pet[1]:12.3f}")
    merge.DETAIL_SIGMA = usual
    for kind, other in (("CT", "PET"), ("PET", "CT")):
        best = max(SIGMAS, key=lambda s: found[s][kind])
        print(f"chosen on MRI-{kind} alone: {best}; on MRI-{other} it is ahead on {found[best][other][0]}/8")
    print(f"shipped: {usual}")


def judged(pairs: Pairs, other: Row) -> tuple[int, float]:
    row = scores_of(pairs, "detail")[0]["detail"]
    return wins(row, other), -row["invented"]


# ---- volumes ------------------------------------------------------------------------------------------------


def volumes(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        table = Path(name) / "pairs.csv"
        fields = ["case", "a", "as_a", "b", "as_b", "mask_b"]
        with table.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, fields)
            writer.writeheader()
            for patient in PATIENTS:
                paths = {k: folder / patient / f"{v}.nii.gz" for k, v in NAMES.items()}
                writer.writerow({"case": patient, **paths, "as_a": "CT:HU", "as_b": "PT:SUVbw"})
        found = {how: hx.evaluate_fusion(table, how=how) for how in ("overlay", "max", "detail")}
        found["overlay, nearest"] = hx.evaluate_fusion(table, how="overlay", interpolate="nearest")
    columns: dict[str, dict[str, Row]] = {**found, **found["detail"]["copies"]}
    print(f"\nsarcoma, PET on CT, {len(PATIENTS)} volumes: mean (95 % over patients)")
    print(f"{'':14}" + "".join(f"{c:>24}" for c in columns))
    for metric in found["detail"]:
        if metric not in ("copies", "failed"):
            print(f"{metric:14}" + "".join(f"{cell(column.get(metric)):>24}" for column in columns.values()))
    for case, why in found["detail"]["failed"].items():
        print(f"left out: {case}: {why}")


NAMES = {"a": "CT_image", "b": "PET_image", "mask_b": "PET_mask"}


def cell(score: Row | None) -> str:
    return "" if score is None else f"{score['mean']:.3g} ({score['low']:.3g}…{score['high']:.3g})"


if __name__ == "__main__":
    main()
