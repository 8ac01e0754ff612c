"""Point cloud classifiers on ModelNet and on procedural solids."""
