"""What a shape knows about itself: geodesic charts and distances, areas, normals, repair."""

from geodl.geometry.charts import ChartReport, Charts, chart_radius, geodesic_charts
from geodl.geometry.differential import differential_coordinates
from geodl.geometry.template import polar_template, template_coverage

__all__ = [
    "ChartReport",
    "Charts",
    "chart_radius",
    "differential_coordinates",
    "geodesic_charts",
    "polar_template",
    "template_coverage",
]
