"""Parts of shapes: every vertex of people and poses, or molecules, that training never saw."""
