"""``python -m tests.data.fuzz [KIND ...] [--count N] [--seed S]``: files of every format, whole and damaged."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.data.fuzz.run import WRITERS, fuzz

parser = argparse.ArgumentParser()
parser.add_argument("kinds", nargs="*", choices=[[], *WRITERS], default=[])
parser.add_argument("--count", type=int, default=10_000)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", type=Path, help="folder of the files that fail")
chosen = parser.parse_args()
folder = chosen.out or Path(tempfile.mkdtemp())
folder.mkdir(parents=True, exist_ok=True)
failed = 0
for kind in chosen.kinds or WRITERS:
    said = fuzz(kind, chosen.count, chosen.seed, folder)
    failed += said["failed"]
    print(kind, said, flush=True)
sys.exit(failed > 0)
