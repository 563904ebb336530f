"""The server over HTTP: what it answers, what it refuses, and that requests are never mixed."""

import io
import json
import struct
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from serve import models
from serve.client import Client, Failed, encoded, pixels, write
from translate.cli import main
from translate.inference.images import to_pixels
from translate.inference.torch_engine import TorchEngine
from translate.weights import format as weights_format

pytest.importorskip("gradio", reason="the extra demo is not installed")

from translate.serving.limits import Limits
from translate.serving.server import Server, Settings, server

LIMITS = Limits(max_bytes=200_000, max_pixels=90_000, queue=6)


@dataclass(frozen=True)
class Running:
    """A server that runs, and the model behind it."""

    server: Server
    engine: TorchEngine

    def client(self) -> Client:
        return Client(self.server.url)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    engine = models.stargan_v2()
    with server(engine, "tiny", Settings(port=0, limits=LIMITS)) as page, page.in_background():
        yield Running(page, engine)


@pytest.fixture
def client(running: Running) -> Client:
    return running.client()


def expected(engine: TorchEngine, array: np.ndarray, target: str, **style: object) -> np.ndarray:
    """Return what the model makes of an image, pixels (H, W, 3)."""
    return np.asarray(engine.translator.translate(Image.fromarray(array), target, **style))


# --- answers ------------------------------------------------------------------------------------------------


def test_a_translation_is_that_of_the_model(running: Running, client: Client) -> None:
    array = pixels(1)
    upload = client.upload(encoded(array))
    image, facts = client.call("translate", image=upload, target="dog", seed=5, psi=0.5)
    assert np.array_equal(client.image(image), expected(running.engine, array, "dog", seed=5, psi=0.5))
    assert (facts["target"], facts["seed"], facts["psi"]) == ("dog", 5, 0.5)
    assert image["orig_name"] == "image_to_dog.png"


def test_a_reference_determines_the_style(running: Running, client: Client) -> None:
    array, reference = pixels(1), pixels(2)
    upload, other = client.upload(encoded(array)), client.upload(encoded(reference))
    image, _ = client.call("translate", image=upload, target="cat", reference=other)
    wanted = expected(running.engine, array, "cat", reference=Image.fromarray(reference))
    assert np.array_equal(client.image(image), wanted)


def test_styles_are_those_of_single_seeds(running: Running, client: Client) -> None:
    upload = client.upload(encoded(pixels(1)))
    images = client.call("styles", image=upload, target="wild", seeds=[3, 9])[0]
    assert len(images) == 2
    for image, seed in zip(images, (3, 9), strict=True):
        alone, _ = client.call("translate", image=upload, target="wild", seed=seed)
        assert np.abs(client.image(image).astype(int) - client.image(alone)).max() <= 1  # batches round differently


@pytest.mark.parametrize(
    ("form", "mode"), [("PNG", "RGB"), ("PNG", "L"), ("PNG", "RGBA"), ("JPEG", "RGB"), ("WEBP", "RGB"), ("TIFF", "RGB")]
)
def test_a_result_has_the_form_of_its_image(client: Client, form: str, mode: str) -> None:
    file = io.BytesIO()
    Image.fromarray(pixels(1, 40, 60)).convert(mode).save(file, form)
    image, facts = client.call("translate", image=client.upload(file.getvalue(), "a.bin"), target="dog")
    translation = Image.open(io.BytesIO(client.content(image)))
    assert (translation.format, translation.mode, translation.size) == (form, mode, (60, 40))
    assert image["orig_name"] == f"a_to_dog.{'jpg' if form == 'JPEG' else 'tif' if form == 'TIFF' else form.lower()}"
    assert len(facts["weights_sha256"]) == 64


