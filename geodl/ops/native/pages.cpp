// Large tensors in large pages. The allocator maps them anew at every call, and to make their pages one by one, at the
// first write, takes longer than what an operator writes there.
#include "kernels.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace geodl {
namespace {

// Asks for pages of two megabytes where they lie in the given bytes as a whole. A refusal does no harm.
void use_huge_pages([[maybe_unused]] std::uintptr_t address, [[maybe_unused]] std::size_t bytes) {
#ifdef __linux__
    constexpr std::uintptr_t page = std::uintptr_t{1} << 21;
    const std::uintptr_t first = (address + page - 1) / page * page, last = (address + bytes) / page * page;
    if (first < last) madvise(at<void>(first), last - first, MADV_HUGEPAGE);
#endif
}

}  // namespace

void register_pages(nb::module_& m) { m.def("use_huge_pages", &use_huge_pages); }

}  // namespace geodl
