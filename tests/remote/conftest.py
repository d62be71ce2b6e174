"""An S3 server, a proxy before it, and a small store in both places."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.remote.proxy import Proxy


FAST = {"max_retries": 6, "initial_delay": "5ms", "max_delay": "50ms"}
"""Retries of tests, which have nothing to wait for."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """One store in two places; `proxy` lies between us and the bucket.

    Attributes
    ----------
    local, remote
        The store.
    files
        Its sources, and one more for an append.
    endpoint
        The server itself.
    """

    local: Path
    remote: str
    files: list[Path]
    endpoint: str
    proxy: Proxy


@pytest.fixture(scope="module", autouse=True)
def _environment() -> Iterator[None]:
    """No wait for the disk or between retries, nobody's own credentials."""
    from scformat import objects
    from tools.remote.server import KEYS

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr(objects, "RETRIES", FAST)
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in KEYS.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, _environment: None) -> Iterator[Places]:
    """The server with a store in its bucket ``cells``."""
    from samples import counts_matrix, sample
    from uploads import upload

    import scformat
    from tools.remote.proxy import proxy
    from tools.remote.server import make_bucket, s3_server

    place = tmp_path_factory.mktemp("places")
    files = []
    for k in range(3):
        kinds = np.random.default_rng(k).choice(["a", "b", "c"], 3_000, p=[0.7, 0.2, 0.1])
        obs = {"kind": pd.Categorical(kinds), "donor": pd.Categorical([f"d{i % 3}" for i in range(3_000)])}
        files.append(place / f"s{k}.h5ad")
        sample(counts_matrix(3_000, 60, seed=k), obs=obs, prefix=f"s{k}").write_h5ad(files[-1])
    local = place / "local.cells"
    scformat.convert(files[:2], local, order="stratified", stratify_by=["kind"], ontology=False, jobs=1)
    with s3_server() as endpoint, proxy(endpoint) as between, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", between.endpoint)
        make_bucket(endpoint, "cells")
        upload(local, "s3://cells/local.cells")
        yield Places(local=local, remote="s3://cells/local.cells", files=files, endpoint=endpoint, proxy=between)
    shutil.rmtree(place)


@pytest.fixture(autouse=True)
def _no_faults(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave the proxy as it was found."""
    yield
    if "places" in request.fixturenames:
        from tools.remote.proxy import Faults

        between = request.getfixturevalue("places").proxy
        between.faults = Faults()
        between.forget()


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a directory, ranges of them where they are asked for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.translate_path(self.path)
        if not os.path.isfile(path):  # noqa: PTH113 (it is text)
            self.send_error(404)
            return
        with open(path, "rb") as file:  # noqa: PTH123
            data = file.read()
        asked = self.headers.get("Range")
        start, stop = 0, len(data)
        if asked is not None:
            low, high = asked.removeprefix("bytes=").split("-")
            start, stop = (int(low), min(int(high or stop) + 1, stop)) if low else (max(0, stop - int(high)), stop)
            if start >= len(data):
                self.send_error(416)
                return
        self.send_response(206 if asked is not None else 200)
        if asked is not None:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        self.wfile.write(data[start:stop])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def web(places: Places) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Handler, directory=str(places.local.parent))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/local.cells"
    server.shutdown()
    thread.join()
    server.server_close()
