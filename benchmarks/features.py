"""Radiomic features: the IBSI's reference values, and CPU seconds a lesion beside pyradiomics and MIRP.

    python benchmarks/features.py [--data FOLDER] [--peers PYTHON] [--slow N] [--rows FILE]

First table: features of the IBSI's digital phantom within the published tolerance, by family. Second: tumours outlined
by hand in the set pet-ct-mr-sarcoma, each on its PET, CT and MR, 32 grey levels: all our features, and those of the
families that a peer has, aggregated as it does. PYTHON is one with pyradiomics and mirp; MIRP runs on the first N
tumours (it takes seconds). Values are compared where both tools mean the same feature. Finished rows are kept in
results/features.jsonl and not run again. Intervals draw patients. Set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from real_data import add_data, require

import hexscope as hx
from hexscope.radiomics import FAMILIES, of_array
from hexscope.trust.statistics import mean_interval

ROOT = Path(__file__).resolve().parents[1]
ROWS = Path(__file__).parent / "results" / "features.jsonl"
KINDS = {"pet": "PT:SUVbw", "ct": "CT:HU", "mr": "MR"}
#: What each peer computes by default: families, and the aggregation of its textures.
LIKE = {
    "pyradiomics": (["morph", "stat", "cm", "rlm", "szm", "ngt", "ngl"], ("3D",)),
    "mirp": ([f for f in FAMILIES if f != "plane"], ("3D",)),
}

#: pyradiomics' name of each of our features, where both follow the same definition.
_SAME = {
    "morph_volume": "shape_MeshVolume", "morph_vol_approx": "shape_VoxelVolume", "morph_area_mesh": "shape_SurfaceArea",
    "morph_av": "shape_SurfaceVolumeRatio", "morph_sphericity": "shape_Sphericity",
    "morph_diam": "shape_Maximum3DDiameter", "morph_pca_elongation": "shape_Elongation",
    "morph_pca_flatness": "shape_Flatness", "stat_mean": "firstorder_Mean", "stat_var": "firstorder_Variance",
    "stat_skew": "firstorder_Skewness", "stat_median": "firstorder_Median", "stat_p10": "firstorder_10Percentile",
    "stat_p90": "firstorder_90Percentile", "stat_iqr": "firstorder_InterquartileRange",
    "stat_range": "firstorder_Range",
    "stat_mad": "firstorder_MeanAbsoluteDeviation", "stat_rmad": "firstorder_RobustMeanAbsoluteDeviation",
    "stat_energy": "firstorder_Energy", "stat_rms": "firstorder_RootMeanSquared", "stat_min": "firstorder_Minimum",
    "stat_max": "firstorder_Maximum", "ih_entropy": "firstorder_Entropy", "ih_uniformity": "firstorder_Uniformity",
    "cm_joint_max": "glcm_MaximumProbability", "cm_joint_avg": "glcm_JointAverage", "cm_joint_var": "glcm_SumSquares",
    "cm_joint_entr": "glcm_JointEntropy", "cm_diff_avg": "glcm_DifferenceAverage",
    "cm_diff_var": "glcm_DifferenceVariance", "cm_diff_entr": "glcm_DifferenceEntropy",
    "cm_sum_entr": "glcm_SumEntropy", "cm_energy": "glcm_JointEnergy", "cm_contrast": "glcm_Contrast",
    "cm_inv_diff": "glcm_Id", "cm_inv_diff_norm": "glcm_Idn", "cm_inv_diff_mom": "glcm_Idm",
    "cm_inv_diff_mom_norm": "glcm_Idmn", "cm_inv_var": "glcm_InverseVariance", "cm_corr": "glcm_Correlation",
    "cm_auto_corr": "glcm_Autocorrelation", "cm_clust_tend": "glcm_ClusterTendency",
    "cm_clust_shade": "glcm_ClusterShade", "cm_clust_prom": "glcm_ClusterProminence", "cm_info_corr1": "glcm_Imc1",
    "cm_info_corr2": "glcm_Imc2", "rlm_sre": "glrlm_ShortRunEmphasis", "rlm_lre": "glrlm_LongRunEmphasis",
    "rlm_lgre": "glrlm_LowGrayLevelRunEmphasis", "rlm_glnu": "glrlm_GrayLevelNonUniformity",
    "rlm_rlnu_norm": "glrlm_RunLengthNonUniformityNormalized", "rlm_r_perc": "glrlm_RunPercentage",
    "rlm_gl_var": "glrlm_GrayLevelVariance", "rlm_rl_var": "glrlm_RunVariance", "rlm_rl_entr": "glrlm_RunEntropy",
    "szm_sze": "glszm_SmallAreaEmphasis", "szm_lze": "glszm_LargeAreaEmphasis",
    "szm_hgze": "glszm_HighGrayLevelZoneEmphasis", "szm_zsnu": "glszm_SizeZoneNonUniformity",
    "szm_z_perc": "glszm_ZonePercentage", "szm_zs_var": "glszm_ZoneVariance", "szm_zs_entr": "glszm_ZoneEntropy",
    "ngl_lde": "gldm_SmallDependenceEmphasis", "ngl_hde": "gldm_LargeDependenceEmphasis",
    "ngl_dcnu": "gldm_DependenceNonUniformity", "ngl_dc_var": "gldm_DependenceVariance",
    "ngl_dc_entr": "gldm_DependenceEntropy", "ngt_coarseness": "ngtdm_Coarseness", "ngt_contrast": "ngtdm_Contrast",
    "ngt_busyness": "ngtdm_Busyness", "ngt_complexity": "ngtdm_Complexity", "ngt_strength": "ngtdm_Strength",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--peers", help="a Python that has pyradiomics or mirp")
    parser.add_argument("--slow", type=int, default=2, metavar="N", help="tumours that MIRP is run on")
    parser.add_argument("--rows", type=Path, default=ROWS)
    options = parser.parse_args()
    reference_table()
    require(options.data / "pet-ct-mr-sarcoma")
    rows = _measured(options)
    _print_tools(rows)


# ---- reference values ---------------------------------------------------------------------------------------


def reference_table() -> None:
    """Features of the digital phantom within tolerance, by family."""
    sys.path.insert(0, str(ROOT))
    from tests.radiomics.ibsi_phantom import computed, references

    values, known = computed(), list(references())
    within = Counter(n.split("_")[0] for n, _, v, t in known if abs(values[n] - v) <= t * (1 + 1e-9))
    total = Counter(n.split("_")[0] for n, *_ in known)
    print("| family | reference values | within tolerance |\n|---|---|---|")
    for family in total:
        print(f"| {family} | {total[family]} | {within[family]} |")
    print(f"| all | {total.total()} | {within.total()} |\n")


# ---- lesions ------------------------------------------------------------------------------------------------


def _measured(options: argparse.Namespace) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in options.rows.read_text().splitlines()] if options.rows.exists() else []
    done = {(r["tool"], r["lesion"]) for r in rows}
    options.rows.parent.mkdir(exist_ok=True)
    with options.rows.open("a") as file, tempfile.TemporaryDirectory() as folder:
        for number, (name, image, mask) in enumerate(_lesions(options.data / "pet-ct-mr-sarcoma")):
            tools = ["hexscope"] + (["pyradiomics"] if options.peers else [])
            tools += ["mirp"] if options.peers and number < options.slow else []
            for tool in tools:
                if (tool, name) not in done:
                    row = _row(tool, name, image, mask, options.peers, Path(folder))
                    rows.append(row)
                    file.write(json.dumps(row) + "\n")
                    file.flush()
    return rows


def _lesions(folder: Path) -> Iterator[tuple[str, hx.Image, hx.Mask]]:
    with (folder / "cases.csv").open(encoding="utf-8") as table:
        for row in csv.DictReader(table):
            for channel, kind in ((c, k) for c, k in KINDS.items() if row[c]):
                image = hx.read(folder / row[channel], kind=kind)
                assert isinstance(image, hx.Image)
                yield f"{row['case']} {channel}", image, hx.read_mask(folder / row[f"mask_{channel}"], on=image)


def _row(tool: str, name: str, image: hx.Image, mask: hx.Mask, python: str, folder: Path) -> dict[str, Any]:
    part, values = mask.of(mask.labels[0].value), image.array.astype(np.float64)
    spacing = image.grid.require_spacing("a lesion")
    row: dict[str, Any] = {"tool": tool, "lesion": name, "voxels": int(part.sum())}
    if tool == "hexscope":
        seconds, found = _timed(lambda: of_array(values, part, spacing, LIKE["mirp"][0]))
        return row | {"features": len(found), "seconds": seconds}
    families, by = LIKE[tool]
    settings = hx.FeatureSettings(aggregations=by)
    ours_seconds, ours = _timed(lambda: of_array(values, part, spacing, [*families, "ih"], settings))
    np.savez(folder / "lesion.npz", values=values, mask=part)
    job = {"tool": tool, "file": str(folder / "lesion.npz"), "spacing": list(spacing)}
    script = Path(__file__).with_name("features_peers.py")
    done = subprocess.run([python, str(script)], input=json.dumps(job), capture_output=True, text=True)
    said = [line[4:] for line in done.stdout.splitlines() if line.startswith("JOB ")]
    if not said:
        return row | {"failed": done.stderr.strip().splitlines()[-1:] or ["no word"]}
    answer = json.loads(said[0])
    alike = _alike(tool, ours, answer["features"])
    apart = [n for n, (a, b) in alike.items() if not np.isclose(a, b, rtol=1e-4, atol=1e-9)]
    return row | {
        "features": len(answer["features"]),
        "seconds": answer["seconds"],
        "ours_features": len(ours),
        "ours_seconds": ours_seconds,
        "compared": len(alike),
        "apart": apart,
    }


def _timed(run: Callable[[], dict[str, float]]) -> tuple[float, dict[str, float]]:
    """CPU seconds of the second of two runs, as the peers are timed."""
    run()
    start = time.process_time()
    found = run()
    return time.process_time() - start, found


def _alike(tool: str, ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Ours and theirs of each feature that both have."""
    if tool == "pyradiomics":
        tagged = {n: next((n + t for t in ("", "_3D_avg", "_3D") if n + t in ours), n) for n in _SAME}
        return {n: (ours[tagged[n]], theirs[_SAME[n]]) for n in _SAME if tagged[n] in ours and _SAME[n] in theirs}
    plain = {re.sub(r"_(d1|a0(\.0)?|fbn_n\d+)(?=_|$)", "", k).lower(): v for k, v in theirs.items()}
    return {n: (v, plain[n.lower()]) for n, v in ours.items() if n.lower() in plain}


