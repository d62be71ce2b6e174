"""Batches of sets: the sets' numbers and labels beside the cells, and the control cells as a batch of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scformat.loading.neighbours import Surrounded, make_cells
from scformat.sampling.draws import CONTROL_POSITIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scformat.loading.batches import Arrays, Assembly
    from scformat.loading.schedule import Step
    from scformat.loading.sets import ChosenSets
    from scformat.loading.window import Held
    from scformat.torch.batch import Batch


def make_controls(arrays: Arrays, held: Held | Surrounded, step: Step, how: Assembly) -> Arrays:
    """Make the control cells of a step too, all of them held, where it has any."""
    if step.sets is None or step.sets.controls is None:
        return arrays
    positions = step.positions + np.uint64(CONTROL_POSITIONS)
    return replace(arrays, control=make_cells(held, step.sets.controls, positions, how))


def with_sets(
    batch: Batch,
    step: Step,
    arrays: Arrays,
    chosen: ChosenSets,
    finish: Callable[[Arrays, NDArray[np.bool_]], Batch],
) -> Batch:
    """Return a batch with its sets.

    Parameters
    ----------
    arrays
        What the batch was made of.
    finish
        Makes tensors of arrays, where they are wanted.
    """
    sets = step.sets
    assert sets is not None  # the stream is one of sets
    control = None
    if arrays.control is not None:
        # A set that only fills up a pass has no valid cell; one that is itself filled up has valid controls.
        valid = np.repeat(step.valid.reshape(-1, sets.size).any(axis=1), sets.size)
        control = finish(arrays.control, valid & (arrays.control.source >= 0))

    def tensor(values: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.int64)).to(batch.rows.device)

    return replace(
        batch,
        sets=tensor(sets.numbers),
        combination=tensor(sets.strata),
        set_labels={name: tensor(codes) for name, codes in chosen.codes(sets.strata).items()},
        control=control,
    )
