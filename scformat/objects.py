"""Objects of buckets and HTTP servers, through TensorStore's key-value layer.

TensorStore runs threads of its own, which a forked process does not have: an address opened before a fork is refused.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from scformat.errors import InvalidDataError, ScformatError, StorageError, UsageError, truncated_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from urllib.parse import SplitResult

    from numpy.typing import NDArray

T = TypeVar("T")

SCHEMES = ("s3", "gs", "gcs", "http", "https")
REQUESTS_AT_ONCE = 64
"""Requests of a store that are under way together, unless SCFORMAT_REQUESTS says otherwise."""
RETRIES = {"max_retries": 6, "initial_delay": "200ms", "max_delay": "5s"}
"""Of a request that got no answer, half of one, or an error of the server; some 11 seconds in all."""
_MOST_TEXT = 300
_TRUE = ("1", "true", "yes")


def object_spec(address: SplitResult, environment: Mapping[str, str]) -> dict[str, Any]:
    """Say to TensorStore what lies at an address, and how requests are made.

    Parameters
    ----------
    address
        Its scheme is one of :data:`SCHEMES`.
    environment
        For S3: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, AWS_REGION or AWS_DEFAULT_REGION, and see
        :func:`credentials`. For all: SCFORMAT_REQUESTS.

    Raises
    ------
    UsageError
        ``bad-address``; ``bad-setting``.
    """
    if not address.netloc:
        what = "the bucket" if address.scheme in ("s3", "gs", "gcs") else "the host"
        raise UsageError("bad-address", f"an address without {what}", where=address.geturl())
    key = address.path.strip("/")
    prefix = f"{key}/" if key else ""
    if address.scheme in ("http", "https"):
        base = f"{address.scheme}://{address.netloc}"
        return {"driver": "http", "base_url": base, "path": f"/{prefix}", "context": _requests("http", environment)}
    if address.scheme in ("gs", "gcs"):
        context = _requests("gcs", environment)
        return {"driver": "gcs", "bucket": address.netloc, "path": prefix, "context": context}
    context = {**_requests("s3", environment), "aws_credentials": credentials(environment)}
    spec = {"driver": "s3", "bucket": address.netloc, "path": prefix, "context": context}
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    if endpoint:
        spec["endpoint"] = endpoint.rstrip("/")
        region = region or "us-east-1"  # TensorStore asks AWS itself for the region of a bucket, but no other server
    if region:
        spec["aws_region"] = region
    return spec


def credentials(environment: Mapping[str, str]) -> dict[str, str]:
    """Choose where credentials for S3 come from.

    AWS_NO_SIGN_REQUEST: none are used; AWS_ACCESS_KEY_ID: the environment; a file of AWS: its profile AWS_PROFILE;
    else whatever AWS's chain finds, which ends at the metadata of an instance.
    """
    if environment.get("AWS_NO_SIGN_REQUEST", "").lower() in _TRUE:
        return {"type": "anonymous"}
    if environment.get("AWS_ACCESS_KEY_ID"):
        return {"type": "environment"}
    files = {
        "config_file": environment.get("AWS_CONFIG_FILE"),
        "credentials_file": environment.get("AWS_SHARED_CREDENTIALS_FILE"),
    }
    home = Path(environment.get("HOME", "/")) / ".aws"
    if any(
        map(
            os.path.isfile, (files["config_file"] or home / "config", files["credentials_file"] or home / "credentials")
        )
    ):
        profile = environment.get("AWS_PROFILE")
        named = {"profile": profile, **files}
        return {"type": "profile", **{name: value for name, value in named.items() if value}}
    return {"type": "default"}


def _requests(driver: str, environment: Mapping[str, str]) -> dict[str, Any]:
    given = environment.get("SCFORMAT_REQUESTS", str(REQUESTS_AT_ONCE))
    if not given.isdecimal() or int(given) < 1:
        raise UsageError("bad-setting", "SCFORMAT_REQUESTS is no number of requests", expected="1 or more", found=given)
    return {f"{driver}_request_concurrency": {"limit": int(given)}, f"{driver}_request_retries": dict(RETRIES)}


class Objects:
    """Objects below an address: the :class:`scformat.blobs.Blobs` of a bucket or an HTTP server."""

    read_through = 64 << 10
    ahead = 64 << 20

    def __init__(self, url: str, spec: dict[str, Any]) -> None:
        import tensorstore as ts

        self.url = url
        self._pid = _used_here(url)
        self._in_doubt = False
        with remote_errors(url):
            self._kv = ts.KvStore.open(spec).result()
        self._range = ts.KvStore.KeyRange

    def read(self, key: str) -> bytes | None:
        """Return an object's bytes."""
        return self._begin(key, None).result()

    def begin_tail(self, key: str, size: int) -> Later[bytes | None]:
        """Ask for an object's last bytes."""
        tail = self._begin(key, slice(-size, None))

        def take() -> bytes | None:
            try:
                return tail.result()
            except InvalidDataError:  # it is shorter
                return self.read(key)

        return Later(self._at(key), take)

    def begin_ranges(
        self, key: str, starts: NDArray[np.int64], stops: NDArray[np.int64], out: NDArray[np.uint8]
    ) -> Later[None]:
        """Ask for ranges of an object, each by a request of its own, all under way at once."""
        ranges = list(zip(starts.tolist(), stops.tolist(), strict=True))
        reads = [self._begin(key, slice(start, stop)) for start, stop in ranges]

        def take() -> None:
            at = 0
            for read, (start, stop) in zip(reads, ranges, strict=True):
                piece = read.result()
                if piece is None:
                    raise StorageError("not-found", "there is nothing", where=self._at(key), hint="check the address")
                if len(piece) != stop - start:
                    raise truncated_file(self._at(key), expected=stop, found=start + len(piece))
                out[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
                at += len(piece)

        return Later(self._at(key), take)

    def write(self, key: str, data: bytes) -> Later[object]:
        """Start writing an object."""
        self.check_process()
        with remote_errors(self._at(key)):
            return Later(self._at(key), self._kv.write(key, data).result)

    def replace(self, key: str, data: bytes, *, expected: bytes | None) -> bool:
        """Write an object if it is as expected, by a conditional request."""
        self.check_process()
        with remote_errors(self._at(key)):
            held = self._kv.read(key).result()
            if (bytes(held.value) if held.state == "value" else None) != expected:
                return False
            self._in_doubt = True
            try:
                # Of an object that is not there, too, the generation has to be given: none at all is no condition.
                done = bool(self._kv.write(key, data, if_equal=held.stamp.generation).result().generation)
            except (OSError, ValueError, RuntimeError):
                if self.read(key) != data:
                    raise
                done = True
            self._in_doubt = False
            if done:
                return True
        # Refused; so is the repetition of a request that was done and whose answer was lost.
        return self.read(key) == data

    def prepare(self, key: str) -> None:
        """Do nothing: an object needs no directory."""

    def write_whole(self, key: str, data: bytes, *, through: Path) -> None:
        """Write an object, which appears whole in any case."""
        self.write(key, data).result()

    def adopt(self, key: str) -> None:
        """Do nothing: an object that is there is durable."""

    def sync(self) -> None:
        """Return at once: an object that was written is durable."""

    def size(self) -> None:
        """Say nothing: a bucket would have to be listed."""

    def keys(self) -> list[str]:
        """Every object's key."""
        self.check_process()
        with remote_errors(self.url):
            return sorted(key.decode() for key in self._kv.list().result())

    def discard(self, path: str) -> None:
        """Remove every object below a path."""
        self.check_process()
        if self._in_doubt:
            return
        with remote_errors(self._at(path)):
            below = self._range(f"{path}/", f"{path}0") if path else self._range()
            self._kv.delete_range(below).result()

    def check_place(self) -> None:
        """Raise where there is no such bucket, as far as that can be told: reading says only that there is nothing."""
        try:
            with remote_errors(self.url):
                self._kv.list(self._range("zarr.json", "zarr.json0")).result()  # one key, however many there are
        except StorageError as error:
            if error.code == "no-bucket":
                raise

    def _begin(self, key: str, some: slice | None) -> Later[bytes | None]:
        self.check_process()
        with remote_errors(self._at(key)):
            future = self._kv.read(key, byte_range=some)

        def take() -> bytes | None:
            result = future.result()
            return bytes(result.value) if result.state == "value" else None

        return Later(self._at(key), take)

    def _at(self, key: str) -> str:
        return f"{self.url.rstrip('/')}/{key}"

    def check_process(self) -> None:
        """Raise where this process was forked."""
        if self._pid != os.getpid():
            raise _forked(self.url)


_users: set[int] = set()
"""Of this process and those it was forked from, the ones that used TensorStore. A fork does not take its threads along:
TensorStore aborts a process that was forked from one with such threads as soon as it needs some itself."""


def _used_here(where: str) -> int:
    """Note that this process uses TensorStore, and return its number; raise where the one it was forked from did."""
    here = os.getpid()
    if _users - {here}:
        raise _forked(where)
    _users.add(here)
    return here


def _forked(where: str) -> UsageError:
    return UsageError(
        "opened-before-fork",
        "a remote store in a process that was forked from one that had opened such a store",
        where=where,
        hint="start processes with spawn or forkserver, or open remote stores in the forked ones only",
    )


class Later(Generic[T]):
    """What a server was asked for."""

    def __init__(self, where: str, take: Callable[[], T]) -> None:
        self._where, self._take = where, take

    def result(self) -> T:
        """Wait for the answer."""
        with remote_errors(self._where):
            return self._take()


@contextmanager
def remote_errors(where: str) -> Iterator[None]:
    """Turn errors of TensorStore into those of the interface."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, ScformatError):
            raise
        raise remote_error(str(error), where) from None


_FAULTS: tuple[tuple[tuple[str, ...], str, str, str], ...] = (
    (
        ("NoSuchBucket", "bucket does not exist"),
        "no-bucket",
        "there is no such bucket",
        "check its name, the region and AWS_ENDPOINT_URL, or create it",
    ),
    (
        ("credentials from provider",),
        "no-credentials",
        "there are no credentials",
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a profile, or AWS_NO_SIGN_REQUEST=1 for a public bucket",
    ),
    (
        ("PERMISSION_DENIED", "UNAUTHENTICATED", "AccessDenied", "'403'", "'401'"),
        "no-access",
        "access is denied",
        "check the credentials and what they may do",
    ),
    (
        ("does not support writing", "does not support deletion"),
        "read-only",
        "nothing can be written here",
        "use s3://",
    ),
    (("does not support listing",), "cannot-list", "what lies here cannot be listed", "use s3://, or a copy"),
    (("CURL error",), "no-connection", "the server does not answer", "check the address and the network"),
    (("NOT_FOUND",), "not-found", "there is nothing", "check the address"),
    (("retry attempts failed",), "storage-failed", "the server failed again and again", "try again later"),
)
"""What TensorStore's messages have, the code, what is wrong, and what to do; the first that fits."""


def remote_error(text: str, where: str) -> ScformatError:
    """Build the error for a message of TensorStore."""
    found = text.partition(" [")[0][:_MOST_TEXT]
    if text.startswith(("OUT_OF_RANGE", "DATA_LOSS")):
        hint = "restore the object from a copy, or convert again"
        return InvalidDataError("damaged-object", "a truncated object", where=where, found=found, hint=hint)
    for signs, code, what, hint in _FAULTS:
        if any(sign in text for sign in signs):
            return StorageError(code, what, where=where, found=found, hint=hint)
    return StorageError("storage-failed", "reading or writing failed", where=where, found=found)
