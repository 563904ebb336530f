"""The header of an experiment file: what is asked, what is changed, and what came out.

A file in `experiments/` begins with these lines as comments, in this order; a line that does not begin with a
key continues the one before:

    # Question: does the diversity term widen the range of styles?
    # Baseline: stargan_v2/celeba_hq_256
    # Change: model.weights.generator.diversity 1 -> 0
    # Source: Choi et al. 2020, table 1, configuration E
    # Command: python -m translate experiments=stargan_v2/ablation/e
    # Expected: FID 13.7 +- 0.5
    # Cost: 3 days on one H200
    # Status: not run
"""

from pathlib import Path

from translate.files.reading import read_text

HEADER = ("Question", "Baseline", "Change", "Source", "Command", "Expected", "Cost", "Status")


def header(path: Path) -> dict[str, str]:
    """Return the header of an experiment file, key -> text; keys that are not there are left out."""
    found: dict[str, str] = {}
    current = None
    for line in read_text(path).splitlines():
        if not line.startswith("#"):
            break
        text = line.lstrip("#").strip()
        key, colon, value = text.partition(":")
        if colon and key in HEADER:
            current = key
            found[key] = value.strip()
        elif current and text:
            found[current] = f"{found[current]} {text}"
    return found


def header_problems(path: Path, option: str) -> list[str]:
    """Return what is wrong with the header of the experiment that is chosen by `experiments=option`."""
    found = header(path)
    problems = [f"{path}: the header lacks the line '# {key}: ...'" for key in HEADER if not found.get(key)]
    if not problems and list(found) != list(HEADER):
        problems.append(f"{path}: the header's lines stand in the order {', '.join(HEADER)}")
    if found.get("Command") and f"experiments={option}" not in found["Command"]:
        problems.append(f"{path}: the header's command does not say experiments={option}")
    return problems
