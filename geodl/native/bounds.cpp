#include "bounds.h"

#include <stdexcept>
#include <string>

namespace geodl {
namespace {

std::string text(int64_t number) { return std::to_string(number); }

// The sign of i and of bound - 1 - i: without a branch, so that it takes a whole vector at a time. Where the difference
// overflows, i is negative.
template <class T>
[[gnu::always_inline]] inline bool inside_any(const T* index, int64_t count, T most) {
    using Word = std::make_unsigned_t<T>;
    Word sign = 0;
    for (int64_t k = 0; k < count; ++k) {
        const auto i = static_cast<Word>(index[k]);
        sign = static_cast<Word>(sign | i | static_cast<Word>(static_cast<Word>(most) - i));
    }
    return static_cast<T>(sign) >= 0;
}

GEODL_CLONES bool inside_words(const int64_t* index, int64_t count, int64_t most) {
    return inside_any<int64_t>(index, count, most);
}

GEODL_CLONES bool inside_halves(const int64_t* index, int64_t count, uint32_t bound) {
    return all_inside(index, count, bound);
}

GEODL_CLONES bool inside_words(const int16_t* index, int64_t count, int16_t most) {
    return inside_any<int16_t>(index, count, most);
}

GEODL_CLONES bool ascends(const int64_t* pointer, int64_t rows) {
    uint64_t sign = 0;
    for (int64_t i = 0; i < rows; ++i)
        sign |= static_cast<uint64_t>(pointer[i + 1] < pointer[i]);
    return sign == 0;
}

}  // namespace

bool inside(const int64_t* index, int64_t count, int64_t bound) {
    if (count <= 0 || bound <= 0) return count <= 0;
    return bound < int64_t{1} << 32 ? inside_halves(index, count, static_cast<uint32_t>(bound))
                                    : inside_words(index, count, bound - 1);
}

bool inside(const int16_t* index, int64_t count, int64_t bound) {
    const auto most = static_cast<int16_t>(std::min<int64_t>(bound, 1 << 15) - 1);
    return count <= 0 || (bound > 0 && inside_words(index, count, most));
}

void need_memory(const char* name, const void* address, int64_t numbers) {
    if (numbers > 0 && !address) throw std::invalid_argument(std::string(name) + " has no memory: its storage was freed");
}

void check_pointer(const char* name, const int64_t* pointer, int64_t rows, int64_t last, const char* things) {
    if (rows < 0) throw std::invalid_argument(std::string(name) + " must hold at least one entry");
    need_memory(name, pointer, rows + 1);
    if (pointer[0] != 0 || pointer[rows] != last)
        throw std::invalid_argument(std::string(name) + " must ascend from 0 to the " + text(last) + " " + things +
                                    ", not from " + text(pointer[0]) + " to " + text(pointer[rows]));
    if (ascends(pointer, rows)) return;
    int64_t i = 0;
    while (pointer[i + 1] >= pointer[i]) ++i;
    throw std::invalid_argument(std::string(name) + " must not descend, but entry " + text(i + 1) + " is " +
                                text(pointer[i + 1]) + " after " + text(pointer[i]));
}

template <class T>
void check_finite(const char* name, const T* x, int64_t rows, int64_t columns) {
    need_memory(name, x, rows * columns);
    for (int64_t i = 0; i < rows; ++i) {
        T sum = 0;  // of zeros, and NaN if one is not finite
        for (int64_t c = 0; c < columns; ++c) sum += x[i * columns + c] * 0;
        if (sum != 0) throw std::invalid_argument(std::string(name) + " must be finite, but row " + text(i) + " is not");
    }
}
template void check_finite(const char*, const float*, int64_t, int64_t);
template void check_finite(const char*, const double*, int64_t, int64_t);

void check_selection(const char* name, const int16_t* selection, int64_t rows, int64_t columns, int64_t bound,
                     const char* things) {
    need_memory(name, selection, rows * columns);
    if (inside(selection, rows * columns, bound)) return;
    for (int64_t k = 0; k < rows * columns; ++k)
        if (selection[k] < 0 || selection[k] >= bound)
            throw std::out_of_range(std::string(name) + " holds " + text(selection[k]) + " in row " + text(k / columns) +
                                    ", but there are " + text(bound) + " " + things);
}

Bounds::Bounds(const char* name, const int64_t* rowptr, int64_t rows, int64_t edges,
               std::initializer_list<Indices> indices)
    : rowptr(rowptr), rows(rows), edges(edges) {
    check_pointer(name, rowptr, rows, edges, "edges");
    need_memory(indices.begin()->name, indices.begin()->data, edges);
    for (const Indices& some : indices) also(some);
}

void Bounds::check_all(int threads) {
    constexpr int64_t run = 65536;
    const int64_t runs = (edges + run - 1) / run;
    const int team = team_size(edges * count_, threads);
#pragma omp parallel for num_threads(team) schedule(static) if (team > 1)
    for (int64_t r = 0; r < runs; ++r) admit(r * run, std::min(edges, (r + 1) * run));
    check();
}

void Bounds::fail() const {
    for (int64_t e = 0; e < edges; ++e)
        for (int64_t k = 0; k < count_; ++k) {
            const Indices& some = indices_[k];
            for (int64_t c = 0; c < some.columns; ++c) {
                const int64_t index = some.data[e * some.columns + c];
                if (index < 0 || index >= some.bound)
                    throw std::out_of_range(std::string(some.name) + " holds " + text(index) + " at edge " + text(e) +
                                            ", but there are " + text(some.bound) + " " + some.things);
            }
        }
    throw std::out_of_range("an index changed while it was read");
}

}  // namespace geodl
