"""The README says what is true: its API table, its examples, its tables of results, its test command."""

import importlib
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


def listed() -> list[str]:
    """Names in the second column of the README's table."""
    table = README[README.index("| room |") : README.index("The rooms stand")]
    return [
        name for row in table.splitlines()[2:] if row for name in re.findall(r"`(\w+)`", row.split("|")[2])
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_in_the_table(room: str) -> None:
    module = importlib.import_module(f"geodl.{room}")
    missing = sorted(set(module.__all__).difference(listed()))
    assert not missing, f"geodl.{room} exports {missing}, which the README's table lacks"
    assert all(hasattr(module, name) for name in module.__all__)


def test_every_listed_name_exists_and_is_listed_once() -> None:
    exist = {name for room in ROOMS for name in importlib.import_module(f"geodl.{room}").__all__}
    assert set(listed()) <= exist and len(listed()) == len(set(listed()))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_examples_run(number: int) -> None:
    example = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[number]
    names: dict[str, Any] = {}
    exec(compile(example, f"README example {number}", "exec"), names)
    if number == 2:
        made = trimesh.creation.icosphere(1)
        mesh = SimpleNamespace(
            pos=torch.tensor(made.vertices, dtype=torch.float32), face=torch.tensor(made.faces).long().t()
        )
        conv = names["GaussianMixtureConv"](3, 5, 4, 0.8)
        assert conv(mesh.pos, geodesic_charts(mesh, 0.8)).shape == (42, 5)


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
