"""Signatures are those of minisign, in both directions, and nothing unsigned is read."""

import builtins
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import translate
from translate.cli import commands, main
from translate.commands.arguments import arguments_of
from translate.errors import UserError
from translate.runs.places import SHIPPED
from translate.weights import format, signatures

minisign = pytest.importorskip("minisign")

PUBLIC = "RWQ/a2IHl9tiw0rDYjJHOHWvU8H/8N8D391gR+2MgqT2MeJscBpU0T7G"
PUBLIC_FILE = f"untrusted comment: minisign public key C362DB9707626B3F\n{PUBLIC}\n"
SECRET_FILE = """untrusted comment: minisign encrypted secret key
RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP2tiB5fbYsPCAg9u+Xp9PKyVFiqKIZuJ7t11J6IZDmE2\
jbQdgV41KUrDYjJHOHWvU8H/8N8D391gR+2MgqT2MeJscBpU0T7GAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
"""
"""A pair of keys that minisign 0.11 has made, by ``minisign -G -W``: without a password, whatever its comment says."""

MESSAGE = b"weights of a lab\n"
SIGNATURE = """untrusted comment: signature from minisign secret key
RUQ/a2IHl9tiw+sxPmKIfGqmNqXgUcRX9Doo6FYH+gLMPSsS4YYOM0aW7rnaEwrtgSodREIXzkvlTFjVoa+kL0FwQuwUEztOlAc=
trusted comment: cats, seed 0
QgmgmgBPilVTd0qPaOm9I0WH1vJqH2MH6mGVx3DWpdxGkURpyFp3Y5dyjfKJ1Co6YBKYmoi4fgNvKhvZfhjcDQ==
"""
"""What minisign 0.11 has written for the message, by ``minisign -Sm``."""

OLD_SIGNATURE = """untrusted comment: signature from minisign secret key
RWQ/a2IHl9tiwx8bZtw5YFYgI1ay85h/tNk/2WV931kOMQ8X23uVHUUrmTR+DD7bv/R/ZAI/2cEGA4WSbhVoDBw7LYAN4my34wA=
trusted comment: timestamp:1795897822\tfile:old.bin
/SAo9T/ij6XNcOmiCrGpnai3k35meQWHNGj+Olj47YMPv7COAW929WxY5YDUUJTou5blqDoO0HPymuWYeuIkAw==
"""
"""The same by ``minisign -Slm``, which signs the file itself and not its digest."""

