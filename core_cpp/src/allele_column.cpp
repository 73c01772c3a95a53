#include "phylo/allele_column.hpp"

#include <algorithm>
#include <stdexcept>
#include <type_traits>

namespace phylo {

namespace {

template <class Offset>
std::string_view text_of(const Utf8Column<Offset>& column, std::size_t row) noexcept {
    const auto begin = static_cast<std::size_t>(column.offsets[row]);
    const auto end = static_cast<std::size_t>(column.offsets[row + 1]);
    return {column.bytes.data() + begin, end - begin};
}

std::size_t rows_of(const Ucs4Column& column) noexcept {
    return column.characters.size() / column.width;
}
std::size_t rows_of(const DictionaryColumn& column) noexcept { return column.codes.size(); }
template <class Offset>
std::size_t rows_of(const Utf8Column<Offset>& column) noexcept {
    return column.offsets.size() - 1;
}

void require(bool holds, const char* what) {
    if (!holds) {
        throw std::logic_error(what);
    }
}

template <class Offset>
void check(const Utf8Column<Offset>& column) {
    require(!column.offsets.empty(), "a string column has no offsets");
    require(column.offsets.front() >= 0 &&
                static_cast<std::size_t>(column.offsets.back()) <= column.bytes.size(),
            "string offsets reach outside the bytes");
    require(std::ranges::is_sorted(column.offsets), "string offsets descend");
}

void check(const Ucs4Column& column) {
    require(column.width > 0 && column.characters.size() % column.width == 0,
            "a text column does not divide into rows");
}

void check(const DictionaryColumn& column) {
    check(column.values);
    const auto values = static_cast<std::int64_t>(rows_of(column.values));
    require(std::ranges::all_of(column.codes,
                                [&](std::int32_t code) { return code >= 0 && code < values; }),
            "a code reaches outside its dictionary");
}

/// Writes a code point as UTF-8 (RFC 3629); surrogates and what lies above U+10FFFF come out as
/// bytes that is_utf8 refuses.
char* encode(std::uint32_t point, char* out) noexcept {
    const auto put = [&out](std::uint32_t byte) { *out++ = static_cast<char>(byte); };
    if (point < 0x80) {
        put(point);
        return out;
    }
    if (point < 0x800) {
        put(0xC0 | (point >> 6));
    } else {
        if (point < 0x10000) {
            put(0xE0 | (point >> 12));
        } else {
            point = std::min(point, std::uint32_t{0x110000});
            put(0xF0 | (point >> 18));
            put(0x80 | ((point >> 12) & 0x3F));
        }
        put(0x80 | ((point >> 6) & 0x3F));
    }
    put(0x80 | (point & 0x3F));
    return out;
}

}  // namespace

std::size_t rows_in(const AlleleColumn& column) {
    return std::visit([](const auto& form) { return rows_of(form); }, column);
}

void check_column(const AlleleColumn& column) {
    std::visit([](const auto& form) { check(form); }, column);
}

TextReader::TextReader(const AlleleColumn& column) : column_(column) {
    if (const auto* ucs4 = std::get_if<Ucs4Column>(&column)) {
        encoded_.resize(kBlock * ucs4->width * 4);
    }
}

std::span<const std::string_view> TextReader::read(std::size_t begin, std::size_t end) {
    const std::size_t rows = end - begin;
    const auto from = [&](const auto& form) {
        using Form = std::decay_t<decltype(form)>;
        if constexpr (std::is_same_v<Form, Ucs4Column>) {
            char* out = encoded_.data();
            for (std::size_t r = 0; r < rows; ++r) {
                const std::uint32_t* row = form.characters.data() + (begin + r) * form.width;
                std::size_t length = form.width;
                while (length > 0 && row[length - 1] == 0) {
                    --length;
                }
                const char* text = out;
                for (std::size_t i = 0; i < length; ++i) {
                    out = encode(row[i], out);
                }
                texts_[r] = {text, static_cast<std::size_t>(out - text)};
            }
            readable_end_ = encoded_.data() + encoded_.size();
        } else if constexpr (std::is_same_v<Form, DictionaryColumn>) {
            for (std::size_t r = 0; r < rows; ++r) {
                texts_[r] = text_of(form.values, static_cast<std::size_t>(form.codes[begin + r]));
            }
            readable_end_ = form.values.bytes.data() + form.values.bytes.size();
        } else {
            for (std::size_t r = 0; r < rows; ++r) {
                texts_[r] = text_of(form, begin + r);
            }
            readable_end_ = form.bytes.data() + form.bytes.size();
        }
    };
    std::visit(from, column_);
    return {texts_.data(), rows};
}

}  // namespace phylo
