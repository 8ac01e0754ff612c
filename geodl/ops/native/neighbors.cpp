#include "kernels.h"

namespace geodl {

void register_neighbors(nb::module_&) {}

}  // namespace geodl
