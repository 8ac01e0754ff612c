// Whether arguments are what the declaration of an operator says. It is asked at every call, and a call on plain tensors must
// cost microseconds: hence here, by what tensors show through DLPack, which PyTorch 2.10 and newer speak in C, else by their
// attributes. No reasons are given: Declaration.bind in Python walks over the arguments again and names what is wrong.
#include "kernels.h"

#include <nanobind/ndarray.h>

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

// The functions that a class offers to C, as dlpack.h lays them out.
struct Exchange {
    uint32_t major, minor;
    void *previous, *functions[3];
    int (*show)(PyObject* tensor, nb::dlpack::dltensor* shown);
};

// Kinds of numbers, as DLPack counts them, with their bits.
constexpr uint32_t kind_of(nb::dlpack::dtype dtype) {
    return uint32_t{dtype.lanes} << 16 | uint32_t{dtype.code} << 8 | dtype.bits;
}
constexpr uint32_t kind_of(nb::dlpack::dtype_code code, uint8_t bits) {
    return kind_of({static_cast<uint8_t>(code), bits, 1});
}
constexpr uint32_t float32 = kind_of(nb::dlpack::dtype_code::Float, 32), float64 = kind_of(nb::dlpack::dtype_code::Float, 64),
                   float16 = kind_of(nb::dlpack::dtype_code::Float, 16), bfloat16 = kind_of(nb::dlpack::dtype_code::Bfloat, 16),
                   int64 = kind_of(nb::dlpack::dtype_code::Int, 64);
constexpr std::array<std::pair<const char*, uint32_t>, 7> kinds{{
    {"float32", float32}, {"float64", float64}, {"float16", float16}, {"bfloat16", bfloat16}, {"int64", int64},
    {"int32", kind_of(nb::dlpack::dtype_code::Int, 32)}, {"int16", kind_of(nb::dlpack::dtype_code::Int, 16)}}};

// PyTorch's classes and what is asked of them; never freed, as the interpreter may end before this library.
struct Torch {
    PyObject *tensor, *parameter, *csr, *known;
    std::vector<std::pair<PyObject*, uint32_t>> dtypes;
    PyObject *dtype, *shape, *is_cpu, *device, *requires_grad, *nbytes, *itemsize;
    PyObject *untyped_storage, *is_contiguous, *is_neg, *is_zerotensor, *storage_offset, *held;
    const Exchange* exchange;  // null if this PyTorch has none
};
Torch* torch_ = nullptr;

void know_torch(nb::module_ torch, nb::object csr, nb::object known) {
    const auto keep = [](nb::object object) { return object.release().ptr(); };
    auto* t = new Torch;
    const nb::object tensor = torch.attr("Tensor");
    t->tensor = keep(tensor);
    t->parameter = keep(torch.attr("nn").attr("Parameter"));
    t->csr = keep(csr);
    t->known = keep(known);
    for (const auto& [name, kind] : kinds) t->dtypes.emplace_back(keep(torch.attr(name)), kind);
    const nb::object capsule = nb::getattr(tensor, "__dlpack_c_exchange_api__", nb::none());
    t->exchange = capsule.is_none() ? nullptr
                                    : static_cast<const Exchange*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
    PyErr_Clear();
    if (t->exchange && (t->exchange->major != 1 || !t->exchange->show)) t->exchange = nullptr;
    const std::pair<PyObject**, const char*> attributes[] = {
        {&t->dtype, "dtype"}, {&t->shape, "shape"}, {&t->is_cpu, "is_cpu"}, {&t->device, "device"},
        {&t->requires_grad, "requires_grad"}, {&t->nbytes, "nbytes"}, {&t->itemsize, "itemsize"},
        {&t->untyped_storage, "untyped_storage"}, {&t->is_contiguous, "is_contiguous"}, {&t->is_neg, "is_neg"},
        {&t->is_zerotensor, "_is_zerotensor"}, {&t->storage_offset, "storage_offset"}};
    for (const auto& [place, name] : attributes) *place = keep(tensor.attr(name));
    t->held = keep(torch.attr("UntypedStorage").attr("nbytes"));
    torch_ = t;
}

constexpr size_t most_dims = 16;

// What a tensor shows.
struct Shown {
    uint32_t kind = 0;
    std::array<int64_t, 2> device{};
    size_t dims = 0;
    std::array<int64_t, most_dims> shape;
    bool contiguous = false;

    int64_t numbers() const {
        int64_t product = 1;
        for (size_t k = 0; k < dims; ++k) product *= shape[k];
        return product;
    }
    int64_t itemsize() const { return (kind & 255) / 8; }
};