Out = pytest.CaptureFixture[str]


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the keys, which is the working directory too."""
    (tmp_path / "lab.key").write_text(SECRET_FILE)
    (tmp_path / "lab.pub").write_text(PUBLIC_FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(signatures.PASSWORD, raising=False)
    return tmp_path


@pytest.fixture
def signed(keys: Path) -> Path:
    """Return a signed weights file."""
    path = keys / "cats.safetensors"
    shutil.copy(SHIPPED / "critters.safetensors", path)
    signatures.Signer(keys / "lab.key").sign(path)
    return path


def refusal(place: Any, key: Any = PUBLIC) -> str:
    with pytest.raises(UserError) as raised:
        signatures.verify(place, key)
    return str(raised.value)


# --- minisign ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [PUBLIC, "lab.pub", Path("lab.pub")])
def test_a_signature_of_minisign_is_accepted(keys: Path, key: Any) -> None:
    (keys / "message").write_bytes(MESSAGE)
    (keys / "message.minisig").write_text(SIGNATURE)
    signatures.verify(keys / "message", key)
    (keys / "message").write_bytes(MESSAGE + b"!")
    assert "the signature is wrong: this is not the file that was signed" in refusal(keys / "message", key)


def test_its_comment_is_signed_too(keys: Path) -> None:
    (keys / "message").write_bytes(MESSAGE)
    (keys / "message.minisig").write_text(SIGNATURE.replace("seed 0", "seed 1"))
    assert "the signature is wrong" in refusal(keys / "message")


def test_a_signature_without_a_digest_is_refused(keys: Path) -> None:
    (keys / "message").write_bytes(MESSAGE)
    (keys / "message.minisig").write_text(OLD_SIGNATURE)
    assert "the signature is of the old kind" in refusal(keys / "message")


@pytest.mark.skipif(shutil.which("minisign") is None, reason="minisign is not installed")
def test_minisign_accepts_ours(signed: Path) -> None:
    done = subprocess.run(["minisign", "-Vm", signed.name, "-p", "lab.pub"], capture_output=True, text=True, check=True)
    assert "file:cats.safetensors\thashed" in done.stdout


def test_ours_has_the_form_of_minisigns(signed: Path) -> None:
    """The same algorithm, key number and lengths, line for line; signatures of equal bytes by Ed25519 are equal."""
    ours, theirs = (text.splitlines() for text in (signatures.signature_of(signed).read_text(), SIGNATURE))
    assert [line[:13] for line in ours[:2]] == [line[:13] for line in theirs[:2]]
    assert [len(line) for line in (ours[1], ours[3])] == [len(line) for line in (theirs[1], theirs[3])]
    assert "timestamp:" in ours[2]
    path = signed.with_name("message")
    path.write_bytes(MESSAGE)
    assert signatures.Signer(Path("lab.key")).sign(path).read_text().splitlines()[1] == theirs[1]


# --- keys ----------------------------------------------------------------------------------------------------


@pytest.fixture
def encrypted(keys: Path) -> Path:
    """Return an encrypted key, by parameters that need little time; its public one is beside it."""
    pair = minisign.KeyPair.generate()
    pair.secret_key.encrypt("correct horse", opslimit=32768, memlimit=1 << 20)
    path = keys / "encrypted.key"
    path.write_bytes(bytes(pair.secret_key) + b"\n")
    path.with_suffix(".pub").write_bytes(bytes(pair.public_key) + b"\n")
    return path


def test_the_password_comes_from_the_environment(
    encrypted: Path, signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        UserError, match=r"sign: .* is encrypted\. Fix: put its password into the environment as TRANSL"
    ):
        signatures.Signer(encrypted)
    monkeypatch.setenv(signatures.PASSWORD, "wrong")
    with pytest.raises(UserError, match=r"sign: .* cannot be decrypted \(wrong password"):
        signatures.Signer(encrypted)
    monkeypatch.setenv(signatures.PASSWORD, "correct horse")
    signatures.signature_of(signed).unlink()
    signatures.Signer(encrypted).sign(signed)
    signatures.verify(signed, encrypted.with_suffix(".pub"))


def test_a_terminal_is_asked_for_the_password(encrypted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    questions: list[str] = []

    def getpass(question: str) -> str:
        questions.append(question)
        return "correct horse"

    monkeypatch.setattr(signatures.sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(signatures.getpass, "getpass", getpass)
    signatures.Signer(encrypted)
    assert questions == [f"password of {encrypted}: "]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (PUBLIC_FILE.encode(), r"sign: .*lab.key cannot be read \(.*\); expected a secret key of minisign"),
        (b"\xff\xfe\x00", r"sign: .* cannot be read"),
        (b"x" * 20_000, "found 20,000 bytes, expected at most 10,000 bytes"),
    ],
)
def test_other_files_are_no_secret_keys(keys: Path, content: bytes, sentence: str) -> None:
    (keys / "lab.key").write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        signatures.Signer(keys / "lab.key")


def test_a_missing_secret_key_is_a_sentence(keys: Path) -> None:
    with pytest.raises(UserError, match=r"sign: there is no such file; found 'none\.key'\. Fix: minisign -G"):
        signatures.Signer(Path("none.key"))


# --- what is refused -----------------------------------------------------------------------------------------


def test_a_place_without_its_signature_is_refused(signed: Path, keys: Path) -> None:
    other = minisign.KeyPair.generate().public_key.to_base64().decode()
    assert "the signature was made with another key; found 'C362DB9707626B3F'" in refusal(signed, other)
    assert "found 'nonsense', expected the file of a public key" in refusal(signed, "nonsense")
    (keys / "bad.pub").write_text("nonsense")
    assert "bad.pub cannot be read" in refusal(signed, "bad.pub")
    assert "are not signed" in refusal("critters")
    (keys / "run").mkdir()
    (keys / "run" / "config.yaml").write_text("seed: 0\n")
    assert "a run folder is not signed" in refusal(keys / "run")
    signature = signatures.signature_of(signed)
    for content, sentence in (
        ("nonsense", "cannot be read"),
        ("x" * 20_000, "expected at most 10,000 bytes"),
        (SIGNATURE, "the signature is wrong"),
    ):
        signature.write_text(content)
        assert sentence in refusal(signed)
    signature.unlink()
    assert "there is no signature of this file; expected the file" in refusal(signed)


def test_every_file_of_a_folder_is_verified(keys: Path) -> None:
    folder = keys / "released"
    folder.mkdir()
    for name in ("latest_net_G_A.pth", "latest_net_G_B.pth"):
        (folder / name).write_bytes(name.encode())
    signer = signatures.Signer(keys / "lab.key")
    signer.sign(folder / "latest_net_G_A.pth")
    assert "latest_net_G_B.pth: there is no signature" in refusal(folder)
    signer.sign(folder / "latest_net_G_B.pth")
    signatures.verify(folder, PUBLIC)


def test_a_wrong_signature_is_noticed_before_the_file_is_read(signed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by `load` nor by a command; a single changed bit is enough."""
    content = bytearray(signed.read_bytes())
    content[-1] ^= 1
    signed.write_bytes(content)

    def read(path: Path) -> None:
        raise AssertionError("the file was read")

    monkeypatch.setattr(format, "read", read)
    monkeypatch.setattr(format, "is_weights_file", read)
    with pytest.raises(UserError, match="the signature is wrong"):
        translate.load(signed, verify="lab.pub")


