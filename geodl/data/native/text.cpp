#include "text.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <system_error>

namespace geodl {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kTens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                            1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

bool blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f' || c == '\0'; }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool begins(std::string_view word, std::string_view with) {
    if (word.size() < with.size()) return false;
    for (size_t k = 0; k < with.size(); ++k)
        if (lower(word[k]) != with[k]) return false;
    return true;
}

bool same(std::string_view word, std::string_view other) { return word.size() == other.size() && begins(word, other); }

bool slow_number(std::string_view word, double& value) {
#if defined(__cpp_lib_to_chars)
    const auto [end, trouble] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (end != word.data() + word.size()) return false;
    if (trouble == std::errc()) return true;
#endif
    // What is out of range becomes 0 or infinity, as in Python.
    const std::string copy(word);
    char* stop = nullptr;
    value = std::strtod(copy.c_str(), &stop);
    return stop == copy.c_str() + copy.size();
}

// Decimal numbers; NaN and infinity also as Microsoft's C wrote them: 1.#QNAN, -1.#IND, 1.#INF, -nan(ind).
bool number(std::string_view word, double& value) {
    size_t at = 0;
    const bool negative = !word.empty() && word[0] == '-';
    if (negative || (!word.empty() && word[0] == '+')) at = 1;
    uint64_t mantissa = 0;
    int digits = 0, power = 0;
    bool any = false;
    for (; at < word.size() && static_cast<unsigned char>(word[at] - '0') < 10; ++at, any = true)
        if (digits < 19) {
            mantissa = 10 * mantissa + static_cast<uint64_t>(word[at] - '0');
            digits += mantissa != 0;
        } else {
            digits = 100;
        }
    if (at < word.size() && word[at] == '.') {
        for (++at; at < word.size() && static_cast<unsigned char>(word[at] - '0') < 10; ++at, any = true)
            if (digits < 19) {
                mantissa = 10 * mantissa + static_cast<uint64_t>(word[at] - '0');
                digits += mantissa != 0;
                --power;
            } else {
                digits = 100;
            }
    }
    const std::string_view unsigned_word = word.substr(negative || (!word.empty() && word[0] == '+') ? 1 : 0);
    if (!any) {
        if (begins(unsigned_word, "nan")) return value = kNaN, true;
        if (same(unsigned_word, "inf") || same(unsigned_word, "infinity"))
            return value = negative ? -HUGE_VAL : HUGE_VAL, true;
        return false;
    }
    if (at < word.size() && (word[at] == 'e' || word[at] == 'E')) {
        size_t k = at + 1;
        const bool minus = k < word.size() && word[k] == '-';
        if (k < word.size() && (word[k] == '-' || word[k] == '+')) ++k;
        if (k == word.size()) return false;
        int exponent = 0;
        for (; k < word.size() && static_cast<unsigned char>(word[k] - '0') < 10; ++k)
            if (exponent < 100000) exponent = 10 * exponent + (word[k] - '0');
        if (k != word.size()) return false;
        power += minus ? -exponent : exponent;
        at = k;
    }
    if (at != word.size()) {
        if (word[at] != '#') return false;
        if (begins(word.substr(at), "#inf")) return value = negative ? -HUGE_VAL : HUGE_VAL, true;
        return value = kNaN, begins(word.substr(at), "#qnan") || begins(word.substr(at), "#ind") || begins(word.substr(at), "#snan");
    }
    // Both factors are exact, so their product or quotient is rounded once (Clinger 1990).
    if (mantissa < (uint64_t(1) << 53) && power >= -22 && power <= 22 && digits <= 19) {
        value = static_cast<double>(mantissa);
        value = power < 0 ? value / kTens[-power] : value * kTens[power];
        if (negative) value = -value;
        return true;
    }
    if (!slow_number(unsigned_word, value)) return false;
    if (negative) value = -value;
    return true;
}

bool whole(std::string_view word, int64_t& value) {
    size_t at = 0;
    const bool negative = !word.empty() && word[0] == '-';
    if (negative || (!word.empty() && word[0] == '+')) at = 1;
    if (at == word.size() || word.size() - at > 18) return false;
    value = 0;
    for (; at < word.size(); ++at) {
        const unsigned digit = static_cast<unsigned char>(word[at] - '0');
        if (digit > 9) return false;
        value = 10 * value + digit;
    }
    if (negative) value = -value;
    return true;
}

// Words of a line; a backslash at its end joins the next one to it.
class Lines {
  public:
    explicit Lines(std::string_view text) : text_(text) {}
    bool done() const { return at_ >= text_.size(); }
    int64_t line() const { return line_; }

