// Whether arguments are what the declaration of an operator says. It is asked at every call, and a call on plain tensors must
// cost microseconds: hence here, by the attributes of the tensors, which their class is asked for once. No reasons are given:
// Declaration.bind in Python walks over the arguments again and names what is wrong.
#include "kernels.h"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>
#include <vector>

namespace geodl {
namespace {

// What look() answers, as in core/plain.py: 0, or these together.
constexpr int wrong = 0, fits = 1, wants_gradient = 2, must_be_resolved = 4;

constexpr size_t most_variables = 24, most_sizes = 8;

#ifdef Py_LIMITED_API
// The stable ABI has functions where a build for one Python reads the objects.
Py_ssize_t PyTuple_GET_SIZE(PyObject* tuple) { return PyTuple_Size(tuple); }
PyObject* PyTuple_GET_ITEM(PyObject* tuple, Py_ssize_t k) { return PyTuple_GetItem(tuple, k); }
void PyTuple_SET_ITEM(PyObject* tuple, Py_ssize_t k, PyObject* item) { PyTuple_SetItem(tuple, k, item); }
descrgetfunc getter(PyObject* attribute) {
    return reinterpret_cast<descrgetfunc>(PyType_GetSlot(Py_TYPE(attribute), Py_tp_descr_get));
}
#else
descrgetfunc getter(PyObject* attribute) { return Py_TYPE(attribute)->tp_descr_get; }
#endif

// An attribute of a tensor, or the result of a method without arguments. A new reference; null, with an error set, if it has none.
PyObject* get(PyObject* attribute, PyObject* object) {
    return getter(attribute)(attribute, object, reinterpret_cast<PyObject*>(Py_TYPE(object)));
}
PyObject* call(PyObject* method, PyObject* object) { return PyObject_Vectorcall(method, &object, 1, nullptr); }

// The same, compared or as a number, which takes the reference. False and -1 for null.
bool is(PyObject* value, PyObject* wanted) {
    Py_XDECREF(value);
    return value == wanted;
}
int64_t number(PyObject* value) {
    if (!value || !PyLong_Check(value)) {
        Py_XDECREF(value);
        return -1;
    }
    const int64_t found = PyLong_AsLongLong(value);
    Py_DECREF(value);
    return found;
}

// PyTorch's classes and what is asked of them; never freed, as the interpreter may end before this library.
struct Torch {
    PyObject *tensor, *parameter, *csr, *known, *float32, *float64, *int64;
    std::vector<PyObject*> floating;
    PyObject *dtype, *shape, *is_cpu, *device, *requires_grad, *nbytes, *itemsize;
    PyObject *untyped_storage, *is_contiguous, *is_neg, *is_zerotensor, *storage_offset, *held;
};
Torch* torch_ = nullptr;

void know_torch(nb::module_ torch, nb::object csr, nb::object known, nb::list floating) {
    const auto keep = [](nb::object object) { return object.release().ptr(); };
    auto* t = new Torch;
    const nb::object tensor = torch.attr("Tensor");
    t->tensor = keep(tensor);
    t->parameter = keep(torch.attr("nn").attr("Parameter"));
    t->csr = keep(csr);
    t->known = keep(known);
    t->float32 = keep(torch.attr("float32"));
    t->float64 = keep(torch.attr("float64"));
    t->int64 = keep(torch.attr("int64"));
    for (nb::handle dtype : floating) t->floating.push_back(keep(nb::borrow(dtype)));
    const std::pair<PyObject**, const char*> attributes[] = {
        {&t->dtype, "dtype"}, {&t->shape, "shape"}, {&t->is_cpu, "is_cpu"}, {&t->device, "device"},
        {&t->requires_grad, "requires_grad"}, {&t->nbytes, "nbytes"}, {&t->itemsize, "itemsize"},
        {&t->untyped_storage, "untyped_storage"}, {&t->is_contiguous, "is_contiguous"}, {&t->is_neg, "is_neg"},
        {&t->is_zerotensor, "_is_zerotensor"}, {&t->storage_offset, "storage_offset"}};
    for (const auto& [place, name] : attributes) *place = keep(tensor.attr(name));
    t->held = keep(torch.attr("UntypedStorage").attr("nbytes"));
    torch_ = t;
}

// A size is times * variable + plus; without a variable, plus.
struct Size {
    int64_t variable, times, plus;
};

enum Kind { other, count, graph, tensor };

struct Item {
    int64_t kind;
    bool optional, differentiable;
    PyObject* dtype;  // if it is always the same
    bool integer, wide;  // wide: of the dtype that sums of T are formed in
    std::vector<Size> sizes;  // of a count and a graph the variables that they tell
    bool rest;                // whether any sizes may follow
};

// What the arguments so far have told.
struct Told {
    std::array<int64_t, most_variables> values;
    uint64_t known = 0;
    PyObject *dtype = nullptr, *first = nullptr;  // T, and a tensor on the device that all are on
    bool cpu = false, rest_known = false;
    std::array<int64_t, most_sizes> rest;
    int64_t rest_sizes = 0;

