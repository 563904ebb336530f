"""The file of a W&B sweep as a search of ours: read from YAML, run here, no account needed.

W&B's keys `program`, `command`, `project`, `entity` and `description` say how its agents start runs and are not needed.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

SAMPLERS = {"bayes": "tpe", "random": "random", "grid": "grid"}
UNNEEDED = {"program", "command", "project", "entity", "description", "job", "image_uri"}
KNOWN = {"method", "metric", "parameters", "early_terminate", "name", "run_cap"} | UNNEEDED
UNIFORM = {"uniform", "int_uniform"}
STEPPED = {"q_uniform"}
LOGARITHMIC = {"log_uniform_values", "inv_log_uniform_values"}


def is_one(tree: Mapping[str, Any]) -> bool:
    """Tell whether a mapping is that of a W&B sweep."""
    return "method" in tree and "parameters" in tree


def translated(tree: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """Return a W&B sweep as a mapping for `settings.parse`; what cannot be said there is a problem."""
    found: dict[str, Any] = {"space": {}, "overrides": []}
    problems.extend(f"{key}: this key of a W&B sweep is not known here" for key in tree if key not in KNOWN)
    if tree["method"] not in SAMPLERS:
        problems.append(f"method: found {tree['method']!r}, expected bayes, random or grid")
    found["sampler"] = SAMPLERS.get(tree["method"], "tpe")
    metric = tree.get("metric")
    if isinstance(metric, Mapping) and "name" in metric:
        found["objectives"] = {metric["name"]: metric.get("goal", "minimize")}
    else:
        problems.append("metric: expected name and goal, the figure that the search is for")
    for source, target in (("name", "name"), ("run_cap", "num_trials")):
        if source in tree:
            found[target] = tree[source]
    for key, node in _flat(tree["parameters"], problems):
        value = _parameter(key, node, problems)
        if isinstance(value, str):
            found["overrides"].append(f"{key}={value}")
        elif value is not None:
            found["space"][key] = value
    if tree["method"] == "grid" and "run_cap" not in tree:
        found["num_trials"] = _size(found["space"])
    if "early_terminate" in tree:
        found["pruner"] = _pruner(tree["early_terminate"], metric, problems)
    return found


def _flat(parameters: Any, problems: list[str], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (dotted key, node); nested `parameters` become dots."""
    if not isinstance(parameters, Mapping):
        problems.append(f"parameters: found {parameters!r}, expected a mapping")
        return
    for name, node in parameters.items():
        if not isinstance(node, Mapping):
            problems.append(f"parameters.{path}{name}: found {node!r}, expected value, values, or min and max")
        elif "parameters" in node:
            yield from _flat(node["parameters"], problems, f"{path}{name}.")
        else:
            yield f"{path}{name}", node


def _parameter(key: str, node: Mapping[str, Any], problems: list[str]) -> Any:
    """Return the values of a key as in our files; a text for a constant; None for a problem."""
    if "value" in node:
        return in_hydras_words(node["value"])
    if "values" in node:
        if len(set(node.get("probabilities", [1]))) > 1:
            problems.append(f"parameters.{key}.probabilities: only equal ones can be searched here")
        return list(node["values"])
    kind = node.get("distribution")
    low, high = node.get("min"), node.get("max")
    if (
        low is None
        or high is None
        or (kind is not None and kind not in UNIFORM | STEPPED | LOGARITHMIC | {"log_uniform"})
    ):
        known = ", ".join(sorted(UNIFORM | STEPPED | LOGARITHMIC | {"log_uniform"}))
        problems.append(f"parameters.{key}: expected value, values, or min and max with a distribution among {known}")
        return None
    if kind == "log_uniform":  # its ends are exponents of e
        return {"low": math.exp(low), "high": math.exp(high), "log": True}
    if kind in LOGARITHMIC:
        return {"low": float(low), "high": float(high), "log": True}
    if kind in STEPPED:
        return {"low": low, "high": high, "step": node.get("q", 1)}
    if kind == "uniform":
        return {"low": float(low), "high": float(high)}
    return {"low": low, "high": high}


def in_hydras_words(value: bool | int | float | str | None) -> str:
    """Return a value as an override has it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _size(space: Mapping[str, Any]) -> int:
    sizes = []
    for node in space.values():
        if isinstance(node, list):
            sizes.append(len(node))
        else:
            sizes.append(math.floor((node["high"] - node["low"]) / node.get("step", 1) + 1e-9) + 1)
    return max(1, math.prod(sizes))


def _pruner(node: Any, metric: Any, problems: list[str]) -> dict[str, Any] | None:
    if not isinstance(node, Mapping) or node.get("type") != "hyperband" or not ({"min_iter", "max_iter"} & node.keys()):
        problems.append("early_terminate: expected type hyperband with min_iter, or max_iter and s")
        return None
    reduction = int(node.get("eta", 3))
    least = node.get("min_iter") or max(1, int(node["max_iter"]) // reduction ** int(node.get("s", 1)))
    direction = metric.get("goal", "minimize") if isinstance(metric, Mapping) else "minimize"
    by = metric.get("name") if isinstance(metric, Mapping) else None
    return {"name": "hyperband", "by": by, "direction": direction, "min_iterations": int(least), "reduction": reduction}
