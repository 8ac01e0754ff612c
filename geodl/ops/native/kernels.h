// What the kernels of this extension share: addresses, and one registration function an operator.
//
// A binding takes addresses (tensor.data_ptr()), sizes and the number of threads, and nothing else: no torch header is
// needed, and one binary serves every version of torch. It releases the GIL, since it touches no Python object:
//
//     m.def("name_f32", &name<float>, nb::call_guard<nb::gil_scoped_release>());
//     m.def("name_f64", &name<double>, nb::call_guard<nb::gil_scoped_release>());
//
// Its Python side checks shapes, dtypes and contiguity first; an address of an empty tensor is 0 and must not be read.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>

namespace geodl {

namespace nb = nanobind;

template <class T>
T* at(std::uintptr_t address) {
    return reinterpret_cast<T*>(address);
}

void register_arguments(nb::module_& m);
void register_pages(nb::module_& m);
void register_neighbors(nb::module_& m);
void register_aggregate(nb::module_& m);
void register_gradient_products(nb::module_& m);
void register_edge_conv(nb::module_& m);
void register_patch(nb::module_& m);
void register_attention(nb::module_& m);
void register_polar(nb::module_& m);
void register_depthwise(nb::module_& m);
void register_filter(nb::module_& m);
void register_matmul(nb::module_& m);
void register_knn(nb::module_& m);
void register_farthest_points(nb::module_& m);
void register_voxels(nb::module_& m);

}  // namespace geodl
