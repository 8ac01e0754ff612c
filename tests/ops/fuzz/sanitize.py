"""Builds the extensions with the sanitizers and runs a module under them.

    python -m tests.ops.fuzz.sanitize BUILD tests.ops.fuzz --hostile --cases 10000
    python -m tests.ops.fuzz.sanitize BUILD pytest -n 0 tests/ops tests/geometry

Of the checkout nothing changes: what is built lies in the folder BUILD, beside links to the sources, and later runs build only
what has changed. Linux with GCC, CMake, Ninja and nanobind. A report ends the process that it is about, so that in a hostile run
it is counted as a crash; all are files BUILD/report.*.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
LINKED = ("pyproject.toml", "README.md", "benchmarks", "docs", "tests")


def build(folder: Path) -> Path:
    """The folder from which the sanitized package is imported."""
    subprocess.run(
        ["cmake", "-S", ROOT, "-B", folder / "cmake", "-G", "Ninja", f"-DPython_EXECUTABLE={sys.executable}",
         "-DGEODL_SANITIZE=address,undefined"], check=True,
    )  # fmt: skip
    subprocess.run(["ninja", "-C", folder / "cmake"], check=True)
    tree = folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(ROOT / "geodl", tree / "geodl", copy_function=os.symlink, ignore=_extensions)
    for name in LINKED:
        (tree / name).symlink_to(ROOT / name)
    for extension in (folder / "cmake" / "geodl").glob("*/_native*.so"):
        (tree / "geodl" / extension.parent.name / extension.name).symlink_to(extension)
    return tree


def _extensions(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name.startswith("_native") or name == "__pycache__"}


def environment(folder: Path, tree: Path) -> dict[str, str]:
    runtimes = [
        subprocess.run(
            ["g++", f"-print-file-name={name}"], check=True, capture_output=True, text=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    return os.environ | {
        "LD_PRELOAD": " ".join(runtimes),
        # Python and PyTorch keep what they allocate; a size that is too large is an error and no report.
        "ASAN_OPTIONS": f"detect_leaks=0:allocator_may_return_null=1:log_path={folder / 'report'}",
        "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={folder / 'report'}",
        "PYTHONPATH": str(tree),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def main() -> int:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    folder = Path(sys.argv[1]).resolve()
    tree = build(folder)
    done = subprocess.run([sys.executable, "-m", *sys.argv[2:]], cwd=tree, env=environment(folder, tree))
    reports = sorted(folder.glob("report.*"))
    print(f"{len(reports)} reports", *reports, sep="\n")
    return done.returncode or int(bool(reports))


if __name__ == "__main__":
    sys.exit(main())
