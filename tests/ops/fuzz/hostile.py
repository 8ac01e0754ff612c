"""Hostile inputs: structures that were changed, indices out of range, memory of every kind, direct calls, compiled calls.

The verdict: the answer of the reference to the same numbers, or an error. Cases run in children, whose death is a finding.
"""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from geodl.ops import Neighbors, use_backend

from .compare import Fuzzed, Inputs, outcome, unequal
from .draw import Draw
from .operators import OPERATORS

ERRORS = (ValueError, IndexError, RuntimeError, TypeError, OverflowError, MemoryError)
Outcome = dict[str, Tensor] | Exception
Place = tuple[str, str | None]  # an input, or a part of one that is a structure
Verdict = tuple[Outcome, Outcome | None, list[Place]]

BATCH = 1000  # cases of a child
GROUP = 250  # cases whose compiled calls share the sizes of their inputs, and so what is compiled
SECONDS = 120  # after which a case is taken to hang
SHOWN = 5

# --- memory: the same numbers ---------------------------------------------------------------------------------


def _strided(tensor: Tensor) -> Tensor:
    return torch.stack([tensor, tensor], dim=-1)[..., 1]


def _moved(tensor: Tensor) -> Tensor:
    return torch.cat([tensor.new_zeros(3), tensor.flatten()])[3:].view(tensor.shape)


def _transposed(tensor: Tensor) -> Tensor:
    return tensor.mT.contiguous().mT if tensor.dim() > 1 else tensor


def _negative(tensor: Tensor) -> Tensor:
    return torch._neg_view(-tensor) if tensor.is_floating_point() else tensor


def _imaginary(tensor: Tensor) -> Tensor:
    if tensor.dtype not in (torch.float32, torch.float64):
        return tensor
    return torch.complex(torch.zeros_like(tensor), -tensor).conj().imag


def _expanded(tensor: Tensor) -> Tensor:
    return tensor[:1].expand(tensor.shape) if tensor.dim() and tensor.shape[0] else tensor


def _nothing(tensor: Tensor) -> Tensor:
    return torch._efficientzerotensor(tensor.shape, dtype=tensor.dtype)


def _parameter(tensor: Tensor) -> Tensor:
    return torch.nn.Parameter(tensor) if tensor.is_floating_point() else tensor


def _reversed(tensor: Tensor) -> Tensor:
    """Numbers of a NumPy array, whose memory is not PyTorch's."""
    return torch.from_numpy(tensor.flatten().numpy(force=True).copy()).view(tensor.shape)


MEMORY: dict[str, Callable[[Tensor], Tensor]] = {
    "strided": _strided,
    "moved": _moved,
    "transposed": _transposed,
    "negative": _negative,
    "imaginary": _imaginary,
    "expanded": _expanded,
    "nothing": _nothing,
    "parameter": _parameter,
    "numpy": _reversed,
}


