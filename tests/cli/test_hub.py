"""The Hugging Face Hub in both directions: the library itself, against a server on this machine."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cli.hub_server import TOKEN, Hub, Repository, serving
from numerics.published import save, stargan_v2
from training.tiny import tiny
from translate.cli import main
from translate.config.schema import to_mapping, to_yaml
from translate.downloads import hub as hub_module
from translate.downloads.hub import CARD_MARK, Address, is_address, parse
from translate.errors import UserError
from translate.export import model_card
from translate.runs import checkpoints
from translate.runs.folder import RunFolder
from translate.training import build
from translate.weights.load import of_run

constants = pytest.importorskip("huggingface_hub.constants")


@dataclass(frozen=True)
class Answer:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


Call = Callable[..., Answer]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder with a checkpoint and figures."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    config = tiny()
    data, model = build.build_data(config), build.build_model(config)
    place = RunFolder(folder)
    place.begin(to_yaml(config), [], 0)
    place.note_data({"train": data.train, "val": data.val})
    figures = {"trained": {"domain accuracy, latent": 0.875}, "real images": {"domain accuracy, latent": 1.0}}
    told = {"protocol": "local", "iteration": 0, "environment": {"gpus": ["secret"]}}
    (folder / "metrics").mkdir()
    (folder / "metrics.json").write_text(json.dumps({**told, "figures": figures}))
    clean = {
        **told,
        "protocol": "clean",
        "figures": {"FID, latent": 12.25, "KID": None},
        "columns": {"real": {"KID": 1}},
    }
    (folder / "metrics" / "clean_last.json").write_text(json.dumps(clean))
    checkpoints.write(checkpoints.capture(model, data.domains, to_mapping(config)), RunFolder(folder).checkpoint(0))
    return folder


@pytest.fixture
def hub() -> Iterator[Hub]:
    """Yield a server."""
    with serving() as found:
        yield found


@pytest.fixture
def call(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs a command as somebody who is logged in on a new machine.

    The library reads its settings from the environment when it is imported; `settings` are its constants instead, and
    `token` what HF_TOKEN would be.
    """
    monkeypatch.chdir(tmp_path)

    def run_command(*words: str, token: str = TOKEN, **settings: Any) -> Answer:
        own = {"ENDPOINT": hub.address, "HF_HUB_CACHE": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": True}
        own |= {"HF_HUB_DISABLE_PROGRESS_BARS": True, "HF_TOKEN_PATH": str(tmp_path / "token")}
        own |= settings
        pages = f"{own['ENDPOINT']}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        with monkeypatch.context() as patch:
            patch.setenv("HF_TOKEN", token)
            for name, value in {**own, "HUGGINGFACE_CO_URL_TEMPLATE": pages}.items():
                patch.setattr(constants, name, value)
            capfd.readouterr()
            code = main(words)
            return Answer(code, *capfd.readouterr())

    return run_command


def refused(answer: Answer) -> str:
    """Return the one sentence with which a command is refused."""
    assert answer.code == 2, answer
    assert len(answer.err.splitlines()) == 1, answer.err
    return answer.err


def fetched(call: Call, name: str = "hf://me/critters", **settings: Any) -> Answer:
    return call("import", f"weights={name}", "to=fetched.safetensors", **settings)


def test_weights_go_up_and_come_down(hub: Hub, call: Call, run: Path, tmp_path: Path) -> None:
    answer = call("export", f"run={run}", "to=hf://me/critters", "licence=cc-by-4.0")
    assert answer.code == 0, answer.err
    assert f"{hub.address}/me/critters\n" in answer.out
    repository = hub.repositories["me/critters"]
    assert sorted(repository.files) == ["README.md", "model.safetensors"]
    assert (repository.private, repository.commits) == (False, 1)
    told = repository.files["README.md"].decode()
    for part in (
        'license: "cc-by-4.0"',
        "pipeline_tag: image-to-image",
        "- Domains: bear, cat, rabbit",
        "| domain accuracy, latent | 0.875 | 1 |",
        "## Scores by the protocol `clean`",
        "| | these weights | real |",
        "| FID, latent | 12.25 |  |",
        "| KID |  | 1 |",
        'translate.load("hf://me/critters")',
        "to=hf://me/critters licence=cc-by-4.0",
        of_run(run).data["train"]["fingerprint"],
    ):
        assert part in told
    assert "secret" not in told
    assert fetched(call).code == 0
    assert (tmp_path / "fetched.safetensors").read_bytes()[-1000:] == repository.files["model.safetensors"][-1000:]


def test_a_signature_goes_up_and_is_verified(hub: Hub, call: Call, run: Path, tmp_path: Path) -> None:
    pair = pytest.importorskip("minisign").KeyPair.generate()
    (tmp_path / "lab.key").write_bytes(bytes(pair.secret_key))
    (tmp_path / "lab.pub").write_bytes(bytes(pair.public_key))
    assert call("export", f"run={run}", "to=hf://me/critters", f"sign={tmp_path / 'lab.key'}").code == 0
    repository = hub.repositories["me/critters"]
    name = "model.safetensors.minisig"
    assert sorted(repository.files) == ["README.md", "model.safetensors", name]
    words = (
        "export",
        "weights=hf://me/critters",
        f"verify={tmp_path / 'lab.pub'}",
        f"to={tmp_path / 'out.safetensors'}",
    )
    answer = call(*words)
    assert answer.code == 0, answer.err
    signature = repository.files[name]
    repository.files[name] = signature.replace(b"timestamp:1", b"timestamp:2")
    repository.commits += 1
    assert "the signature is wrong" in refused(call(*words))
    del repository.files[name]
    repository.commits += 1
    assert f"has no file '{name}'" in refused(call(*words))


def test_a_program_loads_from_the_hub(hub: Hub, call: Call, run: Path, tmp_path: Path) -> None:
    """In a process of its own, with the library's settings where a user has them."""
    call("export", f"run={run}", "to=hf://me/critters", "private=true")
    code = (
        "import sys, translate\n"
        "print(translate.load('hf://me/critters').domains)\n"
        "print([name for name in ('pytorch_lightning', 'hydra') if name in sys.modules])\n"
    )
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "token").write_text(TOKEN)  # what `hf auth login` leaves
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    own = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    answer = subprocess.run(
        [sys.executable, "-c", code], env={**kept, **own}, capture_output=True, text=True, check=False
    )
    assert answer.stdout == "('bear', 'cat', 'rabbit')\n[]\n", answer.stderr


