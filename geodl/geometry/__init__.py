"""What a shape knows about itself: geodesic charts and distances, areas, normals, repair."""

from geodl.geometry.charts import ChartReport, Charts, chart_radius, geodesic_charts
from geodl.geometry.differential import differential_coordinates
from geodl.geometry.distance import geodesic_distance
from geodl.geometry.measures import (
    edges,
    face_areas,
    face_normals,
    mean_edge_length,
    surface_area,
    vertex_areas,
    vertex_normals,
)
from geodl.geometry.template import polar_template, template_coverage
from geodl.geometry.validation import MeshReport, repair, validate

__all__ = [
    "ChartReport",
    "Charts",
    "MeshReport",
    "chart_radius",
    "differential_coordinates",
    "edges",
    "face_areas",
    "face_normals",
    "geodesic_charts",
    "geodesic_distance",
    "mean_edge_length",
    "polar_template",
    "repair",
    "surface_area",
    "template_coverage",
    "validate",
    "vertex_areas",
    "vertex_normals",
]
