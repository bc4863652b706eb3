"""Self-contained pages in English and Chinese: templates, style, and figures as a person reads them."""

from __future__ import annotations

import base64
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from hexscope import __version__


def render_page(template: str, *, language: str, title: str, **context: Any) -> str:
    """The page made from ``page/TEMPLATE``; it refers to no other host."""
    from markupsafe import Markup

    css = (resources.files("hexscope.study") / "page" / "report.css").read_text(encoding="utf-8")
    return str(
        _environment()
        .get_template(template)
        .render(
            language="zh" if language == "zh" else "en",
            title=title,
            css=Markup(css),
            version=__version__,
            **context,
        )
    )


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("hexscope.study", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    environment.filters["significant"] = significant
    environment.filters["basename"] = lambda p: Path(p).name
    return environment


def significant(value: float, digits: int = 3) -> str:
    """``value`` with so many significant digits, never in powers of ten for readable sizes."""
    if value == 0 or not np.isfinite(value):
        return f"{value:g}"
    places = max(digits - 1 - int(np.floor(np.log10(abs(value)))), 0)
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
