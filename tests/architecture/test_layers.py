"""Imports go strictly downward between the folders of the package, and each folder knows only its libraries."""

import subprocess
import sys
from pathlib import Path

import pytest

from architecture.sources import MODULES, Module

FLOORS = (
    *("errors", "signals", "files", "console", "schedules", "sizes"),
    "registry",
    "distributed",
    "networks",
    "losses",
    "acceleration",
    "data",
    "metrics",
    "downloads",
    "runs",
    "config",
    "weights",
    "inference",
    "models",
    "evaluation",
    "training",
    "export",
    "tables",
    "profiling",
    "doctor",
    "serving",
    "sweeps",
    "commands",
    "cli",
    "__main__",
)
"""Folders and loose modules from the ground floor up; each imports only what stands before it, and itself."""

LIBRARIES = {
    "signals": set(),
    "errors": set(),
    "files": {"yaml"},
    "console": set(),
    "schedules": set(),
    "sizes": set(),
    "registry": set(),
    "distributed": {"torch", "pytorch_lightning", "lightning_fabric", "greenlet"},
    "networks": {"torch"},
    "losses": {"torch"},
    "acceleration": {"torch", "triton"},
    "data": {"torch", "numpy", "PIL", "filelock", "tqdm", "pytorch_lightning", "datasets"},
    "metrics": {"torch", "numpy", "torchmetrics", "torchvision", "torch_fidelity", "PIL", "dlib"},
    "downloads": {"resvg_py", "filelock", "tqdm", "huggingface_hub", "fsspec"},
    "runs": {"torch", "safetensors", "filelock", "numpy", "PIL"},
    "config": {"hydra", "omegaconf", "yaml"},
    "weights": {"torch", "safetensors", "minisign"},
    "inference": {"torch", "safetensors", "numpy", "PIL", "tqdm", "imageio_ffmpeg", "onnxruntime"},
    "models": {"torch", "numpy", "pytorch_lightning"},
    "evaluation": {"torch", "numpy", "tqdm", "filelock"},
    "training": {"torch", "numpy", "pytorch_lightning", "lightning_fabric", "tqdm", "wandb"},
    "export": {"torch", "numpy", "onnx"},
    "tables": {"matplotlib"},
    "profiling": {"torch", "numpy", "pytorch_lightning"},
    "doctor": {"torch", "numpy", "PIL", "tqdm", "filelock"},
    "serving": {"numpy", "PIL", "gradio", "fastapi", "uvicorn"},
    "sweeps": {"hydra", "hydra_plugins", "omegaconf", "optuna", "matplotlib"},
    "commands": {"torch", "numpy", "PIL"},
    "cli": set(),
    "__main__": set(),
}
"""The third-party packages that a folder imports by a statement, beside the standard library."""

FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}

IDS = [module.name for module in MODULES]


def folder(name: str) -> str | None:
    """Return the folder or loose module of a dotted name; None for the package itself."""
    first = name.split(".")[1] if "." in name else None
    return first if first in FLOORS else None


def test_every_module_is_in_a_folder_of_the_list() -> None:
    loose = {module.name.split(".")[1] for module in MODULES if module.name != "translate"}
    assert sorted(loose) == sorted(FLOORS)


@pytest.mark.parametrize("module", MODULES, ids=IDS)
def test_imports_go_strictly_downward(module: Module) -> None:
    own = folder(module.name)
    for imported in module.imports():
        if imported.split(".")[0] == "translate" and (other := folder(imported)) is not None:
            assert own is not None, f"{module.name} imports {imported}"
            assert other == own or FLOORS.index(other) < FLOORS.index(own), f"{module.name} imports {imported}"


@pytest.mark.parametrize("module", MODULES, ids=IDS)
def test_libraries(module: Module) -> None:
    allowed = LIBRARIES.get(folder(module.name) or "", set())
    for imported in module.imports():
        top = imported.split(".")[0]
        if top != "translate" and top not in sys.stdlib_module_names:
            assert top in allowed, f"{module.name} imports {imported}"


def test_every_listed_library_is_imported() -> None:
    used = {(folder(module.name), imported.split(".")[0]) for module in MODULES for imported in module.imports()}
    listed = [(name, library) for name, libraries in LIBRARIES.items() for library in sorted(libraries)]
    assert [pair for pair in listed if pair not in used] == []


VARIANTS = {"translate.models.dclgan": "translate.models.cyclegan"}
"""A model -> the model of which it is a subclass: with other terms it has the same adversaries, pools and grids."""


@pytest.mark.parametrize("module", [m for m in MODULES if m.name.startswith("translate.models.")], ids=lambda m: m.name)
def test_models_know_neither_each_other_nor_data_sets(module: Module) -> None:
    names = ("base", "ema", "image_pool", "penalties", "places", "recording", "roles", "two_domains", "update_parts")
    shared = tuple(f"translate.models.{name}" for name in names)
    for imported in module.imports():
        other_model = imported.startswith("translate.models.") and not imported.startswith(shared)
        other_model = other_model and not imported.startswith(VARIANTS.get(module.name, "-"))
        assert not other_model, f"{module.name} imports {imported}"
        assert not imported.startswith("translate.data.datasets"), f"{module.name} imports {imported}"


@pytest.mark.parametrize("module", MODULES, ids=IDS)
def test_names_of_modules_say_something(module: Module) -> None:
    assert not FORBIDDEN_NAMES & set(module.name.split("."))


@pytest.mark.parametrize("path", sorted(Path(MODULES[0].path).parent.rglob("__init__.py")), ids=lambda p: p.parent.name)
def test_init_files_are_empty(path: Path) -> None:
    if path != MODULES[0].path:
        assert path.read_text() == "", f"{path}: registries find parts by themselves, so nothing is listed here"


@pytest.mark.parametrize(
    "module",
    [m for m in MODULES if m.name.startswith("translate.models.") and 'MODELS.register("' in m.path.read_text()],
    ids=lambda m: m.name,
)
def test_models_say_what_differs(module: Module) -> None:
    text = module.path.read_text(encoding="utf-8")
    assert "\nDifferences" in text, f"{module.name} has no section Differences in its docstring"


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import translate.data.datasets.folder, translate.data.views.reference, translate.data.cache",
            ("torch", "hydra"),
        ),
        ("import translate.cli, translate.__main__", ("torch", "hydra", "omegaconf", "numpy")),
        ("import translate; dir(translate)", ("torch", "hydra", "numpy", "translate.weights")),
        (
            "from translate.config.json_schema.documents import document; document('experiment')",
            ("torch", "pytorch_lightning", "hydra", "omegaconf"),
        ),
        ("import translate; translate.load", ("pytorch_lightning", "hydra", "omegaconf", "huggingface_hub")),
        (
            "from translate.registry.registry import MODELS; MODELS.names()",
            ("torch", "hydra", "numpy"),
        ),
        (
            "import translate.sweeps.grid, translate.config.command_line, translate.config.check",
            ("torch", "pytorch_lightning"),
        ),
        (
            "import translate.networks.stargan_v2, translate.losses.adversarial",
            ("hydra", "omegaconf", "pytorch_lightning"),
        ),
    ],
)
def test_what_importing_does_not_load(statement: str, absent: tuple[str, ...]) -> None:
    code = f"import sys; {statement}; print([m for m in {absent!r} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.stdout.strip() == "[]", answer.stderr or f"{statement} loads {answer.stdout}"
