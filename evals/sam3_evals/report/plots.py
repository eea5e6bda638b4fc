"""Plots as inline SVG: a histogram, a reliability diagram, a scatter plot."""

from collections.abc import Sequence
from typing import Any

WIDTH, HEIGHT = 360, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 36
_INK, _BAR, _POINT = "#444", "#4477aa", "#aa3377"


def histogram(counts: Sequence[int], label: str) -> str:
    """Bars over 0..1, one a count."""
    most = max(1, *counts)
    step = 1 / len(counts)
    bars = [
        f'<rect x="{_x(i * step):.1f}" y="{_y(n / most):.1f}" width="{(_x(step) - _x(0)) - 1:.1f}"'
        f' height="{_y(0) - _y(n / most):.1f}" fill="{_BAR}">'
        f"<title>{i * step:.2f} to {(i + 1) * step:.2f}: {n}</title></rect>"
        for i, n in enumerate(counts)
    ]
    return _frame("".join(bars), label, "cases", ("0", "0.5", "1"), ("0", f"{most}"))


def reliability(bins: Sequence[dict[str, float]]) -> str:
    """Mean presence of a bin against the share in which it is there; the diagonal is perfect, area is cases."""
    most = max((row["cases"] for row in bins), default=1)
    line = f'<line x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}" stroke="{_INK}" stroke-dasharray="4 4"/>'
    dots = "".join(
        _dot(row["presence"], row["there"], 2 + 7 * (row["cases"] / most) ** 0.5, f"{row['cases']} cases")
        for row in bins
    )
    return _frame(line + dots, "presence said", "share there", ("0", "0.5", "1"), ("0", "1"))


def scatter(points: Sequence[tuple[float, float]], label: str) -> str:
    """(x, y in 0..1) points; x from 0 to the largest."""
    most = max((x for x, _ in points), default=0.0) or 1.0
    dots = "".join(_dot(x / most, y, 2.5, f"{x:.4g}, IoU {y:.2f}") for x, y in points)
    return _frame(dots, label, "IoU", ("0", f"{most / 2:.3g}", f"{most:.3g}"), ("0", "1"))


def _frame(inside: str, x_label: str, y_label: str, x_ticks: Sequence[str], y_ticks: Sequence[str]) -> str:
    parts: list[Any] = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{x_label}">',
        f'<path d="M{_x(0)},{_y(1)}V{_y(0)}H{_x(1)}" fill="none" stroke="{_INK}"/>',
        inside,
        *(_text(_x(i / (len(x_ticks) - 1)), _y(0) + 14, tick) for i, tick in enumerate(x_ticks)),
        *(_text(_LEFT - 6, _y(i / (len(y_ticks) - 1)) + 4, tick, "end") for i, tick in enumerate(y_ticks)),
        _text(_x(0.5), HEIGHT - 4, x_label),
        f'<text transform="translate(12 {_y(0.5)}) rotate(-90)" text-anchor="middle">{y_label}</text>',
        "</svg>",
    ]
    return "".join(parts)


def _dot(x: float, y: float, radius: float, title: str) -> str:
    return (
        f'<circle cx="{_x(x):.1f}" cy="{_y(y):.1f}" r="{radius:.1f}" fill="{_POINT}" fill-opacity=".5">'
        f"<title>{title}</title></circle>"
    )


def _text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def _x(share: float) -> float:
    return _LEFT + share * (WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)
