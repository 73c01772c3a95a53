#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace phylo {

/// Texts as Arrow's string (32-bit offsets) and large_string arrays hold them: row r is
/// bytes[offsets[r], offsets[r + 1]).
template <class Offset>
struct Utf8Column {
    std::span<const Offset> offsets;  ///< rows + 1
    std::string_view bytes;
};

/// Texts of one width, as NumPy's str arrays hold them: code points, padded by zeros.
struct Ucs4Column {
    std::span<const std::uint32_t> characters;  ///< rows x width
    std::size_t width = 1;
};

/// Texts as positions in a list of them, as Arrow's dictionary arrays hold them.
struct DictionaryColumn {
    std::span<const std::int32_t> codes;
    Utf8Column<std::int64_t> values;
};

/// The alleles of a batch of rows, where they lie; nothing is copied.
using AlleleColumn =
    std::variant<Utf8Column<std::int32_t>, Utf8Column<std::int64_t>, Ucs4Column, DictionaryColumn>;

[[nodiscard]] std::size_t rows_in(const AlleleColumn& column);

/// Throws std::logic_error when offsets or codes reach outside what they point into. O(rows).
void check_column(const AlleleColumn& column);

/// Reads a column in blocks. The texts are UTF-8 where the column is well-formed; a code point
/// that has no UTF-8 form comes out as bytes that are no UTF-8 either.
class TextReader {
   public:
    static constexpr std::size_t kBlock = 128;  ///< rows

    explicit TextReader(const AlleleColumn& column);

    /// The texts of rows [begin, end), at most kBlock; valid until the next call.
    [[nodiscard]] std::span<const std::string_view> read(std::size_t begin, std::size_t end);

    /// Where the memory that the texts lie in ends: up to here it may be read.
    [[nodiscard]] const char* readable_end() const noexcept { return readable_end_; }

   private:
    const AlleleColumn& column_;
    std::array<std::string_view, kBlock> texts_;
    std::string encoded_;  ///< of a block of a Ucs4Column
    const char* readable_end_ = nullptr;
};

}  // namespace phylo
