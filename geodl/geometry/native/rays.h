// Rays against triangles, by a tree of boxes: the first face that a ray meets, and whether it meets any.
//
// Watertight: a ray that crosses the common edge of two faces, or a common corner, meets at least one of them. That holds because both
// faces compute the same products for the edge, so this file is compiled without fused multiply-adds.
// Woop, Benthin, Wald, "Watertight ray/triangle intersection", JCGT 2013; boxes as Ize, "Robust BVH ray traversal", JCGT 2013.
#pragma once

#include <cstdint>
#include <vector>

#include "nearest.h"

namespace geodl {

class RayTree {
  public:
    RayTree(const double* pos, const int64_t* face, int64_t faces);

    struct Hit {
        int64_t face = -1;
        double distance = 0;
        double weight[3] = {0, 0, 0};
    };
    // The nearest face at a distance greater than zero along the unit vector `direction`; of several at one distance the lowest.
    Hit first(const Vec& origin, const Vec& direction) const;
    bool any(const Vec& origin, const Vec& direction) const;

  private:
    struct Node {
        Vec low, high;
        int32_t first, count;  // of a leaf its faces; of an inner node count is -1 - axis, its children are the next node and `first`
    };
    struct Ray;
    int32_t build(int32_t first, int32_t count, int depth);
    template <class Leaf>
    void traverse(const Ray& ray, double& reach, Leaf leaf) const;

    std::vector<Node> nodes_;
    std::vector<int64_t> order_;
    std::vector<Vec> corner_, centre_;  // corners [3 F] in the order of the leaves
};

// out [n]: the share of directions that meet a face. Direction r of point i is direction[r] in the frame whose axes are the rows of
// frame[i]. With fine directions the share is theirs: one whose neighbours near[r] among the others all answer alike answers as they do,
// and only the rest are cast.
void occlusion(const RayTree& tree, const double* origin, const double* frame, int64_t points, const double* direction, int64_t rays,
               const double* fine, const int64_t* near, int64_t fine_rays, int64_t neighbors, double* out, int threads);

// Of every ray the face (-1 where there is none), the distance and the weights [n, 3] of the face's corners.
void cast_rays(const RayTree& tree, const double* origin, const double* direction, int64_t rays, int64_t* face, double* distance,
               double* weight, int threads);

}  // namespace geodl
