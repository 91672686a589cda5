"""Small plots of one run over time, side by side, as an SVG that needs nothing else."""

import math
from html import escape

PANEL_WIDTH, PANEL_HEIGHT, COLUMNS = 460, 200, 2
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 30, 34  # of a panel, around its plot
HEAD = 44
COLOURS = ["#1f5fa8", "#d1662b", "#3c8d4f", "#8a4fa0"]
FONT = "font-family='DejaVu Sans, Helvetica, Arial, sans-serif'"
OUTLIER = 3  # times the 95th percentile: what is higher does not set the scale


class Panel:
    """lines: {label: values}, one value for each moment, None where there is none.

    The vertical axis begins at 0 and ends where nearly all values do; what is higher is drawn at its end, and the highest named.
    """

    def __init__(self, title, unit, lines):
        self.title, self.unit, self.lines = title, unit, lines

        self._values = sorted(v for values in lines.values() for v in values if v is not None) or [0]

    @property
    def highest(self):
        return self._values[-1]

    @property
    def top(self):
        return min(self.highest, OUTLIER * self._values[int(0.95 * (len(self._values) - 1))]) or self.highest or 1


def nice_step(span, steps):
    """The smallest of 1, 2, 5, 10, 20, ... that covers the span in so many steps."""
    power = 10 ** math.floor(math.log10(span / steps))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor * steps >= span * 0.999)


def ticks(top, steps):
    step = nice_step(top, steps)
    return [step * at for at in range(math.ceil(top / step - 0.001) + 1)]


def text(x, y, content, anchor="start", size=11, colour="#444", more=""):
    return (f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' font-size='{size}' fill='{colour}' {FONT} {more}>"
            f"{escape(content)}</text>")


def line(x1, y1, x2, y2, colour):
    return f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{colour}' stroke-width='1'/>"


def axes(panel, scale_x, scale_y, time_ticks, value_ticks):
    left, right, bottom = scale_x(time_ticks[0]), PANEL_WIDTH - RIGHT, scale_y(0)
    parts = []
    for value in value_ticks:
        parts += [line(left, scale_y(value), right, scale_y(value), "#ccc" if value else "#888"),
                  text(left - 6, scale_y(value) + 4, f"{value:g}", "end")]
    for moment in time_ticks:
        if scale_x(moment) <= right + 0.5:
            parts += [line(scale_x(moment), bottom, scale_x(moment), bottom + 4, "#888"),
                      text(scale_x(moment), bottom + 16, f"{moment:g}", "middle")]
    parts.append(text(right, bottom + 29, "minutes", "end", 10, "#777"))
    if panel.highest > value_ticks[-1]:
        parts.append(text(left + 4, TOP + 12, f"highest: {panel.highest:.3g}", size=10, colour="#777"))
    parts.append(text(LEFT - 48, TOP - 12, f"{panel.title}, {panel.unit}", size=13, colour="#111", more="font-weight='bold'"))
    return parts


def legend(panel):
    """From the right, above the plot."""
    if len(panel.lines) < 2:
        return []
    parts, x = [], PANEL_WIDTH - RIGHT
    for label, colour in reversed(list(zip(panel.lines, COLOURS))):
        parts.append(text(x, TOP - 12, label, "end", 11, colour, "font-weight='bold'"))
        x -= 7 * len(label) + 12
    return parts


def curve(minutes, values, scale_x, scale_y, colour):
    """Pieces between moments without a value; a piece of one moment is a dot."""
    path, drawing = [], False
    for moment, value in zip(minutes, values):
        if value is not None:
            path.append(f"{'L' if drawing else 'M'}{scale_x(moment):.1f},{scale_y(value):.1f}" + ("" if drawing else "h0"))
        drawing = value is not None
    return (f"<path d='{' '.join(path)}' fill='none' stroke='{colour}' stroke-width='1.3' stroke-linejoin='round' "
            f"stroke-linecap='round'/>")


def panel_parts(panel, minutes):
    value_ticks, time_ticks = ticks(panel.top, 4), ticks(minutes[-1] or 1, 8)
    wide, high = PANEL_WIDTH - LEFT - RIGHT, PANEL_HEIGHT - TOP - BOTTOM

    def scale_x(moment):
        return LEFT + wide * moment / (minutes[-1] or 1)

    def scale_y(value):
        return TOP + high * (1 - min(1.0, value / value_ticks[-1]))

    curves = [curve(minutes, values, scale_x, scale_y, colour) for values, colour in zip(panel.lines.values(), COLOURS)]
    return axes(panel, scale_x, scale_y, time_ticks, value_ticks) + legend(panel) + curves


def svg_of(title, subtitle, minutes, panels):
    rows = -(-len(panels) // COLUMNS)
    width, height = COLUMNS * PANEL_WIDTH, HEAD + rows * PANEL_HEIGHT
    parts = [f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' viewBox='0 0 {width} {height}'>",
             f"<rect width='{width}' height='{height}' fill='white'/>",
             text(10, 20, title, size=15, colour="#111", more="font-weight='bold'"), text(10, 37, subtitle)]
    for at, panel in enumerate(panels):
        x, y = at % COLUMNS * PANEL_WIDTH, HEAD + at // COLUMNS * PANEL_HEIGHT
        parts += [f"<g transform='translate({x},{y})'>", *panel_parts(panel, minutes), "</g>"]
    return "\n".join([*parts, "</svg>", ""])
