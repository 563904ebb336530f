"""Write the exact versions and SHA-256 hashes of downloaded packages as a file of requirements for pip.

    pip download -c constraints.txt -d wheels '.[train]'
    python release/hashes.py wheels > requirements.txt

Constraints have no hashes themselves: with a single hash, pip refuses every requirement without one, also `-e .`.
"""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

OWN = "translate-gan"


def lines(folder: Path) -> Iterator[str]:
    """Yield a requirement for each package in a folder; all its files have a hash. The package itself is left out."""
    hashes: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()):
        if path.name.endswith((".whl", ".tar.gz", ".zip")):
            is_wheel = path.suffix == ".whl"
            name, version, *_ = parse_wheel_filename(path.name) if is_wheel else parse_sdist_filename(path.name)
            if canonicalize_name(name) != OWN:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                hashes.setdefault(f"{name}=={version}", []).append(f"--hash=sha256:{digest}")
    for requirement, digests in sorted(hashes.items()):
        yield " \\\n    ".join([requirement, *digests])


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: python release/hashes.py FOLDER_OF_DOWNLOADS")
    print("\n".join(lines(Path(sys.argv[1]))))
