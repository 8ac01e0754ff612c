"""What a shape knows about itself: geodesic charts and distances, areas, normals, repair."""

from geodl.geometry.charts import ChartReport, Charts, chart_radius, geodesic_charts

__all__ = ["ChartReport", "Charts", "chart_radius", "geodesic_charts"]
