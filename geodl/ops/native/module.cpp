#include "kernels.h"

NB_MODULE(_native, m) {
    m.doc() = "C++ kernels; raw addresses and sizes only, see the Python modules that call them.";
    geodl::nb::set_leak_warnings(false);  // PyTorch keeps operators, and with them what looks at their arguments, until the end
    geodl::register_arguments(m);
    geodl::register_pages(m);
    geodl::register_neighbors(m);
    geodl::register_aggregate(m);
    geodl::register_gradient_products(m);
    geodl::register_edge_conv(m);
    geodl::register_patch(m);
    geodl::register_attention(m);
    geodl::register_polar(m);
    geodl::register_depthwise(m);
    geodl::register_filter(m);
    geodl::register_matmul(m);
    geodl::register_knn(m);
    geodl::register_farthest_points(m);
    geodl::register_voxels(m);
}
