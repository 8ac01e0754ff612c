#include "rotations.h"

#include <cmath>
#include <numbers>

#include "parallel.h"
#include "simd.h"

namespace geodl {

template <class T>
Rotations<T>::Rotations(int64_t rays, int64_t rotations)
    : rays(rays), rotations(rotations), evens(rays / 2 + 1), odds((rays - 1) / 2) {
    const bool nyquist = rays % 2 == 0;
    products = 1 + nyquist + 3 * odds;
    filter.resize(products * rays);
    synthesis.resize(rotations * products);
    // The angle is reduced first, so that quarter turns are exact.
    auto turn = [&](int64_t k) {
        const int64_t eighths = k % rays * 8;
        if (eighths % (2 * rays) == 0) {
            constexpr double cosines[] = {1, 0, -1, 0}, sines[] = {0, 1, 0, -1};
            return std::pair(cosines[eighths / (2 * rays)], sines[eighths / (2 * rays)]);
        }
        const double angle = 2 * std::numbers::pi * double(k % rays) / double(rays);
        return std::pair(std::cos(angle), std::sin(angle));
    };
    for (int64_t a = 0; a < rays; ++a) {
        filter[a] = 1;
        if (nyquist) filter[rays + a] = a % 2 ? -1 : 1;
        for (int64_t k = 1; k <= odds; ++k) {
            const auto [c, s] = turn(k * a);
            T* rows = &filter[(1 + nyquist + 3 * (k - 1)) * rays + a];
            rows[0] = T(c);
            rows[rays] = T(s - c);
            rows[2 * rays] = T(c + s);
        }
    }
    const double scale = 1.0 / double(rays);
    for (int64_t t = 0; t < rotations; ++t) {
        const int64_t shift = t * (rays / rotations);
        T* row = &synthesis[t * products];
        row[0] = T(scale);
        if (nyquist) row[1] = T(shift % 2 ? -scale : scale);
        for (int64_t k = 1; k <= odds; ++k) {
            const auto [c, s] = turn(k * shift);
            T* three = row + 1 + nyquist + 3 * (k - 1);
            three[0] = T(2 * scale * (c - s));
            three[1] = T(-2 * scale * s);
            three[2] = T(-2 * scale * c);
        }
    }
    for (int64_t k = 1; k <= odds; ++k) {
        for (int64_t a = 0; a < evens; ++a) cosine.push_back(T(turn(k * a).first));
        for (int64_t a = 1; a <= odds; ++a) sine.push_back(T(-turn(k * a).second));
    }
}

template struct Rotations<float>;
template struct Rotations<double>;

namespace {

// Rays is the number of rays where it is known to the compiler, else 0; `parts` then has room for the even and odd parts.
template <class T, int Rays>
GEODL_INLINE void analyse_vector(const Rotations<T>& r, const T* d, int64_t stride, T* product, int64_t plane) {
    using Vector = typename Lanes<T>::Value;
    constexpr int most = Rays ? Rays / 2 + 1 : 257;
    const int rays = Rays ? Rays : int(r.rays), evens = rays / 2 + 1, odds = (rays - 1) / 2;
    const bool nyquist = rays % 2 == 0;
    Vector even[most], odd[most], mirrored;
    for (int a = 0; a < evens; ++a) load(even[a], d + a * stride);
    for (int a = 1; a <= odds; ++a) {
        load(mirrored, d + (rays - a) * stride);
        odd[a] = even[a] - mirrored;
        even[a] += mirrored;
    }
    Vector sum = even[0], alternating = even[0];
    for (int a = 1; a < evens; ++a) {
        sum += even[a];
        alternating += a % 2 ? -even[a] : even[a];
    }
    store(product, sum);
    product += plane;
    if (nyquist) {
        store(product, alternating);
        product += plane;
    }
    for (int k = 0; k < odds; ++k, product += 3 * plane) {
        Vector real = even[0], imaginary = Vector{};
        for (int a = 1; a < evens; ++a) real += r.cosine[k * evens + a] * even[a];
        for (int a = 1; a <= odds; ++a) imaginary += r.sine[k * odds + a - 1] * odd[a];
        store(product, real + imaginary);
        store(product + plane, real);
        store(product + 2 * plane, imaginary);
    }
}

template <class T, int Rays>
GEODL_INLINE void transpose_vector(const Rotations<T>& r, const T* product, int64_t plane, int64_t stride, T* d) {
    using Vector = typename Lanes<T>::Value;
    constexpr int most = Rays ? Rays / 2 + 1 : 257;
    const int rays = Rays ? Rays : int(r.rays), evens = rays / 2 + 1, odds = (rays - 1) / 2;
    const bool nyquist = rays % 2 == 0;
    Vector even[most], odd[most], sum, alternating = {};
    load(sum, product);
    product += plane;
    if (nyquist) {
        load(alternating, product);
        product += plane;
    }
    for (int a = 0; a < evens; ++a) {
        even[a] = a % 2 ? sum - alternating : sum + alternating;
        odd[a] = Vector{};
    }
    for (int k = 0; k < odds; ++k, product += 3 * plane) {
        Vector both, real, imaginary;
        load(both, product);
        load(real, product + plane);
        load(imaginary, product + 2 * plane);
        real += both;
        imaginary += both;
        even[0] += real;
        for (int a = 1; a < evens; ++a) even[a] += r.cosine[k * evens + a] * real;
        for (int a = 1; a <= odds; ++a) odd[a] += r.sine[k * odds + a - 1] * imaginary;
    }
    store(d, even[0]);
    for (int a = 1; a <= odds; ++a) {
        store(d + a * stride, even[a] + odd[a]);
        store(d + (rays - a) * stride, even[a] - odd[a]);
    }
    if (nyquist) store(d + rays / 2 * stride, even[rays / 2]);
}

template <class T, class Body>
GEODL_INLINE void for_rays(const Rotations<T>& r, Body body) {
    if (r.rays == 8) body.template operator()<8>();
    else body.template operator()<0>();
}

template <class T>
GEODL_INLINE void analyse_channels(const Rotations<T>& r, const T* d, int64_t stride, T* product, int64_t plane) {
    for_rays(r, [&]<int Rays>() __attribute__((always_inline)) {
        for (int64_t c = 0; c < stride; c += Lanes<T>::count)
            analyse_vector<T, Rays>(r, d + c, stride, product + c, plane);
    });
}

template <class T>
GEODL_INLINE void transpose_channels(const Rotations<T>& r, const T* product, int64_t plane, int64_t stride, T* d) {
    for_rays(r, [&]<int Rays>() __attribute__((always_inline)) {
        for (int64_t c = 0; c < stride; c += Lanes<T>::count)
            transpose_vector<T, Rays>(r, product + c, plane, stride, d + c);
    });
}

template <class T>
GEODL_INLINE void synthesise_channels(const Rotations<T>& r, const T* product, int64_t plane, int64_t stride, T* y) {
    typename Lanes<T>::Value sum, value;
    for (int64_t t = 0; t < r.rotations; ++t)
        for (int64_t c = 0; c < stride; c += Lanes<T>::count) {
            sum = typename Lanes<T>::Value{};
            for (int64_t k = 0; k < r.products; ++k) {
                load(value, product + k * plane + c);
                sum += r.synthesis[t * r.products + k] * value;
            }
            store(y + t * stride + c, sum);
        }
}

template <class T>
GEODL_INLINE void maximum_channels(const Rotations<T>& r, const T* y, int64_t stride, T* value, int32_t* selection) {
    using L = Lanes<T>;
    for (int64_t c = 0; c < stride; c += L::count) {
        typename L::Value best, next;
        typename L::Mask chosen = {};
        load(best, y + c);
        for (int64_t t = 1; t < r.rotations; ++t) {
            load(next, y + t * stride + c);
            // Not "next > best": a NaN must not vanish, and the first one stays.
            const typename L::Mask takes = ~(next <= best) & (best == best);
            best = takes ? next : best;
            chosen = takes ? typename L::Mask{} + typename L::Integer(t) : chosen;
        }
        store(value + c, best);
        for (int64_t lane = 0; lane < L::count; ++lane) selection[c + lane] = int32_t(chosen[lane]);
    }
}

}  // namespace

#define GEODL_ROTATIONS(T)                                                                                             \
    GEODL_CLONES void analyse(const Rotations<T>& r, const T* d, int64_t stride, T* product, int64_t plane) {          \
        analyse_channels(r, d, stride, product, plane);                                                                \
    }                                                                                                                  \
    GEODL_CLONES void analyse_transposed(const Rotations<T>& r, const T* product, int64_t plane, int64_t stride,       \
                                         T* d) {                                                                       \
        transpose_channels(r, product, plane, stride, d);                                                              \
    }                                                                                                                  \
    GEODL_CLONES void synthesise(const Rotations<T>& r, const T* product, int64_t plane, int64_t stride, T* y) {       \
        synthesise_channels(r, product, plane, stride, y);                                                             \
    }                                                                                                                  \
    GEODL_CLONES void maximum(const Rotations<T>& r, const T* y, int64_t stride, T* value, int32_t* selection) {       \
        maximum_channels(r, y, stride, value, selection);                                                              \
    }

GEODL_ROTATIONS(float)
GEODL_ROTATIONS(double)

}  // namespace geodl
