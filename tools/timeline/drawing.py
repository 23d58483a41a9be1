# SPDX-License-Identifier: GPL-2.0
"""A migration as an SVG drawing: x is time, y is memory."""

from html import escape

PAGES_PER_MIB = 256
WIDTH, HEIGHT = 900, 320                # of the plot
LEFT, TOP, RIGHT, BELOW = 70, 56, 20, 92
FREE, LEFT_TO_SEND, GUEST, MARK = "#2563a8", "#c0392b", "#1e8449", "#888"
LABEL_WIDTH = 48                        # room that the name of a round takes
HEAD = ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" '
        'width="{0}" height="{1}" font-family="sans-serif" font-size="12">\n'
        '<rect width="100%" height="100%" fill="white"/>')


def nice_step(span, most=6):
    """The least of 1, 2, 5, 10, 20, 50... that divides it in @most parts at most."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if span / (step * factor) <= most:
                return step * factor
        step *= 10


class Drawing:
    """@events: of one migration, in order of time."""

    def __init__(self, events):
        self._events, self._start = events, events[0].time
        self._ms = max((events[-1].time - self._start) * 1000, 1)
        self._mib = max([e.number(k) / PAGES_PER_MIB for e in events for k in
                         ("deferred_pages", "dirty_pages")] + [1])
        self._out = []

    def _x(self, time):
        return LEFT + (time - self._start) * 1000 / self._ms * WIDTH

    def _y(self, mib):
        return TOP + (1 - mib / self._mib) * HEIGHT

    def _text(self, x, y, text, anchor="start", colour="black"):
        self._out.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
                         f'fill="{colour}">{escape(text)}</text>')

    def _line(self, x1, y1, x2, y2, colour, extra=""):
        self._out.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" '
                         f'y2="{y2:.1f}" stroke="{colour}"{extra}/>')

    def _axes(self):
        step = nice_step(self._mib)
        for mib in range(0, int(self._mib) + 1, step):
            self._line(LEFT, self._y(mib), LEFT + WIDTH, self._y(mib), "#ddd")
            self._text(LEFT - 6, self._y(mib) + 4, f"{mib} MiB", "end")
        step = nice_step(self._ms, 10)
        for ms in range(0, int(self._ms) + 1, step):
            x = LEFT + ms / self._ms * WIDTH
            self._line(x, TOP + HEIGHT, x, TOP + HEIGHT + 5, "black")
            self._text(x, TOP + HEIGHT + 20, f"{ms} ms", "middle")

    def _rounds(self):
        """A line where each begins, by the host; its name where there is room."""
        seen, free_from = set(), 0
        for event in self._events:
            number = event.number("round")
            if event.name != "ram_cfph_walk" or number in seen:
                continue
            seen.add(number)
            x = self._x(event.time)
            self._line(x, TOP, x, TOP + HEIGHT, MARK, ' stroke-dasharray="3 3"')
            if x >= free_from:
                self._text(x + 2, TOP - 8, f"round {number}")
                free_from = x + LABEL_WIDTH

    def _decision(self):
        for event in self._events:
            if event.name == "ram_cfph_decide":
                x = self._x(event.time)
                mib = event.number("skipped_pages") / PAGES_PER_MIB
                self._line(x, TOP, x, TOP + HEIGHT, "black")
                self._text(x - 6, TOP + HEIGHT / 2, "guest stopped:", "end")
                self._text(x - 6, TOP + HEIGHT / 2 + 16, f"{mib:.0f} MiB left out",
                           "end")

    def _steps(self, field, colour):
        """A value holds until the next look."""
        points, y = [], None
        for event in self._events:
            if event.side != "host" or field not in event.fields:
                continue
            x = self._x(event.time)
            if y is not None:
                points.append(f"{x:.1f},{y:.1f}")
            y = self._y(event.number(field) / PAGES_PER_MIB)
            points.append(f"{x:.1f},{y:.1f}")
        self._out.append(f'<polyline points="{" ".join(points)}" fill="none" '
                         f'stroke="{colour}" stroke-width="2"/>')

    def _passes(self):
        y = TOP + HEIGHT + 32
        self._text(LEFT - 6, y + 10, "passes", "end", GUEST)
        for event in self._events:
            if event.name == "cfph_pass":
                x = self._x(event.time)
                self._line(x, y, x, y + 12, GUEST, ' stroke-width="2"')

    def _legend(self):
        y = TOP + HEIGHT + 72
        for at, (what, colour) in enumerate((
                ("free, set aside (host)", FREE), ("left to send (host)", LEFT_TO_SEND),
                ("pass over what has changed (guest)", GUEST))):
            x = LEFT + 210 * at
            self._line(x, y - 4, x + 18, y - 4, colour, ' stroke-width="3"')
            self._text(x + 24, y, what)

    def text(self):
        self._axes()
        self._rounds()
        self._decision()
        self._steps("deferred_pages", FREE)
        self._steps("dirty_pages", LEFT_TO_SEND)
        self._passes()
        self._legend()
        return "\n".join([HEAD.format(LEFT + WIDTH + RIGHT, TOP + HEIGHT + BELOW),
                          *self._out, "</svg>\n"])
