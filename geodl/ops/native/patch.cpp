#include "kernels.h"

namespace geodl {

void register_patch(nb::module_&) {}

}  // namespace geodl
