"""Small charts as SVG text for a page: one figure a case, and curves. Colours are those of the page's style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from hexscope.study.canvas import COLOURS
from hexscope.trust.statistics import Estimate

_WIDTH, _LEFT, _RIGHT = 760, 46, 14


def dots(values: Sequence[float], mean: Estimate) -> str:
    """Every value as a dot, the mean with its interval as a bar: the spread that a mean hides."""
    low, high = _round_ends([*values, *(v for v in (mean.low, mean.high) if not np.isnan(v))])
    height, middle = 96, 40

    def x(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    parts = [_axis(low, high, middle + 28)]
    for value, shift in zip(values, _spread([x(v) for v in values]), strict=True):
        parts.append(f'<circle cx="{x(value):.1f}" cy="{middle + shift:.1f}" r="3.5" fill="#0b6e8f" opacity=".55"/>')
    if not np.isnan(mean.low):
        parts.append(_line([(x(mean.low), 8), (x(mean.high), 8)], "#1c2430", 3))
    parts.append(f'<circle cx="{x(mean.mean):.1f}" cy="8" r="4.5" fill="#1c2430"/>')
    return _svg(height, parts)


def curves(at: Sequence[float], series: Mapping[str, Sequence[float | None]], unit: str) -> str:
    """Lines over ``at``; each with its name at its end. Gaps where a value lacks."""
    held = [v for values in series.values() for v in values if v is not None and np.isfinite(v)]
    low, high = _round_ends(held)
    start, stop = min(at), max(max(at), min(at) + 1e-9)
    height, top, bottom = 230, 12, 190

    def place(t: float, v: float) -> tuple[float, float]:
        across = _LEFT + (t - start) / (stop - start) * (_WIDTH - _LEFT - _RIGHT - 90)
        return across, bottom - (v - low) / (high - low) * (bottom - top)

    parts = []
    for tick in np.linspace(low, high, 5):
        _, y = place(start, float(tick))
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT - 90}" stroke="#dfe4ea"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.3g}</text>')
    for number, (name, values) in enumerate(series.items()):
        colour = "#{:02x}{:02x}{:02x}".format(*(int(c * 0.8) for c in COLOURS[number % len(COLOURS)]))
        points = [place(t, v) for t, v in zip(at, values, strict=True) if v is not None and np.isfinite(v)]
        if points:
            parts.append(_line(points, colour, 2))
            parts.append(
                f'<text x="{points[-1][0] + 6:.1f}" y="{points[-1][1] + 4:.1f}" fill="{colour}">{escape(name)}</text>'
            )
    parts.append(f'<text x="{_LEFT}" y="{bottom + 20}">{start:g}</text>')
    parts.append(f'<text x="{_WIDTH - _RIGHT - 90}" y="{bottom + 20}" text-anchor="end">{stop:g} {escape(unit)}</text>')
    return _svg(height, parts)


def _svg(height: int, parts: Sequence[str]) -> str:
    style = 'style="max-width:100%;font:12px system-ui,sans-serif" fill="#5b6675"'
    return f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img" {style}>{"".join(parts)}</svg>'


def _line(points: Sequence[tuple[float, float]], colour: str, width: int) -> str:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _axis(low: float, high: float, y: float) -> str:
    parts = [f'<path d="M{_LEFT} {y}H{_WIDTH - _RIGHT}" stroke="#dfe4ea"/>']
    for tick in np.linspace(low, high, 6):
        across = _LEFT + (tick - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)
        parts.append(f'<text x="{across:.1f}" y="{y + 18}" text-anchor="middle">{tick:.3g}</text>')
    return "".join(parts)


def _round_ends(values: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis that holds all values, on round figures."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    step = 10.0 ** np.floor(np.log10(max(high - low, 1e-3)))
    step = step / 2 if (high - low) / step < 3 else step
    top = float(np.ceil(high / step - 1e-9) * step)
    return float(np.floor(low / step + 1e-9) * step), 1.0 if high <= 1.0 < top else max(top, low + step)


def _spread(xs: Sequence[float], radius: float = 3.5) -> NDArray[np.float64]:
    """How far each dot moves up or down so that few cover one another; at most 22 pixels."""
    shifts = np.zeros(len(xs))
    placed: list[tuple[float, float]] = []
    offers = [s * k * radius * 1.6 for k in range(5) for s in ((1, -1) if k else (1,))]
    for i in np.argsort(xs):
        free = (o for o in offers if all(abs(xs[i] - px) > 2 * radius or abs(o - po) > radius for px, po in placed))
        shifts[i] = np.clip(next(free, 0.0), -22, 22)
        placed.append((xs[i], shifts[i]))
    return shifts
