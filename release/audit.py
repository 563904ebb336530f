"""Look up the pinned libraries in a database of vulnerabilities, by pip-audit; say so where that cannot be done.

    python release/audit.py [strict]

Exit code 0: no vulnerability is known, or the audit did not run, which is said in capitals. With ``strict`` an audit
that did not run is exit code 2. Exit code 1: vulnerabilities, which are listed.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_RUN = "THE AUDIT DID NOT RUN"
FOUND, STRICT = 1, 2


def command(requirements: Path) -> list[str]:
    """Return the command that audits pinned requirements without installing them."""
    options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json", "--timeout", "20"]
    return [sys.executable, "-m", "pip_audit", "-r", str(requirements), *options]


def outcome(code: int, answer: str, errors: str) -> tuple[str, int]:
    """Return a sentence about an audit and its exit code: 0, `FOUND`, or `STRICT` if it did not run.

    Only the list of libraries that pip-audit prints says that it looked them up: it ends with 1 in both cases.
    """
    try:
        libraries = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        reason = next(iter(reversed(errors.strip().splitlines())), f"exit code {code}")
        return f"{NOT_RUN}: {reason}", STRICT
    skipped = [each["name"] for each in libraries if "skip_reason" in each]
    if len(skipped) == len(libraries):
        reason = libraries[0]["skip_reason"] if libraries else "no library is named"
        return f"{NOT_RUN}: no library could be looked up ({reason})", STRICT
    bad = [each for each in libraries if each.get("vulns")]
    lines = [
        f"{each['name']} {each['version']}: {vulnerability['id']}, fixed in "
        f"{', '.join(vulnerability.get('fix_versions') or []) or 'no version yet'}"
        for each in bad
        for vulnerability in each["vulns"]
    ]
    looked_up = f"{len(libraries) - len(skipped)} libraries were looked up"
    not_looked_up = f"; not looked up: {', '.join(skipped)}" if skipped else ""
    lines.append(f"{looked_up}, {len(bad)} have known vulnerabilities{not_looked_up}")
    return "\n".join(lines), FOUND if bad else 0


def main(words: list[str]) -> int:
    """Audit constraints.txt and print the outcome; return the exit code."""
    done = subprocess.run(command(ROOT / "constraints.txt"), capture_output=True, text=True, check=False)
    sentence, code = outcome(done.returncode, done.stdout, done.stderr)
    print(sentence)
    return 0 if code == STRICT and "strict" not in words else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
