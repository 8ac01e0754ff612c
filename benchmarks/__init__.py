"""Scripts that users run: each prints a table and writes ``DIR/result.json``."""
