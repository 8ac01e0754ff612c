// The smallest of many distances: an upper bound of the k-th smallest, the candidates below it, and their order.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "simd.h"

namespace geodl {

// (squared distance, index) as one integer: the bits of non-negative floats are in the order of their values.
template <class T>
struct Key;

template <>
struct Key<float> {
    using Type = uint64_t;
    using Bits = int32_t;
};

template <>
struct Key<double> {
    __extension__ using Type = unsigned __int128;
    using Bits = int64_t;
};

template <class T>
GEODL_INLINE typename Key<T>::Type make_key(T squared, int32_t index) {
    using K = typename Key<T>::Type;
    return static_cast<K>(std::bit_cast<typename Key<T>::Bits>(squared)) << (8 * sizeof(T)) | static_cast<uint32_t>(index);
}

template <class T>
GEODL_INLINE T squared_of(typename Key<T>::Type key) {
    return std::bit_cast<T>(static_cast<typename Key<T>::Bits>(key >> (8 * sizeof(T))));
}

template <class T>
GEODL_INLINE int32_t index_of(typename Key<T>::Type key) {
    return static_cast<int32_t>(static_cast<uint32_t>(key));
}

// A number that at least k of the values do not exceed, about the smallest such; k <= count. Values are not negative; a
// NaN counts as none. Bisects the bits, so that its precision is relative.
template <class T>
GEODL_INLINE T kth_bound(const T* value, int64_t count, int64_t k) {
    using Bits = typename Key<T>::Bits;
    T smallest = std::numeric_limits<T>::infinity(), largest = 0;
#pragma omp simd reduction(min : smallest) reduction(max : largest)
    for (int64_t j = 0; j < count; ++j) {
        smallest = value[j] < smallest ? value[j] : smallest;
        largest = value[j] > largest ? value[j] : largest;
    }
    Bits low = std::bit_cast<Bits>(smallest), high = std::bit_cast<Bits>(largest);
    for (int step = 0; step < 12 && low < high; ++step) {
        const Bits middle = low + (high - low) / 2;
        const T bound = std::bit_cast<T>(middle);
        Bits below = 0;
#pragma omp simd reduction(+ : below)
        for (int64_t j = 0; j < count; ++j) below += value[j] <= bound;
        if (below >= k) high = middle;
        else low = middle + 1;
    }
    return std::bit_cast<T>(high);
}

// Upper bound of the k-th smallest of `count` values, a multiple of `groups`, of which every group {j : j % groups == g}
// holds one that is no NaN; k <= groups. The k-th smallest of the minima of the groups, which belong to k values.
template <class T>
GEODL_INLINE void group_minima(const T* value, int64_t count, int64_t groups, T* minima) {
    std::fill_n(minima, groups, std::numeric_limits<T>::infinity());
    for (int64_t first = 0; first < count; first += groups) {
#pragma omp simd
        for (int64_t g = 0; g < groups; ++g) minima[g] = value[first + g] < minima[g] ? value[first + g] : minima[g];
    }
}

// Candidates of one row: their (perhaps approximate) squared distances and their indices.
template <class T>
struct Candidates {
    static constexpr int64_t block = 16;
    std::vector<T> value;
    std::vector<int32_t> index;
    std::vector<typename Key<T>::Type> keys, sorted;
    int64_t count = 0;

    void reserve(int64_t more) {
        if (static_cast<int64_t>(value.size()) > count + more) return;
        const auto size = static_cast<size_t>(2 * (count + more) + 64);
        value.resize(size);
        index.resize(size);
    }
};

// Adds those of a block of values, less their slack if there is any, that do not exceed the bound, but never `skip`.
template <bool Slack, class T>
GEODL_INLINE void keep_block(Candidates<T>& kept, const T* value, const T* slack, T bound, const int32_t* index,
                             int32_t first, int32_t skip) {
    constexpr int64_t block = Candidates<T>::block;
    typename Key<T>::Bits any = 0;
#pragma omp simd reduction(| : any)
    for (int64_t j = 0; j < block; ++j) any |= (Slack ? value[j] - slack[j] : value[j]) <= bound;
    if (any == 0) return;
    T* values = kept.value.data();
    int32_t* indices = kept.index.data();
    int64_t count = kept.count;
    for (int64_t j = 0; j < block; ++j) {
        const int32_t here = index ? index[j] : first + static_cast<int32_t>(j);
        values[count] = value[j];
        indices[count] = here;
        count += ((Slack ? value[j] - slack[j] : value[j]) <= bound) & (here != skip);
    }
    kept.count = count;
}

// The smallest keys, at most k, into `sorted` in ascending order; how many there are.
template <class T>
GEODL_INLINE int64_t sort_smallest(Candidates<T>& kept, int64_t k) {
    const auto count = static_cast<size_t>(kept.count);
    const auto wanted = static_cast<size_t>(std::min(k, kept.count));
    auto& keys = kept.keys;
    auto& sorted = kept.sorted;
    keys.resize(std::max(keys.size(), count));
    sorted.resize(std::max(sorted.size(), count));
    for (size_t j = 0; j < count; ++j) keys[j] = make_key(kept.value[j], kept.index[j]);
    constexpr size_t few = std::is_same_v<T, float> ? 80 : 0;
    if (count <= few) {  // the place of a key is the number of smaller ones: no branch to mispredict
        const auto* all = reinterpret_cast<const int64_t*>(keys.data());
        for (size_t i = 0; i < count; ++i) {
            const int64_t key = all[i];
            int64_t place = 0;
#pragma omp simd reduction(+ : place)
            for (size_t j = 0; j < count; ++j) place += all[j] < key;
            sorted[static_cast<size_t>(place)] = keys[i];
        }
        return static_cast<int64_t>(wanted);
    }
    const auto end = keys.begin() + static_cast<std::ptrdiff_t>(count);
    const auto cut = keys.begin() + static_cast<std::ptrdiff_t>(wanted);
    if (wanted < count) std::nth_element(keys.begin(), cut, end);
    std::sort(keys.begin(), cut);
    std::copy(keys.begin(), cut, sorted.begin());
    return static_cast<int64_t>(wanted);
}

}  // namespace geodl
