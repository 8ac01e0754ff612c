"""
A body that walks
=================

A procedural gait, the skeleton that it moves, the skin around it, and a film. The same goes for motion capture:
``Motion.load("walk.bvh")`` reads a BVH file, ``motion.save`` writes one.
"""

from __future__ import annotations

from pathlib import Path

from geodl.data import Motion, foot_skate
from geodl.datasets import Gaits, Puppets
from geodl.viz import mesh_film, position_colors, skeleton_strip


def main() -> None:
    out = Path("runs/walking-puppet")
    out.mkdir(parents=True, exist_ok=True)
    gaits, puppets = (
        Gaits(num_identities=1, num_clips=1, frames=12, frame_time=1 / 12),
        Puppets(num_identities=1, num_vertices=1500),
    )

    skeleton_strip({gait.name: gait for gait in gaits}, out / "gaits.png", azimuth=75)

    walk = gaits[0]
    joints = [walk.skeleton.number(name) for name in Gaits.contact_joints]
    skate = foot_skate(walk.positions(), joints, walk.frame_time, walk.contact)
    print(f"{walk.name}: {walk.num_frames} frames, standing feet slide at {float(skate):.1e} m/s")

    bodies = puppets.perform(walk.subject, walk)
    mesh_film(bodies, out / "walk.gif", color=position_colors(puppets.reference), fps=12)

    walk.save(out / "walk.bvh")
    again = Motion.load(out / "walk.bvh").select(
        walk.skeleton.names
    )  # a file has them in the order of the tree
    assert (again.positions() - walk.positions()).abs().max() < 1e-5
    print(f"film, strip and BVH file are in {out}")


if __name__ == "__main__":
    main()
