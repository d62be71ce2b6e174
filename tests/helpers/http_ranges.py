"""An HTTP server with range requests for the files of a directory, which writes down what it was asked for."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class RangeServer(ThreadingHTTPServer):
    """Files below `root`, each answer `latency` seconds late."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, root: Path, latency: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root, self.latency = root, latency
        self.asked: list[tuple[str, int]] = []
        """Path and number of bytes of every answer."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def sent(self) -> int:
        """Bytes of all answers."""
        return sum(size for _, size in self.asked)

    def of_objects(self) -> list[str]:
        """What was asked for, roots aside."""
        return [path for path, _ in self.asked if path.rpartition("/")[2] != "zarr.json"]

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients are killed in these tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RangeServer

    def do_GET(self) -> None:
        time.sleep(self.server.latency)
        path = self.server.root / self.path.lstrip("/")
        data, status, more = b"", 404, {}
        if path.is_file():
            data, status = path.read_bytes(), 200
            size = len(data)
            start, stop = _span(self.headers.get("Range"), size)
            if start >= stop and size:
                data, status, more = b"", 416, {"Content-Range": f"bytes */{size}"}
            elif (start, stop) != (0, size):
                data, status = data[start:stop], 206
                more = {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}
        self.server.asked.append((self.path, len(data)))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), "Accept-Ranges": "bytes", **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def _span(header: str | None, size: int) -> tuple[int, int]:
    if header is None:
        return 0, size
    first, _, last = header.removeprefix("bytes=").partition("-")
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size


@contextmanager
def range_server(root: Path, *, latency: float = 0.0) -> Iterator[RangeServer]:
    """Run a server in threads, until the end."""
    with RangeServer(root, latency) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
