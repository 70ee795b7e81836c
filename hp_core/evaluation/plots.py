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


def curves(title: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """A line of points (x, y) a name, with a legend; an SVG file of its own."""
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    (left, low), (right, high) = (tuple(pick(values) for values in zip(*points, strict=True)) for pick in (min, max))
    height = 300 + ROW * len(lines)

    def place(x: float, y: float) -> str:
        across, up = (x - left) / (right - left or 1), (y - low) / (high - low or 1)
        return f"{60 + across * (WIDTH - 60 - RIGHT):.1f},{260 - up * 220:.1f}"

    parts = [_open(height, title), f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>', _text(8, 18, title, bold=True)]
    for index, (name, line) in enumerate(lines.items()):
        colour, y = COLOURS[index % len(COLOURS)], 300 + ROW * index
        path = " ".join(place(*point) for point in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<line x1="60" y1="{y}" x2="90" y2="{y}" stroke="{colour}" stroke-width="3"/>' + _text(98, y + 4, name))
    parts += [_text(52, 264, f"{low:.4g}", anchor="end"), _text(52, 44, f"{high:.4g}", anchor="end")]
    parts += [_text(60, 278, f"{left:g}"), _text(WIDTH - RIGHT, 278, f"{right:g}", anchor="end")]
    return "".join(parts) + "</svg>"


def _open(height: int, title: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">'


def _text(x: float, y: float, text: str, *, bold: bool = False, anchor: str = "start") -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x}" y="{y}" font-size="12" text-anchor="{anchor}"{weight}>{escape(text)}</text>'
