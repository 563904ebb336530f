"""Published data sets: where they lie, under which terms, and how they come to this machine.

`sources` knows what there is (YAML files in the folder of that name), `fetching` gets a file, `unpacking` opens an
archive without trusting it, `command` is `python -m translate download`. Nothing here imports torch or Hydra.
"""
