"""The C++ operators against the reference on random inputs: `python -m tests.ops.fuzz --cases 10000`."""
