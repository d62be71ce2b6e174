"""The reader of HDF5 rows equals h5py for every layout, filter and range, from several threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from scformat.errors import InvalidDataError, RowIndexError, StorageError, UnsupportedError
from scformat.sources import open_source
from scformat.sources.hdf5 import Descriptor, Hdf5Rows
from scformat.sources.hdf5_stored import open_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAYOUTS: dict[str, tuple[dict[str, Any], bool]] = {
    "contiguous": ({}, True),
    "chunked": ({"chunks": True}, True),
    "gzip": ({"chunks": True, "compression": "gzip"}, True),
    "shuffle": ({"chunks": True, "shuffle": True}, True),
    "shuffle-gzip": ({"chunks": True, "shuffle": True, "compression": "gzip", "compression_opts": 1}, True),
    "lzf": ({"chunks": True, "compression": "lzf"}, False),
    "gzip-fletcher": ({"chunks": True, "compression": "gzip", "fletcher32": True}, False),
}
DTYPES = ["float32", "float64", "int64", "uint16", "int8", "float16"]


@contextmanager
def rows_of(path: Path, name: str = "d") -> Iterator[Hdf5Rows]:
    """Open a dataset for reading by rows."""
    with h5py.File(path, "r") as file:
        yield open_rows(file[name], descriptor=Descriptor(path), where=f"{path}:{name}")


def write(path: Path, values: np.ndarray[Any, Any], layout: str, chunk: tuple[int, ...]) -> None:
    """Write `values` as dataset ``d``."""
    options = dict(LAYOUTS[layout][0])
    if options.pop("chunks", False):
        options["chunks"] = tuple(min(c, max(1, n)) for c, n in zip(chunk, values.shape, strict=True))
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=values, **options)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("layout", LAYOUTS)
@given(data=st.data())
def test_ranges_of_a_vector(tmp_path: Path, layout: str, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 300))
    dtype = data.draw(st.sampled_from(DTYPES))
    chunk = data.draw(st.integers(1, 320))
    values = np.random.default_rng(n).integers(0, 120, n).astype(dtype)
    write(tmp_path / "a.h5", values, layout, (chunk,))
    with rows_of(tmp_path / "a.h5") as rows:
        assert rows.direct == LAYOUTS[layout][1]
        for _ in range(5):
            start = data.draw(st.integers(0, n))
            stop = data.draw(st.integers(start, n))
            got = rows.read(start, stop)
            assert got.dtype == values.dtype
            np.testing.assert_array_equal(got, values[start:stop])


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("layout", LAYOUTS)
@given(data=st.data())
def test_ranges_of_a_matrix(tmp_path: Path, layout: str, data: st.DataObject) -> None:
    n, m = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    chunk = (data.draw(st.integers(1, 45)), data.draw(st.integers(1, 45)))
    values = np.random.default_rng(n).integers(0, 120, (n, m)).astype(data.draw(st.sampled_from(DTYPES)))
    write(tmp_path / "a.h5", values, layout, chunk)
    with rows_of(tmp_path / "a.h5") as rows:
        assert rows.row_step == (1 if layout == "contiguous" else min(chunk[0], n))
        for _ in range(4):
            start = data.draw(st.integers(0, n))
            stop = data.draw(st.integers(start, n))
            np.testing.assert_array_equal(rows.read(start, stop), values[start:stop])


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"compression": "lzf"}], ids=["plain", "gzip", "lzf"])
@pytest.mark.parametrize("layout", ["csr", "csc"])
@given(seed=st.integers(0, 2**32 - 1), data=st.data())
def test_blocks_equal_scipy_slices(
    tmp_path: Path, layout: str, options: dict[str, Any], seed: int, data: st.DataObject
) -> None:
    import anndata

    rng = np.random.default_rng(seed)
    dense = rng.integers(0, 5, (rng.integers(1, 50), rng.integers(1, 30))) * (rng.random() < 0.9)
    stored = sparse.csr_matrix(dense.astype(np.float32)).asformat(layout)
    anndata.AnnData(stored).write_h5ad(tmp_path / "a.h5ad", **options)
    source = open_source(tmp_path / "a.h5ad")
    matrix = source.matrix("X")
    n = len(dense) if layout == "csr" else dense.shape[1]
    start = data.draw(st.integers(0, n))
    stop = data.draw(st.integers(start, n))
    block = matrix.read_rows(start, stop) if layout == "csr" else matrix.read_columns(start, stop)
    expected = stored[start:stop] if layout == "csr" else stored[:, start:stop]
    np.testing.assert_array_equal(block.offsets, expected.indptr)
    np.testing.assert_array_equal(block.indices, expected.indices)
    np.testing.assert_array_equal(block.data, expected.data)
    source.close()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_threads(tmp_path: Path, layout: str) -> None:
    values = np.random.default_rng(0).integers(0, 99, 200_000).astype(np.float32)
    write(tmp_path / "a.h5", values, layout, (1000,))
    spans = [(start, min(start + 1777, len(values))) for start in range(0, len(values), 1777)]
    with rows_of(tmp_path / "a.h5") as rows, ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda span: rows.read(*span), spans))
    np.testing.assert_array_equal(np.concatenate(parts), values)


@pytest.mark.parametrize(
    ("dtype", "direct"), [(">f4", False), (">i8", False), ("bool", False), ("<u8", True), ("<f2", True)]
)
@pytest.mark.parametrize("chunks", [None, (7,)])
def test_foreign_types(tmp_path: Path, dtype: str, direct: bool, chunks: Any) -> None:  # noqa: FBT001
    values = np.arange(50).astype(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("d", data=values, chunks=chunks)
    with rows_of(tmp_path / "a.h5") as rows:
        assert rows.direct == direct
        got = rows.read(3, 41)
        assert got.dtype.isnative
        np.testing.assert_array_equal(got, values[3:41])


@pytest.mark.parametrize("shape", [(60,), (60, 5)])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_chunks_that_were_never_written_hold_the_fill_value(
    tmp_path: Path, shape: tuple[int, ...], compression: str | None
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        chunks = (8, 2)[: len(shape)]
        made = file.create_dataset("d", shape, "i4", chunks=chunks, fillvalue=7, compression=compression)
        made[17:30] = 1
        expected = made[()]
        file.create_dataset("late", (10,), "i4", fillvalue=3)
    with rows_of(tmp_path / "a.h5") as rows:
        for start, stop in ((0, 60), (3, 20), (25, 59), (0, 5)):
            np.testing.assert_array_equal(rows.read(start, stop), expected[start:stop])
    with rows_of(tmp_path / "a.h5", "late") as rows:
        np.testing.assert_array_equal(rows.read(0, 10), np.full(10, 3))


def test_the_filter_mask_of_a_chunk_is_honoured(tmp_path: Path) -> None:
    import zlib

    values = np.arange(30, dtype=np.int32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        made = file.create_dataset("d", (30,), "i4", chunks=(10,), compression="gzip", shuffle=True)
        shuffled = values[:10].view(np.uint8).reshape(10, 4).T.tobytes()
        made.id.write_direct_chunk((0,), shuffled, filter_mask=0b10)
        made.id.write_direct_chunk((10,), zlib.compress(values[10:20].tobytes()), filter_mask=0b01)
        made.id.write_direct_chunk((20,), values[20:].tobytes(), filter_mask=0b11)
    with rows_of(tmp_path / "a.h5") as rows:
        np.testing.assert_array_equal(rows.read(0, 30), values)


def test_virtual_external_and_userblock_go_through_the_library(tmp_path: Path) -> None:
    values = np.arange(20, dtype=np.int64)
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["d"] = values
    layout = h5py.VirtualLayout((20,), "i8")
    layout[:] = h5py.VirtualSource(tmp_path / "part.h5", "d", (20,))
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=512) as file:
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("external", data=values, external=[(str(tmp_path / "raw.bin"), 0, 160)])
        file.create_dataset("userblock", data=values)
        file.create_dataset("userblock_chunked", data=values, chunks=(6,))
    for name in ("virtual", "external", "userblock", "userblock_chunked"):
        with rows_of(tmp_path / "a.h5", name) as rows:
            assert not rows.direct
            np.testing.assert_array_equal(rows.read(4, 19), values[4:19])


@pytest.mark.parametrize("payload", [b"not deflated", None])
def test_a_damaged_chunk_names_dataset_and_byte(tmp_path: Path, payload: bytes | None) -> None:
    import zlib

    with h5py.File(tmp_path / "a.h5", "w") as file:
        made = file.create_dataset("d", (30,), "i4", chunks=(10,), compression="gzip")
        made[:] = 1
        made.id.write_direct_chunk((10,), zlib.compress(bytes(36)) if payload is None else payload)
        offset = made.id.get_chunk_info_by_coord((10,)).byte_offset
    with rows_of(tmp_path / "a.h5") as rows:
        np.testing.assert_array_equal(rows.read(0, 10), np.ones(10))
        with pytest.raises(InvalidDataError, match=rf"a\.h5:d: the chunk at byte {offset} ") as error:
            rows.read(5, 15)
    assert error.value.code == "damaged-chunk"


def test_an_unfiltered_chunk_of_a_wrong_length(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        made = file.create_dataset("d", (20,), "i4", chunks=(10,), shuffle=True)
        made[:] = 1
        made.id.write_direct_chunk((0,), bytes(36))
    with rows_of(tmp_path / "a.h5") as rows, pytest.raises(InvalidDataError, match="expected 40 bytes; found 36"):
        rows.read(0, 10)


def test_a_dataset_beyond_the_end_of_the_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["d"] = np.arange(100_000)
    with h5py.File(tmp_path / "a.h5", "r") as file:
        short = tmp_path / "short"
        short.write_bytes((tmp_path / "a.h5").read_bytes()[:5000])
        rows = open_rows(file["d"], descriptor=Descriptor(short), where="short:d")
        with pytest.raises(InvalidDataError, match="short:d: the file ends before byte") as error:
            rows.read(0, 100_000)
        assert error.value.code == "truncated-file"


def test_a_chunk_beyond_the_end_of_the_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("d", data=np.arange(10_000), chunks=(1000,), compression="gzip")
    with h5py.File(tmp_path / "a.h5", "r") as file:
        short = tmp_path / "short"
        short.write_bytes((tmp_path / "a.h5").read_bytes()[:6000])
        with pytest.raises(InvalidDataError, match="short:d: the file ends within the chunk at byte") as error:
            open_rows(file["d"], descriptor=Descriptor(short), where="short:d").read(0, 10)
        assert error.value.code == "truncated-file"


def test_ranges_outside_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["d"] = np.arange(10)
    with rows_of(tmp_path / "a.h5") as rows:
        for start, stop in ((-1, 3), (5, 11), (6, 5)):
            with pytest.raises(RowIndexError):
                rows.read(start, stop)


@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
def test_reading_after_closing_is_refused(tmp_path: Path, compression: Any) -> None:
    import anndata

    anndata.AnnData(sparse.csr_matrix(np.eye(3))).write_h5ad(tmp_path / "a.h5ad", compression=compression)
    source = open_source(tmp_path / "a.h5ad")
    matrix = source.matrix("X")
    assert matrix.read_rows(0, 3).data is not None
    source.close()
    source.close()
    with pytest.raises(StorageError) as error:
        matrix.read_rows(0, 3)
    assert error.value.code == "source-closed"


def test_a_filter_that_is_not_installed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        # 32008 is bitshuffle's number; optional filters may be set without the plug-in that runs them.
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((10,))
        plist.set_filter(32008, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple((10,))
        h5py.h5d.create(file.id, b"d", h5py.h5t.NATIVE_INT32, space, plist)
    with pytest.raises(UnsupportedError, match="filter 32008") as error, rows_of(tmp_path / "a.h5"):
        pass
    assert error.value.code == "unknown-hdf5-filter"


def test_a_wide_band_that_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scformat.sources.hdf5._KEPT_BYTES", 100)
    values = np.arange(600, dtype=np.int32).reshape(20, 30)
    write(tmp_path / "a.h5", values, "gzip", (8, 7))
    with rows_of(tmp_path / "a.h5") as rows:
        for start in range(0, 20, 3):
            np.testing.assert_array_equal(rows.read(start, min(start + 3, 20)), values[start : start + 3])
