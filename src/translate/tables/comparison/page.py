"""A comparison of runs as one HTML page, which needs no other file and no network."""

from collections.abc import Sequence
from html import escape

from translate.tables.collect import Table
from translate.tables.comparison import sections
from translate.tables.comparison.experiments import Experiment
from translate.tables.comparison.style import STYLE

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What a browser may load for the page: nothing. Names in run folders of others can run no code."""


def page(
    experiments: Sequence[Experiment],
    tables: Sequence[Table],
    made_by: str,
    translations: Sequence[sections.Translations] = (),
) -> str:
    """Return the page: scores, curves, sample grids, translations and differences; ``made_by`` stands at its end."""
    count = sum(len(experiment.runs) for experiment in experiments)
    title = f"{count} run{'s' * (count != 1)} of {len(experiments)} experiment{'s' * (len(experiments) != 1)}"
    parts = [
        sections.scores(tables, experiments),
        *sections.curves(experiments),
        *([sections.translations(translations)] if translations else []),
        sections.grids(experiments),
        sections.configuration(experiments),
        sections.runs(experiments),
    ]
    links = "".join(f'<a href="#{part.name}">{part.heading}</a>' for part in parts)
    legend = "".join(f"<li>{each.chip} {escape(each.title)}</li>" for each in experiments)
    body = "".join(f'<section id="{part.name}"><h2>{part.heading}</h2>{part.body}</section>' for part in parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{title}</title><style>{STYLE}</style></head><body>"
        f'<header><h1>{title}</h1><nav>{links}</nav></header><ul class="legend">{legend}</ul><main>{body}</main>'
        f"<footer>{escape(made_by)}</footer></body></html>\n"
    )