def _free(tensor: Tensor, draw: Draw) -> Tensor:
    """Without its storage, or a part of it."""
    tensor = tensor.detach().clone()
    storage = tensor.untyped_storage()
    storage.resize_(draw.choice((0, 0, storage.nbytes() // 2)))
    return tensor


# --- what a case has that can be spoilt -----------------------------------------------------------------------


def _places(inputs: Inputs) -> list[Place]:
    """The tensors of the inputs, and those of their neighbours."""
    found: list[Place] = []
    for name, value in inputs.items():
        if isinstance(value, Tensor):
            found.append((name, None))
        elif isinstance(value, Neighbors):
            found += [(name, "rowptr"), (name, "col")]
    return found


def _get(inputs: Inputs, place: Place) -> Tensor:
    value = inputs[place[0]]
    return value if place[1] is None else getattr(value, place[1])


def _put(inputs: Inputs, place: Place, tensor: Tensor) -> None:
    if place[1] is None:
        inputs[place[0]] = tensor
    else:
        setattr(inputs[place[0]], place[1], tensor)


def _wrong(tensor: Tensor, draw: Draw) -> Tensor:
    """The values with one of them, or some, changed: of an index often out of range, sometimes to another that is not."""
    values = tensor.detach().clone(memory_format=torch.contiguous_format)
    if values.numel() == 0:
        return values
    flat = values.view(-1)
    if values.is_floating_point():
        flat[draw.random.randrange(flat.numel())] = draw.choice(
            (float("nan"), float("inf"), -float("inf"), 0.0)
        )
        return values
    most = int(flat.max())
    value = draw.choice((-1, most + 1, most + 2, 10**9, 2**62, -(2**63), 2**63 - 1, 2**31, 0, most, 1))
    limits = torch.iinfo(values.dtype)
    value = min(max(value, limits.min), limits.max)
    flat[draw.random.randrange(flat.numel())] = value
    if draw.random.random() < 0.2:
        flat[draw.random.randrange(flat.numel()) :] = value
    return values


def _anew(inputs: Inputs) -> Inputs:
    """The same numbers in plain memory; structures are made anew, and so checked."""
    found: Inputs = {}
    for name, value in inputs.items():
        if isinstance(value, Tensor):
            found[name] = torch.empty(value.shape, dtype=value.dtype).copy_(value.detach())
        elif isinstance(value, Neighbors):
            rowptr, col = (
                torch.tensor(part.tolist(), dtype=part.dtype) for part in (value.rowptr, value.col)
            )
            found[name] = Neighbors(rowptr, col, value.num_src)
        else:
            found[name] = value
    return found


# --- attacks: each gives our outcome, the wanted one (None: any answer will do, as long as there is one), and where an error
# is due only if the call reads it -----------------------------------------------------------------------------


def _safe(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except ERRORS as error:
        return error


def _wanted(operator: Fuzzed, inputs: Inputs) -> Outcome:
    return _safe(lambda: outcome(operator, _anew(inputs), "reference"))


def _warm(operator: Fuzzed, inputs: Inputs) -> None:
    """A call that leaves whatever operators remember of a structure."""
    _safe(lambda: outcome(operator, inputs, "native"))


def _attack_memory(operator: Fuzzed, inputs: Inputs, draw: Draw) -> Verdict:
    for _ in range(draw.random.randint(1, 3)):
        if places := _places(inputs):
            place = draw.choice(places)
            how = draw.choice([*MEMORY])
            if (
                how == "nothing" and draw.special
            ):  # to PyTorch a product with a tensor of no numbers is 0, of NaN too
                continue
            if _get(inputs, place).is_floating_point() or how not in ("expanded", "nothing"):
                _put(inputs, place, MEMORY[how](_get(inputs, place)))
    draw.tied = True
    return _safe(lambda: outcome(operator, inputs, "native")), _wanted(operator, inputs), []


def _attack_freed(operator: Fuzzed, inputs: Inputs, draw: Draw) -> Verdict:
    # What a norm is folded into is added up by PyTorch, which itself reads beyond memory that was freed.
    folded = (
        "mean",
        "variance",
        *(() if inputs.get("training", True) else ("weight", "bias", "scale", "shift")),
    )
    place = draw.choice([place for place in _places(inputs) if place[0] not in folded])
    freed = _free(_get(inputs, place), draw)
    if place[1] is not None and draw.choice((True, False)):  # of a structure that is in use
        _warm(operator, inputs)
        own = _get(inputs, place)
        own.untyped_storage().resize_(0)
        freed = own
    else:
        _put(inputs, place, freed)
    ours = _safe(lambda: outcome(operator, inputs, "native"))
    return ours, ValueError("freed") if freed.numel() else None, [place]


def _attack_changed(operator: Fuzzed, inputs: Inputs, draw: Draw) -> Verdict:
    """In place, through NumPy, or by assignment; before the first call or after it."""
    places = [place for place in _places(inputs) if not _get(inputs, place).is_floating_point()]
    if not places:
        return {}, {}, []
    place = draw.choice(places)
    if draw.choice((True, False)):
        _warm(operator, inputs)
    tensor, values = _get(inputs, place), _wrong(_get(inputs, place), draw)
    how = draw.choice(("in place", "in place", "assigned", "numpy"))
    if how == "assigned":
        _put(inputs, place, values)
    elif how == "in place":
        tensor.copy_(values) if tensor.is_contiguous() else _put(inputs, place, values)
    else:
        tensor.numpy()[...] = values.resolve_neg().numpy()  # PyTorch counts no change
    ours = _safe(lambda: outcome(operator, inputs, "native"))
    wanted = _wanted(operator, inputs)
    if how == "numpy" and isinstance(wanted, dict):  # nobody can know that what is remembered is old
        return ours, None, []
    return ours, wanted, [place]


def _attack_between(operator: Fuzzed, inputs: Inputs, draw: Draw) -> Verdict:
    """Changed between the forward and the backward pass."""
    places = [place for place in _places(inputs) if not _get(inputs, place).is_floating_point()]
    if not places:
        return {}, {}, []
    tensor = _get(inputs, draw.choice(places))
    values, through = _wrong(tensor, draw), draw.choice((True, False))

    def change(*_: Any) -> None:
        if through:
            tensor.numpy()[...] = values.resolve_neg().numpy()
        elif tensor.is_contiguous():
            tensor.copy_(values)

    def run() -> Any:
        leaves = {
            name: value.detach().requires_grad_()
            for name, value in inputs.items()
            if isinstance(value, Tensor) and value.is_floating_point()
        }
        with use_backend("native"):
            out = operator.call(**{**inputs, **leaves})
            outs = [
                t for t in ([out] if isinstance(out, Tensor) else out) if t is not None and t.requires_grad
            ]
            change()
            if outs and leaves:
                torch.autograd.grad([t.sum() for t in outs], list(leaves.values()), allow_unused=True)
        return {}

    return _safe(run), None, []


def _attack_pickled(operator: Fuzzed, inputs: Inputs, draw: Draw) -> Verdict:
    """A structure whose pickle was written with other indices."""
    places: list[Place] = []
    for name, value in inputs.items():
        if isinstance(value, Neighbors):
            part = draw.choice(("rowptr", "col"))
            places.append((name, part))
            getattr(value, part).copy_(_wrong(getattr(value, part), draw))
            loaded = _safe(lambda value=value: pickle.loads(pickle.dumps(value)))
            if isinstance(loaded, Exception):
                return loaded, None, []
            inputs[name] = loaded
    return _safe(lambda: outcome(operator, inputs, "native")), _wanted(operator, inputs), places


class _Calls(TorchDispatchMode):
    """The operators of this library that are called inside."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[Any, tuple[Any, ...]]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.namespace == "geodl":
            self.found.append((function, args))
        return function(*args, **(kwargs or {}))


def _attack_direct(operator: Fuzzed, inputs: Inputs, draw: Draw) -> Verdict:
    """A call of ``torch.ops.geodl.*`` with one or two arguments spoilt."""
    calls = _Calls()

    def record() -> None:
        with calls:
            outcome(operator, inputs, "native")

    _safe(record)
    if not calls.found:
        return {}, {}, []
    function, arguments = draw.choice(calls.found)
    given = [a.detach() if isinstance(a, Tensor) else a for a in arguments]
    same = True  # whether only memory was spoilt
    for k in draw.random.sample(range(len(given)), min(len(given), draw.random.randint(1, 2))):
        given[k], kept = _spoil(given[k], draw)
        same &= kept

    def run(backend: str, arguments: list[Any]) -> Any:
        with use_backend(backend), torch.no_grad():
            out = function(*arguments)
        outs = out if isinstance(out, (tuple, list)) else (out,)
        return {f"output {i}": t for i, t in enumerate(outs) if isinstance(t, Tensor)}

    ours = _safe(lambda: run("native", given))
    if not same:
        return ours, None, []
    plain = [_anew({"a": a})["a"] if isinstance(a, Tensor) else a for a in given]
    draw.tied = True
    return ours, _safe(lambda: run("native", plain)), []


def _spoil(value: Any, draw: Draw) -> tuple[Any, bool]:
    """Something else in the place of an argument, and whether it is the same numbers."""
    if isinstance(value, bool) or value is None:
        return value, True
    if isinstance(value, int):
        return draw.choice((-1, 0, 1, 2, 7, value + 1, 2**62)), False
    if isinstance(value, float):
        return draw.choice((0.0, -1.0, float("nan"), float("inf"), 1e300)), False
    if not isinstance(value, Tensor):
        return value, True
    how = draw.random.random()
    if how < 0.3:
        name = draw.choice([*MEMORY])
        if not value.is_floating_point() and name in ("expanded", "nothing"):
            return MEMORY[name](value), False
        return MEMORY[name](value), True
    if how < 0.4:
        return _free(value, draw), False
    if how < 0.7 and not value.is_floating_point():
        return _wrong(value, draw), False
    shapes: list[Callable[[Tensor], Any]] = [
        lambda t: t[:-1] if t.dim() else t,
        lambda t: torch.cat([t, t]) if t.dim() else t,
        lambda t: t[:0] if t.dim() else t,
        lambda t: t[..., :-1] if t.dim() else t,
        lambda t: t.unsqueeze(0),
        lambda t: t.flatten(),
        lambda t: t.to(torch.int32),
        lambda t: t.to(torch.float64),
        lambda t: t.to(torch.float16),
        lambda t: t.to_sparse() if t.is_floating_point() else t,
        lambda t: t.to("meta"),
        lambda t: None,
    ]
    return draw.choice(shapes)(value), False


_compiled: dict[str, Any] = {}


def _attack_compiled(operator: Fuzzed, inputs: Inputs, draw: Draw) -> Verdict:
    """A compiled function, of spoilt inputs, or one that builds its graph of a spoilt ``edge_index``."""
    if _compiled.get("of") != draw.key:
        torch._dynamo.reset()  # or after eight other sizes a function would run as it is
        _compiled["of"] = draw.key
    name = next(name for name, value in inputs.items() if isinstance(value, Neighbors)) if any(
        isinstance(value, Neighbors) for value in inputs.values()
    ) else None  # fmt: skip
    if name is not None:
        graph = inputs[name]
        edge_index = graph.to_edge_index()
        if draw.choice((True, True, False)):
            edge_index = _wrong(edge_index, draw)

        def call(edge_index: Tensor, rows: int, sources: int, rest: Inputs) -> Any:
            return operator.call(**rest, **{name: Neighbors.from_edge_index(edge_index, rows, sources)})

        rest = {key: value for key, value in inputs.items() if key != name}
        call = _compiled.setdefault("graph", torch.compile(call, backend="eager", dynamic=True))

        def run() -> Any:
            with use_backend("native"):
                out = call(edge_index, graph.num_dst, graph.num_src, rest)
            outs = [out] if isinstance(out, Tensor) else out
            return {f"output {i}": t.detach() for i, t in enumerate(t for t in outs if t is not None)}

        def plain() -> Any:
            anew = Neighbors.from_edge_index(edge_index.clone(), graph.num_dst, graph.num_src)
            return _outputs(outcome(operator, {**_anew(rest), name: anew}, "reference"))

        return _safe(run), _safe(plain), [(name, "rowptr"), (name, "col")]
    place = draw.choice(_places(inputs))
    _put(inputs, place, _wrong(_get(inputs, place), draw))
    call = _compiled.setdefault("points", torch.compile(operator.call, backend="eager", dynamic=True))

    def points() -> Any:
        with use_backend("native"):
            out = call(**inputs)
        outs = [out] if isinstance(out, Tensor) else out
        return {f"output {i}": t.detach() for i, t in enumerate(t for t in outs if t is not None)}

    return _safe(points), _outputs(_wanted(operator, inputs)), [place]


def _outputs(found: Outcome) -> Outcome:
    if isinstance(found, Exception):
        return found
    return {name: value for name, value in found.items() if name.startswith("output")}


ATTACKS: dict[str, tuple[Callable[[Fuzzed, Inputs, Draw], Verdict], float]] = {
    "memory": (_attack_memory, 0.25),
    "freed": (_attack_freed, 0.1),
    "changed": (_attack_changed, 0.25),
    "between": (_attack_between, 0.08),
    "pickled": (_attack_pickled, 0.05),
    "direct": (_attack_direct, 0.25),
    "compiled": (_attack_compiled, 0.05),
}


def attack(name: str, seed: int, case: int) -> tuple[str, str, list[str]]:
    """Which attack it was, how it ended ("answer", "error", "wrong"), and what is wrong."""
    # Which of what is not finite comes out depends on the order of a sum.
    operator = replace(OPERATORS[name], special="not finite")
    kind, draw, inputs = _drawn(operator, name, seed, case)
    ours, wanted, spoilt = ATTACKS[kind][0](operator, inputs, draw)
    if isinstance(ours, Exception):
        return kind, "error", []
    if wanted is None:
        return kind, "answer", []
    if isinstance(wanted, Exception):
        _, _, inputs = _drawn(operator, name, seed, case)
        if spoilt and _unread(operator, inputs, spoilt):
            return kind, "answer", []
        return kind, "wrong", [f"an answer where {wanted!r} was due"]
    found = _safe(lambda: unequal(operator, draw, _plain(inputs), ours, wanted))
    if isinstance(found, Exception):
        found = [f"not comparable: {found!r}"]
    return kind, "wrong" if found else "answer", found


def _drawn(operator: Fuzzed, name: str, seed: int, case: int) -> tuple[str, Draw, Inputs]:
    """The attack of a case, and its inputs before that."""
    key = f"{seed} hostile {name} {case}"
    draw = Draw(key)
    kind = draw.random.choices([*ATTACKS], [share for _, share in ATTACKS.values()])[0]
    if kind == "compiled":  # takes a hundred times as long as a call
        draw = Draw(f"{seed} compiled {name} {case // GROUP}")
    inputs = operator.draw(draw)
    draw.random.seed(key + " spoilt")
    if "symmetric" in inputs:  # what the caller promises of a structure nobody checks
        inputs["symmetric"] = False
    return kind, draw, inputs


def _unread(operator: Fuzzed, inputs: Inputs, places: Sequence[Place]) -> bool:
    """Whether the reference answers the same whatever stands in these places: one Chebyshev power reads no graph, a graph
    without edges no weight. Nobody can find anything wrong with what is not read.

    An old answer, remembered of what was changed since, is not one of these: it does depend on the structure."""
    before = _wanted(operator, inputs)
    inputs = _anew(inputs)
    for place in places:
        tensor = _get(inputs, place)
        if tensor.is_floating_point():
            other = torch.full_like(tensor, 2.5)
        else:
            other = torch.zeros_like(tensor)
            if "ptr" in (place[1] or place[0]):  # all in the last row
                other[-1:] = tensor[-1:]
        _put(inputs, place, other)
    after = _wanted(operator, inputs)
    if isinstance(before, Exception) or isinstance(after, Exception):
        return False
    return all(torch.equal(before[name].nan_to_num(), after[name].nan_to_num()) for name in before)


def _plain(inputs: Inputs) -> Inputs:
    anew = _safe(lambda: _anew(inputs))
    return inputs if isinstance(anew, Exception) else anew


# --- children -------------------------------------------------------------------------------------------------


def hostile(name: str, seed: int, cases: Sequence[int], trace: bool = False) -> int:
    """Runs the given cases in children, prints a line, and returns in how many something is wrong."""
    start, ends, problems = time.perf_counter(), Counter(), []
    # What a child would import and make for its first compiled call, and for its first direct one, all of them inherit.
    torch.compile(lambda x: x + 1, backend="eager", dynamic=True)(torch.ones(2))
    with _Calls():
        OPERATORS[name].call(**OPERATORS[name].draw(Draw("first")))
    remaining = list(cases)
    while remaining:
        batch = remaining[:BATCH]
        done, crash = _child(name, seed, batch, trace)
        for case, kind, end, found in done:
            ends[end] += 1
            if end == "wrong":
                problems.append((case, kind, "; ".join(found)))
        remaining = remaining[len(done) :]
        if crash:
            problems.append((remaining.pop(0), "crash", crash))
            ends["crash"] += 1
    for case, kind, what in problems[:SHOWN]:
        print(
            f"python -m tests.ops.fuzz --hostile --seed {seed} --only {name} --case {case}\n  {kind}: {what}"
        )
    seconds = time.perf_counter() - start
    print(
        f"{name:16} {len(cases):7,} hostile cases {ends['answer']:7,} answers {ends['error']:7,} errors "
        f"{ends['wrong']:5} wrong {ends['crash']:5} crashes {seconds:7.1f} s",
        flush=True,
    )
    return len(problems)


def _child(name: str, seed: int, batch: Sequence[int], trace: bool) -> tuple[list[Any], str]:
    """What a child found in the cases that it finished, and how it died if it did."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        with os.fdopen(writer, "wb") as pipe:
            for case in batch:
                signal.alarm(SECONDS)
                if trace:
                    print(name, case, flush=True)
                try:
                    found = (case, *attack(name, seed, case))
                except BaseException as error:
                    found = (case, "fuzzer", "wrong", [f"{type(error).__name__}: {error}"])
                pickle.dump(found, pipe)
                pipe.flush()
        os._exit(0)
    os.close(writer)
    done = []
    with os.fdopen(reader, "rb") as pipe, suppress(EOFError, pickle.UnpicklingError):
        while True:
            done.append(pickle.load(pipe))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code == 0:
        return done, ""
    died = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    return done[: len(batch) - 1], died
