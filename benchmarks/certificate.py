"""What the registration certificate says of right and of wrong registrations.

Run:  python benchmarks/certificate.py [--data FOLDER] [--rows FILE] [--fit]

308 pairs (`certificate_pairs`), registered by ``hx.register``; and, of every other pair whose truth is exact, the true
pose put wrong by 1 to 14 mm, judged by ``hx.certify``. The weights of the score were fitted on half of the patients
(``--fit`` prints them anew), the limits of its doubts were chosen with the tables of both in view; tables are apart.
``--rows`` keeps what was measured, a line a pair, and goes on from there.

An error is the mean distance, over the moving field, from the known motion. Of CT, MR and PET of a sarcoma the
headers are no exact truth: limbs lay otherwise in the two scanners, and skin and bone are 3 to 8 mm off in places. In
the fit those pairs count as wrong where the error is over 5 mm, and not at all where it is less. In the last lines the
error of those pairs is against the pose that is found without the motion: whether the motion was undone, not more.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from certificate_pairs import RIGHT, SARCOMA, SIDES, Images, Pair, moved, pairs
from real_data import add_data, require
from scipy.optimize import minimize

import hexscope as hx
from hexscope.core.image import Image
from hexscope.core.transform import Transform, rigid
from hexscope.trust.registration import ACCEPT, BIAS, REJECT, WEIGHTS, Evidence, arguments, belief, certify

Row = dict[str, Any]

#: An answer is right up to here, and wrong from there on; in between nothing is said.
RIGHT_MM, WRONG_MM = 3.0, 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--rows", type=Path, help="file that keeps what was measured")
    parser.add_argument("--fit", action="store_true", help="also fit the weights of the score anew")
    options = parser.parse_args()
    require(options.data / "pet-ct-mr-sarcoma")
    images = Images(options.data)
    rows = list(measured(images, options.rows))
    if options.fit:
        fit(rows)
    tell(rows)
    in_place(images)


# ---- measuring ----------------------------------------------------------------------------------------------


def measured(images: Images, kept: Path | None) -> Iterator[Row]:
    """One row a registration or pose that was judged."""
    done: dict[int, list[Row]] = {}
    if kept is not None and kept.exists():
        for line in kept.read_text().splitlines():
            row = json.loads(line)
            done.setdefault(row["number"], []).append(row)
    for pair in pairs(images):
        rows = done.get(pair.number) or list(_of(pair, images))
        if kept is not None and pair.number not in done:
            with kept.open("a") as stream:
                stream.writelines(json.dumps(row) + "\n" for row in rows)
        yield from rows


def _of(pair: Pair, images: Images) -> Iterator[Row]:
    fixed, moving, truth = images.made(pair)
    started = process_time()
    found = hx.register(fixed, moving)
    seconds = process_time() - started
    row = _row(pair, moving, found, truth, seconds)
    if pair.has_truth and not row["exact"]:
        row["own_mm"] = gap_mm(found, _own(fixed, moved(moving, truth), pair) @ truth, moving)
    yield row
    if pair.kind in RIGHT and pair.number % 2 == 0 and _is_exact(pair):
        rng = np.random.default_rng(pair.number)
        for least, most in ((1, 3), (4, 7), (7, 14)):
            off = _off(truth, moving, rng.uniform(least, most), rng)
            yield {**_row(pair, moving, hx.certify(fixed, moving, through=off), truth, 0.0), "kind": "put wrong"}


_OWN: dict[tuple[str, str, str], Transform] = {}


def _own(fixed: Image, unmoved: Image, pair: Pair) -> Transform:
    """The pose found without the motion; once for all pairs of the same images."""
    key = pair.fixed, pair.moving, pair.change
    if key not in _OWN:
        _OWN[key] = hx.register(fixed, unmoved)
    return _OWN[key]


def _row(pair: Pair, moving: Image, found: Transform, truth: Transform, seconds: float) -> Row:
    assert found.certificate is not None
    told = {name: getattr(pair, name) for name in ("number", "side", "kind", "what", "fixed", "moving")}
    error = gap_mm(found, truth, moving) if pair.has_truth else None
    evidence = dict(found.certificate.evidence)
    return {**told, "exact": _is_exact(pair), "error_mm": error, "evidence": evidence, "cpu_s": seconds}


def _is_exact(pair: Pair) -> bool:
    """Is the pose known to a millimetre? Not of a sarcoma's CT, MR and PET."""
    return pair.kind == "synthetic" or "sarcoma" not in pair.fixed


