"""Networks on motions: what is done, walks that go on, lost markers, other skeletons.

    python -m benchmarks.motion --task action                   ST-GCN on procedural gaits that differ in the order of frames
    python -m benchmarks.motion --task action --root PATH       on Bandai-Namco's actions, and separately styles
    python -m benchmarks.motion --task locomotion               free runs of 600 frames along the paths of gaits not trained on
    python -m benchmarks.motion --task denoise [--root PATH]    lost markers
    python -m benchmarks.motion --task retarget [--root PATH]   to a skeleton with other bones

Beside every network stand the simplest baselines. Networks are those after the last step. Every task takes some minutes on two
cores; result.json, strips and films are in the folder that it names.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.motion import action, denoise, locomotion, retarget
from benchmarks.result import command, portable, write_result

TASKS = {"action": action, "locomotion": locomotion, "denoise": denoise, "retarget": retarget}
SEEDS = {"action": 3, "locomotion": 1, "denoise": 1, "retarget": 1}


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.motion", description="Networks on motions.")
    parser.add_argument("--task", choices=list(TASKS), default="action")
    parser.add_argument(
        "--root", type=Path, help="folder of Bandai-Namco's motions; procedural gaits if not given"
    )
    parser.add_argument("--steps", type=int, help="steps of training")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, help="how many there are")
    parser.add_argument("--device", choices=["cpu"], default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, help="run folder (runs/motion-TASK if not given)")
    chosen = parser.parse_args(argv)
    chosen.seeds = SEEDS[chosen.task] if chosen.seeds is None else chosen.seeds
    if chosen.seeds < 1 or (chosen.steps is not None and chosen.steps < 1):
        parser.error("--seeds and --steps must be at least 1")
    if chosen.task == "locomotion" and chosen.root is not None:
        parser.error(
            "--task locomotion runs on procedural gaits, which say when feet stand, and takes no --root"
        )
    chosen.out = chosen.out or Path("runs") / f"motion-{chosen.task}"
    return chosen


def main(argv: list[str] | None = None) -> None:
    chosen = arguments(argv)
    torch.set_num_threads(chosen.threads)
    console = Console()
    chosen.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    seeds = list(range(chosen.seed, chosen.seed + chosen.seeds))
    result = TASKS[chosen.task].run(chosen, seeds, console)
    path = write_result(
        chosen.out,
        benchmark=f"motion-{chosen.task}",
        seconds=time.perf_counter() - began,
        seeds=seeds,
        command=portable(command(), chosen),
        **result,
    )
    console.print(f"wrote {path}")


if __name__ == "__main__":
    main()
