"""A struct of arrays: columns whose first axis is the row. Rows are kept dense by moving the last one into a hole."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray


class RowPart(Protocol):
    """Anything that keeps state per row."""

    def reset(self, row: int) -> None:
        """Make the row as new."""

    def move(self, src: int, dst: int) -> None:
        """Row ``src`` is from now on called ``dst``."""


class Columns:
    """Base of the engine's parts: ``column`` makes an array that ``reset`` and ``move`` then take care of."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._columns: list[tuple[NDArray[Any], Any]] = []

    def column(self, dtype: DTypeLike, *shape: int, fill: Any = 0) -> NDArray[Any]:
        """An array of ``capacity`` rows of ``shape``, every row ``fill`` when new."""
        values = np.zeros((self.capacity, *shape), dtype)
        if fill != 0:
            values[:] = fill
        self._columns.append((values, fill))
        return values

    def reset(self, row: int) -> None:
        for values, fill in self._columns:
            values[row] = fill

    def move(self, src: int, dst: int) -> None:
        for values, _ in self._columns:
            values[dst] = values[src]
