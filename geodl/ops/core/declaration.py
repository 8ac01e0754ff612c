"""What an operator is, from one line: its arguments with their shapes, and its results.

    "x[S,C] weight[E]?; graph:csr[N,S,E] position:int32[N,C]? slope:float -> [N,C]"

Before the semicolon stand the arguments that are differentiated, all of one floating dtype T; after it the structure, int64
unless it says otherwise. A size is a letter, a number, a letter plus or times a number, or the name of an argument that is an
int; ``...`` stands for further sizes, and a size of results alone is one that only values tell. Results are of dtype T unless they
say otherwise. A question mark allows None: of a result, where there is none. What torch.library makes of that, which knows no such
results, is an empty tensor of shape [0].
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from geodl.ops.core.csr import CSR

FLOATING = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
FIXED = {"int": torch.int64, "int32": torch.int32, "int16": torch.int16, "double": torch.float64}
SCALARS = {"int": "SymInt", "float": "float", "bool": "bool", "floats": "float[]", "bools": "bool[]"}
CSR_SCHEMA = "Tensor {0}_rowptr, Tensor {0}_col, SymInt {0}_num_src, Tensor? {0}_t_rowptr, Tensor? {0}_t_row, Tensor? {0}_perm"

_ITEM = re.compile(r"(\w*)(?::(\w+))?(?:\[([^\]]*)\])?(\?)?")
_SIZE = re.compile(r"(\w+)(?:([+*])(\d+))?")


@dataclass(frozen=True)
class Item:
    """An argument or a result.

    Attributes:
        name: empty for the only result.
        kind: "T" (of the operator's floating dtype), "const" (the same, without derivative), "acc" (the dtype that sums of T are
            formed in, without derivative), one of ``FIXED``, "csr" or a scalar.
        sizes: None for a scalar.
        optional: whether None is allowed.
    """

    name: str
    kind: str
    sizes: tuple[str, ...] | None
    optional: bool

    @property
    def is_tensor(self) -> bool:
        return self.sizes is not None and self.kind != "csr"


def _items(text: str, default: str) -> tuple[Item, ...]:
    found = []
    for word in text.split():
        match = _ITEM.fullmatch(word)
        if match is None:
            raise ValueError(
                f"{word!r} is no argument: name[sizes], name:kind[sizes] or name:kind, and ? if it may be None"
            )
        name, kind, sizes, optional = match.groups()
        shape = None if sizes is None else tuple(size for size in sizes.split(",") if size)
        found.append(Item(name, kind or default, shape, optional is not None))
    return tuple(found)


@dataclass(frozen=True)
class Declaration:
    """The parsed line."""

    differentiable: tuple[Item, ...]
    structure: tuple[Item, ...]
    results: tuple[Item, ...]

    @classmethod
    def parse(cls, line: str) -> Declaration:
        arguments, _, results = re.sub(r",\s+", ",", line).partition("->")
        differentiable, _, structure = arguments.partition(";")
        return cls(_items(differentiable, "T"), _items(structure, "int"), _items(results, "T"))

    @property
    def arguments(self) -> tuple[Item, ...]:
        return self.differentiable + self.structure

    def schema(self, results: int | None = None) -> str:
        """As torch.library writes it, with so many results if they are not declared."""
        given = []
        for item in self.arguments:
            if item.kind == "csr":
                given.append(CSR_SCHEMA.format(item.name))
            else:
                kind = "Tensor" if item.is_tensor else SCALARS[item.kind]
                given.append(f"{kind}{'?' if item.optional else ''} {item.name}")
        count = len(self.results) if results is None else results
        told = ", ".join(["Tensor"] * count)
        return f"({', '.join(given)}) -> {told if count == 1 else f'({told})'}"

    def bind(self, arguments: Sequence[Any]) -> dict[str, Any]:
        """The sizes, and the dtype and device of the first tensor, as ``sizes["T"]`` and ``sizes["device"]``.

        Raises:
            ValueError: an argument that does not fit, named, with what it should be and what it is.
        """
        return _Binding(self).all(arguments)

    def new_results(self, arguments: Sequence[Any]) -> tuple[Tensor, ...]:
        """Uninitialised results, which is the fake kernel; sizes of theirs alone are new symbols, as only values tell them."""
        sizes = _Sizes(self.bind(arguments))
        first = next(tensor for tensor in _tensors(self.arguments, arguments))
        return tuple(
            first.new_empty(
                [extent for size in item.sizes or () for extent in _extents(size, sizes)],
                dtype=result_dtype(item, sizes["T"]),
            )
            for item in self.results
        )


class _Sizes(dict[str, Any]):
    def __missing__(self, name: str) -> int:
        self[name] = size = dynamic_size()
        return size


def dynamic_size(least: int = 0) -> int:
    """A new symbolic size, at least so large.

    As ``torch.library.get_ctx().new_dynamic_size``, which outside of ``fullgraph=True`` breaks the graph in any case: what
    it protects from is operators whose shapes nobody can follow, and a number of edges can be followed.
    """
    from torch.fx.experimental.symbolic_shapes import _constrain_range_for_size

    environment = torch.library.get_ctx()._shape_env
    if environment is None:  # a mode of fake tensors that knows no symbols: it raises, and says so
        return cast(int, torch.library.get_ctx().new_dynamic_size(min=least))
    size = environment.create_unbacked_symint()
    _constrain_range_for_size(size, min=least)
    return cast(int, size)


def result_dtype(item: Item, dtype: torch.dtype) -> torch.dtype:
    if item.kind == "acc":
        return torch.promote_types(dtype, torch.float32)
    return FIXED.get(item.kind, dtype)


def _tensors(items: Sequence[Item], arguments: Sequence[Any]) -> list[Tensor]:
    return [
        part
        for item, given in zip(items, arguments, strict=True)
        for part in (given if item.kind == "csr" else (given,))
        if isinstance(part, Tensor)
    ]


def _extents(size: str, sizes: dict[str, Any]) -> list[Any]:
    if size == "...":
        return list(sizes.get("...", ()))
    if size.isdigit():
        return [int(size)]
    match = _SIZE.fullmatch(size)
    assert match is not None, size
    name, sign, number = match.groups()
    if sign is None:
        return [sizes[name]]
    return [sizes[name] + int(number) if sign == "+" else sizes[name] * int(number)]


def _equal(one: Any, other: Any) -> bool:
    """Whether sizes agree; of sizes that are only known when the compiled program runs it is taken down as a condition."""
    if isinstance(one, int) and isinstance(other, int):
        return one == other
    torch._check(one == other)
    return True


class _Binding:
    """One walk over the arguments, which gives names to sizes and names what does not fit."""

    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration
        self.sizes: dict[str, Any] = {}
        self.first: tuple[str, Tensor] | None = None
        self.floating: str | None = None
        self.told: dict[str, str] = {}  # sizes that a graph has, and what it has so many of

    def all(self, arguments: Sequence[Any]) -> dict[str, Any]:
        # Ints and the structure first: who disagrees with them is the signal, which the message should name.
        pairs = list(zip(self.declaration.arguments, arguments, strict=True))
        for item, given in pairs:
            if item.kind == "int" and not item.is_tensor and given is not None:
                self.sizes[item.name] = given
        for item, given in pairs:
            if item.kind == "csr":
                self._graph(item, given)
        for item, given in pairs:
            if item.is_tensor:
                self._tensor(item, given)
        self.sizes.setdefault("T", torch.float32)
        return self.sizes

    def _graph(self, item: Item, graph: CSR) -> None:
        if not isinstance(graph, CSR):
            raise ValueError(f"{item.name} must be a CSR, not {type(graph).__name__}")
        assert item.sizes is not None
        points, sources, edges = item.sizes
        if graph.t_rowptr is not None and (graph.t_row is None or graph.perm is None):
            raise ValueError(f"{item.name} must have t_row and perm where it has t_rowptr")
        if not isinstance(graph.num_src, bool) and isinstance(graph.num_src, (int, torch.SymInt)):
            self.sizes.setdefault(sources, graph.num_src)
        parts = (
            ("rowptr", f"{points}+1", graph.rowptr, False), ("col", edges, graph.col, False),
            ("t_rowptr", f"{sources}+1", graph.t_rowptr, True), ("t_row", edges, graph.t_row, True),
            ("perm", edges, graph.perm, True),
        )  # fmt: skip
        for name, size, tensor, optional in parts:
            self._tensor(Item(name, "int", (size,), optional), tensor)
        self.told |= {points: "destinations", sources: "sources", edges: "edges"}

    def _tensor(self, item: Item, tensor: Any) -> None:
        name = item.name
        if tensor is None and item.optional:
            return
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{name} must be a tensor, not {type(tensor).__name__}")
        if tensor.layout is not torch.strided:
            raise ValueError(f"{name} must be a dense tensor, not of layout {tensor.layout}")
        self._dtype(item, tensor)
        if self.first is None:
            self.first = name, tensor
            self.sizes["device"] = tensor.device
        elif tensor.device != self.first[1].device:
            first, device = self.first[0], self.first[1].device
            if self.told and first == "rowptr":  # a user knows a graph by the name of neighbors
                raise ValueError(f"{name} is on {tensor.device} but neighbors are on {device}")
            raise ValueError(f"{first} is on {device} but {name} is on {tensor.device}")
        self._shape(item, tensor)

    def _dtype(self, item: Item, tensor: Tensor) -> None:
        if item.kind in FIXED:
            if tensor.dtype != FIXED[item.kind]:
                raise ValueError(f"{item.name} must be {str(FIXED[item.kind])[6:]}, not {tensor.dtype}")
        elif item.kind != "any":
            if tensor.dtype not in FLOATING:
                raise ValueError(f"{item.name} must be floating point, not {tensor.dtype}")
            wide = torch.promote_types(self.sizes.get("T", tensor.dtype), torch.float32)
            if item.kind == "acc" and tensor.dtype != wide:
                raise ValueError(f"{item.name} must be {str(wide)[6:]}, not {tensor.dtype}")
            if item.kind != "acc" and self.sizes.setdefault("T", tensor.dtype) != tensor.dtype:
                raise ValueError(f"{self.floating} is {self.sizes['T']} but {item.name} is {tensor.dtype}")
            self.floating = self.floating or item.name

    def _shape(self, item: Item, tensor: Tensor) -> None:
        assert item.sizes is not None
        sizes, shape = item.sizes, tuple(tensor.shape)
        fixed = [size for size in sizes if size != "..."]
        fits = len(shape) == len(fixed) or ("..." in sizes and len(shape) >= len(fixed))
        if fits and "..." in sizes:
            rest = shape[len(fixed) :]
            known = self.sizes.setdefault("...", rest)
            fits = len(known) == len(rest) and all(map(_equal, known, rest))
        if fits:
            for size, extent in zip(fixed, shape, strict=False):
                if not self._size(size, extent):
                    fits = False
                    if size in self.told:
                        raise ValueError(
                            f"neighbors have {self.sizes[size]} {self.told[size]} but {item.name} has shape {list(shape)}"
                        )
        if not fits:
            form = ", ".join(sizes)
            values = [str(self._known(size)) for size in sizes]
            told = "" if values == list(sizes) else f" = [{', '.join(values)}]"
            raise ValueError(f"{item.name} must have shape [{form}]{told}, not {list(shape)}")

    def _size(self, size: str, extent: Any) -> bool:
        if size.isdigit():
            return _equal(int(size), extent)
        match = _SIZE.fullmatch(size)
        assert match is not None, size
        name, sign, number = match.groups()
        if name in self.sizes:
            return _equal(_extents(size, self.sizes)[0], extent)
        if sign == "*":
            self.sizes[name] = extent // int(number)
            return _equal(self.sizes[name] * int(number), extent)
        left = extent - int(number or 0)
        if isinstance(left, int) and left < 0:
            return False
        self.sizes[name] = left
        return True

    def _known(self, size: str) -> Any:
        try:
            return ", ".join(map(str, _extents(size, self.sizes)))
        except KeyError:
            return size
