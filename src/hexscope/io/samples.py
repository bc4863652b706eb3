"""Small real files that our declared packages ship: real bytes for the demo, without a download."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

#: Files of the package pydicom (MIT), and what each is.
SHIPPED = {
    "CT_small.dcm": "CT slice, GE",
    "MR_small.dcm": "MR slice, Toshiba",
    "examples_rgb_color.dcm": "ultrasound frame in colour",
}


def shipped_files() -> list[Path]:
    """Paths of those that are installed; a packager may have left test files out."""
    folder = Path(str(resources.files("pydicom") / "data" / "test_files"))
    return [folder / name for name in SHIPPED if (folder / name).is_file()]
