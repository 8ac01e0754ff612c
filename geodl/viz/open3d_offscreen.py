"""Program: draw the mesh of one .npz file off-screen, write its buffers to another. Imports nothing of geodl."""

from __future__ import annotations

import sys

import numpy as np
import open3d


def main(given: str, made: str) -> None:
    with np.load(given) as file:
        scene = dict(file)
    rendering = open3d.visualization.rendering
    vector = open3d.utility.Vector3dVector
    width, height = (int(side) for side in scene["size"])

    # Colours below and normals above, in one frame.
    pos, face, low, high = scene["pos"], scene["face"], scene["low"], scene["high"]
    tall = np.array([0.0, high[1] - low[1], 0.0])
    mesh = open3d.geometry.TriangleMesh(
        vector(np.concatenate([pos, pos + tall])),
        open3d.utility.Vector3iVector(np.concatenate([face, face + len(pos)])),
    )
    # The shader reads a texture even if there is none. Left without coordinates it reads where memory happens to
    # point, and Mesa's software driver then filters over footprints that take minutes, or never end.
    # Vertices in one place that have the same coordinates too become one, of one colour: so each has its own.
    number = np.asarray(mesh.triangles).reshape(-1, 1) / (2 * len(pos))
    mesh.triangle_uvs = open3d.utility.Vector2dVector(np.concatenate([number, 0 * number], axis=1))
    mesh.vertex_colors = vector(np.concatenate([scene["color"], (scene["normal"] + 1) / 2]))

    renderer = rendering.OffscreenRenderer(width, 2 * height)
    renderer.scene.set_background([0.0, 0.0, 0.0, 1.0])
    view = renderer.scene.view
    view.set_post_processing(False)  # tone mapping would change the colours
    view.set_ambient_occlusion(False)
    renderer.scene.scene.enable_sun_light(False)
    renderer.scene.scene.enable_indirect_light(False)

    centre, half = (low + high + tall) / 2, (high - low + tall) / 2
    depth = 2 * float(half[2]) + 1
    camera = renderer.scene.camera
    ortho = rendering.Camera.Projection.Ortho
    camera.set_projection(ortho, -half[0], half[0], -half[1], half[1], 0.1, 2 * depth + 1)
    camera.look_at(centre, centre + np.array([0, 0, depth + 0.5]), [0.0, 1.0, 0.0])

    material = rendering.MaterialRecord()
    material.shader = "defaultUnlit"
    renderer.scene.add_geometry("bodies", mesh, material)
    image = np.asarray(renderer.render_to_image())[..., :3]
    np.savez(made, normal=image[:height], color=image[height:])
    renderer.scene.clear_geometry()  # before the renderer goes, else Filament aborts


if __name__ == "__main__":
    main(*sys.argv[1:])
