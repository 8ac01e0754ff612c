"""A few random cases of every operator (`python -m tests.ops.fuzz` runs many), and that the comparison sees an error."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from geodl.ops import backends

from .fuzz.__main__ import fuzz
from .fuzz.compare import _difference, differences
from .fuzz.draw import Draw
from .fuzz.operators import OPERATORS

module = importlib.import_module("geodl.ops.aggregate")  # geodl.ops.aggregate itself is the function


@pytest.fixture(autouse=True)
def native():
    if (reason := backends()["native"]) != "available":
        pytest.skip(reason)


@pytest.mark.parametrize("name", OPERATORS)
def test_agrees_with_the_reference(name, capsys):
    assert fuzz(name, seed=0, cases=range(100)) == 0, capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATORS)
def test_takes_hostile_inputs(name):
    """In a process of its own, as cases run in children, which a pool of threads does not survive."""
    given = [sys.executable, "-m", "tests.ops.fuzz", "--hostile", "--cases", "40", "--only", name]
    done = subprocess.run(given, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", OPERATORS)
def test_draws_the_same_case_again(name):
    first, second = (OPERATORS[name].draw(Draw(f"0 {name} 7")) for _ in range(2))
    for key, value in first.items():
        if isinstance(value, torch.Tensor):
            assert torch.allclose(value.double(), second[key].double(), equal_nan=True, rtol=0, atol=0)
            assert value.stride() == second[key].stride()


WRONG = {
    "value": lambda out: out + (torch.arange(out.numel()).view(out.shape) == 1) * 0.5,
    "NaN": lambda out: out.where(torch.arange(out.numel()).view(out.shape) > 0, float("nan")),
}


@pytest.mark.parametrize("primitive", ["gather_sum", "scatter_sum", "edge_dot"])
@pytest.mark.parametrize("wrong", WRONG)
def test_sees_a_kernel_that_is_wrong(primitive, wrong, monkeypatch):
    kernels = getattr(module, primitive)._implementations
    right = kernels["native"]
    monkeypatch.setitem(kernels, "native", lambda *given: WRONG[wrong](right(*given)))
    assert sum(bool(differences(OPERATORS["aggregate"], f"0 aggregate {case}")) for case in range(60)) > 5


def test_compares_indices_exactly_and_values_within_rounding():
    operator = OPERATORS["aggregate"]
    one = torch.ones(3)
    assert _difference(one, one + 1e-6, one, operator) is None
    assert "instead of" in (_difference(one, one + 1e-4, one, operator) or "")
    assert _difference(torch.tensor([0, 1]), torch.tensor([0, 2]), torch.tensor([0]), operator)
    assert "instead of [3]" in (_difference(one[:2], one, one, operator) or "")
    infinite = torch.tensor([float("inf"), 1.0])
    assert _difference(-infinite, infinite, infinite, operator)


@pytest.mark.parametrize(("name", "case"), [("patch_conv", 1857), ("chebyshev", 5587), ("chebyshev", 6665)])
def test_allows_the_rounding_of_terms_that_cancel(name, case):
    """Gradients of 1e10 a term that add up to 1e4; filters that are alike, whose polynomials are 1 and -1."""
    assert not differences(OPERATORS[name], f"0 {name} {case}")