def test_a_card_that_a_person_has_changed_stays(hub: Hub, call: Call, run: Path) -> None:
    words = ("export", f"run={run}", "to=hf://me/critters", "private=true")
    assert call(*words).code == 0
    repository = hub.repositories["me/critters"]
    assert repository.private
    ours = repository.files["README.md"]
    repository.files["README.md"] = ours.replace(b"# critters", b"# Critters")
    repository.commits += 1
    assert call(*words).code == 0
    assert repository.files["README.md"] == ours  # its mark says that it may be written anew
    repository.files["README.md"] = b"My own words."
    repository.commits += 1
    assert call(*words).code == 0
    assert repository.files["README.md"] == b"My own words."
    assert repository.commits == 5


def test_a_generated_card_of_the_version_before_is_replaced(hub: Hub, call: Call, run: Path) -> None:
    words = ("export", f"run={run}", "to=hf://me/critters")
    assert call(*words).code == 0
    repository = hub.repositories["me/critters"]
    card = repository.files["README.md"]
    assert b"<!-- Generated by `translate export`. Delete this line to keep your edits. -->" in card
    mark = b"<!-- Written by translate export; this line gone, the card is yours and stays as it is. -->"
    repository.files["README.md"] = mark + b"\n\n# Old\n"
    repository.commits += 1
    assert call(*words).code == 0
    assert repository.files["README.md"] == card


def test_the_library_s_login_opens_what_is_private(hub: Hub, call: Call, run: Path, tmp_path: Path) -> None:
    call("export", f"run={run}", "to=hf://me/critters", "private=true")
    said = refused(fetched(call, token=""))
    assert "no repository me/critters on http://127.0.0.1" in said
    assert "log in: hf auth login" in said
    (tmp_path / "token").write_text(TOKEN)
    assert fetched(call, token="").code == 0


def test_an_exported_graph_comes_from_the_hub(hub: Hub, call: Call, run: Path, tmp_path: Path) -> None:
    words = ("export", f"run={run}", "format=onnx", "graphs=[translate_latent]", f"to={tmp_path / 'a.onnx'}")
    assert call(*words).code == 0
    hub.repositories["you/graph"] = Repository(files={"a.onnx": (tmp_path / "a.onnx").read_bytes()})
    (tmp_path / "a.onnx").unlink()
    Image.new("RGB", (40, 30)).save(tmp_path / "photo.png")
    answer = call("apply", "weights=hf://you/graph/a.onnx", "input=photo.png", "target=bear")
    assert answer.code == 0, answer.err
    with Image.open(tmp_path / "translations" / "photo.png") as translation:
        assert translation.size == (40, 30)


