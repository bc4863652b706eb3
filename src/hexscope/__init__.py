"""Hexscope (六镜): six kinds of medical image, five tasks, one physical space.

Read a medical image, know where every pixel lies and what its number means, then segment, detect, register and
fuse it. Research software, not a medical device: it gives candidates and scores, never a diagnosis.

>>> import hexscope as hx
>>> sorted(hx.__all__)[:4]
['AmbiguousSeries', 'Certificate', 'Finding', 'Findings']
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: Public name -> module that has it. Loaded at first use, so that ``import hexscope`` stays quick.
_HOME = {
    **dict.fromkeys(
        (
            "audit", "classify", "convert", "demo", "detect", "evidence", "features", "guide", "info", "measure",
            "nearest", "open_study", "phantom", "quantify", "read", "read_mask", "read_transform", "resample", "save",
            "segment", "study",
        ),
        "hexscope.verbs",
    ),
    **dict.fromkeys(
        ("certify", "evaluate_fusion", "fuse", "register", "register_group", "register_table", "turn"),
        "hexscope.pair_verbs",
    ),
    **dict.fromkeys(
        ("compare_plans", "data_get", "evaluate", "import_model", "models", "plan", "predict", "train"),
        "hexscope.model_verbs",
    ),
    **dict.fromkeys(("Image", "Mask", "Study"), "hexscope.core.image"),
    **dict.fromkeys(("Finding", "Findings", "Scores"), "hexscope.core.results"),
    **dict.fromkeys(("Transform", "Certificate"), "hexscope.core.transform"),
    "FeatureSettings": "hexscope.radiomics.settings",
    "Grid": "hexscope.core.geometry",
    "ModelCard": "hexscope.models.card",
    "Quantity": "hexscope.core.quantity",
    "Sphere": "hexscope.detect.threshold",
    "View": "hexscope.fuse.planes",
    **dict.fromkeys(
        (
            "HexscopeError", "UsageError", "InputError", "FormatError", "GeometryError", "UncalibratedError",
            "QuantityError", "MissingFact", "AmbiguousSeries", "RefusedError", "NoModelError",
        ),
        "hexscope.errors",
    ),
}  # fmt: skip

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"hexscope has no {name!r}; it has {', '.join(__all__)}")
    thing = getattr(import_module(_HOME[name]), name)
    globals()[name] = thing  # the next look-up does not come here
    return thing


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


class _Package(ModuleType):
    """``hexscope.segment`` is the verb, though a room of that name exists.

    Python binds a submodule to its parent whenever it is imported; the rooms named like a verb are left out of
    that, so that ``hx.segment(image)`` works before and after the room was loaded.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and name in _HOME):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


if TYPE_CHECKING:
    from hexscope.core.geometry import Grid as Grid
    from hexscope.core.image import Image as Image
    from hexscope.core.image import Mask as Mask
    from hexscope.core.image import Study as Study
    from hexscope.core.quantity import Quantity as Quantity
    from hexscope.core.results import Finding as Finding
    from hexscope.core.results import Findings as Findings
    from hexscope.core.results import Scores as Scores
    from hexscope.core.transform import Certificate as Certificate
    from hexscope.core.transform import Transform as Transform
    from hexscope.detect.threshold import Sphere as Sphere
    from hexscope.errors import *  # noqa: F403
    from hexscope.model_verbs import *  # noqa: F403
    from hexscope.models.card import ModelCard as ModelCard
    from hexscope.pair_verbs import *  # noqa: F403
    from hexscope.radiomics.settings import FeatureSettings as FeatureSettings
    from hexscope.verbs import *  # noqa: F403
