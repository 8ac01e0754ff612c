// All turns of a polar filter at once: a circular correlation over the rays, as few matrix products.
//
// With real spectra, correlation over T rays is one product at frequency 0, one at T / 2 for even T, and a complex one at
// every frequency between; three real products make a complex one (Gauss). That is 11 instead of 64 for 8 rays. Both
// factors are mapped to `products` numbers (analyse), multiplied one by one, and mapped to the rotations (synthesise):
//
//     y[t] = sum_a d[(a + t * step) mod rays] f[a]
//          = sum_k synthesis[t, k] (sum_a patch[k, a] d[a]) (sum_a filter[k, a] f[a])
//
// where d and f may be matrices. The gradients use the transposes of the same three maps.
#pragma once

#include <cstdint>
#include <vector>

namespace geodl {

template <class T>
struct Rotations {
    Rotations(int64_t rays, int64_t rotations);

    int64_t rays, rotations, products;
    std::vector<T> patch;      // [products, rays]
    std::vector<T> filter;     // [products, rays]
    std::vector<T> synthesis;  // [rotations, products]
    // `patch` by cosines and sines, of frequencies 1, 2, ... below rays / 2: [frequency, rays / 2 + 1]
    std::vector<T> cosine, sine;
};

// product[k * plane + c] = sum_a patch[k, a] d[a * stride + c] for c in [0, stride), whole vectors.
void analyse(const Rotations<float>& rotations, const float* d, int64_t stride, float* product, int64_t plane);
void analyse(const Rotations<double>& rotations, const double* d, int64_t stride, double* product, int64_t plane);

// The transpose: d[a * stride + c] = sum_k patch[k, a] product[k * plane + c].
void analyse_transposed(const Rotations<float>& rotations, const float* product, int64_t plane, int64_t stride, float* d);
void analyse_transposed(const Rotations<double>& rotations, const double* product, int64_t plane, int64_t stride,
                        double* d);

// y[t * stride + c] = sum_k synthesis[t, k] product[k * plane + c]
void synthesise(const Rotations<float>& rotations, const float* product, int64_t plane, int64_t stride, float* y);
void synthesise(const Rotations<double>& rotations, const double* product, int64_t plane, int64_t stride, double* y);

// value[c] = max over t of y[t * stride + c], and the lowest t that attains it, or that of the first NaN.
void maximum(const Rotations<float>& rotations, const float* y, int64_t stride, float* value, int32_t* selection);
void maximum(const Rotations<double>& rotations, const double* y, int64_t stride, double* value, int32_t* selection);

}  // namespace geodl
