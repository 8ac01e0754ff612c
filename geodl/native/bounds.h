// Nothing is read at an index that nobody has looked at. What a kernel is given may come from a compiled graph, a pickle or a
// direct call, or have been changed since it was checked: so it looks itself, some edges before it uses them, while it is about to
// bring them into the cache anyway.
//
//     Bounds bounds("rowptr", rowptr, rows, edges, {{"col", col, 1, num_src, "sources"}});
//     for_rows(bounds, work, threads, [&](int64_t begin, int64_t end) { ... });  // throws, after the threads, if one is out
//
// What is wrong is thrown outside of parallel regions alone, as std::out_of_range (IndexError) or std::invalid_argument
// (ValueError), and names the first wrong entry.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "parallel.h"

namespace geodl {

// Whether all of some indices lie in [0, bound).
bool inside(const int64_t* index, int64_t count, int64_t bound);
bool inside(const int16_t* index, int64_t count, int64_t bound);

typedef uint32_t Halves __attribute__((vector_size(32)));
typedef int64_t Words __attribute__((vector_size(32)));

// The same for fewer than 2^32 things, inlined into a clone. By halves of the indices: the greatest low half is small enough, the
// greatest high half is zero. That is one instruction to a vector, where signs would take three.
[[gnu::always_inline]] inline bool all_inside(const int64_t* index, int64_t count, uint32_t bound) {
    constexpr int64_t width = 4, vectors = 4;  // indices of a vector
    if (count < width) {
        bool all = true;
        for (int64_t k = 0; k < count; ++k) all &= static_cast<uint64_t>(index[k]) < bound;
        return all;
    }
    Halves greatest[vectors] = {};
    const auto take = [&](int64_t k, int64_t v) __attribute__((always_inline)) {
        Halves value;
        std::memcpy(&value, index + k, sizeof value);
        greatest[v] = value > greatest[v] ? value : greatest[v];
    };
    int64_t k = 0;
    for (; k + vectors * width <= count; k += vectors * width)
        for (int64_t v = 0; v < vectors; ++v) take(k + v * width, v);
    for (; k + width <= count; k += width) take(k, 0);
    take(count - width, 1);  // the last ones, of which some were taken before
    for (int64_t v = 1; v < vectors; ++v) greatest[0] = greatest[v] > greatest[0] ? greatest[v] : greatest[0];
    constexpr bool little = std::endian::native == std::endian::little;
    const uint32_t low = little ? bound : 1, high = little ? 1 : bound;
    const Halves limit{low, high, low, high, low, high, low, high};
    const auto out = (Words)(greatest[0] >= limit);
    return (out[0] | out[1] | out[2] | out[3]) == 0;
}

// Asks for the indices after those that are looked at, as many again, so that the next look need not wait for memory. There may be
// none: an address is a number then.
[[gnu::always_inline]] inline void ask_for(const int64_t* index, int64_t count) {
    constexpr int64_t line = 64 / sizeof(int64_t), most = 512;
    const auto address = reinterpret_cast<std::uintptr_t>(index);
    for (int64_t k = 0; k < std::min(count, most); k += line)
        __builtin_prefetch(reinterpret_cast<const void*>(address + static_cast<std::uintptr_t>(k) * sizeof(int64_t)));
}

// Throws if there are numbers but no memory that holds them, as in a tensor whose storage was freed.
void need_memory(const char* name, const void* address, int64_t numbers);

// Throws if a pointer of `rows` rows does not ascend from 0 to `last`.
void check_pointer(const char* name, const int64_t* pointer, int64_t rows, int64_t last, const char* things);

// Throws if a selection [rows, columns] does not lie in [0, bound).
void check_selection(const char* name, const int16_t* selection, int64_t rows, int64_t columns, int64_t bound,
                     const char* things);

// Throws if some coordinates [rows, columns] are not finite: a comparison with NaN has no order to sort by.
template <class T>
void check_finite(const char* name, const T* x, int64_t rows, int64_t columns);

// Indices, `columns` of them an edge, that must lie in [0, bound): there are `bound` things. Without data there are none;
// only the first of several must have some.
struct Indices {
    const char* name;
    const int64_t* data;
    int64_t columns, bound;
    const char* things;
};

// Indices that are looked at one by one as they are taken: cheaper than a look ahead where little is done for an edge, as the
// index is in a register anyway. In place of a wrong one the first is taken, and check() throws afterwards.
struct Index {
    const int64_t* data;
    uint64_t bound;
    std::atomic<bool>* bad;

