"""The style sheet of a comparison of runs."""

COLOURS = (
    ("#0072b2", "#fff", "#4da9e0"),
    ("#d55e00", "#fff", "#f0873a"),
    ("#009e73", "#fff", "#2fc79b"),
    ("#b8488f", "#fff", "#df86bd"),
    ("#b88400", "#fff", "#e6b83c"),
    ("#6a4fb3", "#fff", "#a48ee6"),
    ("#3aa0d8", "#000", "#7fcdf5"),
    ("#6b6b6b", "#fff", "#a8a8a8"),
)
"""Of each experiment: its colour on white, the ink on it, and its colour on black; distinct without red or green."""

_RULES = """
:root { --paper: #fff; --ink: #1c1f24; --soft: #5d6570; --line: #d9dde3; --tint: #f3f5f8; --best: #e3f4e8 }
* { box-sizing: border-box }
html { scroll-padding-top: 4.5rem }
body { margin: 0 auto; max-width: 1360px; padding: 0 1rem 3rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif }
h1 { font-size: 1.4rem; margin: 1.2rem 0 .4rem }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line) }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem }
p, .notes { color: var(--soft); max-width: 75ch }
small { display: block; color: var(--soft); font-size: .8rem; font-weight: 400 }
code { font: .87em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem }
a { color: #0b63b0 }
.legend { position: sticky; top: 0; z-index: 3; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem;
  margin: .8rem -1rem 0; padding: .5rem 1rem; max-height: 30vh; overflow-y: auto; list-style: none;
  background: var(--paper) }
.legend li { overflow-wrap: anywhere }
.chip { display: inline-block; min-width: 1.5em; padding: 0 .35em; border-radius: .3em; text-align: center;
  background: var(--c); color: var(--on) }
.notes { font-size: .87rem; padding-left: 1.2rem }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .4rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: .4rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line) }
tr:last-child > * { border-bottom: 0 }
thead th { background: var(--tint); vertical-align: bottom; white-space: nowrap }
th:first-child { min-width: 12.5rem; position: sticky; left: 0; z-index: 1; background: var(--tint); font-weight: 500 }
td.best { background: var(--best) }
td.ref { color: var(--soft) }
.scores td { white-space: nowrap }
.scores td small { white-space: normal; min-width: 9rem }
.keys td, .keys th { max-width: 28rem; overflow-wrap: anywhere }
.runs td { min-width: 6rem; overflow-wrap: anywhere }
.runs th { white-space: nowrap; min-width: 0 }
dt { margin-top: .6rem }
dd { margin: 0 }
.strip { width: 200px }
figcaption small { display: inline; margin-left: .6em }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(340px, 100%), 1fr)); gap: 1rem 1.2rem }
.grids { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(560px, 100%), 1fr)); gap: 1rem 1.2rem;
  align-items: start }
figure { margin: 0; min-width: 0 }
figcaption { font-weight: 500; margin-bottom: .2rem; overflow-wrap: anywhere }
svg { display: block; width: 100%; height: auto; overflow: visible }
svg text { fill: var(--soft); font-size: 11px }
.grid { stroke: var(--line); fill: none; stroke-width: 1 }
.line { fill: none; stroke: var(--c) }
.line { stroke-width: 1.6; stroke-linejoin: round }
.d1.line { stroke-dasharray: 5 3 }
.d2.line { stroke-dasharray: 2 2 }
.dot { fill: var(--c) }
.seed { fill: none; stroke: var(--c) }
.bar { stroke: var(--c); stroke-width: 3; opacity: .45 }
.lane { stroke: var(--line) }
path.ref { stroke-width: 1.5 }
.source { stroke: #8a6d1a; stroke-dasharray: 3 2 }
.real { stroke: #2a7d3f }
.grids label { display: block; cursor: zoom-in }
.grids input { position: absolute; opacity: 0 }
.grids input:focus-visible + img { outline: 3px solid #0b63b0 }
.grids img { display: block; width: 100%; height: auto; background: #fff; border: 1px solid var(--line) }
.grids figure:has(:checked) { grid-column: 1 / -1; overflow-x: auto }
.grids figure:has(:checked) label { cursor: zoom-out }
.grids figure:has(:checked) img { width: auto; max-width: none; min-width: 100% }
details { margin: .8rem 0 }
summary { cursor: pointer; color: #0b63b0 }
footer { margin-top: 3rem; color: var(--soft); font-size: .87rem; overflow-wrap: anywhere }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15181c; --ink: #e7eaee; --soft: #a3abb6; --line: #343a43; --tint: #1e2329; --best: #17402a }
  a, summary { color: #7db8ef }
  .source { stroke: #d9b64a }
  .real { stroke: #5cc47a }
}
@media (max-width: 600px) {
  .legend { position: static; max-height: none }
  html { scroll-padding-top: 0 }
  th, td { padding: .35rem .5rem }
  .scores th:first-child { min-width: 8rem; max-width: 8rem; overflow-wrap: anywhere }
  .strip { width: 130px }
  .keys th:first-child { min-width: 0; max-width: 9.5rem; overflow-wrap: anywhere }
}
@media print { .legend { position: static } .scroll { overflow: visible } }
"""


def _colours() -> str:
    light = "".join(f".c{k}{{--c:{colour};--on:{ink}}}" for k, (colour, ink, _) in enumerate(COLOURS))
    dark = "".join(f".c{k}{{--c:{colour};--on:#000}}" for k, (_, _, colour) in enumerate(COLOURS))
    return f"{light}@media (prefers-color-scheme: dark){{{dark}}}"


STYLE = _RULES + _colours()
