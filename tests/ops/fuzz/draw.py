"""Random inputs: sizes at which kernels change their path, awkward values, awkward layouts, awkward graphs."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from geodl.ops import Neighbors

# Around the widths of vectors and tiles, where a remainder starts.
EDGES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65)

# How values are drawn. Integers are so small that all sums are exact: whoever rounds differently has no excuse.
KINDS = ("normal", "integers", "ties", "zeros", "wide", "huge", "denormal", "special")
FINITE = tuple(kind for kind in KINDS if kind != "special")
TAME = ("normal", "integers", "ties", "zeros")


class Draw:
    """What one case is drawn from; the same seed draws the same case.

    Attributes:
        key: the seed.
        dtype: of all floating tensors of the case.
        exact: whether all values of the case are small integers.
        special: whether some value is infinite or NaN.
        tied: whether some tensor was drawn so that equal values are likely.
    """

    def __init__(self, seed: str) -> None:
        self.key = seed
        self.random = random.Random(seed)
        self.generator = torch.Generator().manual_seed(self.random.getrandbits(63))
        self.dtype = self.choice((torch.float32, torch.float64))
        self.exact = self.random.random() < 0.3
        self.special = self.tied = False

    def choice(self, options: Sequence) -> object:
        return self.random.choice(options)

    def size(self, most: int) -> int:
        """0 to ``most``, often small and often next to the width of a vector."""
        how = self.random.random()
        if how < 0.4:
            return self.random.randint(0, most)
        return self.random.choice([edge for edge in EDGES if edge <= most])

    def integers(self, shape: Sequence[int], low: int, high: int) -> Tensor:
        """In ``[low, high)``."""
        return torch.randint(low, max(high, low + 1), tuple(shape), generator=self.generator)

    def normal(self, shape: Sequence[int]) -> Tensor:
        return torch.randn(tuple(shape), generator=self.generator, dtype=torch.float64)

    def values(self, *shape: int, kinds: Sequence[str] = KINDS) -> Tensor:
        """A floating tensor of one of the kinds, in one of the layouts."""
        kind = "integers" if self.exact else self.random.choice(kinds)
        if kind in ("integers", "ties"):
            values = self.integers(shape, -3, 4).double() * (1 if kind == "integers" else 0.37)
        elif kind == "zeros":
            values = torch.zeros(shape, dtype=torch.float64)
            if self.random.random() < 0.5:
                values = -values
        else:
            values = self.normal(shape)
        single = self.dtype == torch.float32
        if kind == "wide":
            values = values * 10 ** (4 * self.normal(shape).clamp(-2, 2))
        elif kind == "huge":
            values = values * (1e12 if single else 1e100)
        elif kind == "denormal":
            values = values * (1e-40 if single else 1e-310)
        elif kind == "special":
            self.special = True
            rare = self.integers(shape, 0, 12)
            for i, value in enumerate((float("inf"), -float("inf"), float("nan"))):
                values = values.where(rare != i, value)
        self.tied |= kind not in ("normal", "wide", "huge")
        return self.laid_out(values.to(self.dtype))

    def positive(self, *shape: int) -> Tensor:
        """Between one half and two, powers of two in an exact case."""
        if self.exact:
            return self.laid_out(2.0 ** self.integers(shape, -1, 2).to(self.dtype))
        return self.laid_out(
            2 ** torch.rand(shape, generator=self.generator, dtype=torch.float64).to(self.dtype)
        )

    def laid_out(self, tensor: Tensor) -> Tensor:
        """The same values, often not contiguous, or not where an allocation starts."""
        how = self.random.randrange(6)
        if how == 0:
            return torch.stack([tensor, tensor], dim=-1)[..., 0]
        if how == 1 and tensor.dim() > 1:
            return tensor.mT.contiguous().mT
        if how == 2:
            return torch.cat([tensor.new_zeros(1), tensor.flatten()])[1:].view(tensor.shape)
        if how == 3 and tensor.dim() > 1 and tensor.shape[0]:
            wide = torch.cat([tensor, tensor], dim=-1)
            return wide[..., : tensor.shape[-1]]
        if how == 4 and tensor.dim() and tensor.shape[0] and self.random.random() < 0.3:
            self.tied = True
            return tensor[:1].expand(tensor.shape)
        return tensor

    def neighbors(self, most: int = 40, square: bool = False, symmetric: bool = False) -> Neighbors:
        """Rows of random degrees: none, a few, equal or one long; neighbours with or without duplicates."""
        rows = self.size(most)
        sources = rows if square or symmetric else self.size(most)
        if symmetric:
            pairs = self.integers((2, self.size(2 * most) if rows else 0), 0, rows)
            return Neighbors.from_edge_index(torch.cat([pairs, pairs.flip(0)], dim=1), rows)
        how = self.random.randrange(4)
        if sources == 0:
            degrees = torch.zeros(rows, dtype=torch.int64)
        elif how == 0:
            degrees = self.integers((rows,), 0, 6)
        elif how == 1:
            degrees = torch.full((rows,), self.random.randint(0, 20))
        elif how == 2:
            degrees = self.integers((rows,), 0, 3) * self.integers((rows,), 0, 40)
        else:
            degrees = torch.zeros(rows, dtype=torch.int64)
            if rows:
                degrees[self.random.randrange(rows)] = self.random.randint(1, 200)
        rowptr = torch.cat([degrees.new_zeros(1), degrees.cumsum(0)])
        few = self.random.randint(1, max(1, sources)) if self.random.random() < 0.3 else sources
        return Neighbors(rowptr, self.integers((int(rowptr[-1]),), 0, few), sources)

    def packed(self, most: int = 40, clouds: int | None = None) -> Tensor:
        """``ptr [B+1]`` of clouds side by side, some of them empty; of up to four where their number is not given."""
        count = self.random.randint(0, 4) if clouds is None else clouds
        sizes = [self.size(most) for _ in range(count)]
        return torch.tensor([0, *sizes]).cumsum(0)