    // The next word of the line, or an empty one at its end.
    std::string_view word() {
        for (;;) {
            while (at_ < text_.size() && blank(text_[at_])) ++at_;
            if (at_ < text_.size() && text_[at_] == '\\' && joins()) continue;
            break;
        }
        if (at_ >= text_.size() || text_[at_] == '\n') return {};
        if (text_[at_] == '#') {
            while (at_ < text_.size() && text_[at_] != '\n') ++at_;
            return {};
        }
        const size_t start = at_;
        // A '#' after a point belongs to the word: 1.#QNAN.
        while (at_ < text_.size() && !blank(text_[at_]) && text_[at_] != '\n' && (text_[at_] != '#' || text_[at_ - 1] == '.') &&
               !(text_[at_] == '\\' && ends_line(at_)))
            ++at_;
        return text_.substr(start, at_ - start);
    }

    std::string_view rest() {
        while (at_ < text_.size() && blank(text_[at_])) ++at_;
        const size_t start = at_;
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
        size_t end = at_;
        while (end > start && blank(text_[end - 1])) --end;
        return text_.substr(start, end - start);
    }

    // To the first word of the next line.
    void next() {
        while (at_ < text_.size() && text_[at_] != '\n') {
            if (text_[at_] == '\\' && joins()) continue;
            ++at_;
        }
        ++at_;
        ++line_;
    }

  private:
    bool ends_line(size_t at) const {
        do ++at;
        while (at < text_.size() && blank(text_[at]));
        return at >= text_.size() || text_[at] == '\n';
    }
    bool joins() {
        if (!ends_line(at_)) return false;
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
        ++at_;
        ++line_;
        return true;
    }

    std::string_view text_;
    size_t at_ = 0;
    int64_t line_ = 1;
};

std::string quoted(std::string_view word) {
    std::string out = "'";
    for (const char c : word.substr(0, 40)) out += c >= 32 && c < 127 ? c : '?';
    return out + "'";
}

}  // namespace

Table read_table(std::string_view text, std::string_view separators, std::string_view comments) {
    Table table;
    table.values.reserve(text.size() / 8);
    table.starts.push_back(0);
    bool parts[256] = {}, hides[256] = {};
    for (const char c : {' ', '\t', '\r', '\v', '\f', '\0', '\n'}) parts[static_cast<unsigned char>(c)] = true;
    for (const char c : separators) parts[static_cast<unsigned char>(c)] = true;
    for (const char c : comments) hides[static_cast<unsigned char>(c)] = true;
    const char *at = text.data(), *const end = at + text.size();
    const auto end_line = [&] {
        if (static_cast<int64_t>(table.values.size()) > table.starts.back())
            table.starts.push_back(static_cast<int64_t>(table.values.size()));
    };
    while (at < end) {
        const unsigned char c = static_cast<unsigned char>(*at);
        if (c == '\n' || (c == '\r' && !(at + 1 < end && at[1] == '\n'))) {
            end_line();
            ++at;
        } else if (parts[c]) {
            ++at;
        } else if (hides[c]) {
            while (at < end && *at != '\n' && *at != '\r') ++at;
        } else {
            const char* const start = at;
            while (at < end && !parts[static_cast<unsigned char>(*at)] &&
                   !(hides[static_cast<unsigned char>(*at)] && !(at[-1] == '.' && at > start)))
                ++at;
            double value;
            if (!number({start, static_cast<size_t>(at - start)}, value)) {
                table.bad = start - text.data();
                break;
            }
            table.values.push_back(value);
        }
    }
    end_line();
    return table;
}

Obj read_obj(std::string_view text) {
    Obj obj;
    obj.vertex_starts.push_back(0);
    obj.face_starts.push_back(0);
    std::string carriage;
    if (text.find('\n') == std::string_view::npos && text.find('\r') != std::string_view::npos) {
        carriage = std::string(text);  // lines of the old Macintosh
        for (char& c : carriage)
            if (c == '\r') c = '\n';
        text = carriage;
    }
    for (Lines lines(text); !lines.done(); lines.next()) {
        const std::string_view key = lines.word();
        if (key == "v") {
            double value;
            for (std::string_view word = lines.word(); !word.empty(); word = lines.word()) {
                if (!number(word, value)) {
                    obj.error = "line " + std::to_string(lines.line()) + ": " + quoted(word) + " is no number";
                    return obj;
                }
                obj.values.push_back(value);
            }
            obj.vertex_starts.push_back(static_cast<int64_t>(obj.values.size()));
        } else if (key == "f" || key == "fo") {
            const int64_t vertices = static_cast<int64_t>(obj.vertex_starts.size()) - 1;
            for (std::string_view word = lines.word(); !word.empty(); word = lines.word()) {
                int64_t corner;
                if (!whole(word.substr(0, word.find('/')), corner)) {
                    obj.error = "line " + std::to_string(lines.line()) + ": " + quoted(word) + " names no vertex";
                    return obj;
                }
                if (corner == 0) {
                    obj.error = "face " + std::to_string(obj.face_starts.size() - 1) + " names vertex 0, but obj counts from 1";
                    return obj;
                }
                // Counted from 1, or backwards from the last vertex so far.
                obj.corners.push_back(corner > 0 ? corner - 1 : vertices + corner);
            }
            obj.face_starts.push_back(static_cast<int64_t>(obj.corners.size()));
        } else if (key == "g" || key == "o") {
            auto& list = key == "g" ? obj.groups : obj.objects;
            list.emplace_back(static_cast<int64_t>(obj.face_starts.size()) - 1, std::string(lines.rest()));
        } else if (key == "l" || key == "p" || key == "curv" || key == "curv2" || key == "surf") {
            ++obj.skipped;
        }
    }
    return obj;
}