def _print_tools(rows: list[dict[str, Any]]) -> None:
    print(
        "| tool | features | CPU-ms a lesion | lesions | ours of the same families | equal to 1e-4 | apart | failed |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for tool in ("hexscope", *LIKE):
        every = [r for r in rows if r["tool"] == tool]
        good = [r for r in every if "failed" not in r]
        if good:
            print(f"| {tool} | {_line(tool, good)} | {len(every) - len(good)} |")
        else:
            print(f"| {tool} | not measured | | | | | | {len(every)} |")


def _line(tool: str, rows: list[dict[str, Any]]) -> str:
    e = mean_interval([1e3 * r["seconds"] for r in rows], [r["lesion"].split()[0] for r in rows])
    voxels = [r["voxels"] for r in rows]
    count = f"{len(rows)} of {e.patients} patients, {min(voxels)} to {max(voxels)} voxels"
    text = f"{rows[0]['features']} | {e.mean:.0f} [{e.low:.0f}, {e.high:.0f}] | {count}"
    if tool == "hexscope":
        return text + " | | | "
    apart = Counter(name for r in rows for name in r["apart"])
    pairs = sum(r["compared"] for r in rows)
    ours = f"{rows[0]['ours_features']} in {1e3 * float(np.mean([r['ours_seconds'] for r in rows])):.0f} ms"
    told = ", ".join(f"{name} in {times}" for name, times in apart.most_common()) or "none"
    return f"{text} | {ours} | {pairs - apart.total()} of {pairs} | {told}"


if __name__ == "__main__":
    main()