    bool knows(int64_t variable) const { return known >> variable & 1; }
    bool equal(int64_t variable, int64_t value) {
        if (knows(variable)) return values[variable] == value;
        values[variable] = value;
        known |= uint64_t{1} << variable;
        return true;
    }
    bool fits(const Size& size, int64_t extent) {
        if (size.variable < 0) return extent == size.plus;
        if (knows(size.variable)) return extent == values[size.variable] * size.times + size.plus;
        const int64_t left = extent - size.plus;
        return left >= 0 && left % size.times == 0 && equal(size.variable, left / size.times);
    }
};

class Arguments {
public:
    explicit Arguments(nb::list items) {
        for (nb::handle given : items) {
            const auto item = nb::cast<nb::tuple>(given);
            Item made;
            made.kind = nb::cast<int64_t>(item[0]);
            made.optional = nb::cast<bool>(item[1]);
            made.differentiable = nb::cast<bool>(item[2]);
            made.dtype = item[3].is_none() ? nullptr : nb::object(item[3]).release().ptr();
            made.integer = nb::cast<bool>(item[4]);
            made.wide = nb::cast<bool>(item[5]);
            for (nb::handle size : nb::cast<nb::list>(item[6])) {
                const auto s = nb::cast<nb::tuple>(size);
                made.sizes.push_back({nb::cast<int64_t>(s[0]), nb::cast<int64_t>(s[1]), nb::cast<int64_t>(s[2])});
                if (made.sizes.back().variable >= static_cast<int64_t>(most_variables) || made.sizes.size() > most_sizes)
                    throw std::invalid_argument("a declaration of more sizes than arguments.cpp has room for");
            }
            made.rest = nb::cast<bool>(item[7]);
            items_.push_back(made);
        }
    }

    int look(nb::handle arguments) const {
        const int found = look_at(arguments.ptr());
        if (found == wrong) PyErr_Clear();
        return found;
    }

private:
    int look_at(PyObject* given) const {
        if (!PyTuple_Check(given) || PyTuple_GET_SIZE(given) != static_cast<Py_ssize_t>(items_.size())) return wrong;
        Told told;
        bool asked = false, resolve = false;
        // Counts and graphs first, for others are measured by them.
        for (int64_t kind : {count, graph, tensor})
            for (size_t k = 0; k < items_.size(); ++k) {
                const Item& item = items_[k];
                PyObject* one = PyTuple_GET_ITEM(given, k);
                if (item.kind != kind) continue;
                if (kind == count) {
                    if (!PyLong_CheckExact(one)) return wrong;
                    told.equal(item.sizes[0].variable, PyLong_AsLongLong(one));
                } else if (kind == graph) {
                    if (!fits_graph(item, one, told, resolve)) return wrong;
                } else {
                    if (one == Py_None && item.optional) continue;
                    const Told before = told;
                    if (!fits_tensor(item, one, told, resolve)) return wrong;
                    if (item.optional) told = before;  // or what fits would depend on what is missing
                    if (item.differentiable && !asked) asked = is(get(torch_->requires_grad, one), Py_True);
                }
            }
        return fits | (asked ? wants_gradient : 0) | (resolve ? must_be_resolved : 0);
    }

    // The bytes of the numbers, and whether the storage holds them all; a tensor that a transform has wrapped has none, and
    // says so by an error.
    static bool holds(PyObject* one, bool& all, int64_t& size) {
        PyObject* storage = call(torch_->untyped_storage, one);
        if (!storage) return false;
        const int64_t held = number(call(torch_->held, storage));
        size = number(get(torch_->nbytes, one));
        Py_DECREF(storage);
        if (held < 0 || size < 0) return false;
        all = held == size || held >= size + number(call(torch_->storage_offset, one)) * number(get(torch_->itemsize, one));
        return true;
    }

    static bool same_device(PyObject* one, Told& told) {
        const bool cpu = is(get(torch_->is_cpu, one), Py_True);
        if (!told.first) {
            told.first = one;
            told.cpu = cpu;
            return true;
        }
        if (cpu || told.cpu) return cpu == told.cpu;
        PyObject *here = get(torch_->device, one), *there = get(torch_->device, told.first);
        const bool same = here && there && PyObject_RichCompareBool(here, there, Py_EQ) == 1;
        Py_XDECREF(here);
        Py_XDECREF(there);
        return same;
    }

    static bool fits_dtype(const Item& item, PyObject* one, Told& told) {
        PyObject* dtype = get(torch_->dtype, one);
        Py_XDECREF(dtype);  // PyTorch keeps its dtypes
        if (item.dtype) return dtype == item.dtype;
        if (item.wide) return dtype == (told.dtype == torch_->float64 ? torch_->float64 : torch_->float32);
        if (told.dtype) return dtype == told.dtype;
        told.dtype = dtype;
        return std::find(torch_->floating.begin(), torch_->floating.end(), dtype) != torch_->floating.end();
    }

