"""What a shape knows about itself: geodesic charts and distances, Laplacians and spectra, areas, normals, repair."""

from geodl.geometry.charts import ChartReport, Charts, chart_radius, geodesic_charts
from geodl.geometry.cloud import point_normals
from geodl.geometry.coarsening import Coarsening, coarsen, hierarchy
from geodl.geometry.curvature import Curvature, angle_deficit, curvature
from geodl.geometry.differential import laplacian_coordinates
from geodl.geometry.direction_field import direction_field
from geodl.geometry.distance import geodesic_distance
from geodl.geometry.divergence import FieldDerivative, curl, divergence
from geodl.geometry.frames import tangent_frames
from geodl.geometry.gradient import Gradient, gradient
from geodl.geometry.invariants import DifferentialInvariants, differential_invariants
from geodl.geometry.laplacian import Laplacian, LaplacianReport, grid_laplacian, laplacian
from geodl.geometry.measures import (
    edges,
    face_areas,
    face_normals,
    mean_edge_length,
    surface_area,
    vertex_areas,
    vertex_normals,
)
from geodl.geometry.occlusion import ambient_occlusion, direct_light
from geodl.geometry.rays import RayHits, cast_rays
from geodl.geometry.remeshing import remesh
from geodl.geometry.rotations import (
    axis_angle_to_matrix,
    euler_angles_to_matrix,
    matrix_to_axis_angle,
    matrix_to_euler_angles,
    matrix_to_quaternion,
    matrix_to_rotation_6d,
    quaternion_to_matrix,
    rotation_6d_to_matrix,
)
from geodl.geometry.shapes import as_shape
from geodl.geometry.shot import shot
from geodl.geometry.signatures import heat_kernel_signature, wave_kernel_signature
from geodl.geometry.sparse_factor import SparseFactor
from geodl.geometry.spectrum import Spectrum, SpectrumReport, spectrum
from geodl.geometry.template import polar_template, template_coverage
from geodl.geometry.validation import MeshReport, repair, validate

__all__ = [
    "ChartReport",
    "Charts",
    "Coarsening",
    "Curvature",
    "DifferentialInvariants",
    "FieldDerivative",
    "Gradient",
    "Laplacian",
    "LaplacianReport",
    "MeshReport",
    "RayHits",
    "SparseFactor",
    "Spectrum",
    "SpectrumReport",
    "ambient_occlusion",
    "angle_deficit",
    "as_shape",
    "axis_angle_to_matrix",
    "cast_rays",
    "chart_radius",
    "coarsen",
    "curl",
    "curvature",
    "differential_invariants",
    "direct_light",
    "direction_field",
    "divergence",
    "edges",
    "euler_angles_to_matrix",
    "face_areas",
    "face_normals",
    "geodesic_charts",
    "geodesic_distance",
    "gradient",
    "grid_laplacian",
    "heat_kernel_signature",
    "hierarchy",
    "laplacian",
    "laplacian_coordinates",
    "matrix_to_axis_angle",
    "matrix_to_euler_angles",
    "matrix_to_quaternion",
    "matrix_to_rotation_6d",
    "mean_edge_length",
    "point_normals",
    "polar_template",
    "quaternion_to_matrix",
    "remesh",
    "repair",
    "rotation_6d_to_matrix",
    "shot",
    "spectrum",
    "surface_area",
    "tangent_frames",
    "template_coverage",
    "validate",
    "vertex_areas",
    "vertex_normals",
    "wave_kernel_signature",
]
