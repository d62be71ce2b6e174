"""An S3 server of one's own on this machine: moto's, as a process, for tests and measurements."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
"""Environment of whoever speaks to it; it lets everybody in."""


@contextmanager
def s3_server() -> Iterator[str]:
    """Run a server and give its endpoint; what it holds is gone afterwards."""
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
        try:
            yield _endpoint(server)
        finally:
            server.terminate()


def make_bucket(endpoint: str, name: str) -> None:
    """Make a bucket."""
    with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}", method="PUT")) as answer:
        answer.read()


def _endpoint(server: subprocess.Popen[str]) -> str:
    if server.stderr is None:
        raise TypeError("its stderr is a pipe")
    said = []
    for line in server.stderr:
        said.append(line)
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        if found is not None:
            # It goes on to write a line a request, which must not fill the pipe.
            threading.Thread(target=server.stderr.read, daemon=True).start()
            return found[0]
    raise RuntimeError(f"the server did not start: {''.join(said)}")
