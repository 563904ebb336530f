"""The wheel and the source distribution, built and installed outside the repository, without network.

An environment holds the installed libraries of the package and of one extra, by links: nothing is downloaded or copied.
"""

import os
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release.test_files import ROOT, script

pytestmark = pytest.mark.slow
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TRAINING_WORDS = [
    *("model=stargan_v2_small", "iterations=1", "metrics=none", "trainer=cpu", "data.num_images=20", "data.cache=null"),
    *("data.num_val_images=20", "data.image_size=32", "data.batch_size=2", "sample_every=null", "trainer.threads=1"),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the source distribution of the repository, and the wheel that is built from it."""
    place = tmp_path_factory.mktemp("dist")
    words = ["-m", "build", "--no-isolation", "--skip-dependency-check", "--outdir", str(place), str(ROOT)]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def environment(place: Path, wheel: Path, requirements: Sequence[str]) -> Path:
    """Make an environment with a wheel, and links to what is installed here of its requirements; return its Python."""
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    (site,) = (place / "lib").glob("python3*/site-packages")
    names = {canonicalize_name(Requirement(text).name): set(Requirement(text).extras) for text in requirements}
    for name in script("notice").closure(names):
        try:
            link_distribution(metadata.distribution(name), site)
        except metadata.PackageNotFoundError:
            continue  # of another platform
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install"]
    done = subprocess.run([*pip, "--no-index", "--no-deps", str(wheel)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return python


def link_distribution(distribution: metadata.Distribution, site: Path) -> None:
    """Link the files of a distribution; folders that several of them share, such as nvidia/, are made."""
    for top in {path.parts[0] for path in distribution.files or [] if path.parts[0] != ".."}:
        source, target = Path(str(distribution.locate_file(top))), site / top
        if top in ("nvidia", "google"):
            target.mkdir(exist_ok=True)
            for child in source.iterdir():
                if not (target / child.name).exists():
                    (target / child.name).symlink_to(child)
        elif source.exists() and not target.exists():
            target.symlink_to(source)


def run(python: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the console script of an environment in a folder, without the variables of this process that name code."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))}
    command = [str(python.parent / "translate-gan"), *words]
    return subprocess.run(
        command, cwd=folder, env={**kept, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def smallest(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment without extras."""
    (wheel,) = built.glob("*.whl")
    return environment(tmp_path_factory.mktemp("smallest"), wheel, PROJECT["dependencies"])


def test_the_source_distribution_holds_the_repository(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    apart = (".ci/", ".gitignore")
    missing = [name for name in files if name not in names and not name.startswith(apart) and (ROOT / name).exists()]
    assert missing == []


def test_the_wheel_holds_the_licence_and_the_notice(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        about = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
    assert {name.rpartition("/")[2] for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}
    assert not [name for name in names if name.startswith(("tests", "docs", "release"))]
    assert "Provides-Extra: train" in about


def test_the_smallest_installation_translates(smallest: Path, tmp_path: Path) -> None:
    version = run(smallest, tmp_path, "--version", "--verbose")
    facts = dict(line.split(maxsplit=1) for line in version.stdout.splitlines() if not line.startswith("extra"))
    assert facts["pytorch-lightning"] == facts["hydra-core"] == "missing"
    assert "not a checkout" in facts["translate"]
    assert "extra train" in version.stdout
    done = run(smallest, tmp_path, "apply", "output=out")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").rglob("*.png"))) > 6
    for words in (["list"], ["--help"], ["grid", "output=grid.png"], ["schema", "to=schemas"]):
        assert run(smallest, tmp_path, *words).returncode == 0, words
    code = "import translate; print(translate.load('critters').domains)"
    done = subprocess.run([str(smallest), "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "rabbit" in done.stdout


def test_the_smallest_installation_says_what_training_needs(smallest: Path, tmp_path: Path) -> None:
    done = run(smallest, tmp_path, *TRAINING_WORDS)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("Fix: pip install 'translate-gan[train]'\n")


def test_the_extra_trains(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    requirements = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["train"]]
    python = environment(tmp_path / "env", wheel, requirements)
    done = run(python, tmp_path, *TRAINING_WORDS, "folder=trained")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "trained" / "checkpoints").glob("*.safetensors"))
    assert run(python, tmp_path, "show", "experiments=demo").returncode == 0  # experiments and conf are in the wheel
    done = run(python, tmp_path, "apply", "weights=trained", "output=out")
    assert done.returncode == 2  # images are asked for, since the model is not the one that ships
    assert "input" in done.stderr


def test_onnx_runtime_alone_translates(built: Path, smallest: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    assert run(smallest, tmp_path, "apply", "output=first").returncode == 0
    source = next((tmp_path / "first").rglob("*.png"))
    words = ["export", "weights=critters", "format=onnx", "graphs=[translate_latent]", "to=animals.onnx"]
    here = [sys.executable, "-m", "translate", *words]
    subprocess.run(here, cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    python = environment(tmp_path / "env", wheel, ["onnxruntime", "numpy", "pillow", "filelock", "tqdm"])
    missing = subprocess.run([str(python), "-c", "import torch"], capture_output=True, text=True, check=False)
    assert "No module named 'torch'" in missing.stderr
    done = run(python, tmp_path, "apply", "weights=animals.onnx", f"input={source}", "target=cat", "output=second")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "second").rglob("*.png"))
