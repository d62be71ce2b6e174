"""A proxy before an object store that is slow, fails and breaks off at will, and writes down every request.

Faults are drawn from a seed, request by request. Rounds are counted by holding answers back: they are let go together
once nobody asks for more, so requests that wait for an answer of another come in a round of their own.
"""

from __future__ import annotations

import asyncio
import random
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What goes wrong, and how long everything takes.

    Attributes
    ----------
    latency
        Seconds before a request is passed on.
    errors
        Share of requests that are answered with 500 or 503 instead.
    truncations
        Share of answers whose connection is closed after half of the body.
    lost
        Share of writes that are done, but not answered.
    hold
        Seconds without a new request after which answers that were held back are let go; 0: none is held.
    only
        Methods that errors happen to; empty: all.
    seed
        Of the draws.
    """

    latency: float = 0.0
    errors: float = 0.0
    truncations: float = 0.0
    lost: float = 0.0
    hold: float = 0.0
    only: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request.

    Attributes
    ----------
    method, path, byte_range
        As the client sent them; the range without its unit, empty where there is none.
    status
        Of the answer; 0 where the connection was closed without one.
    bytes
        Of the answer's body that were sent.
    fault
        ``error``, ``truncated``, ``lost``, or empty.
    round
        Which of the rounds it came in.
    """

    method: str
    path: str
    byte_range: str
    status: int
    bytes: int
    fault: str
    round: int


@dataclass
class Proxy:
    """A proxy that runs.

    Attributes
    ----------
    endpoint
        Its own address.
    faults
        What it does to the requests to come; may be replaced at any time.
    requests
        Every request that was answered, in the order of the answers.
    most
        Requests that were under way at the same time, at most.
    """

    endpoint: str = ""
    faults: Faults = field(default_factory=Faults)
    requests: list[Request] = field(default_factory=list)
    most: int = 0

    def forget(self) -> None:
        """Count anew."""
        self.requests = []
        self.most = 0


@contextmanager
def proxy(upstream: str) -> Iterator[Proxy]:
    """Run a proxy before a server in a thread, until the end."""
    shown = Proxy()
    started = threading.Event()
    loop = asyncio.new_event_loop()
    running = _Running(shown, upstream)
    thread = threading.Thread(target=lambda: loop.run_until_complete(running.serve(started)), daemon=True)
    thread.start()
    started.wait()
    try:
        yield shown
    finally:
        loop.call_soon_threadsafe(running.stop.set)
        thread.join()
        loop.close()


class _Running:
    def __init__(self, shown: Proxy, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._shown = shown
        self._drawn = random.Random()
        self._seed: int | None = None
        self._now = self._round = 0
        self._gate = asyncio.Event()
        self._release: asyncio.TimerHandle | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self.stop = asyncio.Event()

    async def serve(self, started: threading.Event) -> None:
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, limit=_HEAD_BYTES, backlog=1024)
        self._shown.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        started.set()
        await self.stop.wait()
        server.close()
        for client in list(self._clients):
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise TypeError("not in a task")
        self._clients.add(task)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while await self._one(reader, writer):
                    pass
        finally:
            self._clients.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; tell whether the connection stays."""
        head = await reader.readuntil(b"\r\n\r\n")
        fields = _fields(head)
        if fields.get("expect") == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(int(fields.get("content-length", "0")))
        faults = self._shown.faults
        fault, number = self._fault(faults, head), self._arrive(faults)
        try:
            await asyncio.sleep(faults.latency)
            status, answer, sent, stays = 0, b"", 0, True
            if fault == "error":
                status = 500 if self._drawn.random() < 0.5 else 503
                answer = b"HTTP/1.1 %d Failed\r\nContent-Length: 0\r\n\r\n" % status
            else:
                answer = await self._ask(head, body)
                status = int(answer.split(b" ", 2)[1])
                start = answer.index(b"\r\n\r\n") + 4
                sent = len(answer) - start
                if fault == "truncated" and sent:
                    sent, stays = sent // 2, False
                    answer = answer[: start + sent]
                elif fault == "lost":
                    status, answer, sent, stays = 0, b"", 0, False
            while faults.hold and number == self._round:
                await self._gate.wait()
        finally:
            self._now -= 1
        method, path, _ = head.split(b" ", 2)
        self._shown.requests.append(
            Request(
                method=method.decode(),
                path=path.decode(),
                byte_range=fields.get("range", "").removeprefix("bytes="),
                status=status,
                bytes=sent,
                fault=fault,
                round=number,
            )
        )
        writer.write(answer)
        await writer.drain()
        return stays

    def _arrive(self, faults: Faults) -> int:
        self._now += 1
        self._shown.most = max(self._shown.most, self._now)
        if faults.hold:
            if self._release is not None:
                self._release.cancel()
            self._release = asyncio.get_running_loop().call_later(faults.hold, self._let_go)
        return self._round

    def _let_go(self) -> None:
        self._round += 1
        self._release = None
        self._gate.set()
        self._gate = asyncio.Event()

    def _fault(self, faults: Faults, head: bytes) -> str:
        if self._seed != faults.seed:
            self._seed = faults.seed
            self._drawn.seed(faults.seed)
        method = head.split(b" ", 1)[0].decode()
        errors = faults.errors if not faults.only or method in faults.only else 0.0
        drawn = self._drawn.random()
        if drawn < errors:
            return "error"
        if drawn < errors + faults.truncations and method == "GET":
            return "truncated"
        return "lost" if self._drawn.random() < faults.lost and method == "PUT" else ""

    async def _ask(self, head: bytes, body: bytes) -> bytes:
        """Pass a request on, on a connection of its own, and return the whole answer."""
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=_HEAD_BYTES)
        try:
            lines = head[:-4].split(b"\r\n")
            kept = [line for line in lines if not line.lower().startswith((b"expect:", b"connection:"))]
            writer.write(b"\r\n".join([*kept, b"Connection: close", b"", body]))
            await writer.drain()
            answer = await reader.readuntil(b"\r\n\r\n")
            size, rest = _fields(answer).get("content-length"), b""
            if not head.startswith(b"HEAD"):
                rest = await (reader.read() if size is None else reader.readexactly(int(size)))
            if size is None:
                answer = answer.replace(b"\r\n", b"\r\nContent-Length: %d\r\n" % len(rest), 1)
            answer += rest
            # The server closes its connection; ours stays.
            return answer.replace(b"\r\nConnection: close\r\n", b"\r\n", 1)
        finally:
            writer.close()


def _fields(head: bytes) -> dict[str, str]:
    """Header fields by their names in small letters."""
    lines = [line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:]]
    return {name.strip().lower(): value.strip() for name, colon, value in lines if colon}