Stl read_stl(std::string_view text) {
    Stl stl;
    const char *at = text.data(), *const end = at + text.size();
    const auto word = [&]() -> std::string_view {
        while (at < end && (blank(*at) || *at == '\n')) ++at;
        const char* const start = at;
        while (at < end && !blank(*at) && *at != '\n') ++at;
        return {start, static_cast<size_t>(at - start)};
    };
    const auto skip_line = [&] {
        while (at < end && *at != '\n' && *at != '\r') ++at;
    };
    bool open = false, facet = false;
    int64_t corners = 0;
    const auto number_of_facet = [&] { return std::to_string(stl.values.size() / 9); };
    for (std::string_view key = word(); !key.empty(); key = word()) {
        if (same(key, "vertex")) {
            if (++corners > 3) {
                stl.error = "facet " + number_of_facet() + " has more than three vertices";
                return stl;
            }
            for (int k = 0; k < 3; ++k) {
                double value;
                const std::string_view next = word();
                if (!number(next, value)) {
                    stl.error = "facet " + number_of_facet() + ": " + quoted(next) + " is no coordinate";
                    return stl;
                }
                stl.values.push_back(value);
            }
        } else if (same(key, "facet")) {
            if (facet) {
                stl.error = "facet " + number_of_facet() + " does not end";
                return stl;
            }
            facet = true;
            corners = 0;
        } else if (same(key, "endfacet")) {
            if (!facet || corners != 3) {
                stl.error = "facet " + number_of_facet() + " does not begin or has " + std::to_string(corners) + " vertices";
                return stl;
            }
            facet = false;
            corners = 0;
        } else if (same(key, "solid")) {
            open = true;
            skip_line();
        } else if (same(key, "endsolid")) {
            open = false;
            skip_line();
        } else if (same(key, "end")) {  // "end solid"
            const char* const behind = at;
            if (same(word(), "solid")) skip_line();
            else at = behind;
            open = false;
        } else if (same(key, "normal")) {
            for (int k = 0; k < 3; ++k) word();
        } else if (!(same(key, "outer") || same(key, "loop") || same(key, "endloop") || same(key, "color"))) {
            stl.error = quoted(key) + " is no word of an stl file";
            return stl;
        }
    }
    if (facet || corners) stl.error = "facet " + number_of_facet() + " does not end";
    else if (open) stl.error = "it does not end with endsolid";
    return stl;
}

void merge(const uint32_t* rows, int64_t count, std::vector<int64_t>& first, std::vector<int64_t>& which) {
    uint64_t slots = 16;
    while (slots < static_cast<uint64_t>(count) * 2) slots *= 2;
    std::vector<int32_t> table(slots, -1);
    which.resize(static_cast<size_t>(count));
    for (int64_t row = 0; row < count; ++row) {
        const uint32_t* const r = rows + 3 * row;
        uint64_t hash = r[0] * 0x9E3779B97F4A7C15ull ^ (r[1] + 0x7F4A7C15ull) * 0xC2B2AE3D27D4EB4Full ^ (r[2] + 0x27D4EB4Full) * 0x165667B19E3779F9ull;
        hash ^= hash >> 29;
        hash *= 0xBF58476D1CE4E5B9ull;
        hash ^= hash >> 32;
        for (uint64_t at = hash & (slots - 1);; at = (at + 1) & (slots - 1)) {
            const int32_t place = table[at];
            if (place < 0) {
                table[at] = static_cast<int32_t>(first.size());
                which[static_cast<size_t>(row)] = static_cast<int64_t>(first.size());
                first.push_back(row);
                break;
            }
            if (std::memcmp(rows + 3 * first[static_cast<size_t>(place)], r, 12) == 0) {
                which[static_cast<size_t>(row)] = place;
                break;
            }
        }
    }
}

}  // namespace geodl
