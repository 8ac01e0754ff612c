#include "shot.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "parallel.h"

namespace geodl {
namespace {

constexpr int azimuths = 8, elevations = 2, shells = 2, bins = 11;
constexpr int length = azimuths * elevations * shells * bins;
// Neighbours closer to a coordinate plane than this share of the radius do not vote for a side: rounding would decide for them.
constexpr double undecided = 1e-5;

double dot(const double* a, const double* b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

// Eigenvectors of a symmetric 3 x 3 matrix by Jacobi's rotations: columns of v, unsorted; the diagonal of m keeps the eigenvalues.
void eigenvectors(double m[3][3], double v[3][3]) {
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) v[i][j] = i == j;
    for (int sweep = 0; sweep < 30; ++sweep) {
        const double off = m[0][1] * m[0][1] + m[0][2] * m[0][2] + m[1][2] * m[1][2];
        const double on = m[0][0] * m[0][0] + m[1][1] * m[1][1] + m[2][2] * m[2][2];
        if (off <= 1e-32 * on) return;
        for (int p = 0; p < 2; ++p)
            for (int q = p + 1; q < 3; ++q) {
                if (m[p][q] == 0) continue;
                const double tau = (m[q][q] - m[p][p]) / (2 * m[p][q]);
                const double t = (tau >= 0 ? 1 : -1) / (std::abs(tau) + std::sqrt(1 + tau * tau));
                const double c = 1 / std::sqrt(1 + t * t), s = t * c;
                for (int k = 0; k < 3; ++k) {
                    const double a = m[k][p], b = m[k][q];
                    m[k][p] = c * a - s * b;
                    m[k][q] = s * a + c * b;
                }
                for (int k = 0; k < 3; ++k) {
                    const double a = m[p][k], b = m[q][k];
                    m[p][k] = c * a - s * b;
                    m[q][k] = s * a + c * b;
                }
                for (int k = 0; k < 3; ++k) {
                    const double a = v[k][p], b = v[k][q];
                    v[k][p] = c * a - s * b;
                    v[k][q] = s * a + c * b;
                }
            }
    }
}

struct Point {
    const double* pos;
    const double* normal;
    const int64_t* begin;
    const int64_t* end;
    const double* centre;
    const double* own_normal;
    double radius;

    // Calls body(offset, distance, normal) for the neighbours at other places.
    template <class Body>
    void each(Body body) const {
        for (const int64_t* j = begin; j != end; ++j) {
            const double offset[3] = {pos[3 * *j] - centre[0], pos[3 * *j + 1] - centre[1], pos[3 * *j + 2] - centre[2]};
            const double distance = std::sqrt(dot(offset, offset));
            if (distance > 0) body(offset, distance, normal + 3 * *j);
        }
    }
};

// Rows x, y, z of the reference frame; false where there are too few neighbours.
bool reference_frame(const Point& point, double frame[9]) {
    double m[3][3] = {}, v[3][3];
    int count = 0;
    point.each([&](const double* offset, double distance, const double*) {
        ++count;
        const double weight = (point.radius - distance) / (point.radius * point.radius * point.radius);
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j) m[i][j] += weight * offset[i] * offset[j];
    });
    if (count < 5) return false;
    eigenvectors(m, v);
    int order[3] = {0, 1, 2};
    std::sort(order, order + 3, [&](int a, int b) { return m[a][a] > m[b][b]; });
    double *x = frame, *y = frame + 3, *z = frame + 6;
    for (int k = 0; k < 3; ++k) {
        x[k] = v[k][order[0]];
        z[k] = v[k][order[2]];
    }
    int64_t votes_x = 0, votes_z = 0;
    double lean = 0;
    const double limit = undecided * point.radius;
    point.each([&](const double* offset, double distance, const double*) {
        const double along = dot(offset, x), above = dot(offset, z);
        votes_x += (along > limit) - (along < -limit);
        votes_z += (above > limit) - (above < -limit);
        lean += (point.radius - distance) * along;
    });
    if (votes_x < 0 || (votes_x == 0 && lean < 0))
        for (int k = 0; k < 3; ++k) x[k] = -x[k];
    if (votes_z < 0 || (votes_z == 0 && dot(z, point.own_normal) < 0))
        for (int k = 0; k < 3; ++k) z[k] = -z[k];
    y[0] = z[1] * x[2] - z[2] * x[1];
    y[1] = z[2] * x[0] - z[0] * x[2];
    y[2] = z[0] * x[1] - z[1] * x[0];
    return true;
}

// The two bins between whose centres a value lies, and the share of the upper one. `at` counts from the first centre.
struct Between {
    int low, high;
    double share;
    Between(double at, int count, bool around) {
        const double floor = std::floor(at);
        share = at - floor;
        low = static_cast<int>(floor);
        high = low + 1;
        if (around) {
            low = (low + count) % count;
            high = (high + count) % count;
        } else {
            low = std::clamp(low, 0, count - 1);
            high = std::clamp(high, 0, count - 1);
        }
    }
};

void histogram(const Point& point, const double* frame, double* out) {
    point.each([&](const double* offset, double distance, const double* normal) {
        if (dot(normal, normal) == 0) return;
        const double x = dot(offset, frame), y = dot(offset, frame + 3), z = dot(offset, frame + 6);
        constexpr double pi = std::numbers::pi;
        const double cosine = std::clamp(dot(normal, frame + 6), -1.0, 1.0);
        const Between bin((cosine + 1) / 2 * (bins - 1), bins, false);
        const Between shell(distance / point.radius * shells - 0.5, shells, false);
        const Between elevation(std::acos(std::clamp(z / distance, -1.0, 1.0)) / pi * elevations - 0.5, elevations, false);
        const Between azimuth((std::atan2(y, x) + pi) / (2 * pi) * azimuths - 0.5, azimuths, true);
        for (int corner = 0; corner < 16; ++corner) {
            const bool a = corner & 1, e = corner & 2, s = corner & 4, b = corner & 8;
            const double weight = (a ? azimuth.share : 1 - azimuth.share) * (e ? elevation.share : 1 - elevation.share) *
                                  (s ? shell.share : 1 - shell.share) * (b ? bin.share : 1 - bin.share);
            const int sector = ((a ? azimuth.high : azimuth.low) * elevations + (e ? elevation.high : elevation.low)) * shells +
                               (s ? shell.high : shell.low);
            out[sector * bins + (b ? bin.high : bin.low)] += weight;
        }
    });
    double square = 0;
    for (int k = 0; k < length; ++k) square += out[k] * out[k];
    if (square > 0)
        for (int k = 0; k < length; ++k) out[k] /= std::sqrt(square);
}

}  // namespace

void shot(const double* pos, const double* normal, int64_t points, const int64_t* rowptr, const int64_t* col, double radius, double* out,
          double* frame, int threads) {
    std::fill_n(out, points * length, 0.0);
    std::fill_n(frame, points * 9, 0.0);
    for_rows(rowptr, points, 150 * rowptr[points], threads, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const Point point{pos, normal, col + rowptr[i], col + rowptr[i + 1], pos + 3 * i, normal + 3 * i, radius};
            if (reference_frame(point, frame + 9 * i)) histogram(point, frame + 9 * i, out + length * i);
        }
    });
}

}  // namespace geodl
