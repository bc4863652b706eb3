"""The public face: names, import cost, and verbs that stay verbs."""

from __future__ import annotations

import subprocess
import sys
from types import FunctionType

import hexscope as hx

PUBLIC = [
    "AmbiguousSeries", "Certificate", "FeatureSettings", "Finding", "Findings", "FormatError", "GeometryError", "Grid",
    "HexscopeError", "Image", "InputError", "Mask", "MissingFact", "ModelCard", "NoModelError", "Quantity",
    "QuantityError", "RefusedError", "Scores", "Sphere", "Study", "Transform", "UncalibratedError", "UsageError",
    "View", "audit", "certify", "classify", "compare_plans", "convert", "data_get", "demo", "detect", "evaluate",
    "evaluate_fusion", "evidence", "features", "fuse", "guide", "import_model", "info", "measure", "models", "nearest",
    "open_study", "phantom", "plan", "predict", "quantify", "read", "read_mask", "read_transform", "register",
    "register_group", "register_table", "resample", "save", "segment", "study", "train", "turn",
]  # fmt: skip


def test_public_names_are_these() -> None:
    assert hx.__all__ == PUBLIC
    for name in PUBLIC:
        assert getattr(hx, name) is not None


def test_verbs_stay_verbs_after_their_rooms_are_loaded() -> None:

    for verb in (hx.segment, hx.classify, hx.register, hx.fuse, hx.study):
        assert isinstance(verb, FunctionType)


def _modules_after(code: str) -> set[str]:
    script = f"{code}; import sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_import_is_light() -> None:
    """``import hexscope`` loads no library at all; nothing ever loads torch."""
    loaded = _modules_after("import hexscope")
    assert not loaded & {"numpy", "scipy", "pydicom", "SimpleITK", "nibabel", "PIL", "torch"}


def test_info_does_not_load_what_it_does_not_need() -> None:
    loaded = _modules_after("import hexscope; hexscope.info")
    assert not loaded & {"SimpleITK", "highdicom", "torch", "numba", "jinja2", "openslide"}
