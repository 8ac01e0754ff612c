// exp and tanh in vector registers: loops over these functions have no branches and no calls.
#pragma once

#include <bit>
#include <cstdint>

#include "simd.h"

namespace geodl {

// exp(x) = 2^n exp(r) with |r| <= log(2) / 2, whose Taylor series this long is exact to rounding. Adding `round` leaves n in
// the lowest bits of a floating-point number, without a conversion that NaN could not survive.
template <class T>
struct Exp;
template <>
struct Exp<float> {
    using Bits = uint32_t;
    static constexpr int terms = 7, mantissa = 23;
    static constexpr Bits one = 0x3f800000;
    static constexpr float round = 0x1.8p23f, least = -87.0f;
    static constexpr float log2_high = 0x1.62e4p-1f, log2_low = 0x1.7f7d1cp-20f;
};
template <>
struct Exp<double> {
    using Bits = uint64_t;
    static constexpr int terms = 13, mantissa = 52;
    static constexpr Bits one = 0x3ff0000000000000;
    static constexpr double round = 0x1.8p52, least = -708.0;
    static constexpr double log2_high = 0x1.62e42feep-1, log2_low = 0x1.a39ef35793c76p-33;
};

template <class T>
struct Power {
    T two_to_n, r;
};

template <class T>
GEODL_INLINE Power<T> reduced(T x) {
    using E = Exp<T>;
    const T shifted = x * T(1.4426950408889634074) + E::round;
    const T n = shifted - E::round;
    return {std::bit_cast<T>((std::bit_cast<typename E::Bits>(shifted) << E::mantissa) + E::one),
            (x - n * E::log2_high) - n * E::log2_low};
}

// Of numbers that are not positive.
template <class T>
GEODL_INLINE void exp_all(T* values, int64_t count) {
#pragma omp simd
    for (int64_t k = 0; k < count; ++k) {
        const T x = values[k];
        const auto [power, r] = reduced(x);
        T sum = 1;
        for (int term = Exp<T>::terms; term > 0; --term) sum = sum * r * (T(1) / T(term)) + T(1);
        values[k] = x < Exp<T>::least ? T(0) : sum * power;
    }
}

// tanh |x| = d / (2 - d) with d = 1 - exp(-2 |x|), which keeps its digits near 0 because the 1 of the series is left out.
template <class T>
GEODL_INLINE void tanh_all(T* values, int64_t count) {
#pragma omp simd
    for (int64_t k = 0; k < count; ++k) {
        const T x = values[k], twice = x < 0 ? 2 * x : -2 * x;
        const auto [power, r] = reduced(twice < T(-80) ? T(-80) : twice);
        T sum = 1;
        for (int term = Exp<T>::terms; term > 1; --term) sum = sum * r * (T(1) / T(term)) + T(1);
        const T d = (1 - power) - power * (r * sum), found = d / (2 - d);
        values[k] = x < 0 ? -found : found;
    }
}

}  // namespace geodl
