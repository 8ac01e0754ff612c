#include "kernels.h"

namespace geodl {

void register_aggregate(nb::module_&) {}

}  // namespace geodl
