"""Measure a model by protocols: streamed, sharded over processes, resumable.

`routes` says which images become what, `streaming` translates and tallies, `statistics` keeps the side of the real
images, `files` finds weights, `results` keeps figures, `protocol` puts these together, `command` is
`python -m translate evaluate`.
"""
