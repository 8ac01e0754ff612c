#include "rotations.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "parallel.h"
#include "simd.h"

namespace geodl {

namespace {

struct Turn {
    double cosine, sine;
};

// Of k / n full turns; exact where it is a number of quarters.
Turn turn(int64_t k, int64_t n) {
    k %= n;
    if (4 * k % n == 0) {
        constexpr Turn quarters[] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}};
        return quarters[4 * k / n];
    }
    const double angle = 2 * std::numbers::pi * double(k) / double(n);
    return {std::cos(angle), std::sin(angle)};
}

}  // namespace

template <class T>
Rotations<T>::Rotations(int64_t rays, int64_t rotations) : rays(rays), rotations(rotations) {
    const int64_t frequencies = (rays - 1) / 2, real = rays % 2 ? 1 : 2, half = rays / 2 + 1;
    products = real + 3 * frequencies;
    patch.resize(products * rays);
    filter.resize(products * rays);
    synthesis.resize(rotations * products);
    cosine.resize(frequencies * half);
    sine.resize(frequencies * half);
    for (int64_t a = 0; a < rays; ++a) {
        for (int64_t k = 0; k < real; ++k) patch[k * rays + a] = filter[k * rays + a] = k * a % 2 ? -1 : 1;
        for (int64_t k = 1; k <= frequencies; ++k) {
            const auto [c, s] = turn(k * a, rays);
            const int64_t at = (real + 3 * (k - 1)) * rays + a;
            // The spectra are c - i s of a patch and, conjugate, c + i s of a filter.
            patch[at] = T(c - s), patch[at + rays] = T(c), patch[at + 2 * rays] = T(-s);
            filter[at] = T(c), filter[at + rays] = T(s - c), filter[at + 2 * rays] = T(c + s);
            if (a < half) cosine[(k - 1) * half + a] = T(c), sine[(k - 1) * half + a] = T(s);
        }
    }
    const double scale = 1.0 / double(rays);
    for (int64_t t = 0; t < rotations; ++t) {
        const int64_t shift = t * (rays / rotations);
        T* row = &synthesis[t * products];
        for (int64_t k = 0; k < real; ++k) row[k] = T(k * shift % 2 ? -scale : scale);
        for (int64_t k = 1; k <= frequencies; ++k) {
            const auto [c, s] = turn(k * shift, rays);
            T* three = row + real + 3 * (k - 1);
            three[0] = T(2 * scale * (c - s)), three[1] = T(-2 * scale * s), three[2] = T(-2 * scale * c);
        }
    }
}

template struct Rotations<float>;
template struct Rotations<double>;

