"""Tables of measured runs: read and grouped, written as Markdown, LaTeX and CSV, drawn with error bars."""
