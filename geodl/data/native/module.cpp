#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "text.h"

namespace nb = nanobind;
using namespace geodl;

namespace {

using Rows = nb::ndarray<const uint32_t, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;

// A NumPy array that owns the vector's memory.
template <class T>
nb::ndarray<nb::numpy, T, nb::ndim<1>> give(std::vector<T>&& values) {
    auto* kept = new std::vector<T>(std::move(values));
    nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    return nb::ndarray<nb::numpy, T, nb::ndim<1>>(kept->data(), {kept->size()}, owner);
}

std::string_view view(const nb::bytes& data, size_t begin) {
    if (begin > data.size()) throw std::invalid_argument("begin lies beyond the end");
    return {data.c_str() + begin, data.size() - begin};
}

nb::list named(const std::vector<std::pair<int64_t, std::string>>& starts) {
    nb::list out;
    for (const auto& [face, name] : starts) out.append(nb::make_tuple(face, nb::bytes(name.data(), name.size())));
    return out;
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "C++ readers of geodl.data; geodl.data.files.text says what they read.";
    m.def("table", [](const nb::bytes& data, size_t begin, const nb::bytes& separators, const nb::bytes& comments) {
        Table table;
        {
            nb::gil_scoped_release release;
            table = read_table(view(data, begin), view(separators, 0), view(comments, 0));
        }
        return nb::make_tuple(give(std::move(table.values)), give(std::move(table.starts)), table.bad);
    });
    m.def("obj", [](const nb::bytes& data, size_t begin) {
        Obj obj;
        {
            nb::gil_scoped_release release;
            obj = read_obj(view(data, begin));
        }
        return nb::make_tuple(give(std::move(obj.values)), give(std::move(obj.vertex_starts)), give(std::move(obj.corners)),
                              give(std::move(obj.face_starts)), named(obj.groups), named(obj.objects), obj.skipped, obj.error);
    });
    m.def("stl", [](const nb::bytes& data, size_t begin) {
        Stl stl;
        {
            nb::gil_scoped_release release;
            stl = read_stl(view(data, begin));
        }
        return nb::make_tuple(give(std::move(stl.values)), stl.error);
    });
    m.def("merge", [](const Rows& rows) {
        if (rows.shape(0) > std::numeric_limits<int32_t>::max()) throw std::invalid_argument("too many rows to merge");
        std::vector<int64_t> first, which;
        {
            nb::gil_scoped_release release;
            merge(rows.data(), static_cast<int64_t>(rows.shape(0)), first, which);
        }
        return nb::make_tuple(give(std::move(first)), give(std::move(which)));
    });
}
