"""Structure: what operators read beside signals, as neighbourhoods, windows, charts and spectra.

A structure is a dataclass that says of each of its fields, in ``layout``, whether its rows are points, edges, shapes or whatever
else it counts, and what its indices point into. All that is done to structures as a whole follows from that: moving, packing the
shapes of a batch and taking them apart again, sharing memory, pickling, pytrees, files.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple, cast

import torch
from torch import Tensor
from torch.utils import _pytree
from typing_extensions import Self

from geodl.ops.remembered import Memory, Remembers, mark

__all__ = ["Count", "Fixed", "Layout", "Part", "Pointer", "Rows", "Structure"]

Sizes = Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Rows:
    """A tensor with an entry for each of ``of`` along ``dim``; its values are numbers of ``into``, if that is given."""

    of: str
    into: str | None = None
    dim: int = 0

    def size(self, value: Tensor) -> int:
        return value.shape[self.dim]

    def cat(self, values: Sequence[Tensor], begins: Sequence[Sizes]) -> Tensor:
        if self.into is not None:
            values = [value + begin[self.into] for value, begin in zip(values, begins, strict=True)]
        return torch.cat(list(values), self.dim)

    def take(self, value: Tensor, begin: Sizes, size: Sizes) -> Tensor:
        taken = value.narrow(self.dim, begin[self.of], size[self.of])
        return taken if self.into is None else taken - begin[self.into]


@dataclasses.dataclass(frozen=True)
class Pointer:
    """``[n + 1]`` for n of ``of``: the numbers of ``into`` at which they begin and the last one ends."""

    of: str
    into: str

    def size(self, value: Tensor) -> int:
        return value.shape[0] - 1

    def cat(self, values: Sequence[Tensor], begins: Sequence[Sizes]) -> Tensor:
        moved = [value[1:] + begin[self.into] for value, begin in zip(values, begins, strict=True)]
        return torch.cat([values[0][:1], *moved])

    def take(self, value: Tensor, begin: Sizes, size: Sizes) -> Tensor:
        return value.narrow(0, begin[self.of], size[self.of] + 1) - begin[self.into]


@dataclasses.dataclass(frozen=True)
class Count:
    """The number of ``of``."""

    of: str

    def size(self, value: int) -> int:
        return value

    def cat(self, values: Sequence[int], begins: Sequence[Sizes]) -> int:
        return begins[-1][self.of] + values[-1]

    def take(self, value: int, begin: Sizes, size: Sizes) -> int:
        return size[self.of]


@dataclasses.dataclass(frozen=True)
class Part:
    """Another structure, of a class or of one's own; the shapes of a batch have the things of ``shared`` in common."""

    of: type[Structure] | None = None
    shared: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Fixed:
    """What is no tensor.

    Args:
        merge: what a batch has instead of the values of its shapes; the same value, if not given.
        read: whether results depend on it, so that a graph holds for this value alone.
        type: the dataclass that it is, or that its entries are; numbers and strings if not given.
    """

    merge: Callable[[Sequence[Any]], Any] | None = None
    read: bool = True
    type: type[Any] | None = None

    def decode(self, told: Any) -> Any:
        if isinstance(told, list):
            return tuple(map(self.decode, told))
        return told if self.type is None or told is None else self.type(**told)


Layout = Mapping[str, Rows | Pointer | Count | Part | Fixed]


class _Piece(NamedTuple):
    """Where one of the structures that were packed lies, and what the packed one does not show of it."""

    begin: Sizes
    size: Sizes
    kept: dict[str, Any]
    alone: bool


torch.serialization.add_safe_globals([_Piece])


class _Aside:
    """What goes with a structure through a pytree, but makes no other graph of it."""

    def __init__(self, kept: dict[str, Any]) -> None:
        self.kept = kept

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Aside)

    def __hash__(self) -> int:
        return 0


