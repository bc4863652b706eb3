"""Small charts as SVG text for a page: one figure a case, and curves. Colours are those of the page's style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

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


def square(
    lines: Mapping[str, tuple[NDArray[Any], NDArray[Any]]], across: str, up: str, sizes: Sequence[int] | None = None
) -> str:
    """Lines from 0 to 1 over 0 to 1, and the diagonal; ``sizes`` makes dots of their points, as large as they say."""
    side, left, top = 260, 52, 10
    parts = [
        f'<path d="M{left} {top}V{top + side}H{left + side}" fill="none" stroke="#9aa5b1"/>',
        f'<path d="M{left} {top + side}L{left + side} {top}" stroke="#dfe4ea" stroke-dasharray="4 4"/>',
        f'<text x="{left + side / 2}" y="{top + side + 30}" text-anchor="middle">{escape(across)}</text>',
        f'<text x="14" y="{top + side / 2}" text-anchor="middle" transform="rotate(-90 14 {top + side / 2})">'
        f"{escape(up)}</text>",
    ]
    for value in (0, 0.5, 1):
        parts.append(f'<text x="{left + value * side}" y="{top + side + 15}" text-anchor="middle">{value:g}</text>')
        parts.append(f'<text x="{left - 6}" y="{top + side * (1 - value) + 4}" text-anchor="end">{value:g}</text>')
    for number, (name, (x, y)) in enumerate(lines.items()):
        colour = "#{:02x}{:02x}{:02x}".format(*(int(c * 0.8) for c in COLOURS[number % len(COLOURS)]))
        points = [(left + float(a) * side, top + (1 - float(b)) * side) for a, b in zip(x, y, strict=True)]
        parts.append(_line(points, colour, 2))
        for (a, b), n in zip(points, sizes or (), strict=False):
            parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{min(3 + n**0.5 / 2, 12):.1f}" fill="{colour}"/>')
        parts.append(f'<text x="{left + side + 12}" y="{top + 16 + 18 * number}" fill="{colour}">{escape(name)}</text>')
    return _svg(top + side + 40, parts)


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
