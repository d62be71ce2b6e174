"""What an address and the environment say to TensorStore, and what its messages say to us."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from scformat.blobs import open_blobs
from scformat.errors import UsageError
from scformat.objects import credentials, object_spec, remote_error


def spec(url: str, **environment: str) -> dict[str, Any]:
    made = object_spec(urlsplit(url), environment)
    made.pop("context")
    return made


def test_addresses() -> None:
    assert spec("s3://b/a/x.cells/") == {"driver": "s3", "bucket": "b", "path": "a/x.cells/"}
    assert spec("s3://b") == {"driver": "s3", "bucket": "b", "path": ""}
    assert spec("gs://b/x") == {"driver": "gcs", "bucket": "b", "path": "x/"}
    assert spec("https://h:8/x") == {"driver": "http", "base_url": "https://h:8", "path": "/x/"}


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "x"}, {"aws_region": "eu-west-1"}),
        ({"AWS_DEFAULT_REGION": "eu-west-2"}, {"aws_region": "eu-west-2"}),
        ({"AWS_ENDPOINT_URL": "http://h:1/"}, {"endpoint": "http://h:1", "aws_region": "us-east-1"}),
        ({"AWS_ENDPOINT_URL": "http://h", "AWS_ENDPOINT_URL_S3": "http://s", "AWS_REGION": "r"},
         {"endpoint": "http://s", "aws_region": "r"}),
    ],
)  # fmt: skip
def test_endpoint_and_region(environment: dict[str, str], found: dict[str, str]) -> None:
    assert spec("s3://b", **environment) == {"driver": "s3", "bucket": "b", "path": "", **found}


def test_credentials(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    assert credentials(home) == {"type": "default"}
    assert credentials({**home, **keys}) == {"type": "environment"}
    assert credentials({**home, **keys, "AWS_NO_SIGN_REQUEST": "true"}) == {"type": "anonymous"}
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").touch()
    assert credentials(home) == {"type": "profile"}
    assert credentials({**home, "AWS_PROFILE": "lab"}) == {"type": "profile", "profile": "lab"}
    assert credentials({**home, **keys}) == {"type": "environment"}
    other = str(tmp_path / ".aws" / "credentials")
    assert credentials({"AWS_SHARED_CREDENTIALS_FILE": other}) == {"type": "profile", "credentials_file": other}


def test_requests_at_once() -> None:
    made = object_spec(urlsplit("s3://b"), {"SCFORMAT_REQUESTS": "3"})
    assert made["context"]["s3_request_concurrency"] == {"limit": 3}
    for bad in ("0", "x", "-1"):
        with pytest.raises(UsageError, match="bad-setting"):
            object_spec(urlsplit("http://h"), {"SCFORMAT_REQUESTS": bad})


@pytest.mark.parametrize("url", ["s3:///x", "gs://", "http:///x"])
def test_an_address_of_nothing_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="bad-address"):
        open_blobs(url)


def test_other_schemes_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown-scheme"):
        open_blobs("ftp://h/x")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("NOT_FOUND: The specified bucket does not exist.", "no-bucket"),
        ("PERMISSION_DENIED: AccessDenied: Access Denied [http_response_code='403']", "no-access"),
        ("UNAUTHENTICATED: Anonymous caller", "no-access"),
        ("ABORTED: All 6 retry attempts failed: UNAVAILABLE: SlowDown", "storage-failed"),
        ("INTERNAL: something else", "storage-failed"),
        ("DATA_LOSS: half of it", "damaged-object"),
    ],
)
def test_messages(text: str, code: str) -> None:
    error = remote_error(text, "s3://b/x")
    assert error.code == code
    assert "[http" not in str(error)
