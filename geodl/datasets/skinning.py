"""Linear blend skinning: how a body's surface follows its bones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, diags_array, eye_array
from scipy.sparse.linalg import splu
from scipy.spatial.transform import Rotation

from geodl.datasets.rig import Rig

Points = NDArray[np.float64]


def skin_weights(rig: Rig, vertices: Points, faces: NDArray[np.int64]) -> Points:
    r"""Weights of the bones, and of one helper a joint that turns half-way, at every vertex of the resting body.

    The part of the skin that hangs on a joint is an indicator function on the surface; heat that flows along
    the surface smooths it over the joint's ``blend`` length. As heat does not jump through the air, an arm
    beside the chest is not drawn along by it. Skin half-way across a joint follows the helper: a plain
    blend of bones loses volume where a joint bends far (cos of half the angle), the helper keeps it (cos of
    a quarter).

    Args:
        rig: whose surface the mesh is.
        vertices: ``[V, 3]``, the resting body.
        faces: ``[F, 3]``.

    Returns:
        ``[V, 2 B]``, rows that sum to one: column b is bone b, column B + b the helper of its joint.
    """
    count = len(vertices)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1).mean()
    ones = np.ones(len(edges))
    adjacency = coo_array((ones, (edges[:, 0], edges[:, 1])), shape=(count, count)).tocsr()
    walk = diags_array(1.0 / adjacency.sum(axis=1)) @ adjacency
    owner = rig.nearest_bone(vertices)

    half, full = np.ones((len(rig.bones), count)), np.ones((len(rig.bones), count))
    for number, bone in enumerate(rig.bones):
        if bone.parent < 0:
            continue
        hanging = np.isin(owner, rig.below(number)).astype(float)
        # One implicit step with this factor spreads by blend / sqrt(8), two by half the blend.
        time = (bone.blend / (2 * length)) ** 2
        flow = splu(((1 + time) * eye_array(count) - time * walk).tocsc())
        heat = flow.solve(flow.solve(hanging))
        # Heat reaches everywhere; a hand must not feel the spine.
        heat = np.clip((heat - 0.06) / 0.88, 0.0, 1.0)
        heat = heat * heat * (3 - 2 * heat)
        half[number], full[number] = np.minimum(2 * heat, 1.0), np.maximum(2 * heat - 1, 0.0)

    weights = np.concatenate([full, half - full])
    for number, bone in enumerate(rig.bones):
        if bone.parent >= 0:
            weights[bone.parent] -= half[number]
    weights = np.maximum(weights, 0.0)
    return np.ascontiguousarray((weights / weights.sum(axis=0)).T)


def skin(rig: Rig, vertices: Points, weights: Points, scales: Points, turns: Points) -> Points:
    r"""Bend and scale a resting surface.

    .. math:: x' = \sum_b w_b(x) \, [\, R_b (S_b (x - j_b)) + j'_b \,]

    with :math:`j_b` the joint of bone b at rest, :math:`S_b` its scale, :math:`R_b` the product of the
    turns from the root down to b, and :math:`j'_b` where the parent takes the joint. Helpers turn half as
    far as their joint and have the mean scale of the two bones.

    Args:
        rig: the bones.
        vertices: ``[V, 3]`` of the resting body.
        weights: ``[V, 2 B]``, see :func:`skin_weights`.
        scales: ``[B, 3, 3]``, in the axes of the resting body.
        turns: ``[B, 3]`` rotation vectors (radians) of every bone relative to its parent.

    Returns:
        ``[V, 3]``.
    """
    out = np.zeros_like(vertices)
    joints, frames = place_bones(rig, scales, turns)
    for number, bone in enumerate(rig.bones):
        offset = vertices - bone.joint
        linear = frames[number] @ scales[number]
        out += weights[:, [number]] * (offset @ linear.T + joints[number])
        if bone.parent >= 0:
            middle = frames[bone.parent] @ Rotation.from_rotvec(turns[number] / 2).as_matrix()
            linear = middle @ (scales[bone.parent] + scales[number]) / 2
            out += weights[:, [len(rig.bones) + number]] * (offset @ linear.T + joints[number])
    return out


def place_bones(rig: Rig, scales: Points, turns: Points) -> tuple[Points, Points]:
    """Where every joint comes to lie, ``[B, 3]``, and how every bone is turned, ``[B, 3, 3]``."""
    joints, frames = np.zeros((len(rig.bones), 3)), np.zeros((len(rig.bones), 3, 3))
    for number, bone in enumerate(rig.bones):
        turn = Rotation.from_rotvec(turns[number]).as_matrix()
        if bone.parent < 0:
            joints[number], frames[number] = bone.joint, turn
            continue
        parent = bone.parent
        offset = np.subtract(bone.joint, rig.bones[parent].joint)
        joints[number] = joints[parent] + frames[parent] @ scales[parent] @ offset
        frames[number] = frames[parent] @ turn
    return joints, frames


def untangle(rig: Rig, scales: Points, turns: Points) -> Points:
    """The pose, taken back towards rest in steps of a tenth until no two limbs run through each other."""
    for _ in range(40):
        if not _tangled(rig, scales, turns):
            break
        turns = 0.9 * turns
    return turns


def _tangled(rig: Rig, scales: Points, turns: Points) -> bool:
    joints, frames = place_bones(rig, scales, turns)
    beads, radii = [], []
    for number, bone in enumerate(rig.bones):
        reach = frames[number] @ scales[number] @ np.subtract(bone.end, bone.joint)
        beads.append(joints[number] + np.linspace(0, 1, 8)[:, None] * reach)
        radii.append(bone.radius * np.cbrt(np.linalg.det(scales[number])))
    for a in range(len(rig.bones)):
        for b in range(a):
            if rig.touching(a, b):
                continue
            gap = np.linalg.norm(beads[a][:, None] - beads[b], axis=2).min()
            if gap < radii[a] + radii[b]:
                return True
    return False
