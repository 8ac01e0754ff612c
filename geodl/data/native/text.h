// Numbers in text files: read once, from first byte to last, without copies.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace geodl {

// Every number of a text, and where the lines that hold any begin among them.
struct Table {
    std::vector<double> values;
    std::vector<int64_t> starts;  // [L + 1]
    int64_t bad = -1;             // the byte at which a word stands that is no number; reading ends there
};

// A byte of `separators` parts words as a blank does; from a byte of `comments` on the rest of a line is skipped.
Table read_table(std::string_view text, std::string_view separators, std::string_view comments);

// The statements of an obj file. Corners are counted from 0, in the order of the file.
struct Obj {
    std::vector<double> values;         // of all v statements
    std::vector<int64_t> vertex_starts;  // [V + 1]
    std::vector<int64_t> corners;
    std::vector<int64_t> face_starts;                           // [P + 1]
    std::vector<std::pair<int64_t, std::string>> groups, objects;  // the face that they begin with, and their name
    int64_t skipped = 0;                                        // elements that are no faces: points, lines, curves, patches
    std::string error;
};

Obj read_obj(std::string_view text);

// The corners of a text stl file, three a facet.
struct Stl {
    std::vector<double> values;
    std::string error;
};

Stl read_stl(std::string_view text);

// Rows of bits that are equal become one: for each row the number of its place, and for each place the row that was first there.
void merge(const uint32_t* rows, int64_t count, std::vector<int64_t>& first, std::vector<int64_t>& which);

}  // namespace geodl
