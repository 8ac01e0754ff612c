#include <nanobind/nanobind.h>

NB_MODULE(_native, m) {
    m.doc() = "C++ kernels; raw addresses and sizes only, see the Python modules that call them.";
}