def test_the_library_may_be_missing(signed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **settings: Any) -> Any:
        if name == "minisign":
            raise ModuleNotFoundError(name)
        return real(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", without)
    sentence = r"py-minisign is not installed. Fix: pip install 'translate-gan\[signing\]'"
    with pytest.raises(UserError, match=sentence):
        translate.load(signed, verify=PUBLIC)
    with pytest.raises(UserError, match=sentence):
        signatures.Signer(Path("lab.key"))
    assert translate.load(signed).domains == ("bear", "cat", "rabbit"), "without verify it is not needed"


# --- commands ------------------------------------------------------------------------------------------------


def test_export_signs_and_verifies(signed: Path, capsys: Out) -> None:
    assert main(["export", "weights=cats.safetensors", "verify=lab.pub", "sign=lab.key", "to=out.safetensors"]) == 0
    assert "out.safetensors.minisig: signature" in capsys.readouterr().out
    signatures.verify("out.safetensors", PUBLIC)
    assert main(["export", "weights=out.safetensors", "format=official", "sign=lab.key", "to=official"]) == 0
    names = sorted(path.name for path in Path("official").iterdir())
    assert len(names) == 2
    assert names[1] == f"{names[0]}.minisig"
    signatures.verify("official", PUBLIC)


def test_a_secret_key_is_read_before_anything_is_written(signed: Path, capsys: Out) -> None:
    assert main(["export", "weights=cats.safetensors", "sign=lab.pub", "to=out.safetensors"]) == 2
    assert "lab.pub cannot be read" in capsys.readouterr().err
    assert not Path("out.safetensors").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["apply", "input=."],
        ["serve"],
        ["grid", "input=."],
        ["video", "input=."],
        ["export", "to=out.safetensors"],
        ["export", "to=out", "format=onnx"],
        ["import", "to=out.safetensors"],
        ["evaluate", "data=critters", "to=out"],
        ["align", "input=.", "output=out", "mean=."],
        ["stylize", "input=a.png", "output=out"],
    ],
)
def test_commands_refuse_unsigned_weights(signed: Path, words: list[str], capsys: Out) -> None:
    signatures.signature_of(signed).unlink()
    Image.new("RGB", (32, 32)).save("a.png")
    name = "features" if words[0] == "stylize" else "weights"
    assert main([*words, f"{name}=cats.safetensors", "verify=lab.pub"]) == 2
    assert "there is no signature of this file" in capsys.readouterr().err
    assert not list(Path().glob("out*"))


def test_every_command_that_reads_weights_verifies_them() -> None:
    readers = {
        command.name
        for command in commands()
        if {"weights", "features"} & {argument.name for argument in arguments_of(command)}
    }
    assert {"apply", "align", "evaluate", "export", "grid", "import", "serve", "stylize", "video"} <= readers
    having = {c.name for c in commands() if "verify" in [argument.name for argument in arguments_of(c)]}
    assert readers <= having


def test_of_several_files_each_is_verified(signed: Path, capsys: Out) -> None:
    shutil.copy(signed, "dogs.safetensors")
    assert main(["import", "weights=[cats.safetensors,dogs.safetensors]", "to=out.safetensors", "verify=lab.pub"]) == 2
    assert "dogs.safetensors: there is no signature" in capsys.readouterr().err


def test_what_nobody_signs_is_refused(keys: Path, capsys: Out) -> None:
    run = keys / "run"
    run.mkdir()
    (run / "config.yaml").write_text("seed: 0\n")
    for words in (["run=run"], ["weights=run"]):
        assert main(["evaluate", *words, "verify=lab.pub"]) == 2
        assert "verify: a run folder is not signed" in capsys.readouterr().err
    assert main(["stylize", "verify=lab.pub"]) == 2
    assert "verify: weights that ship with the package are not signed" in capsys.readouterr().err


def test_exported_programs_are_verified(keys: Path, capsys: Out) -> None:
    Path("model.onnx").write_bytes(b"not read")
    Image.new("RGB", (32, 32)).save("a.png")
    words = ["apply", "weights=model.onnx", "input=.", "verify=lab.pub"]
    assert main(words) == 2
    assert "model.onnx: there is no signature" in capsys.readouterr().err
    signatures.Signer(keys / "lab.key").sign(Path("model.onnx"))
    assert main(words) == 2
    assert "signature" not in capsys.readouterr().err, "it is read now, and found to be no model"


def test_the_sample_grids_of_a_run_are_not_signed(keys: Path, capsys: Out) -> None:
    (keys / "run").mkdir()
    (keys / "run" / "config.yaml").write_text("seed: 0\n")
    assert main(["video", "run=run", "verify=lab.pub"]) == 2
    assert "verify: the sample grids of a run are not signed" in capsys.readouterr().err
