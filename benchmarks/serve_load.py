"""Load a server of `python -m translate serve`: latencies with requests in parallel, and its memory over many.

    python benchmarks/serve_load.py
    python benchmarks/serve_load.py --weights runs/afhq --parallel 1 50 --requests 200 --memory 2000

The script starts the server on a free port of this machine, so both share its cores. A request uploads an image of its
own, translates it to a domain and with a seed of its own, and downloads the result. Its latency is the time of all of
these. Every result is compared with that of the same request alone, so the script ends with an error if two requests
were mixed. The memory is the resident set of the server.
"""

import argparse
import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
from PIL import Image

SIDE = 512  # pixels of an uploaded image
NUM_IMAGES = 16
SAMPLES = 10  # of the memory
SECONDS_TO_START = 120


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="critters", help="as of the command serve")
    parser.add_argument("--parallel", type=int, nargs="+", default=[1, 10, 50], help="requests at the same time")
    parser.add_argument("--requests", type=int, default=100, help="requests of each row")
    parser.add_argument("--memory", type=int, default=500, help="requests over which the memory is measured")
    asked = parser.parse_args()
    with served(asked.weights) as (url, process):
        client = Client(url)
        alone = [client.translate(number) for number in range(NUM_IMAGES)]
        print("| parallel | requests | p50 s | p95 s | max s | requests/s |\n| --- | --- | --- | --- | --- | --- |")
        for parallel in asked.parallel:
            print(row(client, alone, parallel, asked.requests), flush=True)
        print("\n| requests | resident set, MB |\n| --- | --- |")
        for sample in range(SAMPLES + 1):
            done = sample * asked.memory // SAMPLES
            print(f"| {done} | {resident_megabytes(process.pid):.0f} |", flush=True)
            if sample < SAMPLES:
                row(client, alone, 8, (sample + 1) * asked.memory // SAMPLES - done)


class Client:
    """Sends requests as a program would; request ``number`` is always the same one."""

    def __init__(self, url: str) -> None:
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
        self.http = httpx.Client(base_url=url, timeout=600, trust_env=False, limits=limits)
        self.targets = self.call("model", {})[0]["targets"]

    def translate(self, number: int) -> tuple[bytes, float]:
        """Return the file of the translation, and the seconds from the upload to the last byte."""
        content = image(number)
        begin = time.perf_counter()
        upload = self.http.post("/gradio_api/upload", files={"files": ("image.jpg", content)})
        upload.raise_for_status()
        values: dict[str, Any] = {"image": {"path": upload.json()[0]}, "seed": number}
        values["target"] = self.targets[number % len(self.targets)]
        file, _ = self.call("translate", values)
        answer = self.http.get(f"/gradio_api/file={file['path']}")
        answer.raise_for_status()
        return answer.content, time.perf_counter() - begin

    def call(self, endpoint: str, values: dict[str, Any]) -> Any:
        """Return the results of an endpoint."""
        answer = self.http.post(f"/gradio_api/call/v2/{endpoint}", json=values)
        answer.raise_for_status()
        lines = self.http.get(f"/gradio_api/call/v2/{endpoint}/{answer.json()['event_id']}").text.split("\n")
        event, data = [line for line in lines if line][-2:]
        if event != "event: complete":
            sys.exit(f"{endpoint}: {data}")
        return json.loads(data.removeprefix("data: "))


def row(client: Client, alone: list[tuple[bytes, float]], parallel: int, requests: int) -> str:
    """Return the row of a table for requests of which ``parallel`` are under way at any time."""
    numbers = [number % NUM_IMAGES for number in range(requests)]
    begin = time.perf_counter()
    with ThreadPoolExecutor(parallel) as pool:
        results = list(pool.map(client.translate, numbers))
    seconds = time.perf_counter() - begin
    for number, (content, _) in zip(numbers, results, strict=True):
        if content != alone[number][0]:
            sys.exit(f"request {number} has the result of another one")
    times = sorted(latency for _, latency in results)
    p95 = times[min(len(times) - 1, round(0.95 * len(times)))]
    rate = requests / seconds
    return f"| {parallel} | {requests} | {statistics.median(times):.2f} | {p95:.2f} | {times[-1]:.2f} | {rate:.1f} |"


def image(number: int) -> bytes:
    """Return a JPEG file of smooth noise, another one for each number."""
    noise = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


@contextmanager
def served(weights: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Yield the address and the process of a server while the block runs."""
    words = [sys.executable, "-m", "translate", "serve", f"weights={weights}", "port=0", "open=false", "queue=1000"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if "http://" not in line:
            sys.exit("the server did not start")
        url = next(word.strip(",") for word in line.split() if word.startswith("http://"))
        end = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                httpx.get(url, trust_env=False)
                break
            except httpx.HTTPError:
                if time.monotonic() > end:
                    sys.exit("the server does not answer")
                time.sleep(0.1)
        yield url, process
    finally:
        process.terminate()
        process.wait()


def resident_megabytes(pid: int) -> float:
    """Return the resident set of a process in MB (10^6 bytes)."""
    answer = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(answer.stdout) * 1024 / 1e6


if __name__ == "__main__":
    main()