class Structure(Remembers):
    """The base of what operators read. A subclass is a dataclass with the ``layout`` of its fields, in their order.

    ``Structure.cat(parts)`` packs the shapes of a batch, block-diagonally; ``packed[i]`` and ``packed.split()`` give them back.
    A field may be changed, in place or by assignment, where the class is not frozen: it is checked again before it is next used.
    """

    layout: ClassVar[Layout]
    _counted: ClassVar[Sequence[tuple[str, Rows | Pointer | Count]]]
    _leaves: ClassVar[Sequence[str]]
    _fixed: ClassVar[Sequence[str]]
    _read: ClassVar[Sequence[str]]  # fields without tensors that results depend on
    _pieces: ClassVar[tuple[_Piece, ...] | None] = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._counted = [(n, spec) for n, spec in cls.layout.items() if not isinstance(spec, Fixed | Part)]
        cls._fixed = [name for name, spec in cls.layout.items() if isinstance(spec, Fixed)]
        cls._read = [name for name in cls._fixed if cast(Fixed, cls.layout[name]).read]
        cls._leaves = [name for name in cls.layout if name not in cls._fixed]
        kept = [spec.type for spec in cls.layout.values() if isinstance(spec, Fixed) and spec.type]
        torch.serialization.add_safe_globals([cls, *kept])
        _pytree.register_pytree_node(
            cls,
            _flatten,
            partial(_unflatten, cls),
            serialized_type_name=f"geodl.{cls.__name__}",
            flatten_with_keys_fn=_flatten_with_keys,
            to_dumpable_context=_dumped,
            from_dumpable_context=partial(_loaded, cls),
        )

    def __post_init__(self) -> None:
        if not torch.compiler.is_compiling():
            self._settle()
            self.check()
            super().memory()

    @classmethod
    def trusted(cls, *values: Any, **named: Any) -> Self:
        """The structure of these fields, right by construction: to read their values for a check would wait for the device."""
        first = [*cls.layout][: len(values)]
        made = cls._made({**dict(zip(first, values, strict=True)), **named})
        return made if torch.compiler.is_compiling() else made.trust()

    def trust(self) -> Self:
        """Takes itself as it is now for right."""
        self._settle()
        super().memory()
        return self

    def check(self) -> None:
        """Raises what is wrong with the fields. Asked when it is made, and before it is used after a change."""

    @property
    def device(self) -> torch.device:
        return self.tensors()[0].device

    def sizes(self) -> dict[str, int]:
        """How many points, edges, or whatever else it counts, there are."""
        known: dict[str, int] = {}
        for name, spec in self._counted:
            if spec.of not in known and (value := getattr(self, name)) is not None:
                known[spec.of] = spec.size(value)
        return known

    # --- moving

    def to(
        self,
        device: torch.device | str | int | torch.dtype | None = None,
        dtype: torch.dtype | None = None,
        non_blocking: bool = False,
    ) -> Self:
        """The same on another device, or with floating point numbers of another dtype; itself if there is nothing to do."""
        if isinstance(device, torch.dtype):
            device, dtype = None, device

        def move(tensor: Tensor) -> Tensor:
            wanted = dtype if tensor.is_floating_point() else None
            return tensor.to(device=device, dtype=wanted, non_blocking=non_blocking)

        return self._map(move, carry=dtype is None)

    # By these names PyG's Data and torch's DataLoader move what a shape carries; they leave alone what lacks them, without a word.

    def cpu(self) -> Self:
        return self.to("cpu")

    def cuda(self, device: torch.device | str | int | None = None, non_blocking: bool = False) -> Self:
        return self.to("cuda" if device is None else device, non_blocking=non_blocking)

    def pin_memory(self) -> Self:
        return self._map(Tensor.pin_memory)

    def clone(self) -> Self:
        return self._map(Tensor.clone)

    def detach(self) -> Self:
        return self._map(Tensor.detach)

    def share_memory_(self) -> Self:
        for tensor in self.tensors():
            tensor.share_memory_()
        return self

    def record_stream(self, stream: torch.cuda.Stream) -> None:
        for tensor in self.tensors():
            tensor.record_stream(stream)

    # --- batches

    @classmethod
    def cat(cls, parts: Sequence[Self], shared: Collection[str] = ()) -> Self:
        """Block-diagonal packing: the points of part ``p`` follow those of part ``p - 1``, and nothing joins them.

        Args:
            parts: at least one.
            shared: what the parts have in common, and is not counted on.

        Raises:
            ValueError: no parts; parts on different devices, of different dtypes, or with different fields.
        """
        if not parts:
            raise ValueError(f"{cls.__name__}.cat needs at least one part")
        if len(devices := {str(part.device) for part in parts}) > 1:
            raise ValueError(
                f"{cls.__name__}.cat needs all parts on one device, not on {' and '.join(sorted(devices))}"
            )
        alike = [part.as_batch() for part in parts]
        for name, spec in sorted(cls.layout.items(), key=lambda item: not isinstance(item[1], Fixed)):
            _check_alike(cls, name, spec, [getattr(part, name) for part in alike], shared)
        sizes = [part.sizes() for part in alike]
        begins = [dict.fromkeys(sizes[0], 0)]
        for size in sizes[:-1]:
            before = begins[-1]
            begins.append({of: 0 if of in shared else before[of] + count for of, count in size.items()})
        values = {}
        for name, spec in cls.layout.items():
            given = [getattr(part, name) for part in alike]
            if isinstance(spec, Fixed):
                values[name] = given[0] if spec.merge is None else spec.merge(given)
            elif given[0] is None:
                values[name] = None
            else:
                values[name] = (
                    type(given[0]).cat(given, spec.shared)
                    if isinstance(spec, Part)
                    else spec.cat(given, begins)
                )
        made = cls._made(values)
        if not torch.compiler.is_compiling():
            for part in parts:
                part.memory()  # checks it, if it was changed
            made.trust()
            pieces = zip(begins, sizes, parts, alike, strict=True)
            vars(made)["_pieces"] = tuple(
                _Piece(begin, size, part._kept(), batch is not part) for begin, size, part, batch in pieces
            )
        return made

    def split(self) -> list[Self]:
        """What was packed by :meth:`cat`; itself alone, if nothing was."""
        pieces = self.pieces()
        return [self] if pieces is None else [self[number] for number in range(len(pieces))]

    def __getitem__(self, number: int) -> Self:
        """One of what was packed by :meth:`cat`. It shares memory with this, where no numbers are counted on."""
        pieces = self.pieces()
        count = 1 if pieces is None else len(pieces)
        if not -count <= number < count:
            raise IndexError(f"there is no shape {number} in a {type(self).__name__} of {count}")
        if pieces is None:
            return self
        number %= count
        begin, size, kept, alone = pieces[number]
        values = {}
        for name, spec in self.layout.items():
            value = getattr(self, name)
            if isinstance(value, Structure):
                value = value[number]
            elif value is not None and not isinstance(spec, (Fixed, Part)):
                value = spec.take(value, begin, size)
            values[name] = value
        made = self._made({**values, **kept})
        return made.as_single() if alone else made

    def pieces(self) -> tuple[_Piece, ...] | None:
        """Where what was packed lies.

        Raises:
            ValueError: fields were replaced by longer or shorter ones since.
        """
        if self._pieces is not None:
            begin, size, *_ = self._pieces[-1]
            ends, sizes = {of: begin[of] + size[of] for of in size}, self.sizes()
            if sizes != ends:
                raise ValueError(f"the {type(self).__name__} has {sizes} now, but what was packed has {ends}")
        return self._pieces

    def as_batch(self) -> Self:
        """Itself as a batch of one."""
        return self

    def as_single(self) -> Self:
        """The only shape of a batch of one."""
        return self

    # --- files

    def to_tensors(self) -> dict[str, Tensor]:
        """All of it as tensors by name, for a file; see :meth:`from_tensors`."""
        tensors: dict[str, Tensor] = {}
        told: dict[str, Any] = {}
        for name in self.layout:
            value = getattr(self, name)
            if isinstance(value, Tensor):
                tensors[name] = value
            elif isinstance(value, Structure):
                tensors |= {f"{name}.{inner}": tensor for inner, tensor in value.to_tensors().items()}
            else:
                told[name] = value
        text = json.dumps(told, default=dataclasses.asdict)
        return tensors | {"told": torch.tensor(list(text.encode()), dtype=torch.uint8)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The structure that :meth:`to_tensors` took apart, checked."""
        values: dict[str, Any] = json.loads(bytes(tensors["told"].tolist()))
        for name, spec in cls.layout.items():
            if name in tensors:
                values[name] = tensors[name]
            elif isinstance(spec, Fixed):
                values[name] = spec.decode(values[name])
            elif isinstance(spec, Part):
                inner = {
                    k.removeprefix(f"{name}."): t for k, t in tensors.items() if k.startswith(f"{name}.")
                }
                values[name] = (spec.of or cls).from_tensors(inner) if inner else None
        return cls(**values)

    # --- what the rest is made of

    @classmethod
    def _made(cls, values: Mapping[str, Any]) -> Self:
        made = object.__new__(cls)  # not cls.__new__, which Dynamo of torch 2.6 does not know
        for name, value in values.items():
            object.__setattr__(made, name, value)
        return made

    def tensors(self) -> list[Tensor]:
        """The tensors of its fields and of theirs."""
        values = (getattr(self, name) for name in self.layout)
        parts = (value.tensors() if isinstance(value, Structure) else [value] for value in values)
        return [tensor for part in parts for tensor in part if isinstance(tensor, Tensor)]

    def mark(self) -> tuple[Hashable, ...]:
        values = (getattr(self, name) for name in self.layout)
        return tuple(mark(value) if isinstance(value, (Tensor, Structure)) else value for value in values)

    def memory(self) -> Memory:
        known = self._memory
        if known is not None and known.mark == self.mark():
            return known
        self._settle()
        self.check()
        return super().memory()

    def _settle(self) -> None:
        """Tensors of inference mode could not be trained with afterwards, so they become others."""
        for name in self.layout:
            value = getattr(self, name)
            if isinstance(value, Tensor) and value.is_inference():
                with torch.inference_mode(False):
                    vars(self)[name] = value.clone()

    def _map(self, function: Callable[[Tensor], Tensor], carry: bool = False) -> Self:
        """The same with other tensors, and with what was made of them, if that is carried along."""
        values = {name: getattr(self, name) for name in self.layout}
        for name in self._leaves:
            values[name] = _mapped(values[name], function, carry)
        if all(value is getattr(self, name) for name, value in values.items()):
            return self
        made = self._made(values)
        if torch.compiler.is_compiling():
            return made
        if self._pieces is not None:
            vars(made)["_pieces"] = self._pieces
        known = self.memory()
        made.trust()
        if carry:
            for key, (answer, _) in known.answers.items():
                made.know(key, _mapped(answer, function, carry))
        return made

    def _kept(self) -> dict[str, Any]:
        kept = {name: getattr(self, name) for name in self._fixed}
        return kept if self._pieces is None else {**kept, "_pieces": self._pieces}

    def __getstate__(self) -> dict[str, Any]:
        kept = {*self.layout, "_pieces"}
        return {name: value for name, value in vars(self).items() if name in kept}


def _check_alike(
    cls: type[Structure], name: str, spec: Any, values: Sequence[Any], shared: Collection[str]
) -> None:
    """Raises if a field has values that cannot be packed."""
    forms: list[Any]
    if isinstance(spec, Fixed):
        forms = list(values) if spec.merge is None else []
    elif isinstance(spec, Count):
        forms = list(values) if spec.of in shared else []
    elif isinstance(spec, Rows):
        forms = [_form(value, spec.dim) for value in values]
    else:
        forms = ["none" if value is None else "some" for value in values]
    if any(form != forms[0] for form in forms):
        told = " and ".join(sorted({_told(form) for form in forms}))
        raise ValueError(f"{cls.__name__}.cat needs parts of one {name}, not {told}")


def _form(value: Tensor | None, dim: int) -> Any:
    """What must be the same of tensors that are put together along an axis."""
    return None if value is None else (value.dtype, *value.shape[:dim], "*", *value.shape[dim + 1 :])


def _told(form: Any) -> str:
    return f"{form[0]} [{', '.join(map(str, form[1:]))}]" if isinstance(form, tuple) else str(form)


def _mapped(value: Any, function: Callable[[Tensor], Tensor], carry: bool) -> Any:
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Structure):
        return value._map(function, carry)
    return tuple(_mapped(one, function, carry) for one in value) if type(value) is tuple else value


# --- pytrees: tensors, counts and structures are leaves; what makes no other graph is not compared


def _flatten(structure: Structure) -> tuple[list[Any], Any]:
    kept = {name: value for name, value in structure._kept().items() if name not in structure._read}
    values = tuple(getattr(structure, name) for name in structure._read)
    return [getattr(structure, name) for name in structure._leaves], (values, _Aside(kept))


def _flatten_with_keys(structure: Structure) -> tuple[list[tuple[Any, Any]], Any]:
    values, context = _flatten(structure)
    keys = map(_pytree.GetAttrKey, structure._leaves)
    return list(zip(keys, values, strict=True)), context


def _unflatten(cls: type[Structure], values: Iterable[Any], context: Any) -> Structure:
    told, aside = context
    given = dict(zip(cls._leaves, values, strict=True)) | dict(zip(cls._read, told, strict=True))
    return cls._made(dict.fromkeys(cls.layout) | given | aside.kept)


def _dumped(context: Any) -> str:
    return json.dumps(context[0], default=dataclasses.asdict)


def _loaded(cls: type[Structure], text: str) -> Any:
    told = zip(cls._read, json.loads(text), strict=True)
    return tuple(cast(Fixed, cls.layout[name]).decode(value) for name, value in told), _Aside({})
