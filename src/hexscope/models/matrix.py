"""Task by modality: what works here, by rule or by model, and on what it was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hexscope.models.shelf import Model

#: What works without a trained model, and what stands behind it: real data, and the command that gives the figure.
MEASURED: Mapping[tuple[str, str], str] = {
    ("segment", "CT"): "phantom, and real soft-tissue sarcoma CT (looked at); no real chest CT",
    ("segment", "MR"): "phantom, and real sarcoma MR (looked at)",
    ("segment", "PT"): "phantom, and one real whole-body PET (`benchmarks/acceptance.py`)",
    ("segment", "US"): "phantom, and real breast and fetal stills (looked at)",
    ("segment", "SM"): "phantom, and two real slides (`benchmarks/acceptance.py`)",
    ("detect", "PT"): "phantom, 24 real sarcoma crops and one whole body (`benchmarks/acceptance.py`)",
    ("register", "CT"): "phantom, and real CT against MR (`benchmarks/registration.py`)",
    ("register", "MR"): "phantom, real MR against CT, and MR sequences among themselves (`benchmarks/registration.py`)",
    ("register", "PT"): "phantom, and real PET against CT and MR (`benchmarks/registration.py`)",
    ("register", "XR"): "real chest X-rays moved by known motions (`benchmarks/registration.py`)",
    ("register", "US"): "real stills moved by known motions (`benchmarks/registration.py`)",
    ("register", "SM"): "one real slide moved and dyed otherwise by known motions (`benchmarks/registration.py`)",
    ("fuse", "CT"): "phantom, and real PET and MR on CT",
    ("fuse", "MR"): "phantom, and real MR on CT",
    ("fuse", "PT"): "phantom, and real PET on CT",
    ("fuse", "XR"): "phantom, one picture on itself",
    ("fuse", "US"): "phantom, one picture on itself",
    ("fuse", "SM"): "phantom, a part of one slide on itself",
}


def matrix(models: Sequence[Model]) -> list[dict[str, Any]]:
    """Rows {task, modality, by, what, measured_on, metrics, licence}: the rules, then each model under its inputs."""
    rows: list[dict[str, Any]] = [
        {"task": task, "modality": modality, "by": "rule", "what": None, "measured_on": text, "metrics": {}}
        for (task, modality), text in MEASURED.items()
    ]
    for model in models:
        card = model.card
        data = card.as_data()
        rows.append(
            {
                "task": card.task,
                "modality": "+".join(channel.modality for channel in card.inputs),
                "by": card.name,
                "what": ", ".join(card.classes),
                "measured_on": f"{card.split or 'patients it was not trained on'} of: {card.trained_on}",
                "metrics": data["metrics"],
                "licence": card.licence,
            }
        )
    return rows
