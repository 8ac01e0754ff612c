// Channels in registers: a kernel walks the edges of a row once for every block of channels, and keeps the block in
// vector registers meanwhile. The vector type is made of GCC's and Clang's generic ones, so that the same source gives
// SSE, AVX2 and AVX-512 code in the clones of a function marked GEODL_CLONES.
#pragma once

#include <cstdint>
#include <cstring>

// What a clone calls must be inlined into it, or it would be compiled for the baseline.
#define GEODL_INLINE [[gnu::always_inline]] inline

namespace geodl {

// A cache line of numbers. Two vectors and not one of 64 bytes: GCC keeps a generic vector that is wider than the
// machine's in memory, and no register, in every clone but the one for AVX-512.
template <class T>
struct Lanes {
    static constexpr int64_t count = 64 / sizeof(T);
    typedef T Half __attribute__((vector_size(32)));
    struct Value {
        Half low, high;
        GEODL_INLINE T operator[](int64_t lane) const {
            return lane < count / 2 ? low[lane] : high[lane - count / 2];
        }
        GEODL_INLINE friend Value operator+(const Value& a, const Value& b) { return {a.low + b.low, a.high + b.high}; }
        GEODL_INLINE friend Value operator-(const Value& a, const Value& b) { return {a.low - b.low, a.high - b.high}; }
        GEODL_INLINE friend Value operator*(const Value& a, const Value& b) { return {a.low * b.low, a.high * b.high}; }
        GEODL_INLINE friend Value operator*(T a, const Value& b) { return {a * b.low, a * b.high}; }
        GEODL_INLINE friend Value operator-(const Value& a) { return {-a.low, -a.high}; }
        GEODL_INLINE Value& operator+=(const Value& b) {
            low += b.low;
            high += b.high;
            return *this;
        }
        GEODL_INLINE Value& operator*=(T a) {
            low *= a;
            high *= a;
            return *this;
        }
        GEODL_INLINE Value& operator-=(const Value& b) {
            low -= b.low;
            high -= b.high;
            return *this;
        }
    };
};

// By halves: what is copied whole goes through memory again.
template <class T, class Vector>
GEODL_INLINE void load(Vector& value, const T* address) {
    if constexpr (requires { value.low; }) {
        load(value.low, address);
        load(value.high, address + Lanes<T>::count / 2);
    } else {
        std::memcpy(&value, address, sizeof value);
    }
}

template <class T, class Vector>
GEODL_INLINE void store(T* address, const Vector& value) {
    if constexpr (requires { value.low; }) {
        store(address, value.low);
        store(address + Lanes<T>::count / 2, value.high);
    } else {
        std::memcpy(address, &value, sizeof value);
    }
}

// Calls body.template operator()<V>(c) for blocks of V vectors of channels, which together cover [0, channels). The last
// block may overlap the one before: its first channels are then computed twice, to the same value.
template <class T, int Widest, class Body>
GEODL_INLINE void for_blocks(int64_t channels, Body body) {
    constexpr int64_t lanes = Lanes<T>::count;
    int64_t c = 0;
    for (; c + Widest * lanes <= channels; c += Widest * lanes) body.template operator()<Widest>(c);
    if constexpr (Widest > 2) {
        if (c + 2 * lanes <= channels) {
            body.template operator()<2>(c);
            c += 2 * lanes;
        }
    }
    if (c + lanes <= channels) {
        body.template operator()<1>(c);
        c += lanes;
    }
    if (c < channels) body.template operator()<1>(channels - lanes);
}

}  // namespace geodl