namespace {

// out[row] = sum over columns of matrix[row, column] in[column] for vectors of channels, or with the transposed matrix.
template <class T, bool Transposed>
GEODL_INLINE void multiply(const std::vector<T>& matrix, int64_t rows, int64_t columns, const T* in, int64_t in_stride,
                           T* out, int64_t out_stride) {
    typename Lanes<T>::Value sum, value;
    for (int64_t row = 0; row < rows; ++row) {
        sum = typename Lanes<T>::Value{};
        for (int64_t column = 0; column < columns; ++column) {
            load(value, in + column * in_stride);
            sum += matrix[Transposed ? column * rows + row : row * columns + column] * value;
        }
        store(out + row * out_stride, sum);
    }
}

// The same as `patch` gives, with half the work and in registers: the even part of d meets cosines, the odd part sines.
template <class T, int Rays>
GEODL_INLINE void analyse_vector(const Rotations<T>& r, const T* d, int64_t stride, T* product, int64_t plane) {
    using Vector = typename Lanes<T>::Value;
    constexpr int half = Rays / 2;
    Vector even[half + 1], odd[half], mirrored;
    load(even[0], d);
    load(even[half], d + half * stride);
    for (int a = 1; a < half; ++a) {
        load(even[a], d + a * stride);
        load(mirrored, d + (Rays - a) * stride);
        odd[a] = even[a] - mirrored;
        even[a] += mirrored;
    }
    Vector sum = even[0], alternating = even[0];
    for (int a = 1; a <= half; ++a) {
        sum += even[a];
        alternating += a % 2 ? -even[a] : even[a];
    }
    store(product, sum);
    store(product + plane, alternating);
    product += 2 * plane;
    for (int k = 0; k < half - 1; ++k, product += 3 * plane) {
        Vector real = even[0], imaginary = Vector{};
        for (int a = 1; a <= half; ++a) real += r.cosine[k * (half + 1) + a] * even[a];
        for (int a = 1; a < half; ++a) imaginary -= r.sine[k * (half + 1) + a] * odd[a];
        store(product, real + imaginary);
        store(product + plane, real);
        store(product + 2 * plane, imaginary);
    }
}

template <class T, int Rays>
GEODL_INLINE void transpose_vector(const Rotations<T>& r, const T* product, int64_t plane, int64_t stride, T* d) {
    using Vector = typename Lanes<T>::Value;
    constexpr int half = Rays / 2;
    Vector even[half + 1], odd[half], sum, alternating;
    load(sum, product);
    load(alternating, product + plane);
    product += 2 * plane;
    for (int a = 0; a <= half; ++a) even[a] = a % 2 ? sum - alternating : sum + alternating;
    for (int a = 1; a < half; ++a) odd[a] = Vector{};
    for (int k = 0; k < half - 1; ++k, product += 3 * plane) {
        Vector both, real, imaginary;
        load(both, product);
        load(real, product + plane);
        load(imaginary, product + 2 * plane);
        real += both;
        imaginary += both;
        even[0] += real;
        for (int a = 1; a <= half; ++a) even[a] += r.cosine[k * (half + 1) + a] * real;
        for (int a = 1; a < half; ++a) odd[a] -= r.sine[k * (half + 1) + a] * imaginary;
    }
    store(d, even[0]);
    store(d + half * stride, even[half]);
    for (int a = 1; a < half; ++a) {
        store(d + a * stride, even[a] + odd[a]);
        store(d + (Rays - a) * stride, even[a] - odd[a]);
    }
}

template <class T>
GEODL_INLINE void analyse_channels(const Rotations<T>& r, const T* d, int64_t stride, T* product, int64_t plane) {
    for (int64_t c = 0; c < stride; c += Lanes<T>::count) {
        if (r.rays == 4) analyse_vector<T, 4>(r, d + c, stride, product + c, plane);
        else if (r.rays == 8) analyse_vector<T, 8>(r, d + c, stride, product + c, plane);
        else if (r.rays == 16) analyse_vector<T, 16>(r, d + c, stride, product + c, plane);
        else multiply<T, false>(r.patch, r.products, r.rays, d + c, stride, product + c, plane);
    }
}

template <class T>
GEODL_INLINE void transpose_channels(const Rotations<T>& r, const T* product, int64_t plane, int64_t stride, T* d) {
    for (int64_t c = 0; c < stride; c += Lanes<T>::count) {
        if (r.rays == 4) transpose_vector<T, 4>(r, product + c, plane, stride, d + c);
        else if (r.rays == 8) transpose_vector<T, 8>(r, product + c, plane, stride, d + c);
        else if (r.rays == 16) transpose_vector<T, 16>(r, product + c, plane, stride, d + c);
        else multiply<T, true>(r.patch, r.rays, r.products, product + c, plane, d + c, stride);
    }
}

template <class T>
GEODL_INLINE void synthesise_channels(const Rotations<T>& r, const T* product, int64_t plane, int64_t stride, T* y) {
    for (int64_t c = 0; c < stride; c += Lanes<T>::count)
        multiply<T, false>(r.synthesis, r.rotations, r.products, product + c, plane, y + c, stride);
}

// Plain loops, since GCC takes comparisons of its generic vectors apart in the clones of a function.
template <class T>
GEODL_INLINE void maximum_channels(const Rotations<T>& r, const T* y, int64_t stride, T* value, int32_t* selection) {
    std::copy_n(y, stride, value);
    std::fill_n(selection, stride, 0);
    for (int64_t t = 1; t < r.rotations; ++t) {
        const T* next = y + t * stride;
        for (int64_t c = 0; c < stride; ++c) {
            // Not "next > value": a NaN must not vanish, and the first one stays.
            const bool takes = !(next[c] <= value[c]) & (value[c] == value[c]);
            value[c] = takes ? next[c] : value[c];
            selection[c] = takes ? int32_t(t) : selection[c];
        }
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