def test_published_files_come_from_the_hub(hub: Hub, call: Call, tmp_path: Path) -> None:
    path = save(stargan_v2(32, 0.0, 2, width=4, widest=16), tmp_path / "100000_nets_ema.ckpt")
    hub.repositories["you/faces"] = Repository(files={path.name: path.read_bytes()})
    answer = fetched(call, f"hf://you/faces/{path.name}")
    assert answer.code == 0, answer.err
    assert "fetched.safetensors: stargan_v2 at 32 px" in answer.out


def test_without_a_connection_the_cache_serves(hub: Hub, call: Call, run: Path, tmp_path: Path) -> None:
    call("export", f"run={run}", "to=hf://me/critters")
    assert fetched(call).code == 0
    for away in ({"ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": True}):
        assert fetched(call, **away).code == 0
        begun = time.monotonic()
        said = refused(fetched(call, HF_HUB_CACHE=str(tmp_path / "new"), **away))
        assert "cannot be reached and the file is not in the cache. Fix: check the connection" in said
        assert time.monotonic() - begun < 15  # the library would try for half a minute
    said = refused(call("export", f"run={run}", "to=hf://me/critters", ENDPOINT="http://127.0.0.1:9"))
    assert "cannot be reached. Fix: check the connection" in said


MISTAKES: list[tuple[tuple[str, ...], str, str]] = [
    (("weights=hf://me/cats",), TOKEN, "has no file 'model.safetensors'. Fix: name one: hf://me/cats/FILE"),
    (("weights=hf://me/cats@old/README.md",), TOKEN, "the repository me/cats has no revision 'old'"),
    (("weights=hf://you/gated",), "hf_other", "the owner grants access on request. Fix: ask on"),
    (("weights=hf://me/cats/README.md",), TOKEN, "it is not loaded, since that could execute code"),
    (("to=hf://me/cats",), "hf_wrong", "refused with status 401 (Invalid username or"),
    (("to=hf://me/new", "licence=my own"), TOKEN, 'Invalid metadata in README.md. - "license" must be'),
    (("to=hf://me/a..b",), TOKEN, "Cannot have -- or .. in repo_id"),
]


@pytest.mark.parametrize(("words", "token", "sentence"), MISTAKES, ids=[sentence for *_, sentence in MISTAKES])
def test_mistakes_are_sentences(
    hub: Hub, call: Call, run: Path, words: tuple[str, ...], token: str, sentence: str
) -> None:
    hub.repositories["me/cats"] = Repository(files={"README.md": b"x"})
    hub.repositories["you/gated"] = Repository(gated=True, files={"model.safetensors": b"x"})
    command = ("import", "to=x.safetensors") if words[0].startswith("weights") else ("export", f"run={run}")
    assert sentence in refused(call(*command, *words, token=token))


# --- without a server ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "wanted"),
    [
        ("hf://me/cats", Address("me/cats")),
        ("hf://me/cats.v2/weights/a.ckpt", Address("me/cats.v2", "weights/a.ckpt")),
        ("hf://me/cats@v1.0/a.ckpt", Address("me/cats", "a.ckpt", "v1.0")),
        ("hf://me/cats@0123abc", Address("me/cats", "model.safetensors", "0123abc")),
    ],
)
def test_addresses(place: str, wanted: Address) -> None:
    assert is_address(place)
    assert parse(place) == wanted


@pytest.mark.parametrize("place", ["hf://", "hf://me", "hf:///me/x", "hf://me/x@/a"])
def test_other_addresses_are_refused(place: str) -> None:
    with pytest.raises(UserError, match="expected hf://owner/name"):
        parse(place)


def test_the_library_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"huggingface_hub is not installed.*translate-gan\[hub\]"):
        hub_module.fetch("hf://me/cats")


def test_the_card_of_weights_that_say_little(run: Path) -> None:
    little = replace(of_run(run), metrics=(), data={}, iteration=None, domains=(), label_sets=())
    told = model_card.text(little, Address("me/cats", "a.safetensors"), "python -m translate export")
    assert "license" not in told
    assert "Licence: not stated" in told
    assert "Measured" not in told
    assert "- Iterations: unknown" in told
    assert 'translate.load("hf://me/cats/a.safetensors")' in told
    assert CARD_MARK in told
