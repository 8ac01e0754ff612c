"""What a plain call does before and after the implementation, written out once for every declaration.

A call on plain tensors must cost microseconds, so that nothing is looked up in a declaration then: from it three functions are
written, which check and resolve arguments, keep them for the backward pass, and take them up again there. ``prepare`` answers None
where something is not as it should be and knows no reasons: :meth:`Declaration.bind` walks over the arguments again and names
what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from geodl.ops.core.csr import CSR, Known
from geodl.ops.core.declaration import FIXED, FLOATING, Declaration, Item
from geodl.ops.core.memory import resolve

PLAIN = frozenset((Tensor, Parameter))
def _changed() -> None:
    raise RuntimeError("neighbors were changed in place after the forward pass: its gradient cannot be computed")


_SCOPE: dict[str, Any] = {
    "CSR": CSR,
    "Known": Known,
    "PLAIN": PLAIN,
    "FLOATING": frozenset(FLOATING),
    "float32": torch.float32,
    "float64": torch.float64,
    "resolve": resolve,
    "state": CSR.state,
    "changed": _changed,
    **{f"{kind}_dtype": dtype for kind, dtype in FIXED.items()},
}


def _function(name: str, parameters: str, lines: list[str]) -> Callable[..., Any]:
    scope = dict(_SCOPE)
    exec(f"def {name}({parameters}):\n    " + "\n    ".join(lines), scope)
    found: Callable[..., Any] = scope[name]
    return found


def write_prepare(declaration: Declaration) -> Callable[..., tuple[bool, tuple[Any, ...]] | None]:
    """``prepare(*arguments)``: whether a gradient may be asked for, and the arguments in memory that kernels can read.

    None if a tensor is not plain, or does not fit.
    """
    writer = _Writer()
    names = [f"a{position}" for position in range(len(declaration.arguments))]
    pairs = list(zip(declaration.arguments, names, strict=True))
    for item, name in pairs:
        if item.kind == "int" and not item.is_tensor:
            writer.sizes[item.name] = name
    for item, name in pairs:
        if item.kind == "csr":
            writer.graph(item, name)
    for item, name in pairs:
        if item.is_tensor:
            writer.tensor(item, name)
    asked = [
        f"({name} is not None and {name}.requires_grad)" if item.optional else f"{name}.requires_grad"
        for item, name in pairs[: len(declaration.differentiable)]
    ]
    given = ", ".join(names)
    lines = [*writer.lines, f"return {' or '.join(asked) or 'False'}, ({given},)"]
    return _function("prepare", given, lines)


def write_save(
    declaration: Declaration, keeps: list[str | bool], kept_results: list[bool], whole: bool
) -> Callable[..., None]:
    """``save(ctx, inputs, outputs)``: keeps what the backward pass reads.

    Args:
        keeps: for every argument whether it is kept, or a condition in terms of ``needs``.
        kept_results: the same for every result.
        whole: graphs are kept as they are, not as tensors that autograd sees.
    """
    names = [f"a{position}" for position in range(len(declaration.arguments))]
    tensors: list[str] = []
    values: list[str] = []
    for item, name, keep in zip(declaration.arguments, names, keeps, strict=True):
        if item.kind == "csr" and whole:
            values += [name, f"state({name})"]
        elif item.kind == "csr":
            tensors += [f"{name}[{part}]" for part in (0, 1, 3, 4, 5)]
            values.append(f"{name}[2]")
        elif item.is_tensor:
            tensors += [f"{name} if {keep} else None" if isinstance(keep, str) else name] if keep else []
        else:
            values.append(name)
    tensors += [f"outputs[{k}]" for k, keep in enumerate(kept_results) if keep]
    lines = [
        f"{', '.join(names)}, = inputs",
        "needs = ctx.needs_input_grad",
        f"ctx.values = ({''.join(f'{value}, ' for value in values)})",
        f"ctx.save_for_backward({', '.join(tensors)})",
    ]
    return _function("save", "ctx, inputs, outputs", lines)


def write_restore(
    declaration: Declaration, keeps: list[str | bool], kept_results: list[bool], whole: bool
) -> Callable[..., tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """``restore(ctx)``: the inputs, None where they were not kept, and the kept results."""
    inputs: list[str] = []
    lines = ["t, v = ctx.saved_tensors, ctx.values"]
    tensors = values = 0
    for item, keep in zip(declaration.arguments, keeps, strict=True):
        if item.kind == "csr" and whole:
            lines.append(f"if v[{values + 1}] != state(v[{values}]): changed()")
            inputs.append(f"v[{values}]")
            values += 2
        elif item.kind == "csr":
            t = tensors
            inputs.append(f"Known(t[{t}], t[{t + 1}], v[{values}], t[{t + 2}], t[{t + 3}], t[{t + 4}])")
            tensors, values = tensors + 5, values + 1
        elif item.is_tensor:
            inputs.append(f"t[{tensors}]" if keep else "None")
            tensors += bool(keep)
        else:
            inputs.append(f"v[{values}]")
            values += 1
    outputs = [f"t[{tensors + k}]" for k in range(sum(kept_results))]
    lines.append(f"return ({', '.join(inputs)},), ({''.join(f'{output}, ' for output in outputs)})")
    return _function("restore", "ctx", lines)


class _Writer:
    """The lines of ``prepare``."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.sizes: dict[str, str] = {}
        self.dtype = self.device = ""
        self.made = 0

    def graph(self, item: Item, name: str) -> None:
        assert item.sizes is not None
        points, sources, edges = item.sizes
        parts = [f"{name}_{part}" for part in CSR._fields]
        say = self.lines.append
        say(f"{', '.join(parts)} = {name}")
        tensors = {part: parts[k] for k, part in enumerate(CSR._fields) if part != "num_src"}
        self.sizes.setdefault(sources, parts[2])
        say(f"if type({name}) is not Known:")
        sizes, device = dict(self.sizes), self.device
        self.tensor(Item("rowptr", "int", (f"{points}+1",), False), tensors["rowptr"], "    ")
        self.tensor(Item("col", "int", (edges,), False), tensors["col"], "    ")
        say(f"    if {tensors['t_rowptr']} is not None:")
        for part, size in (("t_rowptr", f"{sources}+1"), ("t_row", edges), ("perm", edges)):
            self.tensor(Item(part, "int", (size,), False), tensors[part], "        ")
        say(f"    {name} = CSR({', '.join(parts)})")
        self.sizes, self.device = sizes, device
        for size, value in (
            (points, f"{tensors['rowptr']}.shape[0] - 1"),
            (edges, f"{tensors['col']}.shape[0]"),
        ):
            if size in self.sizes:
                say(f"if {self.sizes[size]} != {value}: return None")
            else:  # looked up where a tensor has this size, which most often is missing
                self.sizes[size] = f"({value})"
        self._device(tensors["rowptr"], say)

    def _device(self, name: str, say: Callable[[str], None]) -> None:
        if self.device:
            say(f"if {name}.is_cpu is not cpu or not cpu and {name}.device != {self.device}: return None")
        else:
            say(f"cpu = {name}.is_cpu")
            self.device = f"{name}.device"

    def tensor(self, item: Item, name: str, indent: str = "") -> None:
        assert item.sizes is not None
        if item.optional:
            self.lines.append(f"{indent}if {name} is not None:")
            indent += "    "
        before = dict(self.sizes), self.device, self.dtype

        def say(line: str) -> None:
            self.lines.append(indent + line)

        say(f"if type({name}) not in PLAIN: return None")
        self._dtype(item, name, say)
        self._device(name, say)
        self._shape(item, name, say)
        # A tensor that a transform has wrapped has no storage, and says so by an error.
        say(f"held, size = {name}.untyped_storage().nbytes(), {name}.nbytes")
        negative = "" if item.kind.startswith("int") else f" or {name}.is_neg() or {name}._is_zerotensor()"
        say(f"short = held != size and held < size + {name}.storage_offset() * {name}.itemsize")
        say(f"if short or not {name}.is_contiguous(){negative}:")
        say(f"    {name} = resolve({name}, {item.name!r})")
        if item.optional:  # what an argument that may be missing tells is not known afterwards
            self.sizes, self.device, self.dtype = before

    def _dtype(self, item: Item, name: str, say: Callable[[str], None]) -> None:
        if item.kind in FIXED:
            say(f"if {name}.dtype is not {item.kind}_dtype: return None")
        elif item.kind == "acc":
            wide = f"(float64 if {self.dtype} is float64 else float32)" if self.dtype else "float32"
            say(f"if {name}.dtype is not {wide}: return None")
        elif self.dtype:
            say(f"if {name}.dtype is not {self.dtype}: return None")
        else:
            say(f"dtype = {name}.dtype")
            say("if dtype not in FLOATING: return None")
            self.dtype = "dtype"

    def _shape(self, item: Item, name: str, say: Callable[[str], None]) -> None:
        assert item.sizes is not None
        sizes, rest = [size for size in item.sizes if size != "..."], "..." in item.sizes
        shape = f"s{self.made}"
        self.made += 1
        say(f"{shape} = {name}.shape")
        say(f"if len({shape}) {'<' if rest else '!='} {len(sizes)}: return None")
        for axis, size in enumerate(sizes):
            self._size(size, f"{shape}[{axis}]", say)
        if rest:
            if "..." in self.sizes:
                say(f"if {shape}[{len(sizes)}:] != {self.sizes['...']}: return None")
            else:
                say(f"rest = {shape}[{len(sizes)}:]")
                self.sizes["..."] = "rest"

    def _size(self, size: str, extent: str, say: Callable[[str], None]) -> None:
        if size.isdigit():
            say(f"if {extent} != {size}: return None")
            return
        match = re.fullmatch(r"(\w+)(?:([+*])(\d+))?", size)
        assert match is not None, size
        name, sign, number = match.groups()
        if name in self.sizes:
            say(f"if {extent} != {self.sizes[name]}{f' {sign} {number}' if sign else ''}: return None")
            return
        self.sizes[name] = f"size_{name}"
        if sign == "*":
            say(f"size_{name}, left = divmod({extent}, {number})")
            say("if left: return None")
        elif sign == "+":
            say(f"size_{name} = {extent} - {number}")
            say(f"if size_{name} < 0: return None")
        else:
            say(f"size_{name} = {extent}")
