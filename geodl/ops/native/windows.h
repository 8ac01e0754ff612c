// A signal read through the windows of a neighbourhood, one patch [M, C] at a time, and the adjoint of that.
//
// Channels are padded to whole vectors (`lanes`), so that no kernel has a remainder to treat.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "bounds.h"
#include "simd.h"

namespace geodl {

template <class T>
constexpr int64_t padded(int64_t channels) {
    return (channels + Lanes<T>::count - 1) / Lanes<T>::count * Lanes<T>::count;
}

// Uninitialised memory on a cache line.
template <class T>
class Buffer {
public:
    explicit Buffer(int64_t size) : data_(static_cast<T*>(::operator new(size * sizeof(T), std::align_val_t{64}))) {}
    T* get() const { return data_.get(); }

private:
    struct Free {
        void operator()(T* data) const { ::operator delete(data, std::align_val_t{64}); }
    };
    std::unique_ptr<T, Free> data_;
};

// Rows of `channels` numbers as rows of `stride` numbers: the tensor itself where no padding is needed, else a copy.
template <class T>
class Signal {
public:
    Signal(const T* x, int64_t rows, int64_t channels, int threads)
        : stride(padded<T>(channels)), copy_(stride == channels ? 0 : rows * stride), data(x) {
        if (stride == channels) return;
        data = copy_.get();
#pragma omp parallel for num_threads(team_size(rows* stride / 8, threads)) schedule(static)
        for (int64_t i = 0; i < rows; ++i) {
            std::copy_n(x + i * channels, channels, copy_.get() + i * stride);
            std::fill_n(copy_.get() + i * stride + channels, stride - channels, T(0));
        }
    }
    const T* row(int64_t i) const { return data + i * stride; }

    const int64_t stride;

private:
    Buffer<T> copy_;

public:
    const T* data;
};

// The gradient of a Signal: written with its stride, in the tensor itself where no padding is needed.
template <class T>
class SignalGradient {
public:
    // `grad` may be null: no gradient is wanted.
    SignalGradient(T* grad, int64_t rows, int64_t channels)
        : grad_(grad), rows_(rows), channels_(channels), stride_(padded<T>(channels)),
          copy_(grad && stride_ != channels ? rows * stride_ : 0) {}
    T* get() const { return grad_ && stride_ != channels_ ? copy_.get() : grad_; }
    void unpad() const {
        if (!grad_ || stride_ == channels_) return;
        for (int64_t i = 0; i < rows_; ++i) std::copy_n(copy_.get() + i * stride_, channels_, grad_ + i * channels_);
    }

private:
    T* const grad_;
    const int64_t rows_, channels_, stride_;
    const Buffer<T> copy_;
};

// Calls body(begin, end, thread) for blocks of `block` rows that together cover [begin, end).
template <class Body>
void for_row_blocks(int64_t begin, int64_t end, int64_t block, int team, Body body) {
    const int64_t blocks = (end - begin + block - 1) / block;
#pragma omp parallel for num_threads(team) schedule(dynamic, 1)
    for (int64_t b = 0; b < blocks; ++b)
        body(begin + b * block, std::min(begin + (b + 1) * block, end), omp_get_thread_num());
}

template <class T>
struct Windows {
    const int64_t* rowptr;
    const int64_t* col;
    const T* weight;       // [E, columns]
    const int64_t* index;  // [E, columns], or null: column m is window m
    int64_t columns, count;

    bool dense() const { return index == nullptr; }
    int64_t max_degree(int64_t rows) const {
        int64_t most = 0;
        for (int64_t i = 0; i < rows; ++i) most = std::max(most, rowptr[i + 1] - rowptr[i]);
        return most;
    }
    // Numbers of scratch that one thread needs for any row.
    int64_t scratch(int64_t rows, int64_t stride) const {
        return dense() ? max_degree(rows) * (stride + padded<T>(count)) + padded<T>(count) * stride : 0;
    }
};

// Throws if windows lack something that they need.
template <class T>
void need(const Windows<T>& windows, int64_t edges) {
    if (edges > 0 && windows.dense() && windows.columns != windows.count)
        throw std::invalid_argument("weight has " + std::to_string(windows.columns) + " columns, but there are " +
                                    std::to_string(windows.count) + " windows");
    need_memory("weight", windows.weight, edges * windows.columns);
}

template <class T>
Bounds bounds_of(const Windows<T>& windows, int64_t rows, int64_t edges, int64_t sources) {
    need(windows, edges);
    return {"rowptr",
            windows.rowptr,
            rows,
            edges,
            {{"col", windows.col, 1, sources, "sources"},
             {"index", windows.index, windows.columns, windows.count, "windows"}}};
}

// patch[m, :] = sum over edges e of row i of weight(e, m) x[col[e], :]. False if an index of the row is out of bounds; then the
// patch is not written.
template <class T>
bool gather_patch(const Windows<T>& windows, Bounds& bounds, int64_t i, const Signal<T>& x, T* patch, T* scratch);

// The adjoint, for a range of rows at a time: what the gradients of their patches give for the weights and for x.
//
// Rows add to the sources that they read, in the order of the edges: far fewer cache misses than a gather over the
// transpose. No two threads may add to one number, so a task owns a slice of the channels, and where these are few also a
// part of the rows and a partial sum for it. The number of parts is fixed, and with it the order of every sum.
template <class T>
class PatchAdjoint {
public:
    // grad_x [num_src, x.stride] or null; grad_weight [E, columns] or null.
    PatchAdjoint(const Windows<T>& windows, int64_t rows, int64_t num_src, const Signal<T>& x, T* grad_x, T* grad_weight,
                 int threads);

    // Ranges hold at most so many rows that what they need, at bytes_per_row beside our own, stays in the cache.
    // No result depends on where they end.
    std::vector<int64_t> ranges(int64_t bytes_per_row) const;
    void begin(int64_t first, int64_t last);
    // The gradient of the patch of row i, for one row of the range, by any thread.
    void row(int64_t i, const T* patch, T* scratch);
    // The gradients of all patches of the range, [last - first, M, x.stride].
    void finish(const T* patches);
    // After the last range.
    void sum();

private:
    static constexpr int64_t slice = 128 / sizeof(T), tasks = 8, turn = 16;
    T* partial(int64_t part) const;

    const Windows<T> windows_;
    const int64_t rows_, num_src_;
    const Signal<T>& x_;
    T *const grad_x_, *const grad_weight_;
    const int threads_;
    const int64_t slices_, parts_;
    const Buffer<T> partial_;  // of every part but the first, which adds to grad_x itself
    int64_t first_ = 0, last_ = 0;
    std::unique_ptr<Buffer<T>> edge_gradient_;  // dense: of every edge of the range
    int64_t edge_capacity_ = -1;
};

}  // namespace geodl
