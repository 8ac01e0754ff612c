// Neighbourhoods as a CSR matrix, and the bounds of their indices.
#pragma once

#include "bounds.h"

namespace geodl {

struct Graph {
    const int64_t* rowptr;
    const int64_t* col;
};

inline Bounds bounds_of(Graph graph, int64_t rows, int64_t edges, int64_t sources) {
    return {"rowptr", graph.rowptr, rows, edges, {{"col", graph.col, 1, sources, "sources"}}};
}

// Of the transpose, whose edge k is edge perm[k] of the graph; `perm` may be null, where nobody reads it.
inline Bounds bounds_of_transpose(Graph transpose, const int64_t* perm, int64_t rows, int64_t edges,
                                  int64_t destinations) {
    return {"t_rowptr",
            transpose.rowptr,
            rows,
            edges,
            {{"t_row", transpose.col, 1, destinations, "destinations"}, {"perm", perm, 1, edges, "edges"}}};
}

}  // namespace geodl
