#include "kernels.h"

namespace geodl {

void register_polar(nb::module_&) {}

}  // namespace geodl
