#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "phylo/string_list.hpp"

namespace phylo {

/// The first 15 bytes of a text and its length, in two integers whose order is that of the
/// texts: `high` holds bytes 0..7, `low` bytes 8..14 and then min(length, 16), absent bytes
/// being zero. Two keys are equal when the texts are, unless both are longer than 15 bytes.
struct PackedText {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    [[nodiscard]] bool is_whole() const noexcept { return (low & 0xFF) <= 15; }
    [[nodiscard]] auto operator<=>(const PackedText&) const = default;
};

/// Memory up to `readable_end` may be read; text lies before it.
[[nodiscard]] PackedText pack(std::string_view text, const char* readable_end) noexcept;

/// Numbers the different (gene, allele) pairs in the order of their first appearance.
///
/// One open-addressing table a gene, linear probing, 24 bytes a slot; alleles of up to 15
/// bytes lie in the slot itself, so a look-up touches one cache line, fetched a block ahead.
class AlleleIndex {
   public:
    /// Announces genes: indices below `genes` may be asked for from now on.
    void resize(std::size_t genes) { tables_.resize(genes); }

    [[nodiscard]] std::int64_t size() const noexcept { return size_; }

    /// The number of each (genes[i], texts[i]), new ones added; throws InputError when there
    /// would be more than 2^31 - 1. Texts lie before `readable_end`. Spans of one length, at
    /// most TextReader::kBlock. Where a new text is not UTF-8, stops and returns its position;
    /// otherwise the number of texts.
    [[nodiscard]] std::size_t find_or_add(std::span<const std::int32_t> genes,
                                          std::span<const std::string_view> texts,
                                          const char* readable_end, std::span<std::int32_t> out);

    /// Forgets the numbers from `size` on.
    void truncate(std::int64_t size);

    /// All alleles by gene, then by bytes; the number of each becomes its position.
    struct Ranking {
        std::vector<std::int32_t> position_of;
        StringList alleles;
        std::vector<std::int64_t> gene_offsets;
    };
    [[nodiscard]] Ranking rank() const;

    /// Bytes held while `more` further texts of up to 15 bytes are added and ranked, at most.
    [[nodiscard]] std::size_t peak_bytes(std::size_t more) const noexcept;
    [[nodiscard]] std::size_t held_bytes() const noexcept;

   private:
    static constexpr std::int32_t kFree = -1;
    struct Slot {
        PackedText key;
        std::int32_t number = kFree;
        std::int32_t long_text = 0;  ///< in long_texts_, where the key is not whole
    };
    struct GeneTable {
        std::vector<Slot> slots;  ///< a power of two, or none
        std::size_t used = 0;
        int shift = 64;  ///< of a hash, to a slot
    };

    [[nodiscard]] bool holds(const Slot& slot, PackedText key,
                             std::string_view text) const noexcept;
    [[nodiscard]] std::uint64_t hash_of(const Slot& slot) const noexcept;
    void grow(GeneTable& table);
    [[nodiscard]] std::int32_t keep(std::string_view text);
    void append_text(const Slot& slot, StringList& list) const;

    std::vector<GeneTable> tables_;
    std::vector<std::string_view> long_texts_;
    std::vector<std::unique_ptr<std::string>> text_blocks_;
    std::int64_t size_ = 0;
    std::size_t slot_count_ = 0;
    std::size_t long_bytes_ = 0;
};

}  // namespace phylo
