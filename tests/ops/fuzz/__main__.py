"""Runs the C++ operators and the reference on random inputs and compares values and gradients.

    python -m tests.ops.fuzz [--hostile] [--cases 10000] [--seed 0] [--only NAME ...] [--case NUMBER] [--trace]

With --hostile the inputs are spoilt, and what is asked is the answer of the reference or an error, see hostile.py.

Exits with 1 if anything differs, and says how to run the first such cases alone. If the process dies, --trace prints each
case before it runs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

import torch

from .compare import describe, differences
from .hostile import hostile
from .operators import OPERATORS

SHOWN = 3  # failing cases of an operator that are printed


def fuzz(name: str, seed: int, cases: Sequence[int], trace: bool = False) -> int:
    """Runs the given cases of an operator, prints a line, and returns how many differ."""
    start, failures = time.perf_counter(), 0
    for case in cases:
        key = f"{seed} {name} {case}"
        if trace:
            print(name, case, file=sys.stderr, flush=True)
        if found := differences(OPERATORS[name], key):
            failures += 1
            if failures <= SHOWN:
                print(f"python -m tests.ops.fuzz --seed {seed} --only {name} --case {case}")
                print("\n".join([f"  {problem}" for problem in found]))
                print(describe(OPERATORS[name], key))
    seconds = time.perf_counter() - start
    print(f"{name:16} {len(cases):7,} cases {failures:5} differences {seconds:7.1f} s", flush=True)
    return failures


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cases", type=int, default=10_000, help="of every operator")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=OPERATORS, help=", ".join(OPERATORS))
    parser.add_argument("--case", type=int, help="this one alone")
    parser.add_argument("--hostile", action="store_true", help="spoilt inputs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--trace", action="store_true", help="print every case before it runs")
    chosen = parser.parse_args(argv)
    torch.set_num_threads(chosen.threads)
    cases = range(chosen.cases) if chosen.case is None else range(chosen.case, chosen.case + 1)
    names = chosen.only or OPERATORS
    run = hostile if chosen.hostile else fuzz
    return int(sum(run(name, chosen.seed, cases, chosen.trace) for name in names) > 0)


if __name__ == "__main__":
    sys.exit(main())
