"""Parts of shapes: every vertex of people, poses or molecules that training never saw."""