def _off(truth: Transform, moving: Image, mm: float, rng: np.random.Generator) -> Transform:
    """The truth, put wrong by about ``mm``: half by a turn, half by a shift."""
    way, axis = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
    reach = float(np.linalg.norm(moving.grid.corners_mm() - moving.grid.center_mm, axis=1).mean()) / 2
    turn = np.degrees(0.7 * mm / reach)
    return rigid(tuple(turn * axis), tuple(0.7 * mm * way), tuple(truth.points(moving.grid.center_mm))) @ truth


def gap_mm(one: Transform, other: Transform, image: Image) -> float:
    """Mean distance between two transforms of the image's field."""
    steps = [np.linspace(0, n - 1, 7) for n in image.grid.shape]
    points = image.grid.to_world(np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3))
    return float(np.linalg.norm(one.points(points) - other.points(points), axis=1).mean())


# ---- fitting ------------------------------------------------------------------------------------------------


def fit(rows: Iterable[Row]) -> None:
    """Print weights fitted to the side "tune", and how they do on each of its patients when fitted to the others."""
    used = [row for row in rows if row["side"] == "tune" and _label(row) is not None]
    x, y = _arguments(used), np.array([_label(row) for row in used])
    open_ = np.array([not _is_settled(row) for row in used])
    believed = np.array([belief(Evidence(**row["evidence"])) for row in used])
    weights = _fitted(x[open_], y[open_])
    print("BIAS", round(weights[0], 2), dict(zip(WEIGHTS, np.round(weights[1:], 2).tolist(), strict=True)))
    score = np.full(len(used), np.nan)
    patients = [{name.rsplit(" ", 1)[0] for name in (row["fixed"], row["moving"])} for row in used]
    for patient in sorted(set().union(*patients)):
        out = np.array([patient in those for those in patients])
        fold = _fitted(x[~out & open_], y[~out & open_])
        score[out] = believed[out] / (1 + np.exp(-x[out] @ fold[1:] - fold[0]))
    for bound in (0.5, 0.7, 0.8, 0.85, 0.9, 0.95):
        sure = score >= bound
        print(f"left-out patients, score ≥ {bound}: {sure.sum()} accepted, {(sure & (y == 0)).sum()} of them wrong; "
              f"{(sure & (y == 1)).sum()} of {(y == 1).sum()} right ones")  # fmt: skip
    print(f"left-out patients, area under the curve {_area(score[y == 1], score[y == 0]):.3f} (n {len(y)})\n")


def _label(row: Row) -> int | None:
    """1 right, 0 wrong, None where nothing can be said: between the bounds, or a truth that is none."""
    error = row["error_mm"]
    if error is None or error > WRONG_MM:
        return 0
    if not row["exact"]:
        return None
    return 1 if error < RIGHT_MM else None


def _is_settled(row: Row) -> bool:
    """Is it believed half at most, whatever the weights say, for reasons other than opinions that lie apart?"""
    agreed = {name: 0.0 for name in ("halves_mm", "inverse_mm", "edge_mm", "edge_halves_mm")}
    return belief(Evidence(**{**row["evidence"], **agreed})) <= 0.5


def _arguments(rows: list[Row]) -> np.ndarray:
    return np.array([list(arguments(Evidence(**row["evidence"])).values()) for row in rows])


def _fitted(x: np.ndarray, y: np.ndarray, shrink: float = 2e-3) -> np.ndarray:
    """Logistic regression, each weight at least 0; right and wrong count the same in sum."""
    sign = np.where(y == 1, 1.0, -1.0)
    share = np.where(y == 1, 0.5 / max((y == 1).sum(), 1), 0.5 / max((y == 0).sum(), 1))

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (x @ w[1:] + w[0])
        slope = -sign * share / (1 + np.exp(margin))
        gradient = np.concatenate([[slope.sum()], x.T @ slope + shrink * w[1:]])
        return float(share @ np.logaddexp(0, -margin) + shrink / 2 * (w[1:] ** 2).sum()), gradient

    bounds = [(None, None)] + [(0, None)] * x.shape[1]
    return np.asarray(minimize(loss, np.zeros(x.shape[1] + 1), jac=True, bounds=bounds).x)


