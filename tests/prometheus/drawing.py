# SPDX-License-Identifier: Apache-2.0
"""Draws a dashboard's panels where it puts them, with what Prometheus answers to their queries.

Grafana draws more beautifully; this needs none. Stats are numbers, time series are lines with their last values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import dates, pyplot, ticker

from tests.prometheus.conftest import Prometheus
from tests.prometheus.dashboard import filled

_COLUMN, _ROW, _DPI = 0.6, 0.38, 90  # inches of a unit of gridPos
_COLUMNS = 24  # Grafana's
_MOST_NAMED = 9
_LEGEND, _TITLE = 2.6, 1.1  # rows of the grid below and above a chart
_BINARY = ("", "Ki", "Mi", "Gi", "Ti")


@dataclass(frozen=True)
class Span:
    """Which time a picture shows, in seconds since 1970, and what the dashboard's variables are."""

    begin: float
    end: float
    step: float
    variables: Mapping[str, str]


@dataclass(frozen=True)
class Line:
    """One series of a panel."""

    name: str
    times: list[datetime]
    values: list[float]


def _bytes(value: float, _position: object = None) -> str:
    step = 0
    while abs(value) >= 1024 and step < len(_BINARY) - 1:
        value, step = value / 1024, step + 1
    return f"{value:.3g} {_BINARY[step]}B"


def _plain(unit: str) -> Callable[..., str]:
    return lambda value, _position=None: (f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}") + unit


def _seconds(value: float, _position: object = None) -> str:
    return f"{value * 1e3:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"


def _percent(value: float, _position: object = None) -> str:
    return f"{value * 100:.3g} %"


_UNITS: dict[str, Callable[..., str]] = {
    "bytes": _bytes,
    "s": _seconds,
    "percentunit": _percent,
    "ops": _plain("/s"),
    "short": _plain(""),
}


def lines(prometheus: Prometheus, panel: Mapping[str, Any], span: Span) -> Iterator[Line]:
    """The series of a panel, named as its legend says."""
    for target in panel["targets"]:
        found = prometheus.get(
            "/api/v1/query_range",
            query=filled(target["expr"], span.variables),
            start=str(span.begin),
            end=str(span.end),
            step=str(span.step),
        )["result"]
        for series in found:
            name = _legend(target["legendFormat"], series["metric"])
            times = [datetime.fromtimestamp(at) for at, _ in series["values"]]
            yield Line(name, times, [float(value) for _, value in series["values"]])


def _legend(form: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda label: labels.get(label[1], ""), form).strip()


def _stat(axes: Any, prometheus: Prometheus, panel: Mapping[str, Any], span: Span) -> None:
    value = next(lines(prometheus, panel, span)).values[-1]  # lastNotNull
    text = _UNITS[panel["fieldConfig"]["defaults"]["unit"]](value)
    axes.text(0.5, 0.45, text, ha="center", va="center", fontsize=26, color="#1a7f37", transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])


def _series(axes: Any, prometheus: Prometheus, panel: Mapping[str, Any], span: Span) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    unit = _UNITS[defaults["unit"]]
    found = sorted(lines(prometheus, panel, span), key=lambda line: -max(line.values))
    for line in found:
        axes.plot(line.times, line.values, linewidth=1.1, label=f"{line.name}  {unit(line.values[-1])}")
    axes.set_xlim(datetime.fromtimestamp(span.begin), datetime.fromtimestamp(span.end))
    highest = max((max(line.values) for line in found), default=0)
    axes.set_ylim(bottom=defaults.get("min"), top=defaults.get("max") or (None if highest else 1))
    axes.xaxis.set_major_locator(dates.AutoDateLocator(minticks=3, maxticks=panel["gridPos"]["w"]))
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(axes.xaxis.get_major_locator(), show_offset=False))
    axes.yaxis.set_major_locator(_ticks(axes.get_ylim()[1], defaults["unit"]))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(unit))
    axes.grid(color="#dddddd", linewidth=0.5)
    if not found:
        axes.text(0.5, 0.5, "No data", ha="center", va="center", fontsize=8, color="#888888", transform=axes.transAxes)
        return
    handles, names = axes.get_legend_handles_labels()
    axes.legend(
        handles[:_MOST_NAMED],
        names[:_MOST_NAMED],
        fontsize=6.5,
        loc="upper left",
        bbox_to_anchor=(0, -0.8 / (panel["gridPos"]["h"] - _LEGEND - _TITLE)),
        ncols=3 if panel["gridPos"]["w"] > _COLUMNS / 3 else 2,
        frameon=False,
        handlelength=1,
        borderaxespad=0,
        columnspacing=1,
    )


def _ticks(top: float, unit: str) -> ticker.Locator:
    """At most four or so; of bytes at round ones."""
    if unit == "bytes" and top >= 1:
        return ticker.MultipleLocator(2 ** math.ceil(math.log2(top / 4)))
    return ticker.MaxNLocator(4)


def draw(prometheus: Prometheus, dashboard: Mapping[str, Any], span: Span, file: Path) -> None:
    """All panels into one PNG."""
    mpl.use("agg")
    mpl.rcParams["text.parse_math"] = False  # "$cgroup" is no formula
    panels = dashboard["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) + 1
    size = (_COLUMNS * _COLUMN, height * _ROW)
    figure = pyplot.figure(figsize=size, dpi=_DPI)
    chosen = ", ".join(f"{name} = {value}" for name, value in span.variables.items())
    figure.text(0.01, 1 - 0.55 / height, dashboard["title"], fontsize=12, weight="bold", va="center")
    figure.text(0.99, 1 - 0.55 / height, chosen, fontsize=7, color="#666666", va="center", ha="right")
    for panel in panels:
        at = panel["gridPos"]
        left, top = at["x"] / _COLUMNS, 1 - (at["y"] + 1) / height
        if panel["type"] == "row":
            figure.text(left + 0.01, top - 0.5 / height, panel["title"], fontsize=10, weight="bold", va="center")
            continue
        stat = panel["type"] == "stat"
        legend = 0.3 if stat else _LEGEND
        margin = 0.01 if stat else 0.045
        place = (
            left + margin,
            top - (at["h"] - legend) / height,
            at["w"] / _COLUMNS - margin - 0.01,
            (at["h"] - legend - _TITLE) / height,
        )
        axes = figure.add_axes(place)
        axes.tick_params(labelsize=7, color="#aaaaaa")
        for spine in axes.spines.values():
            spine.set_color("#cccccc")
        axes.set_title(panel["title"], fontsize=8.5, loc="left")
        (_stat if stat else _series)(axes, prometheus, panel, span)
    figure.savefig(file)
    pyplot.close(figure)