bool show(PyObject* one, Shown& shown) {
    nb::dlpack::dltensor found;
    if (torch_->exchange && torch_->exchange->show(one, &found) == 0) {
        shown.kind = kind_of(found.dtype);
        shown.device = {found.device.device_type, found.device.device_id};
        shown.dims = static_cast<size_t>(found.ndim);
        if (shown.dims > most_dims) return false;
        std::copy_n(found.shape, shown.dims, shown.shape.begin());
        int64_t stride = 1;
        shown.contiguous = true;
        for (size_t k = shown.dims; k-- > 0; stride *= shown.shape[k])
            shown.contiguous &= shown.shape[k] == 1 || found.strides[k] == stride;
        shown.contiguous |= stride == 0;
        return true;
    }
    PyErr_Clear();
    PyObject *dtype = get(torch_->dtype, one), *device = get(torch_->device, one), *shape = get(torch_->shape, one);
    for (const auto& [known, kind] : torch_->dtypes)
        if (dtype == known) shown.kind = kind;
    const bool complete = dtype && device && shape && static_cast<size_t>(PyTuple_GET_SIZE(shape)) <= most_dims;
    if (complete) {
        shown.device = {is(get(torch_->is_cpu, one), Py_True) ? nb::device::cpu::value : 0, PyObject_Hash(device)};
        if (shown.device[0]) shown.device[1] = 0;
        shown.dims = static_cast<size_t>(PyTuple_GET_SIZE(shape));
        for (size_t k = 0; k < shown.dims; ++k) {
            PyObject* extent = PyTuple_GET_ITEM(shape, k);
            shown.shape[k] = PyLong_Check(extent) ? PyLong_AsLongLong(extent) : -1;
        }
        shown.contiguous = is(call(torch_->is_contiguous, one), Py_True);
    }
    Py_XDECREF(dtype);
    Py_XDECREF(device);
    Py_XDECREF(shape);
    return complete;
}

// A size is times * variable + plus; without a variable, plus.
struct Size {
    int64_t variable, times, plus;
};

enum Kind { other, count, graph, tensor };

struct Item {
    int64_t kind;
    bool optional, differentiable;
    uint32_t number;  // the kind of its numbers, if that is always the same
    bool integer, wide;  // wide: of the dtype that sums of T are formed in
    std::vector<Size> sizes;  // of a count and a graph the variables that they tell
    bool rest;                // whether any sizes may follow
};

// What the arguments so far have told.
struct Told {
    std::array<int64_t, most_variables> values;
    uint64_t known = 0;
    uint32_t number = 0;  // the kind of T
    bool anywhere = true, rest_known = false;
    std::array<int64_t, 2> device;  // that all are on
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
            made.number = 0;
            for (const auto& [dtype, kind] : torch_->dtypes)
                if (item[3].ptr() == dtype) made.number = kind;
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

    // Whether the storage holds all numbers; a tensor that a transform has wrapped has none, and says so by an error.
    static bool holds(PyObject* one, int64_t size, int64_t itemsize, bool& all) {
        PyObject* storage = call(torch_->untyped_storage, one);
        if (!storage) return false;
        const int64_t held = number(call(torch_->held, storage));
        Py_DECREF(storage);
        all = held == size || held >= size + number(call(torch_->storage_offset, one)) * itemsize;
        return held >= 0;
    }

    static bool same_device(const std::array<int64_t, 2>& device, Told& told) {
        if (told.anywhere) told.device = device;
        told.anywhere = false;
        return told.device == device;
    }

    static bool fits_number(const Item& item, uint32_t kind, Told& told) {
        if (item.number) return kind == item.number;
        if (item.wide) return kind == (told.number == float64 ? float64 : float32);
        if (told.number) return kind == told.number;
        told.number = kind;
        return kind == float32 || kind == float64 || kind == float16 || kind == bfloat16;
    }

    static bool fits_shape(const std::vector<Size>& sizes, bool rest, const Shown& shown, Told& told) {
        const size_t dims = shown.dims, named = sizes.size();
        if (dims != named && !(rest && dims > named && dims - named <= most_sizes)) return false;
        for (size_t k = 0; k < named; ++k)
            if (shown.shape[k] < 0 || !told.fits(sizes[k], shown.shape[k])) return false;
        if (!rest) return true;
        const int64_t* more = shown.shape.data() + named;
        const auto count = static_cast<int64_t>(dims - named);
        if (told.rest_known) return told.rest_sizes == count && std::equal(more, more + count, told.rest.begin());
        std::copy_n(more, count, told.rest.begin());
        told.rest_known = true;
        told.rest_sizes = count;
        return true;
    }

    static bool fits_tensor(const Item& item, PyObject* one, Told& told, bool& resolve) {
        if (reinterpret_cast<PyObject*>(Py_TYPE(one)) != torch_->tensor &&
            reinterpret_cast<PyObject*>(Py_TYPE(one)) != torch_->parameter)
            return false;
        Shown shown;
        bool all = false;
        if (!show(one, shown) || !fits_number(item, shown.kind, told) || !same_device(shown.device, told) ||
            !fits_shape(item.sizes, item.rest, shown, told) ||
            !holds(one, shown.numbers() * shown.itemsize(), shown.itemsize(), all))
            return false;
        resolve |= !all || !shown.contiguous;
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
            Shown rows, columns;
            bool rows_held = false, columns_held = false;
            return show(rowptr, rows) && show(col, columns) && same_device(rows.device, told) &&
                   holds(rowptr, 8 * rows.shape[0], 8, rows_held) && holds(col, 8 * columns.shape[0], 8, columns_held) &&
                   rows_held && columns_held && told.fits(sizes[0], rows.shape[0]) && told.fits(sizes[1], columns.shape[0]);
        }
        for (size_t k = 0; k < places.size(); ++k) {
            PyObject* part = PyTuple_GET_ITEM(one, places[k]);
            if (k == 2 && part == Py_None) break;
            const Item integers{tensor, false, false, int64, true, false, {sizes[k]}, false};
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