    static bool fits_shape(const std::vector<Size>& sizes, bool rest, PyObject* one, Told& told) {
        PyObject* shape = get(torch_->shape, one);
        if (!shape) return false;
        const auto dims = static_cast<size_t>(PyTuple_GET_SIZE(shape));
        bool fit = dims == sizes.size() || (rest && dims > sizes.size() && dims - sizes.size() <= most_sizes);
        for (size_t k = 0; fit && k < dims; ++k) {
            PyObject* extent = PyTuple_GET_ITEM(shape, k);
            const int64_t value = PyLong_Check(extent) ? PyLong_AsLongLong(extent) : -1;
            if (k < sizes.size())
                fit = value >= 0 && told.fits(sizes[k], value);
            else if (told.rest_known)
                fit = told.rest[k - sizes.size()] == value;
            else
                told.rest[k - sizes.size()] = value;
        }
        Py_DECREF(shape);
        if (!fit || !rest) return fit;
        const auto rest_sizes = static_cast<int64_t>(dims - sizes.size());
        if (told.rest_known) return told.rest_sizes == rest_sizes;
        told.rest_known = true;
        told.rest_sizes = rest_sizes;
        return true;
    }

    static bool fits_tensor(const Item& item, PyObject* one, Told& told, bool& resolve) {
        if (reinterpret_cast<PyObject*>(Py_TYPE(one)) != torch_->tensor &&
            reinterpret_cast<PyObject*>(Py_TYPE(one)) != torch_->parameter)
            return false;
        bool all = false;
        int64_t bytes = 0;
        if (!fits_dtype(item, one, told) || !same_device(one, told) ||
            !fits_shape(item.sizes, item.rest, one, told) || !holds(one, all, bytes))
            return false;
        resolve |= !all || !is(call(torch_->is_contiguous, one), Py_True);
        if (!item.integer)
            resolve |= !is(call(torch_->is_neg, one), Py_False) || !is(call(torch_->is_zerotensor, one), Py_False);
        return true;
    }

    // Of a graph that is known nothing can have changed but the storage of rowptr and col, which a user may hold.
    static bool fits_graph(const Item& item, PyObject* one, Told& told, bool& resolve) {
        PyObject* type = reinterpret_cast<PyObject*>(Py_TYPE(one));
        if ((type != torch_->known && type != torch_->csr) || PyTuple_GET_SIZE(one) != 6) return false;
        PyObject *rowptr = PyTuple_GET_ITEM(one, 0), *col = PyTuple_GET_ITEM(one, 1), *sources = PyTuple_GET_ITEM(one, 2);
        if (!PyLong_CheckExact(sources)) return false;
        const Size points = item.sizes[0], edges = item.sizes[2];
        if (!told.knows(item.sizes[1].variable)) told.equal(item.sizes[1].variable, PyLong_AsLongLong(sources));
        const std::array<Size, 5> sizes = {Size{points.variable, 1, 1}, edges, {item.sizes[1].variable, 1, 1}, edges, edges};
        const std::array<Py_ssize_t, 5> places = {0, 1, 3, 4, 5};
        if (type == torch_->known) {
            bool rows_held = false, col_held = false;
            int64_t of_rows = 0, of_col = 0;  // bytes, of which a number takes eight
            return same_device(rowptr, told) && holds(rowptr, rows_held, of_rows) && holds(col, col_held, of_col) &&
                   rows_held && col_held && told.fits(sizes[0], of_rows / 8) && told.fits(sizes[1], of_col / 8);
        }
        for (size_t k = 0; k < places.size(); ++k) {
            PyObject* part = PyTuple_GET_ITEM(one, places[k]);
            if (k == 2 && part == Py_None) break;
            const Item integers{tensor, false, false, torch_->int64, true, false, {sizes[k]}, false};
            if (!fits_tensor(integers, part, told, resolve)) return false;
        }
        return true;
    }

    std::vector<Item> items_;
};

// Where the numbers of contiguous tensors lie; 0 for None. To a kernel a tensor whose memory was freed would be none.
nb::tuple addresses(nb::args tensors) {
    static PyObject* data_ptr = PyUnicode_InternFromString("data_ptr");
    const nb::object found = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(tensors.size())));
    for (size_t k = 0; k < tensors.size(); ++k) {
        PyObject* one = PyTuple_GET_ITEM(tensors.ptr(), k);
        PyObject* address = one == Py_None ? PyLong_FromLong(0) : PyObject_VectorcallMethod(data_ptr, &one, 1, nullptr);
        if (!address) throw nb::python_error();
        PyTuple_SET_ITEM(found.ptr(), k, address);
        if (one != Py_None && !PyObject_IsTrue(address) && number(get(torch_->nbytes, one)) > 0)
            throw std::invalid_argument("a tensor has no memory: its storage was freed");
    }
    return nb::cast<nb::tuple>(found);
}

}  // namespace

void register_arguments(nb::module_& m) {
    m.def("know_torch", &know_torch);
    nb::class_<Arguments>(m, "Arguments").def(nb::init<nb::list>()).def("look", &Arguments::look);
    m.def("addresses", &addresses);
}

}  // namespace geodl
