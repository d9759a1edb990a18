#!/usr/bin/env python3
"""Does what a newcomer does: clones, runs both commands and every example of the README, from nothing.

Runs the README's fenced `sh` and `python` blocks in order, `make serve` in the background; then starts the server a
second time. Needs the standard library only. Fails if anything does. Blocks in other languages are parts of
programs that those run.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

READY = re.compile(r"^commontrace ready on \S+")
START_SECONDS = 600
SECOND_START_SECONDS = 3.0
EXAMPLE_SECONDS = 1200


def main() -> None:
    """Ends with a message and a status that is not zero at the first thing that goes wrong."""
    repository = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory(prefix="fresh-") as directory:
        place = Path(directory)
        (place / "home").mkdir()
        clone = place / "clone"
        subprocess.run(["git", "clone", "--quiet", str(repository), str(clone)], check=True)
        environment = clean_environment(place / "home")
        seconds, server = serve(clone, told_pip_alone(environment))
        print(f"fresh: first start in {seconds:.1f} s", flush=True)
        try:
            run_examples(clone, environment)
        finally:
            stop(server, signal.SIGINT)
        seconds, server = serve(clone, environment)
        stop(server, signal.SIGTERM)
        print(f"fresh: second start in {seconds:.1f} s", flush=True)
        if seconds > SECOND_START_SECONDS:
            sys.exit(f"fresh: the second start took more than {SECOND_START_SECONDS} s")
        left = processes_of(place)
        if left:
            sys.exit(f"fresh: still running: {left}")
    print("fresh: passed")


def clean_environment(home: Path) -> dict[str, str]:
    """What finds programs and configures clients of package registries; nothing that configures CommonTrace."""
    kept = ("PATH", "LANG", "LC_ALL", "TERM", "TMPDIR", "PYTHON", "CI")
    prefixes = ("PIP_", "UV_", "GO", "NPM_", "npm_config_", "NODE_", "SSL_", "REQUESTS_", "CURL_")
    environment = {k: v for k, v in os.environ.items() if k in kept or k.startswith(prefixes)} | {"HOME": str(home)}
    if cert := configured_certificate():
        # Of a configuration that may lie in the home that is left behind.
        environment["PIP_CERT"] = cert
    return environment


def configured_certificate() -> str:
    """The authorities that pip has been told of, empty if none."""
    if "PIP_CERT" in os.environ:
        return os.environ["PIP_CERT"]
    asked = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    found = re.findall(r"^(?:global|install)\.cert='(.*)'$", asked.stdout, flags=re.MULTILINE)
    return found[-1] if found else ""


def told_pip_alone(environment: dict[str, str]) -> dict[str, str]:
    """The same for whoever has told nobody but pip of a certificate, as far as it is pip who knows."""
    told = ("SSL_CERT_FILE", "SSL_CERT_DIR", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS")
    return {k: v for k, v in environment.items() if k not in told} if "PIP_CERT" in environment else environment


def serve(clone: Path, environment: dict[str, str]) -> tuple[float, subprocess.Popen[str]]:
    """Runs `make serve` until it is ready; returns how long that took."""
    started = time.monotonic()
    log = (clone.parent / "serve.log").open("w+")
    server = subprocess.Popen(
        ["make", "serve"], cwd=clone, env=environment, stdout=log, stderr=log, text=True, start_new_session=True
    )
    while time.monotonic() - started < START_SECONDS:
        output = (clone.parent / "serve.log").read_text()
        if any(READY.match(line) for line in output.splitlines()):
            return time.monotonic() - started, server
        if server.poll() is not None:
            sys.exit(f"fresh: make serve ended with {server.returncode}\n{output}")
        time.sleep(0.02)
    os.killpg(server.pid, signal.SIGKILL)
    sys.exit(f"fresh: make serve was not ready in {START_SECONDS} s\n{output}")


def stop(server: subprocess.Popen[str], how: signal.Signals) -> None:
    """Stops the process group, as a terminal does."""
    os.killpg(server.pid, how)
    server.wait(timeout=30)


def run_examples(clone: Path, environment: dict[str, str]) -> None:
    """Runs what the README shows, as it stands there."""
    readme = (clone / "README.md").read_text()
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```$", readme, flags=re.MULTILINE | re.DOTALL)
    if not blocks:
        sys.exit("fresh: the README has no examples")
    for language, code in blocks:
        if code.strip() == "make serve":
            continue  # it runs already
        title = code.strip().splitlines()[0]
        command = ["bash", "-euo", "pipefail", "-c", code] if language == "sh" else [".venv/bin/python", "-c", code]
        started = time.monotonic()
        done = subprocess.run(
            command, cwd=clone, env=environment, capture_output=True, text=True, timeout=EXAMPLE_SECONDS
        )
        print(f"fresh: {title!r}: {done.returncode} in {time.monotonic() - started:.1f} s", flush=True)
        if done.returncode != 0 or not done.stdout.strip():
            output = f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
            sys.exit(f"fresh: this example failed or printed nothing:\n{code}\n{output}")


def processes_of(place: Path) -> list[str]:
    """What still runs from the clone; Linux only."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(place) in command:
            found.append(command)
    return found


main()
