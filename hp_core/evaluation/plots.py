"""Plots of an HTML report as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, ROW, LEFT, RIGHT = 640, 26, 150, 20
HEIGHT = 120
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#a463f2")


def strip_plot(title: str, values: Mapping[str, Mapping[str, float]]) -> str:
    """A dot a pair on a line a system, the mean as a bar; ``values`` by system and pair. Empty where there is none."""
    known = [value for pairs in values.values() for value in pairs.values()]
    if not known:
        return ""
    low, high = min(known), max(known)
    span = high - low or abs(high) or 1.0
    low, high = low - 0.04 * span, high + 0.04 * span
    height = ROW * (len(values) + 2)

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    parts = [_open(height, title), _text(0, 14, title, bold=True)]
    for index, (system, pairs) in enumerate(values.items()):
        y, colour = ROW * (index + 1) + 12, COLOURS[index % len(COLOURS)]
        parts.append(_text(0, y + 4, system))
        parts.append(f'<line x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}" stroke="#ddd"/>')
        for pair, value in pairs.items():
            label = escape(f"{pair}: {value:.4g}")
            parts.append(f'<circle cx="{x(value):.1f}" cy="{y}" r="4" fill="{colour}" fill-opacity="0.5"><title>{label}</title></circle>')
        if pairs:
            mean = x(sum(pairs.values()) / len(pairs))
            parts.append(f'<line x1="{mean:.1f}" y1="{y - 9}" x2="{mean:.1f}" y2="{y + 9}" stroke="{colour}" stroke-width="3"/>')
    y = height - 8
    parts += [_text(LEFT, y, f"{low:.4g}"), _text(WIDTH - RIGHT, y, f"{high:.4g}", anchor="end")]
    return "".join(parts) + "</svg>"


def line_plot(title: str, series: Sequence[float | None]) -> str:
    """A value a frame; gaps where a frame has none. Empty where no frame has one."""
    known = [value for value in series if value is not None]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    span = high - low or abs(high) or 1.0
    step = (WIDTH - LEFT - RIGHT) / max(len(series) - 1, 1)
    path, pen = [], "M"
    for frame, value in enumerate(series):
        if value is None:
            pen = "M"
            continue
        path.append(f"{pen}{LEFT + frame * step:.1f},{HEIGHT - 20 - (value - low) / span * (HEIGHT - 50):.1f}")
        pen = "L"
    labels = (
        _text(0, 14, title, bold=True)
        + _text(LEFT - 8, 34, f"{high:.4g}", anchor="end")
        + _text(LEFT - 8, HEIGHT - 18, f"{low:.4g}", anchor="end")
    )
    labels += _text(LEFT, HEIGHT - 3, "frame 0") + _text(WIDTH - RIGHT, HEIGHT - 3, str(len(series) - 1), anchor="end")
    return f'{_open(HEIGHT, title)}{labels}<path d="{" ".join(path)}" fill="none" stroke="{COLOURS[0]}" stroke-width="2"/></svg>'


def _open(height: int, title: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">'


def _text(x: float, y: float, text: str, *, bold: bool = False, anchor: str = "start") -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x}" y="{y}" font-size="12" text-anchor="{anchor}"{weight}>{escape(text)}</text>'
