"""The README says what is true: its examples, its table of results, its test command."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import trimesh

from benchmarks import tables
from geodl.geometry import geodesic_charts

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
ROOMS = [
    "ops",
    "geometry",
    "data",
    "datasets",
    "nn",
    "models",
    "matching",
    "synthesis",
    "training",
    "viz",
    "testing",
]


EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_run(number: int) -> None:
    names: dict[str, Any] = {}
    exec(compile(EXAMPLES[number], f"README example {number}", "exec"), names)
    if conv := names.get("GaussianMixtureConv"):
        made = trimesh.creation.icosphere(1)
        mesh = SimpleNamespace(
            pos=torch.tensor(made.vertices, dtype=torch.float32), face=torch.tensor(made.faces).long().t()
        )
        assert conv(3, 5, 4, 0.8)(mesh.pos, geodesic_charts(mesh, 0.8)).shape == (42, 5)


def test_fits_on_150_lines() -> None:
    assert len(README.splitlines()) <= 150


def test_result_tables_are_those_of_the_result_files() -> None:
    assert tables.render(README) == README, "run `python -m benchmarks.tables`"


def test_nothing_imports_upward() -> None:
    height = {
        "ops": 1,
        "geometry": 2,
        "data": 3,
        "nn": 3,
        "datasets": 4,
        "matching": 4,
        "models": 5,
        "synthesis": 6,
        "training": 6,
        "viz": 6,
        "testing": 6,
        "cli": 7,
    }
    for path in (ROOT / "geodl").rglob("*.py"):
        room = path.relative_to(ROOT / "geodl").parts[0].removesuffix(".py")
        if room not in height:
            continue
        for imported in re.findall(r"^\s*(?:from|import) geodl\.(\w+)", path.read_text(), re.MULTILINE):
            allowed = imported == room or height[imported] < height[room]
            assert allowed, f"{path.relative_to(ROOT)} imports geodl.{imported}, which is not below {room}"


def test_importing_the_library_stays_light() -> None:
    # geodl.training is Lightning's; everything else does without.
    program = (
        "import sys, importlib, geodl\n"
        f"for room in {[room for room in ROOMS if room != 'training']}: importlib.import_module('geodl.' + room)\n"
        "print([name for name in ('lightning', 'open3d', 'matplotlib', 'trimesh', 'tensorboard') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"
