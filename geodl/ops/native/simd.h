// Channels in registers: a kernel walks the edges of a row once for every block of channels, and keeps the block in
// vector registers meanwhile. The vector type is GCC's and Clang's generic one, so that the same source gives SSE, AVX2
// and AVX-512 code in the clones of a function marked GEODL_CLONES.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

// What a clone calls must be inlined into it, or it would be compiled for the baseline.
#define GEODL_INLINE [[gnu::always_inline]] inline

namespace geodl {

template <class T>
struct Lanes {
    static constexpr int64_t count = 64 / sizeof(T);
    using Integer = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
    typedef T Value __attribute__((vector_size(64)));
    typedef Integer Mask __attribute__((vector_size(64)));  // also what a comparison gives: 0 or -1 in every lane
    typedef int32_t Index __attribute__((vector_size(4 * count)));
};

template <class T, class Vector>
GEODL_INLINE void load(Vector& value, const T* address) {
    std::memcpy(&value, address, sizeof value);
}

template <class T, class Vector>
GEODL_INLINE void store(T* address, const Vector& value) {
    std::memcpy(address, &value, sizeof value);
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
