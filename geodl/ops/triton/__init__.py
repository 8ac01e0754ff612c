"""GPU kernels in Triton, one module an operator; TRITON_INTERPRET=1 runs them on the CPU, slowly.

No kernel uses atomics: each result is summed by one program in the order of its edges, so runs are bitwise equal. None
waits for the device: bounds that live there (row pointers) are read by the kernel, so CUDA graphs can capture them.
"""
