"""Stages: a descent at a coarse octave, then at the next finer one; it reports, stops and goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor

from geodl.synthesis.descent import Descent, Objective, Optimizer

__all__ = ["Progress", "Stages", "Synthesis"]


@dataclass
class Synthesis:
    """A picture that was made, or how far it has come.

    Args:
        errors: the relative error of the statistics where every step began, see :meth:`GramStatistics.error`.
        step, steps: how many are done, and how many there are.
        draw: makes :attr:`x` when it is asked for.
        snapshot: makes :meth:`state`, from which a run goes on.
    """

    errors: list[float]
    step: int
    steps: int
    draw: Callable[[], Tensor] = field(repr=False)
    snapshot: Callable[[], dict[str, Any]] = field(repr=False)

    @cached_property
    def x(self) -> Tensor:
        """``[C, H, W]`` on a grid, ``[V, C]`` on a surface; colours in 0..1."""
        return self.draw()

    @property
    def state(self) -> dict[str, Any]:
        """What goes on from here as if it had never stopped; ``torch.save`` keeps it. Ask before the next step."""
        return self.snapshot()


Progress = bool | Callable[[Synthesis], object]


@dataclass(frozen=True)
class Stages:
    """What is done at every octave, from a coarse one to octave 0.

    Args:
        count: of stages; the first is at octave ``count - 1``.
        objective: of the stage at an octave.
        start: of the stage at an octave, from where the one before ended (None for the first).
        picture: of the signal at an octave.
        steps: at every stage.
        optimizer: "lbfgs" or "adam".
    """

    count: int
    objective: Callable[[int], Objective]
    start: Callable[[int, Tensor | None], Tensor]
    picture: Callable[[int, Tensor], Tensor]
    steps: int
    optimizer: Optimizer

    def run(self, progress: Progress, state: dict[str, Any] | None) -> Synthesis:
        """All of them, or those after ``state``; a function ``progress`` that returns True stops.

        Raises:
            ValueError: no steps, or a state that has more of them.
        """
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        total = self.steps * self.count
        step, errors, z, resumed = 0, list[float](), None, None
        if state is not None:
            step, errors, z, resumed = state["step"], list(state["errors"]), state["z"], state["descent"]
            if not 0 < step < total:
                raise ValueError(f"the state is at step {step} of {total}: there is nothing to go on with")
        descent = None
        with _telling(progress, total) as tell:
            while True:
                octave = self.count - 1 - step // self.steps
                if descent is None:
                    start = self.start(octave, z) if resumed is None else z
                    assert start is not None
                    descent = Descent(self.objective(octave), start, self.optimizer, resumed)
                    resumed = None
                errors.append(descent.step())
                z, step = descent.z.detach(), step + 1
                found = self._found(octave, z, errors, step, None if step % self.steps == 0 else descent)
                if tell(found) or step == total:
                    return found
                descent = None if step % self.steps == 0 else descent

    def _found(
        self, octave: int, z: Tensor, errors: list[float], step: int, descent: Descent | None
    ) -> Synthesis:
        def snapshot() -> dict[str, Any]:
            within = None if descent is None else descent.state()
            return {"step": step, "errors": errors[:step], "z": z.clone(), "descent": within}

        return Synthesis(
            errors[:step], step, self.steps * self.count, lambda: self.picture(octave, z), snapshot
        )


@contextmanager
def _telling(progress: Progress, total: int) -> Iterator[Callable[[Synthesis], bool]]:
    if callable(progress):
        yield lambda found: progress(found) is True
    elif not progress:
        yield lambda found: False
    else:
        from tqdm import tqdm

        with tqdm(total=total, unit="step", mininterval=0.5) as bar:

            def advance(found: Synthesis) -> bool:
                bar.set_postfix_str(f"error {found.errors[-1]:.4f}", refresh=False)
                bar.update()
                return False

            yield advance
