"""The checks of a declaration, compiled once into one function that says whether plain arguments fit.

It answers in a microsecond and knows no reasons: :meth:`Declaration.bind` walks over the arguments again and names what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch

from geodl.ops.core.declaration import FLOATING, INTEGERS, Declaration, Item


def compile_checks(declaration: Declaration) -> Callable[..., bool]:
    """``fits(*arguments)``, for arguments as :class:`Operator` takes them."""
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
    body = "\n    ".join([*writer.lines, "return True"])
    scope: dict[str, Any] = {
        "FLOATING": frozenset(FLOATING),
        "int64": torch.int64,
        **{k: v for k, v in INTEGERS.items() if k != "int"},
    }
    exec(f"def fits({', '.join(names)}):\n    {body}", scope)
    found: Callable[..., bool] = scope["fits"]
    return found


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.sizes: dict[str, str] = {}
        self.dtype = self.device = ""
        self.made = 0

    def graph(self, item: Item, name: str) -> None:
        assert item.sizes is not None
        points, sources, edges = item.sizes
        self.lines.append(
            f"{name}_rowptr, {name}_col, {name}_src, {name}_t_rowptr, {name}_t_row, {name}_perm = {name}"
        )
        self.sizes.setdefault(sources, f"{name}_src")
        self.tensor(Item("", "int", (f"{points}+1",), False), f"{name}_rowptr")
        self.tensor(Item("", "int", (edges,), False), f"{name}_col")
        self.lines.append(f"if {name}_t_rowptr is not None:")
        for part, size in (("t_rowptr", f"{sources}+1"), ("t_row", edges), ("perm", edges)):
            self.tensor(Item("", "int", (size,), False), f"{name}_{part}", "    ")

    def tensor(self, item: Item, name: str, indent: str = "") -> None:
        assert item.sizes is not None
        if item.optional:
            self.lines.append(f"{indent}if {name} is not None:")
            indent += "    "
        say = self.lines.append
        known_device, known_dtype = self.device, self.dtype
        if item.kind in INTEGERS:
            say(
                f"{indent}if {name}.dtype is not {'int64' if item.kind == 'int' else item.kind}: return False"
            )
        elif item.kind == "acc":
            say(f"{indent}if {name}.dtype not in FLOATING: return False")
        elif self.dtype:
            say(f"{indent}if {name}.dtype is not {self.dtype}: return False")
        else:
            say(f"{indent}dtype = {name}.dtype")
            say(f"{indent}if dtype not in FLOATING: return False")
            self.dtype = "dtype"
        if self.device:
            say(f"{indent}if {name}.device != device: return False")
        else:
            say(f"{indent}device = {name}.device")
            self.device = "device"
        sizes = [size for size in item.sizes if size != "..."]
        shape = f"s{self.made}"
        self.made += 1
        say(f"{indent}{shape} = {name}.shape")
        rest = "..." in item.sizes
        say(f"{indent}if len({shape}) {'<' if rest else '!='} {len(sizes)}: return False")
        before = dict(self.sizes)
        for axis, size in enumerate(sizes):
            self._size(size, f"{shape}[{axis}]", indent)
        if rest:
            if "..." in self.sizes:
                say(f"{indent}if {shape}[{len(sizes)}:] != {self.sizes['...']}: return False")
            else:
                say(f"{indent}rest = {shape}[{len(sizes)}:]")
                self.sizes["..."] = "rest"
        if item.optional:  # what an argument that may be missing tells is not known afterwards
            self.sizes, self.device, self.dtype = before, known_device, known_dtype

    def _size(self, size: str, extent: str, indent: str) -> None:
        if size.isdigit():
            self.lines.append(f"{indent}if {extent} != {size}: return False")
            return
        match = re.fullmatch(r"(\w+)(?:([+*])(\d+))?", size)
        assert match is not None, size
        name, sign, number = match.groups()
        suffix = f" {sign} {number}" if sign else ""
        if name in self.sizes:
            self.lines.append(f"{indent}if {extent} != {self.sizes[name]}{suffix}: return False")
            return
        self.sizes[name] = f"size_{name}"
        if sign == "*":
            self.lines.append(f"{indent}size_{name}, left = divmod({extent}, {number})")
            self.lines.append(f"{indent}if left: return False")
        elif sign == "+":
            self.lines.append(f"{indent}size_{name} = {extent} - {number}")
            self.lines.append(f"{indent}if size_{name} < 0: return False")
        else:
            self.lines.append(f"{indent}size_{name} = {extent}")