    explicit operator bool() const { return data; }
    int64_t operator[](int64_t k) const {
        if (static_cast<uint64_t>(data[k]) < bound) [[likely]] return data[k];
        bad->store(true, std::memory_order_relaxed);
        return 0;
    }
};

class Bounds {
public:
    // Throws if `rowptr` is no row pointer of so many edges.
    Bounds(const char* name, const int64_t* rowptr, int64_t rows, int64_t edges, std::initializer_list<Indices> indices);

    // More indices, if they have data.
    void also(const Indices& some) {
        if (some.data) indices_[count_++] = some;
    }

    // Whether edges [begin, end) may be used. Any thread may ask; check() throws what was found.
    bool admit(int64_t begin, int64_t end) {
        for (int64_t k = 0; k < count_; ++k) {
            const Indices& some = indices_[k];
            if (inside(some.data + begin * some.columns, (end - begin) * some.columns, some.bound)) continue;
            bad_.store(true, std::memory_order_relaxed);
            return false;
        }
        return true;
    }

    // The same inlined into a clone, a row or a few lines at a time.
    [[gnu::always_inline]] bool admit_here(int64_t begin, int64_t end) {
        for (int64_t k = 0; k < count_; ++k) {
            const Indices& some = indices_[k];
            const int64_t *from = some.data + begin * some.columns, count = (end - begin) * some.columns;
            ask_for(from + count, count);
            if (some.bound >> 32 ? inside(from, count, some.bound) : all_inside(from, count, static_cast<uint32_t>(some.bound)))
                continue;
            bad_.store(true, std::memory_order_relaxed);
            return false;
        }
        return true;
    }

    // Some of the indices, to be looked at one by one. Throws if no index of theirs can be right.
    Index one_by_one(int64_t k) {
        if (edges > 0 && indices_[k].bound <= 0) fail();
        return {indices_[k].data, static_cast<uint64_t>(indices_[k].bound), &bad_};
    }

    // Calls body(begin, end) for runs of rows that cover [begin, end), as far as their edges are admitted.
    template <class Body>
    void admit_rows(int64_t begin, int64_t end, Body body) {
        each_run(begin, end, [&](int64_t first, int64_t last) {
            if (admit(rowptr[first], rowptr[last])) body(first, last);
        });
    }

    // Calls body(begin, end) for runs of rows that cover [begin, end). Rows are counted and not searched for: as many as hold a
    // run of edges where all are alike, fewer where they are longer.
    template <class Body>
    void each_run(int64_t begin, int64_t end, Body body) const {
        constexpr int64_t run = 4096;  // edges whose indices fill a first cache
        const int64_t rows_of_a_run = std::max<int64_t>(run * rows / std::max<int64_t>(edges, 1), 1);
        while (begin < end) {
            int64_t stop = std::min(begin + rows_of_a_run, end);
            while (stop > begin + 1 && rowptr[stop] - rowptr[begin] > 2 * run) stop = begin + (stop - begin) / 2;
            body(begin, stop);
            begin = stop;
        }
    }

    // Throws if an index is not in its bounds that was asked for.
    void check() const {
        if (bad_.load(std::memory_order_relaxed)) fail();
    }

    // Looks at all edges, in parallel, and throws: for kernels that use them in another order than that of rows.
    void check_all(int threads);

    const int64_t* const rowptr;
    const int64_t rows, edges;

private:
    [[noreturn]] void fail() const;

    std::array<Indices, 4> indices_;
    int64_t count_ = 0;
    std::atomic<bool> bad_{false};
};

// Looks a few cache lines ahead of a loop over edges, and asks for the next: they come from memory while the loop works, where the
// look at a long run would wait for them. For loops that do much for an edge: in those of sums it costs more than Index.
class LookAhead {
public:
    LookAhead(Bounds& bounds, int64_t begin, int64_t end) : bounds_(bounds), seen_(begin), end_(end) {}

    // Whether edges before `edge` may be used.
    [[gnu::always_inline]] bool admit(int64_t edge) {
        constexpr int64_t run = 256;
        if (edge <= seen_) return true;
        const int64_t begin = seen_;
        seen_ = std::min(std::max(edge, begin + run), end_);
        return bounds_.admit_here(begin, seen_);
    }

private:
    Bounds& bounds_;
    int64_t seen_;
    const int64_t end_;
};

// Calls body(begin, end) on disjoint ranges of rows that together cover all, whose indices are in their bounds.
template <class Body>
void for_rows(Bounds& bounds, int64_t work, int threads, Body body) {
    for_rows(bounds.rowptr, bounds.rows, work, threads,
             [&](int64_t begin, int64_t end) { bounds.admit_rows(begin, end, body); });
    bounds.check();
}

}  // namespace geodl
