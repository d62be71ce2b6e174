"""A masked-gene transformer on tokens: hide a fifth of a cell's expressed genes, predict how much there was of each.

    python examples/masked_genes.py [--data FILE...] [--out DIR] [--steps N] [--seed N]

A cell is a sequence of pairs (gene, value), of 128 genes drawn at random among those it expresses. Genes have no
order, so there is no positional encoding: a token is its gene's embedding plus an embedding of its value, taken as the
difference from the mean of that gene. Cells that express fewer genes are padded, and attention leaves the padding out.
On held-out cells it is compared with two predictions that need no network: the gene's mean, where training begins, and
that mean moved by how far the cell's visible genes are from theirs, which accounts for its depth. Needs the extra
`torch`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import torch
from common import options_of, store_of
from torch import Tensor, nn

from scformat.torch import Batch, CellLoader, Log1p, NormalizeTotal, TokenSpec

MAX_LEN, MASKED, WIDTH = 128, 0.2, 64


class MaskedGeneModel(nn.Module):
    """Predict the values of masked genes of a cell from its other genes; `means`, of each gene, is where it begins."""

    def __init__(self, means: Tensor) -> None:
        super().__init__()
        n_genes = len(means)  # also the gene of padding
        self.register_buffer("means", torch.cat([means, torch.zeros(1)]))
        self.gene = nn.Embedding(n_genes + 1, WIDTH, padding_idx=n_genes)
        self.value = nn.Sequential(nn.Linear(1, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        self.hidden = nn.Parameter(torch.zeros(WIDTH))  # in place of a masked value
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, 1))
        nn.init.zeros_(self.head[-1].weight)
        nn.init.zeros_(self.head[-1].bias)

    def forward(self, genes: Tensor, values: Tensor, masked: Tensor, padding: Tensor) -> Tensor:
        means = self.means[genes]
        seen = torch.where(masked[..., None], self.hidden, self.value((values - means)[..., None]))
        return means + self.head(self.body(self.gene(genes) + seen, src_key_padding_mask=padding)).squeeze(-1)


def masked_of(batch: Batch, seed: int) -> Tensor:
    """Choose the tokens of a batch to hide; never padding."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(batch.values.shape, generator=generator) < MASKED) & ~batch.padding_mask


def gene_means(batches: Iterable[Batch], n_genes: int) -> Tensor:
    """Mean value of each gene over the tokens of some batches; of all genes, for one that is not in them."""
    total, count = torch.zeros(n_genes), torch.zeros(n_genes)
    for batch in batches:
        kept = ~batch.padding_mask & batch.valid[:, None]
        total.index_add_(0, batch.gene_ids[kept], batch.values[kept])
        count.index_add_(0, batch.gene_ids[kept], torch.ones(int(kept.sum())))
    return torch.where(count > 0, total / count, total.sum() / count.sum())


def errors(model: MaskedGeneModel, batches: Iterable[Batch]) -> dict[str, float]:
    """Mean squared error of the masked values of all cells of a pass."""
    wrong: dict[str, list[Tensor]] = {"gene's mean": [], "gene's mean, moved": [], "transformer": []}
    with torch.no_grad():
        for step, batch in enumerate(batches):
            masked = masked_of(batch, seed=step)
            mean = model.means[batch.gene_ids]
            seen = ~masked & ~batch.padding_mask
            shift = ((batch.values - mean) * seen).sum(1, keepdim=True) / seen.sum(1, keepdim=True).clamp(min=1)
            guesses = (mean, mean + shift, model(batch.gene_ids, batch.values, masked, batch.padding_mask))
            asked = masked & batch.valid[:, None]
            for name, guess in zip(wrong, guesses, strict=True):
                wrong[name].append((guess - batch.values)[asked] ** 2)
    return {name: float(torch.cat(parts).mean()) for name, parts in wrong.items()}


def main() -> None:
    options = options_of(__doc__, steps=400)
    store = store_of(options)
    form = {
        "batch_size": 64,
        "output": TokenSpec(max_len=MAX_LEN, how="random"),
        "transforms": [NormalizeTotal(1e4), Log1p()],
        "seed": options.seed,
    }
    torch.manual_seed(options.seed)
    model = MaskedGeneModel(gene_means(CellLoader(store, split="train", **form), store.n_genes))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=options.steps, pct_start=0.1)

    begun, recent = time.perf_counter(), []
    for step, batch in enumerate(CellLoader(store, split="train", steps_per_epoch=options.steps, **form)):
        masked = masked_of(batch, seed=options.seed + step)
        found = model(batch.gene_ids, batch.values, masked, batch.padding_mask)
        loss = ((found - batch.values)[masked] ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        recent.append(loss.item())
        if (step + 1) % max(1, options.steps // 6) == 0:
            print(f"step {step + 1}: loss {sum(recent) / len(recent):.3f}, {time.perf_counter() - begun:.0f} s")
            recent = []

    print("held-out cells, mean squared error of the masked values (log counts of 10,000):")
    for name, error in errors(model, CellLoader(store, split="test", **form)).items():
        print(f"  {name}: {error:.3f}")


if __name__ == "__main__":
    main()
