"""The reports as one self-contained HTML file with plots: no scripts, no external fonts or images.

Plots are SVG, made by matplotlib (the extra `stasis-callback[reports]`). User-chosen names are escaped by the
template, and by matplotlib in plots.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
from jinja2 import Environment
from matplotlib.figure import Figure

from stasis_callback.admin.output import Record, published
from stasis_callback.store.calls.reports import OTHERS

if TYPE_CHECKING:
    from stasis_callback.store.calls.reports import Span

BARS_LIMIT = 15
ROWS_LIMIT = 100
CAPTIONS = {
    "day": "By day",
    "account": "By account",
    "prefix": "By prefix",
    "trunk": "By trunk",
    "refusals": "Refused requests",
}

_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ title }}</title>
<style>
body { font: 16px/1.4 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 2rem auto; max-width: 78rem;
  padding: 0 1rem }
figure { margin: 1rem 0 }
figure svg { width: 100%; height: auto }
.wide { overflow-x: auto }
table { border-collapse: collapse; margin: 1rem 0 2rem; font-variant-numeric: tabular-nums }
caption { text-align: left; font-weight: 600; padding: .3rem 0 }
th, td { text-align: right; font-size: .9rem; padding: .2rem .5rem; border-bottom: 1px solid #ccc;
  white-space: nowrap }
th:first-child, td:first-child { text-align: left }
@media print { body { margin: 0; max-width: none } figure, tr { break-inside: avoid } }
</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
<p>{{ first }} to {{ last }}, time zone {{ time_zone }}.</p>
{% for section in sections %}
<section>
<h2>{{ section.caption }}</h2>
{% if section.rows %}
{% for plot in section.plots %}
<figure role="img" aria-label="{{ plot.label }}">{{ plot.svg | safe }}</figure>
{% endfor %}
<div class="wide" tabindex="0" role="region" aria-label="{{ section.caption }}: table">
<table>
<caption>{{ section.caption }}{% if section.left_out %} (the first {{ section.rows | length }};
{{ section.left_out }} more not shown){% endif %}</caption>
<thead>
<tr>{% for name in section.columns %}<th scope="col">{{ name | replace("_", " ") }}</th>{% endfor %}</tr>
</thead>
<tbody>
{% for row in section.rows %}
<tr>{% for name in section.columns %}<td>{{ "" if row[name] is none else row[name] }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
</div>
{% else %}
<p>No data for this period.</p>
{% endif %}
</section>
{% endfor %}
</main>
</body>
</html>
"""


def render(title: str, spans: Sequence[Span], tables: Mapping[str, Sequence[Record]], time_zone: str) -> str:
    """The HTML page. `tables` maps each grouping (and `refusals`) to its records."""
    sections = [_section(by, rows) for by, rows in tables.items()]
    template = Environment(autoescape=True).from_string(_TEMPLATE)
    first, last = spans[0].name, spans[-1].name
    return template.render(title=title, first=first, last=last, time_zone=time_zone, sections=sections)


def _section(by: str, rows: Sequence[Record]) -> dict[str, object]:
    shown = [published(row) for row in rows[:ROWS_LIMIT]]
    return {
        "caption": CAPTIONS[by],
        "columns": [name for name in (shown[0] if shown else {}) if not name.endswith("_micros")],
        "rows": shown,
        "left_out": len(rows) - len(shown),
        "plots": _plots(by, rows) if rows else [],
    }


def _plots(by: str, rows: Sequence[Record]) -> list[dict[str, str]]:
    if by == "refusals":
        named = [(f"{row['reason']} ({row['trigger']})", _number(row["count"])) for row in rows]
        return [_plot("Refused requests by reason", _bars(named, "requests"))]
    plots = []
    for currency in sorted({str(row["currency"]) for row in rows}):
        of_one = [row for row in rows if row["currency"] == currency]
        if by == "day":
            plots.append(
                _plot(f"Revenue, cost and margin by day in {currency}", _money_by_day(of_one, currency))
            )
            plots.append(_plot(f"Attempts, answered legs and ASR by day ({currency})", _calls_by_day(of_one)))
        else:
            named = [
                (str(row[by]), _number(row["revenue_micros"]) / 1e6) for row in of_one if row[by] != OTHERS
            ]
            plots.append(_plot(f"Revenue {CAPTIONS[by].lower()} in {currency}", _bars(named, currency)))
    return plots


def _plot(label: str, figure: Figure) -> dict[str, str]:
    """An SVG to embed in a page. Text stays text, and output is reproducible: no date, no random ids."""
    file = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    text = file.getvalue()
    return {"label": label, "svg": text[text.index("<svg") :]}


def _money_by_day(rows: Sequence[Record], currency: str) -> Figure:
    figure = Figure(figsize=(10, 3.2))
    axes = figure.subplots()
    days = [str(row["day"]) for row in rows]
    for name, marker in (("revenue", "o"), ("cost", "s"), ("margin", "^")):
        values = [_number(row[f"{name}_micros"]) / 1e6 for row in rows]
        axes.plot(days, values, label=name, marker=marker, markersize=4)
    axes.set_ylabel(currency)
    axes.legend(frameon=False)
    _thin(axes, days)
    return figure


def _calls_by_day(rows: Sequence[Record]) -> Figure:
    figure = Figure(figsize=(10, 3.2))
    axes = figure.subplots()
    days = [str(row["day"]) for row in rows]
    axes.bar(days, [_number(row["attempts"]) for row in rows], color="#c5cdd8", label="attempts")
    axes.bar(days, [_number(row["answered"]) for row in rows], color="#2f6f9f", label="answered")
    axes.set_ylabel("legs")
    ratio = axes.twinx()
    ratio.plot(days, [_number(row["asr_percent"]) for row in rows], color="#a03b16", marker="o", markersize=4)
    ratio.set_ylabel("ASR, percent")
    ratio.set_ylim(0, 105)
    axes.legend(frameon=False, loc="upper left")
    _thin(axes, days)
    return figure


def _bars(named: Sequence[tuple[str, float]], unit: str) -> Figure:
    """A horizontal bar chart, largest value at the top, at most BARS_LIMIT bars."""
    shown = sorted(named, key=lambda pair: -pair[1])[:BARS_LIMIT]
    figure = Figure(figsize=(10, 0.8 + 0.3 * len(shown)))
    axes = figure.subplots()
    places = range(len(shown))
    axes.barh(places, [value for _, value in shown], color="#2f6f9f")
    # Escaped, because matplotlib would render $...$ in a name as a formula.
    axes.set_yticks(places, [name.replace("$", r"\$") for name, _ in shown])
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    return figure


def _thin(axes: object, days: Sequence[str]) -> None:
    """Label about twelve dates at most, so that they stay readable."""
    step = max(len(days) // 12, 1)
    axes.set_xticks(range(0, len(days), step), days[::step], rotation=30, ha="right")  # type: ignore[attr-defined]


def _number(value: object) -> float:
    """A number for a plot; NaN (a gap) where the value is unknown."""
    return float(value) if isinstance(value, int | float) else float("nan")
