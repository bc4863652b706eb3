"""The demo: write the digital patient, study it, and hold what was found against the truth, misses included."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hexscope.core.image import Image
from hexscope.io.files import atomic_write
from hexscope.io.samples import shipped_files
from hexscope.phantom import write_phantom
from hexscope.study.result import StudyResult
from hexscope.study.run import NOBODY, Listener, study

#: What the demo promises.
MOST_REGISTRATION_ERROR_MM = 3.0
MOST_SECONDS = 90.0
MOST_MEMORY_GB = 2.0

_REAL = "real files of pydicom"


@dataclass(frozen=True)
class Check:
    """One line of the comparison. ``holds`` is None for what is told but not promised."""

    what: str
    found: str
    holds: bool | None

    def line(self) -> str:
        mark = {True: "ok  ", False: "MISS", None: "    "}[self.holds]
        return f"{mark} {self.what}: {self.found}"


def demo(
    out: Path,
    *,
    seed: int = 0,
    listener: Listener = NOBODY,
    language: str = "en",
) -> Mapping[str, Any]:
    """Write the phantom to ``out``, study it into ``out``/report, compare; gives the study's JSON and ``comparison``.

    The comparison is also written to ``out``/comparison.json. All patients here are synthetic, except for a few real
    files that pydicom ships; they are read and audited with the rest and not held against any truth.
    """
    started = time.perf_counter()
    listener.say("writing the digital patient")
    made = write_phantom(out, seed=seed)
    real = made.folder / _REAL
    real.mkdir(exist_ok=True)
    for file in shipped_files():
        shutil.copyfile(file, real / file.name)
    result = study(made.folder, out / "report", listener=listener, language=language)
    truth = json.loads(made.truth.read_text(encoding="utf-8"))
    checks = compare(result, truth, made.folder)
    checks += _costs(time.perf_counter() - started)
    comparison = {
        "synthetic": True,
        "passed": all(c.holds is not False for c in checks),
        "checks": [{"what": c.what, "found": c.found, "holds": c.holds} for c in checks],
        "lines": [c.line() for c in checks],
    }
    text = json.dumps(comparison, indent=1, ensure_ascii=False)
    atomic_write(out / "comparison.json", lambda p: p.write_text(text, encoding="utf-8"))
    return {**result.as_json(), "comparison": comparison}


def compare(result: StudyResult, truth: Mapping[str, Any], folder: Path) -> list[Check]:
    """Faults, registration, lesions and organ volumes against the truth file."""
    return [
        *_fault_checks(result, truth, folder),
        *_registration_checks(result, truth),
        *_lesion_checks(result, truth),
        *_volume_checks(result, truth),
    ]


# ---- faults -------------------------------------------------------------------------------------------------


def _fault_checks(result: StudyResult, truth: Mapping[str, Any], folder: Path) -> list[Check]:
    """Every planted fault is found where it was planted, and no sound series is accused."""
    found = _found_faults(result, folder)
    checks = []
    accounted: set[tuple[str, str]] = set()
    for fault in truth["faults"]:
        places = {fault["series"]} if fault["series"] else set(fault["paths"])
        hits = {(place, fault["code"]) for place in places} & found
        accounted |= {(place, fault["code"]) for place in places}
        holds = len(hits) == len(places)
        checks.append(Check(f"planted {fault['code']}", f"{len(hits)} of {len(places)} found", holds))
    for series in truth["series"]:
        accounted |= {(series["series"], code) for code in series["faults"]}
    invented = sorted(f"{code} on {place}" for place, code in found - accounted if _REAL not in place)
    checks.append(Check("faults invented", ", ".join(invented) or "none", not invented))
    return checks


def _found_faults(result: StudyResult, folder: Path) -> set[tuple[str, str]]:
    """(series or relative path, code) of every fault that the audit told. A series of one file counts by both."""
    found = set()
    for case in result.cases:
        files = [_relative(f, folder) for f in case.row["files"]]
        real = any(f.startswith(_REAL) for f in files)
        for fault in case.audited.faults:
            place = files[0] if real or (len(files) == 1 and fault.code.startswith("file.")) else case.id
            found.add((place, fault.code))
    for other in result.others:
        found |= {(_relative(other.where, folder), fault.code) for fault in other.faults}
    return found


def _relative(file: str, folder: Path) -> str:
    path = Path(file)
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


# ---- registration -------------------------------------------------------------------------------------------


def _registration_checks(result: StudyResult, truth: Mapping[str, Any]) -> list[Check]:
    checks = []
    images = {c.id: c.image for c in result.cases if c.image is not None}
    by_moving = {r.moving: r for r in result.registrations}
    for motion in truth["motions"]:
        for uid in motion["moving"]:
            what = f"registration of {_described(truth, uid)}"
            joined = by_moving.get(uid)
            if joined is None:
                checks.append(Check(what, "not made", False))
                continue
            points = _lattice(images[uid])
            matrix = np.array(motion["matrix_lps"])
            expected = points @ matrix[:3, :3].T + matrix[:3, 3]
            error = float(np.linalg.norm(joined.transform.points(points) - expected, axis=1).mean())
            before = float(np.linalg.norm(points - expected, axis=1).mean())
            verdict = joined.transform.certificate.verdict if joined.transform.certificate else "unchecked"
            found = f"{error:.2f} mm mean error, {before:.1f} mm before; certificate: {verdict}"
            checks.append(Check(what, found, error < MOST_REGISTRATION_ERROR_MM))
    return checks


def _lattice(image: Image) -> np.ndarray[Any, np.dtype[np.float64]]:
    """LPS points spread through the inner part of an image, (125, 3)."""
    steps = [np.linspace(0.2, 0.8, 5) * (n - 1) for n in image.grid.shape]
    index = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
    return image.grid.to_world(index)


def _described(truth: Mapping[str, Any], uid: str) -> str:
    return next((str(s["description"]).partition(". ")[0] for s in truth["series"] if s["series"] == uid), uid)


# ---- lesions and organs -------------------------------------------------------------------------------------


def _lesion_checks(result: StudyResult, truth: Mapping[str, Any]) -> list[Check]:
    """Each lesion that PET shows: found or missed; and the candidates that are no lesion."""
    pet = {s["series"] for s in truth["series"] if s["role"] == "pet"}
    candidates = [f for f in result.findings() if f["series"] in pet]
    centers = np.array([f["center_lps_mm"] for f in candidates]).reshape(-1, 3)
    checks, used = [], set()
    for lesion in truth["lesions"]:
        distance = np.linalg.norm(centers - np.array(lesion["center_lps_mm"]), axis=1)
        near = float(distance.min()) if distance.size else np.inf
        hit = near <= max(lesion["diameter_mm"] / 2, 5.0)
        what = f"{lesion['name']}, {lesion['diameter_mm']:g} mm"
        if hit:
            used.add(int(distance.argmin()))
            suv = candidates[int(distance.argmin())]["measures"].get("suv_max")
            planted = lesion["suv_max_in_pet"]
            found = f"found {near:.1f} mm from its centre; SUVmax {suv:.2f}, in the image {planted:.2f}"
        else:
            stated = "" if lesion["detectable"] else f", below the stated {truth['detectable_from_mm']:g} mm"
            found = f"missed{stated}"
        checks.append(Check(what, found, hit if lesion["detectable"] else None))
    extra = len(candidates) - len(used)
    checks.append(Check("candidates that are no lesion", f"{extra} (healthy uptake; each is in the report)", None))
    return checks


def _volume_checks(result: StudyResult, truth: Mapping[str, Any]) -> list[Check]:
    """Lung volume of the segmented CT beside the truth; told, not promised: vessels and edges count either way."""
    ct = {s["series"] for s in truth["series"] if s["role"] == "ct"}
    measured = {m["name"]: m["volume_ml"] for c in result.cases if c.id in ct for m in c.measures}
    checks = []
    for name, volume in truth["organs_ml"].items():
        name = name.replace("_", " ")
        if measured.get(name):
            found = f"{measured[name]:.0f} ml, truth {volume:.0f} ml"
            checks.append(Check(f"volume of {name}", found, None))
    return checks


def _costs(seconds: float) -> list[Check]:
    wall = Check("wall seconds", f"{seconds:.0f} (promised: under {MOST_SECONDS:.0f})", seconds < MOST_SECONDS)
    if sys.platform == "win32":  # it has no getrusage
        return [wall]
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gigabytes = peak / (2**30 if sys.platform == "darwin" else 2**20)
    told = f"{gigabytes:.2f} GB (promised: under {MOST_MEMORY_GB:g})"
    return [wall, Check("peak memory", told, gigabytes < MOST_MEMORY_GB)]
