"""The report's charts as plain plotly figure data: pure functions from a Report that need no plotly.

A colour is written ``var(--name)``: the page resolves it from its style sheet, so charts follow the theme.
What all figures share (fonts, grid, marker borders) is the template in report.js. One look everywhere: hue is
format and engine, shape and shade are the protocol, a filled marker may be claimed at 99 % confidence, hollow
ones may not, a dashed line is an embedded engine, a cross is an INVALID stage.
"""

from __future__ import annotations

from contract.verdict import Report
from report.figures.tails import Tails
from report.page.charts.attribution import PARTS, attribution
from report.page.charts.course import course
from report.page.charts.drawing import NO_TAILS, Drawing
from report.page.charts.scaling import scaling
from report.page.charts.search import search
from report.page.charts.server import server
from report.page.charts.tail import percentile_tail
from report.page.charts.tradeoff import tradeoff
from report.page.figures import Chart

__all__ = ["PARTS", "Charts"]


class Charts:
    """The charts of one model of a report."""

    def __init__(self, report: Report, model: str, tails: Tails = NO_TAILS) -> None:
        self._drawing = Drawing(report, model, tails)

    def all(self) -> list[Chart]:
        """Every chart, or none when nothing was measured."""
        if not self._drawing.measured:
            return []
        found = [*self.search(), self.tradeoff()]
        if self._drawing.judged:
            found.append(self.tail())
        # An interrupted search may have no more than probes.
        if self._drawing.offered:
            found += [self.attribution(), self.course(), *self.server()]
        return [*found, *self.scaling()]

    def search(self) -> list[Chart]:
        """How the highest rate was found; none where it was not sought."""
        return search(self._drawing)

    def tradeoff(self) -> Chart:
        """Latency against throughput."""
        return tradeoff(self._drawing)

    def tail(self) -> Chart:
        """Open-loop percentiles, latency and service."""
        return percentile_tail(self._drawing)

    def attribution(self) -> Chart:
        """Where the mean milliseconds went."""
        return attribution(self._drawing)

    def course(self) -> Chart:
        """Throughput and median over time."""
        return course(self._drawing)

    def scaling(self) -> list[Chart]:
        """How throughput grew with instances; none where nothing was scaled."""
        return scaling(self._drawing, self._drawing.report.scaling)

    def server(self) -> list[Chart]:
        """What the server used; none where nothing was sampled."""
        return server(self._drawing)
