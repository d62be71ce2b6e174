"""What is made on the device is what the host makes; the same functions run on the CPU here."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")

from scformat.errors import UsageError  # noqa: E402
from scformat.loading.batches import make_batch  # noqa: E402
from scformat.loading.form import choose_form  # noqa: E402
from scformat.loading.transforms import LOG1P, SCALE_SELECTED, SCALE_STORED, Recipe  # noqa: E402
from scformat.loading.window import read_window  # noqa: E402
from scformat.torch import CellLoader, Downsample, Log1p, NormalizeTotal, QuantileBins, TokenSpec  # noqa: E402
from scformat.torch.device import Delivery, scatter  # noqa: E402

if TYPE_CHECKING:
    from scformat.loading.form import Form
    from scformat.store import Store
    from scformat.torch import Batch

CPU = torch.device("cpu")
NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def delivered(store: Store, rows: Any, form: Form, delivery: Delivery) -> Batch:
    wanted = np.asarray(rows)
    held = read_window(store, wanted, labels=form.read)
    arrays = make_batch(held, wanted, wanted.astype(np.uint64) + 7, delivery.assembly)
    return delivery(arrays, np.ones(len(wanted), np.bool_))


RECIPES: list[tuple[list[Any], int]] = [
    ([], 0),
    ([NormalizeTotal(1e4)], 1),
    ([NormalizeTotal(1e4), Log1p()], 2),
    ([NormalizeTotal(500, by="selected"), Log1p()], 2),
    ([Log1p(), NormalizeTotal(10, by="selected")], 2),
    ([Downsample(share=0.5), NormalizeTotal(1e3, by="selected"), Log1p()], 2),
    ([NormalizeTotal(1e4), Log1p(), QuantileBins(9)], 0),
    ([QuantileBins(9), Log1p()], 1),
]


@pytest.mark.parametrize(("transforms", "left"), RECIPES)
@pytest.mark.parametrize("genes", ["all", "chosen"])
def test_the_device_makes_what_the_host_makes(store: Store, transforms: list[Any], left: int, genes: str) -> None:
    # In another order than the store's, with one that it does not have.
    some = [*store.genes.index[[900, 3, 4, 77, *range(200, 400)]], "ENSG99999999999"]
    form = choose_form(
        store,
        labels=["cell_type"],
        targets=["cell_type"],
        genes=some if genes == "chosen" else None,
        transforms=transforms,
        seed=2,
    )
    rows = np.random.default_rng(0).integers(0, store.n_cells, 200)
    there = Delivery.as_csr(form, device=CPU)
    assert there.rest is not None
    assert len(there.rest.codes) == left
    assert there.assembly.output == "csr"
    host = delivered(store, rows, form, Delivery.of(form))
    found = delivered(store, rows, form, there)
    assert found.x.dtype == torch.float32
    assert found.x.layout is torch.strided
    assert tuple(found.x.shape) == tuple(host.x.shape)
    torch.testing.assert_close(found.x, host.x, rtol=5e-7, atol=0)
    assert torch.equal(found.x == 0, host.x == 0)
    for name in ("rows", "source", "total_counts", "valid"):
        assert torch.equal(getattr(found, name), getattr(host, name))
    assert torch.equal(found.labels["cell_type"], host.labels["cell_type"])
    assert torch.equal(found.targets["cell_type"], host.targets["cell_type"])
    assert torch.equal(found.measured(), host.measured())


def test_scattering_an_empty_batch_and_cells_without_counts() -> None:
    offsets = torch.tensor([0, 0, 2, 2], dtype=torch.int32)
    columns, values = torch.tensor([4, 1], dtype=torch.int32), torch.tensor([1.0, 3.0])
    total = torch.tensor([0, 8, 0])
    empty = torch.empty(0)
    for codes, expected in (
        ([], [1.0, 3.0]),
        ([SCALE_STORED], [2.0, 6.0]),
        ([SCALE_SELECTED], [4.0, 12.0]),
        ([SCALE_SELECTED, LOG1P], np.log1p([4.0, 12.0]).tolist()),
    ):
        rest = Recipe(codes=np.array(codes, np.int64), arguments=np.full(len(codes), 16.0))
        x = scatter(offsets, columns, values, total, 6, rest)
        wanted = torch.zeros(3, 6)
        wanted[1, 4], wanted[1, 1] = expected
        torch.testing.assert_close(x, wanted)
        none = scatter(torch.zeros(3, dtype=torch.int32), empty.int(), empty, torch.zeros(2), 6, rest)
        assert torch.equal(none, torch.zeros(2, 6))


def test_batches_of_the_host_stay_dense(store: Store) -> None:
    for device in (None, "cpu", CPU):
        made = CellLoader(store, 32, device=device, threads=0)
        batch = next(iter(made))
        assert batch.x.device.type == "cpu"
        assert np.array_equal(batch.x.numpy(), store.read(batch.rows.numpy()).dense())


@pytest.mark.parametrize("output", ["csr", TokenSpec(max_len=30)])
def test_other_outputs_travel_as_they_are(store: Store, output: Any) -> None:
    form = choose_form(store, output=output)
    way = Delivery.of(form, device=torch.device("meta"))
    assert way.rest is None
    assert way.assembly is form.assembly


@pytest.mark.parametrize("threads", [0, 2])
def test_a_loader_delivers_to_its_device(store: Store, threads: int) -> None:
    # The device "meta" takes tensors and knows their shapes, without a memory of its own.
    options: dict[str, Any] = {"labels": ["cell_type"], "targets": ["cell_type"], "threads": threads, "seed": 1}
    made = CellLoader(store, 32, transforms=[NormalizeTotal(), Log1p()], device="meta", steps_per_epoch=3, **options)
    n = 0
    for batch in made:
        tensors = [batch.x, batch.rows, batch.source, batch.total_counts, batch.valid, batch.labels["cell_type"]]
        assert {tensor.device.type for tensor in [*tensors, batch.targets["cell_type"]]} == {"meta"}
        assert tuple(batch.x.shape) == (32, store.n_genes)
        n += 1
    assert n == 3
    # A state brings its seed along to the transforms of the new way.
    again = CellLoader(store, 32, transforms=[NormalizeTotal(), Log1p()], device="meta", steps_per_epoch=3)
    again.load_state_dict({**made.state_dict(), "position": 32})
    assert len(list(again)) == 2


@pytest.mark.parametrize(("device", "code"), [("gpu", "bad-device"), ("cuda:x", "bad-device"), (3.5, "bad-device")])
def test_what_is_no_device_is_refused(store: Store, device: Any, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        CellLoader(store, device=device)
    assert caught.value.code == code


@NO_CUDA
@pytest.mark.parametrize("device", ["cuda", "cuda:0", torch.device("cuda", 1)])
def test_a_device_that_is_not_there_is_refused(store: Store, device: Any) -> None:
    with pytest.raises(UsageError, match="CUDA") as caught:
        CellLoader(store, device=device)
    assert caught.value.code == "no-device"


@NO_CUDA
def test_pinning_without_a_device_does_nothing_and_says_so_once(store: Store) -> None:
    with pytest.warns(UserWarning, match="pin_memory does nothing") as caught:
        made = CellLoader(store, 16, pin_memory=True, threads=0, steps_per_epoch=3)
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batches = list(made)
    assert np.array_equal(batches[0].x.numpy(), store.read(batches[0].rows.numpy()).dense())
    assert not batches[0].x.is_pinned()


@CUDA
@pytest.mark.parametrize("way", [{}, {"pin_memory": True}])
@pytest.mark.parametrize("transforms", [transforms for transforms, _ in RECIPES])
def test_a_cuda_device_gets_the_same_batches(store: Store, transforms: list[Any], way: dict[str, Any]) -> None:
    options: dict[str, Any] = {"transforms": transforms, "seed": 4, "steps_per_epoch": 10, "targets": ["cell_type"]}
    host = CellLoader(store, 64, **options)
    there = CellLoader(store, 64, device="cuda", **way, **options)
    for one, other in zip(host, there, strict=True):
        assert other.x.device.type == other.rows.device.type == "cuda"
        torch.testing.assert_close(other.x.cpu(), one.x, rtol=2e-6, atol=0)
        assert torch.equal(other.targets["cell_type"].cpu(), one.targets["cell_type"])


@CUDA
@pytest.mark.parametrize("output", ["csr", TokenSpec(max_len=30)])
def test_a_cuda_device_gets_other_outputs(store: Store, output: Any) -> None:
    host = CellLoader(store, 64, output=output, seed=4, steps_per_epoch=3)
    there = CellLoader(store, 64, output=output, device="cuda", pin_memory=True, seed=4, steps_per_epoch=3)
    for one, other in zip(host, there, strict=True):
        if output == "csr":
            assert torch.equal(other.x.cpu().to_dense(), one.x.to_dense())
        else:
            assert torch.equal(other.gene_ids.cpu(), one.gene_ids)
            assert torch.equal(other.values.cpu(), one.values)
