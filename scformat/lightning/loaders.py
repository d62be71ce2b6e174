"""The loaders of a data module: a training stream that a trainer cuts into epochs, and passes that repeat."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from scformat.torch.loader import CellLoader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from scformat.torch.batch import Batch


class TrainLoader(CellLoader):
    """A stream of training batches.

    Each iteration gives ``len(loader)`` batches from where training stands, whatever the trainer's epochs are: one
    that is cut short (``limit_train_batches``, an exception) loses no cell, and one that Lightning begins only to
    look whether it can be iterated changes nothing.

    Parameters
    ----------
    trained
        Tells how many batches were trained on so far; None: every batch that was delivered counts as such.
    repeat
        Every iteration gives the same batches, the first ones of the stream.
    options
        Of :class:`CellLoader`.

    Attributes
    ----------
    used
        A batch was delivered since the loader was made or a state was loaded.
    """

    def __init__(self, *, trained: Callable[[], int] | None = None, repeat: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._trained = trained
        self._repeat = repeat
        self._begin = super().state_dict()
        self._settled = self.position
        self._counted = 0
        self._ahead: deque[int] = deque()
        self.used = False

    def __iter__(self) -> Iterator[Batch]:
        """Yield ``len(self)`` batches; nothing happens before the first is asked for."""
        self.load_state_dict(self._begin if self._repeat else self.state_dict())
        left = len(self)
        while left:
            for batch in super().__iter__():
                self._settle()
                self._ahead.append(self.position)
                self.used = True
                yield batch
                left -= 1
                if not left:
                    break

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream stands after the last batch that was trained on, as plain JSON values.

        A batch that was delivered, and whose training step then failed, comes again.
        """
        self._settle()
        return {**super().state_dict(), "position": self._settled}

    def load_state_dict(self, state: Mapping[str, Any] | str) -> None:
        """Go on where a stream stood; see :meth:`CellLoader.load_state_dict`."""
        super().load_state_dict(state)
        self.used = False
        self._settled = self.position
        self._ahead.clear()
        self._counted = 0 if self._trained is None else self._trained()

    def _settle(self) -> None:
        """Take the batches that were trained on since out of those that are ahead of training."""
        n = len(self._ahead) if self._trained is None else self._trained() - self._counted
        for _ in range(min(n, len(self._ahead))):
            self._settled = self._ahead.popleft()
            self._counted += 1


class PassLoader(CellLoader):
    """A pass over cells, each once: the same batches in every iteration, also after one that was left early.

    Parameters
    ----------
    options
        Of :class:`CellLoader`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._begin = super().state_dict()

    def __iter__(self) -> Iterator[Batch]:
        self.load_state_dict(self._begin)
        return super().__iter__()