# ---- telling ------------------------------------------------------------------------------------------------


def tell(rows: list[Row]) -> None:
    for row in rows:
        certificate = certify(Evidence(**row["evidence"]))
        row["score"], row["verdict"] = certificate.score, certificate.verdict
    print(f"accepted from {ACCEPT}, rejected below {REJECT}; bias {BIAS}, weights {WEIGHTS}")
    seconds = [row["cpu_s"] for row in rows if row["cpu_s"]]
    print(f"register with its certificate: {np.median(seconds):.2f} CPU-s in the middle, {np.max(seconds):.2f} at most")
    for side in SIDES:
        mine = [row for row in rows if row["side"] == side]
        print(f"\n{side + ': kind, pair':44}{'n':>4}{'error mm: median':>18}{'most':>7}"
              f"{'accept':>8}{'review':>8}{'reject':>8}{'score: median':>15}{'most':>6}")  # fmt: skip
        for name in dict.fromkeys((row["kind"], row["what"]) for row in mine):
            _line(" ".join(name), [row for row in mine if (row["kind"], row["what"]) == name])
        _sum(side, mine)
    _sum("all", rows)


def _line(name: str, rows: list[Row]) -> None:
    errors = [row["error_mm"] for row in rows if row["error_mm"] is not None]
    error = f"{np.median(errors):18.1f}{np.max(errors):7.1f}" if errors else f"{'wrong by nature':>25}"
    verdicts = "".join(f"{sum(row['verdict'] == v for row in rows):8}" for v in ("accept", "review", "reject"))
    scores = [row["score"] for row in rows]
    print(f"{name:44}{len(rows):4}{error}{verdicts}{np.median(scores):15.2f}{np.max(scores):6.2f}")


def _sum(name: str, rows: list[Row]) -> None:
    own = [{**row, "error_mm": row.get("own_mm", row["error_mm"])} for row in rows if row["kind"] != "put wrong"]
    for what, some in (
        ("all", rows),
        ("registrations", [row for row in rows if row["kind"] != "put wrong"]),
        ("truth exact", [row for row in rows if row["exact"] or row["kind"] not in RIGHT]),
        ("against the pose found unmoved", own),
    ):
        far = np.array([row["error_mm"] is None or row["error_mm"] > WRONG_MM for row in some])
        near = np.array([row["error_mm"] is not None and row["error_mm"] < RIGHT_MM for row in some])
        score = np.array([row["score"] for row in some])
        sure = np.array([row["verdict"] == "accept" for row in some])
        worthless = np.array([row["error_mm"] is None for row in some])
        print(f"{name}, {what}: n {len(some)}, area under the curve for errors over {WRONG_MM:.0f} mm "
              f"{_area(score[~far], score[far]):.3f}; accepted {sure.sum()}, of them under {RIGHT_MM:.0f} mm "
              f"{(sure & near).sum()}; {(sure & near).sum()} of {near.sum()} right ones accepted; of {worthless.sum()} "
              f"without a right pose {(sure & worthless).sum()} accepted")  # fmt: skip


def _area(right: np.ndarray, wrong: np.ndarray) -> float:
    above = right[:, None] - wrong[None]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def in_place(images: Images) -> None:
    """Images that are said to lie on each other: as they are, and shifted."""
    print(f"\n{'in place':16}{'as they are':>24}{'shifted by 6 mm (MR) or 15 mm (PET)':>40}")
    for patient in (*SARCOMA["tune"], *SARCOMA["held out"], "STS_019"):
        ct = images.named(f"sarcoma {patient} CT")
        for channel, mm in (("MR", 6.0), ("PT", 15.0)):
            other = images.named(f"sarcoma {patient} {channel}")
            told = []
            for image in (other, moved(other, rigid((0, 0, 0), (0.0, -mm, 0.0), (0, 0, 0)))):
                certificate = hx.certify(ct, image).certificate
                assert certificate is not None
                told.append(f"{certificate.verdict} {certificate.score:.2f}")
            print(f"{patient:10}{channel:6}{told[0]:>24}{told[1]:>40}", flush=True)


if __name__ == "__main__":
    main()