def test_a_result_is_that_of_apply(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is the same to the byte."""
    monkeypatch.chdir(tmp_path)
    weights_format.write(models.stargan_v2_weights(), tmp_path / "tiny.safetensors")
    content = encoded(pixels(7, 50, 40))
    (tmp_path / "photo.png").write_bytes(content)
    words = ["weights=tiny.safetensors", "input=photo.png", "output=out", "target=dog", "seed=3", "psi=0.5"]
    assert main(["apply", *words]) == 0
    upload = client.upload(content, "photo.png")
    image, facts = client.call("translate", image=upload, target="dog", seed=3, psi=0.5)
    assert client.content(image) == (tmp_path / "out" / "photo.png").read_bytes()
    (line,) = (tmp_path / "out" / "translations.jsonl").read_text().splitlines()
    assert facts["weights_sha256"] == json.loads(line)["weights_sha256"]


def test_two_styles_are_blended(running: Running, client: Client) -> None:
    upload, reference = client.upload(encoded(pixels(1))), client.upload(encoded(pixels(2)), "b.png")
    values = {"image": upload, "target": "cat", "seed": 4, "second_reference": reference}
    image, facts = client.call("translate", **values, blend=0.25)
    translator = running.engine.translator
    first = translator.styles("cat", seed=4)
    second = translator.styles("cat", reference=Image.fromarray(pixels(2)))
    wanted = expected(running.engine, pixels(1), "cat", style=torch.lerp(first, second, 0.25))
    assert np.abs(client.image(image).astype(int) - wanted).max() <= 1
    assert (facts["seed"], facts["second_reference"], facts["blend"]) == (4, "b.png", 0.25)
    alone, _ = client.call("translate", image=upload, target="cat", seed=4)
    assert np.array_equal(client.image(client.call("translate", **values, blend=0)[0]), client.image(alone))


def test_images_keep_their_size_in_fully_convolutional_networks(tmp_path: Path) -> None:
    engine = models.cyclegan("generator_ab")
    with server(engine, "tiny", Settings(port=0)) as page, page.in_background():
        client = Client(page.url)
        assert client.call("model")[0]["targets"] == ["zebra"]
        array = pixels(1, 36, 52)
        image, _ = client.call("translate", image=client.upload(encoded(array)), target="zebra")
        x = torch.from_numpy(array).permute(2, 0, 1)[None] / 127.5 - 1
        wanted = to_pixels(engine.translator.translate(x, "zebra"))[0].numpy()
        assert np.abs(client.image(image).astype(int) - wanted).max() <= 1


def test_super_resolution_enlarges(tmp_path: Path) -> None:
    engine = models.srgan()
    limits = Limits(max_pixels=16 * 400, queue=6)
    with server(engine, "tiny", Settings(port=0, limits=limits)) as page, page.in_background():
        client = Client(page.url)
        facts = client.call("model")[0]
        assert (facts["targets"], facts["scale"]) == (["high_resolution"], 4)
        array = pixels(1, 12, 20)
        image, _ = client.call("translate", image=client.upload(encoded(array)), target="high_resolution")
        wanted = engine.translator.translate(Image.fromarray(array), size="original")
        assert wanted.size == (80, 48)
        assert np.abs(client.image(image).astype(int) - np.asarray(wanted)).max() <= 1
        with pytest.raises(Failed, match="20 x 21 pixels, to be enlarged 4 times, expected at most 400 pixels"):
            client.call("translate", image=client.upload(encoded(pixels(1, 21, 20))), target="high_resolution")


@pytest.mark.parametrize(("make", "subtitle"), [("srgan", "srgan, enlarges 4 times"), ("fast_style", "32 px, mosaic")])
def test_a_model_with_one_target_has_no_control_of_it(make: str, subtitle: str) -> None:
    engine = getattr(models, make)()
    with server(engine, "tiny", Settings(port=0)) as page, page.in_background():
        client = Client(page.url)
        target = client.call("model")[0]["targets"]
        assert len(target) == 1
        components = [each["props"] for each in client.http.get("/config").json()["components"]]
        (control,) = [each for each in components if each.get("label") == "Target"]
        assert (control["visible"], control["value"]) == (False, target[0])
        assert any(subtitle in str(each.get("value")) for each in components)
        image, _ = client.call("translate", image=client.upload(encoded(pixels(1))), target=target[0])
        assert client.image(image).shape[2] == 3


def test_an_onnx_file_is_served(tmp_path: Path) -> None:
    """It has the controls of its inputs: random styles, but no references and no blending."""
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    from translate.export import runtimes
    from translate.inference.onnx_runtime import open_onnx

    translator = models.stargan_v2().translator
    list(runtimes.export(translator, runtimes.runtime("onnx"), tmp_path, ("translate_latent",)))
    engine = open_onnx(tmp_path / "translate_latent.onnx")
    with server(engine, "tiny", Settings(port=0)) as page, page.in_background():
        client = Client(page.url)
        assert client.call("model")[0]["style_inputs"] == ["code"]
        parameters = client.http.get("/gradio_api/info").json()["named_endpoints"]["/translate"]["parameters"]
        assert [each["parameter_name"] for each in parameters] == ["image", "target", "seed", "psi"]
        upload = client.upload(encoded(pixels(1)))
        image, _ = client.call("translate", image=upload, target="dog", seed=5)
        wanted = expected(models.stargan_v2(), pixels(1), "dog", seed=5)
        assert np.abs(client.image(image).astype(int) - wanted).max() <= 1


def test_gradio_client(running: Running, tmp_path: Path) -> None:
    from gradio_client import Client as GradioClient
    from gradio_client import handle_file

    array = pixels(3)
    client = GradioClient(running.server.url, verbose=False, download_files=tmp_path)
    file = handle_file(write(tmp_path / "photo.png", array))
    path, facts = client.predict(image=file, target="dog", seed=2, api_name="/translate")
    assert np.array_equal(np.asarray(Image.open(path)), expected(running.engine, array, "dog", seed=2))
    assert facts["seed"] == 2


def test_two_requests_are_never_mixed(running: Running) -> None:
    """Every request has an image, a target and a seed of its own, and waits for the others."""
    wide = Limits(queue=100)
    with server(running.engine, "tiny", Settings(port=0, limits=wide)) as page, page.in_background():

        def one(number: int) -> bool:
            client, target = Client(page.url), running.engine.domains[number % 3]
            array = pixels(100 + number)
            upload = client.upload(encoded(array))
            image, facts = client.call("translate", image=upload, target=target, seed=number)
            wanted = expected(running.engine, array, target, seed=number)
            return facts["seed"] == number and np.array_equal(client.image(image), wanted)

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(one, range(32)))


def test_files_are_removed_at_the_end(running: Running) -> None:
    with server(running.engine, "tiny", Settings(port=0)) as page, page.in_background():
        client = Client(page.url)
        upload = client.upload(encoded(pixels(1)))
        client.call("translate", image=upload, target="cat")
        folder = Path(upload["path"]).parents[1]
        assert folder.name.startswith("translate-serve-") and any(folder.iterdir())
    assert not folder.exists()


def test_the_model_describes_itself(client: Client) -> None:
    facts = client.call("model")[0]
    assert facts["model"] == "stargan_v2"
    assert facts["targets"] == ["cat", "dog", "wild"]
    assert facts["style_inputs"] == ["code", "reference"]
    assert (facts["max_bytes"], facts["max_pixels"], facts["queue"]) == (200_000, 90_000, 6)


# --- files that are refused ---------------------------------------------------------------------------------


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of some hundred bytes that claims a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")
    )


HOSTILE = {
    "empty": (b"", "is empty"),
    "text": (b"#!/bin/sh\necho no image\n", "is not an image in a known format"),
    "page": (b"<html><script>alert(1)</script></html>", "is not an image in a known format"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not an image in a known format"),
    "truncated": (encoded(pixels(1, 200, 200), "JPEG")[:3000], "cannot be read"),
    "damaged": (encoded(pixels(1))[:60] + b"\0" * 900, "cannot be "),
    "bomb": (bomb(60_000, 60_000), "the image is too large; expected at most 90,000 pixels"),
    "large": (bomb(301, 300), "the image is too large; found 301 x 300 pixels, expected at most 90,000 pixels"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("key", ["image", "reference"])
def test_hostile_files(client: Client, name: str, key: str) -> None:
    content, sentence = HOSTILE[name]
    values = {"image": client.upload(encoded(pixels(1))), key: client.upload(content, "cat.png")}
    with pytest.raises(Failed) as failure:
        client.call("translate", target="dog", **values)
    assert failure.value.sentence.startswith(f"{key}: ")
    assert sentence in failure.value.sentence
    assert "/tmp" not in failure.value.sentence


def test_too_many_bytes(client: Client, running: Running) -> None:
    sentence = "image: the upload is too large; expected at most 200,000 bytes"
    for content in (bytes(200_001), bytes(400_000)):  # by the limit of Gradio, and by the gate before any byte is read
        with pytest.raises(Failed) as failure:
            client.upload(content)
        assert failure.value.status == 413
        assert failure.value.sentence.startswith(sentence)
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + bytes(65_536) + b"\r\n"
    headers = {"content-type": "multipart/form-data; boundary=x"}
    endless = (part for _ in range(100))  # small files, and no length in the header
    answer = client.http.post("/gradio_api/upload", content=endless, headers=headers)
    assert answer.status_code == 413
    assert answer.text.startswith(sentence)


@pytest.mark.parametrize("path", ["/etc/passwd", "../../../etc/passwd", "", "a\0b", 7, None, ["x"]])
def test_files_that_were_not_uploaded(client: Client, path: object) -> None:
    for meta in ({}, {"meta": {"_type": "gradio.FileData"}}):
        with pytest.raises(Failed) as failure:
            client.call("translate", image={"path": path, **meta}, target="dog")
        assert failure.value.status in (0, 400)
    assert client.http.get("/gradio_api/file=/etc/passwd").status_code == 403


@pytest.mark.parametrize(
    "path", ["http://127.0.0.1:1/a.png", "HTTPS://example.com/a.png", "file:///etc/passwd", "data:,"]
)
def test_files_of_other_servers(client: Client, path: str) -> None:
    with pytest.raises(Failed) as failure:
        client.call("translate", image={"path": path, "meta": {"_type": "gradio.FileData"}}, target="dog")
    assert failure.value.status == 400
    assert "expected an upload" in failure.value.sentence


# --- values that are refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"target": "dgo"}, "target: unknown domain 'dgo'. Did you mean 'dog'?"),
        ({"target": ["dog"]}, "target: unknown domain"),
        ({"target": None}, "target: unknown domain"),
        ({"seed": -1}, "seed: found -1, expected a whole number from 0"),
        ({"seed": 1.5}, "seed: found 1.5"),
        ({"seed": "1"}, "seed: found '1'"),
        ({"seed": True}, "seed: found True"),
        ({"psi": 2.5}, "psi: found 2.5, expected a number from 0 to 2"),
        ({"psi": {}}, "psi: found {}"),
        ({"image": None}, "image: there is no image. Fix: upload one"),
        ({"reference": "a.png"}, "reference: found str, expected the path of an upload"),
    ],
)
def test_values(client: Client, values: dict[str, object], sentence: str) -> None:
    image = client.upload(encoded(pixels(1)))
    with pytest.raises(Failed) as failure:
        client.call("translate", **{"image": image, "target": "dog", **values})
    assert failure.value.sentence.startswith(sentence)


@pytest.mark.parametrize("seeds", [[], list(range(33)), 3, "12", None, [1, "2"]])
def test_seeds(client: Client, seeds: object) -> None:
    with pytest.raises(Failed) as failure:
        client.call("styles", image=client.upload(encoded(pixels(1))), target="dog", seeds=seeds)
    assert failure.value.sentence.startswith("seed")


# --- the gate -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=http://example.com/a.png",
        "/gradio_api/proxy=http://example.com/",
        "/monitoring",
        "/monitoring/summary",
        "/gradio_api/run-history/records",
        "/gradio_api/vibe-code",
        "/gradio_api/dev/reload",
        "/gradio_api/deep_link",
        "/docs",
        "/.env",
    ],
)
def test_only_the_addresses_of_the_page_exist(client: Client, path: str) -> None:
    answer = client.http.get(path)
    assert answer.status_code == 404
    assert "this server has no such address" in answer.json()["detail"]


def test_names_of_other_servers(client: Client) -> None:
    assert client.http.get("/", headers={"host": "localhost:1"}).status_code == 200
    answer = client.http.get("/", headers={"host": "attacker.example"})
    assert answer.status_code == 403
    assert "Host: found 'attacker.example'" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 400), (b"[" * 100_000, 400), (b"\xff\xfe", 400), (b'{"a": "' + bytes(2**20) + b'"}', 413)],
)
def test_bodies(client: Client, content: bytes, status: int) -> None:
    headers = {"content-type": "application/json"}
    answer = client.http.post("/gradio_api/call/v2/translate", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_a_full_queue(running: Running) -> None:
    """A request that runs and six that wait are accepted; the next one is refused at once, and later accepted."""
    may_run = threading.Event()
    quick = running.engine.translate
    slow = models.stargan_v2()
    with server(slow, "slow", Settings(port=0, limits=LIMITS)) as page, page.in_background():
        slow.translate = lambda *a, **k: (may_run.wait(60), quick(*a, **k))[1]  # type: ignore
        client = Client(page.url)
        upload = client.upload(encoded(pixels(1)))
        values = {"image": upload, "target": "dog"}
        statuses = [client.http.post("/gradio_api/call/v2/translate", json=values) for _ in range(9)]
        refused = [answer for answer in statuses if answer.status_code != 200]
        assert 1 <= len(refused) <= 3  # one or two have left the queue to run
        assert {answer.status_code for answer in refused} == {503}
        sentence = "queue: the queue is full; expected at most 6 waiting requests. Fix: try again in a moment"
        assert refused[-1].json()["detail"] == sentence
        may_run.set()
        for answer in statuses[:6]:
            assert client.http.get(f"/gradio_api/call/v2/translate/{answer.json()['event_id']}").status_code == 200
        assert client.call("translate", **values)


def test_passwords(running: Running) -> None:
    settings = Settings(port=0, credentials={"ann": "secret"})
    with server(running.engine, "tiny", settings) as page, page.in_background():
        client = Client(page.url)
        with pytest.raises(Failed) as failure:
            client.upload(encoded(pixels(1)))
        assert failure.value.status == 401
        assert client.http.post("/login", data={"username": "ann", "password": "wrong"}).status_code == 400
        assert client.http.post("/login", data={"username": "ann", "password": "secret"}).status_code == 200
        assert client.call("translate", image=client.upload(encoded(pixels(1))), target="dog")
