"""Imports point down only, and each layer knows only the libraries that it is for."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from sources import Module, modules

LAYERS = {
    "translate.errors": 0,
    "translate.plugins": 0,
    "translate.registry": 0,
    "translate.run_folder": 0,
    "translate.schedule": 0,
    "translate.signatures": 0,
    "translate.networks": 1,
    "translate.losses": 1,
    "translate.ema": 1,
    "translate.optimizers": 1,
    "translate.distributed": 3,
    "translate.liveness": 1,
    "translate.parts": 1,
    "translate.compilation": 1,
    "translate.grids": 1,
    "translate.pool": 1,
    "translate.translations": 1,
    "translate.metrics": 1,
    "translate.data": 2,
    "translate.data.agreement": 3,
    "translate.data.module": 3,
    "translate.downloads": 2,
    "translate.models": 3,
    "translate.callbacks": 3,
    "translate.artifacts": 3,
    "translate.evaluation": 3,
    "translate.measuring": 3,
    "translate.measuring.best": 0,
    "translate.measuring.command": 5,
    "translate.checkpoints": 3,
    "translate.weights": 3,
    "translate.weights.commands": 5,
    "translate.weights.importing": 5,
    "translate.jobs": 4,
    "translate.tables": 5,
    "translate.sweep": 5,
    "translate.config": 4,
    "translate.build": 5,
    "translate.run": 5,
    "translate.planning": 5,
    "translate.listing": 5,
    "translate.processor": 5,
    "translate.benchmark": 5,
    "translate.cli": 6,
    "translate.__main__": 6,
}
"""Layer by longest prefix. A new module needs a line here, or to lie in a package that has one."""

LIBRARIES = {
    "translate.errors": set(),
    "translate.plugins": set(),
    "translate.registry": set(),
    "translate.schedule": set(),
    "translate.signatures": set(),
    "translate.networks": {"torch"},
    "translate.losses": {"torch"},
    "translate.ema": {"torch"},
    "translate.optimizers": {"torch"},
    "translate.liveness": {"torch"},
    "translate.parts": {"torch", "greenlet"},
    "translate.compilation": {"torch"},
    "translate.grids": {"torch"},
    "translate.pool": {"torch"},
    "translate.translations": {"torch"},
    "translate.weights": {"torch", "safetensors", "numpy", "PIL"},
    "translate.weights.commands": set(),
    "translate.weights.words": set(),
    "translate.weights.hub": {"huggingface_hub"},
    "translate.measuring.best": set(),
    "translate.metrics": {"torch", "numpy", "torchmetrics", "torchvision"},
    "translate.metrics.inception": {"torch", "numpy", "torchvision", "torch_fidelity", "PIL"},
    "translate.data": {"numpy", "PIL", "filelock", "tqdm"},
    "translate.data.datasets.huggingface": {"numpy", "datasets"},
    "translate.data.transforms": {"torch", "numpy"},
    "translate.data.batches": {"torch", "numpy"},
    "translate.data.labels": {"torch"},
    "translate.data.module": {"torch", "numpy", "pytorch_lightning", "tqdm"},
    "translate.downloads": {"filelock", "tqdm", "yaml"},
    "translate.jobs": {"filelock"},
    "translate.tables": {"yaml"},
    "translate.sweep": {"optuna", "yaml"},
    "translate.sweep.report": {"optuna", "matplotlib"},
    "translate.tables.drawing": {"matplotlib"},
    "translate.config": {"hydra", "omegaconf", "yaml", "hydra_plugins"},
    "translate.listing": set(),
    "translate.cli": set(),
    "translate.__main__": set(),
}
"""What a module may import besides the standard library, by longest prefix; no line: anything."""

FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}

MODULES = modules()
IDS = [module.name for module in MODULES]


def prefix(name: str, table: dict) -> str | None:
    """Return the longest prefix of a dotted name that the table knows."""
    parts = name.split(".")
    return next((p for n in range(len(parts), 0, -1) if (p := ".".join(parts[:n])) in table), None)


def layer(name: str) -> int:
    """Return the layer of a module or of something in it; the bare package lies below all."""
    found = prefix(name, LAYERS)
    if found is None:
        assert name in ("translate", "translate.__version__"), f"{name} has no layer"
        return -1
    return LAYERS[found]


@pytest.mark.parametrize("module", MODULES, ids=IDS)
def test_imports_point_down(module: Module) -> None:
    for imported in module.imports():
        if imported.split(".")[0] == "translate":
            assert layer(imported) <= layer(module.name), f"{module.name} imports {imported}"


@pytest.mark.parametrize("module", MODULES, ids=IDS)
def test_libraries(module: Module) -> None:
    found = prefix(module.name, LIBRARIES)
    if found is None:
        return
    for imported in module.imports():
        top = imported.split(".")[0]
        if top != "translate" and top not in sys.stdlib_module_names:
            assert top in LIBRARIES[found], f"{module.name} imports {imported}"


@pytest.mark.parametrize("module", [m for m in MODULES if m.name.startswith("translate.models.")], ids=lambda m: m.name)
def test_models_know_neither_each_other_nor_data_sets(module: Module) -> None:
    for imported in module.imports():
        other_model = imported.startswith("translate.models.") and not imported.startswith("translate.models.base")
        assert not other_model, f"{module.name} imports {imported}"
        assert not imported.startswith("translate.data.datasets"), f"{module.name} imports {imported}"


@pytest.mark.parametrize("module", MODULES, ids=IDS)
def test_nobody_imports_the_command_line(module: Module) -> None:
    if module.name not in ("translate.__main__", "translate.cli"):
        assert not any(imported.startswith("translate.cli") for imported in module.imports())


@pytest.mark.parametrize("module", MODULES, ids=IDS)
def test_names_of_modules_say_something(module: Module) -> None:
    assert not FORBIDDEN_NAMES & set(module.name.split("."))


@pytest.mark.parametrize("module", [m for m in MODULES if m.name.startswith("translate.models.")], ids=lambda m: m.name)
def test_models_say_what_differs(module: Module) -> None:
    if module.name != "translate.models.base":
        text = module.path.read_text(encoding="utf-8")
        assert "\nDifferences" in text, f"{module.name} has no section Differences in its docstring"


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import translate.data.datasets, translate.data.views, translate.data.cache", ("torch", "hydra")),
        ("import translate.cli, translate.__main__", ("torch", "hydra", "omegaconf", "numpy")),
        ("import translate; dir(translate)", ("torch", "hydra", "numpy", "translate.weights")),
        ("import translate; translate.load", ("pytorch_lightning", "hydra", "omegaconf", "huggingface_hub")),
        ("import translate.weights.commands", ("torch", "hydra", "numpy")),
        ("import translate.registry; translate.registry.MODELS.names()", ("torch", "hydra", "numpy")),
        ("import translate.config.launch, translate.config.check", ("torch", "pytorch_lightning")),
        (
            "import translate.networks, translate.losses, translate.ema",
            ("hydra", "omegaconf", "pytorch_lightning"),
        ),
    ],
)
def test_what_importing_does_not_load(statement: str, absent: tuple[str, ...]) -> None:
    code = f"import sys; {statement}; print([m for m in {absent!r} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.stdout.strip() == "[]", answer.stderr or f"{statement} loads {answer.stdout}"
