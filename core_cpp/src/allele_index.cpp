#include "phylo/allele_index.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <functional>
#include <iterator>
#include <limits>

#include "phylo/allele_column.hpp"
#include "phylo/errors.hpp"

namespace phylo {

static_assert(std::endian::native == std::endian::little,
              "packing a text reverses little-endian loads");

namespace {

constexpr std::size_t kTextBlock = std::size_t{1} << 16;
constexpr std::size_t kFirstSlots = 16;

/// Masks of the first `n` of eight bytes, big-endian.
constexpr std::array<std::uint64_t, 9> make_masks() {
    std::array<std::uint64_t, 9> masks{};
    for (unsigned n = 1; n <= 8; ++n) {
        masks[n] = ~std::uint64_t{0} << (64 - 8 * n);
    }
    return masks;
}
constexpr std::array<std::uint64_t, 9> kFirstBytes = make_masks();

std::uint64_t load_big_endian(const char* bytes) noexcept {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes, sizeof value);
    return __builtin_bswap64(value);
}

/// Good high bits: they choose the slot.
std::uint64_t hash(PackedText key, std::string_view text) noexcept {
    std::uint64_t mixed = key.high * 0x9E3779B97F4A7C15ULL + key.low * 0xC2B2AE3D27D4EB4FULL;
    if (!key.is_whole()) {
        mixed += std::hash<std::string_view>{}(text);
    }
    mixed ^= mixed >> 32;
    return mixed * 0xD6E8FEB86659FD93ULL;
}

}  // namespace

PackedText pack(std::string_view text, const char* readable_end) noexcept {
    std::array<char, 16> copy{};
    const char* bytes = text.data();
    if (readable_end - bytes < 16) {
        text.copy(copy.data(), copy.size());
        bytes = copy.data();
    }
    const std::size_t length = std::min<std::size_t>(text.size(), 16);
    const std::size_t beyond = length < 8 ? 0 : std::min<std::size_t>(length - 8, 7);
    return {.high = load_big_endian(bytes) & kFirstBytes[std::min<std::size_t>(length, 8)],
            .low = (load_big_endian(bytes + 8) & kFirstBytes[beyond]) | length};
}

bool AlleleIndex::holds(const Slot& slot, PackedText key, std::string_view text) const noexcept {
    return slot.key == key &&
           (key.is_whole() || long_texts_[static_cast<std::size_t>(slot.long_text)] == text);
}

std::uint64_t AlleleIndex::hash_of(const Slot& slot) const noexcept {
    return hash(slot.key, slot.key.is_whole()
                              ? std::string_view()
                              : long_texts_[static_cast<std::size_t>(slot.long_text)]);
}

void AlleleIndex::grow(GeneTable& table) {
    std::vector<Slot> slots(std::max(kFirstSlots, 2 * table.slots.size()));
    slot_count_ += slots.size() - table.slots.size();
    table.shift = 64 - std::countr_zero(slots.size());
    const std::size_t mask = slots.size() - 1;
    for (const Slot& slot : table.slots) {
        if (slot.number != kFree) {
            std::size_t at = hash_of(slot) >> table.shift;
            while (slots[at].number != kFree) {
                at = (at + 1) & mask;
            }
            slots[at] = slot;
        }
    }
    table.slots = std::move(slots);
}

/// A block never grows past its reserved capacity, so views into it stay valid.
std::int32_t AlleleIndex::keep(std::string_view text) {
    if (text_blocks_.empty() ||
        text_blocks_.back()->capacity() - text_blocks_.back()->size() < text.size()) {
        text_blocks_.push_back(std::make_unique<std::string>());
        text_blocks_.back()->reserve(std::max(kTextBlock, text.size()));
    }
    std::string& block = *text_blocks_.back();
    const std::size_t begin = block.size();
    block.append(text);
    long_bytes_ += text.size();
    long_texts_.push_back(std::string_view(block).substr(begin, text.size()));
    return static_cast<std::int32_t>(long_texts_.size() - 1);
}

std::size_t AlleleIndex::find_or_add(std::span<const std::int32_t> genes,
                                     std::span<const std::string_view> texts,
                                     const char* readable_end, std::span<std::int32_t> out) {
    std::array<PackedText, TextReader::kBlock> keys;
    std::array<std::uint64_t, TextReader::kBlock> hashes;
    for (std::size_t i = 0; i < texts.size(); ++i) {
        keys[i] = pack(texts[i], readable_end);
        hashes[i] = hash(keys[i], texts[i]);
        const GeneTable& table = tables_[static_cast<std::size_t>(genes[i])];
        if (!table.slots.empty()) {
            __builtin_prefetch(table.slots.data() + (hashes[i] >> table.shift));
        }
    }
    for (std::size_t i = 0; i < texts.size(); ++i) {
        GeneTable& table = tables_[static_cast<std::size_t>(genes[i])];
        // At most five slots of eight are taken, so every search ends at a free one.
        if (8 * (table.used + 1) > 5 * table.slots.size()) {
            grow(table);
        }
        const std::size_t mask = table.slots.size() - 1;
        std::size_t at = hashes[i] >> table.shift;
        while (table.slots[at].number != kFree && !holds(table.slots[at], keys[i], texts[i])) {
            at = (at + 1) & mask;
        }
        Slot& slot = table.slots[at];
        if (slot.number == kFree) {
            if (!is_utf8(texts[i])) {
                return i;
            }
            if (size_ == std::numeric_limits<std::int32_t>::max()) {
                throw InputError(
                    "more than 2147483647 different alleles: use shorter alleles or fewer genes");
            }
            const std::int32_t long_text = keys[i].is_whole() ? 0 : keep(texts[i]);
            slot = {.key = keys[i],
                    .number = static_cast<std::int32_t>(size_++),
                    .long_text = long_text};
            ++table.used;
        }
        out[i] = slot.number;
    }
    return texts.size();
}

void AlleleIndex::truncate(std::int64_t size) {
    for (GeneTable& table : tables_) {
        // Putting the rest in anew closes the gaps in the runs of probed slots.
        const std::vector<Slot> before = std::move(table.slots);
        slot_count_ -= before.size();
        table = GeneTable{};
        for (const Slot& slot : before) {
            if (slot.number == kFree || slot.number >= size) {
                continue;
            }
            if (8 * (table.used + 1) > 5 * table.slots.size()) {
                grow(table);
            }
            std::size_t at = hash_of(slot) >> table.shift;
            while (table.slots[at].number != kFree) {
                at = (at + 1) & (table.slots.size() - 1);
            }
            table.slots[at] = slot;
            ++table.used;
        }
    }
    size_ = std::min(size_, size);
}

void AlleleIndex::append_text(const Slot& slot, StringList& list) const {
    if (!slot.key.is_whole()) {
        list.push_back(long_texts_[static_cast<std::size_t>(slot.long_text)]);
        return;
    }
    const std::array<std::uint64_t, 2> bytes = {__builtin_bswap64(slot.key.high),
                                                __builtin_bswap64(slot.key.low)};
    std::array<char, sizeof bytes> text{};
    std::memcpy(text.data(), bytes.data(), sizeof bytes);
    list.push_back({text.data(), slot.key.low & 0xFF});
}

AlleleIndex::Ranking AlleleIndex::rank() const {
    Ranking ranking;
    ranking.position_of.resize(static_cast<std::size_t>(size_));
    ranking.gene_offsets.assign(1, 0);
    std::vector<Slot> sorted;
    for (const GeneTable& table : tables_) {
        sorted.clear();
        std::ranges::copy_if(table.slots, std::back_inserter(sorted),
                             [](const Slot& slot) { return slot.number != kFree; });
        std::ranges::sort(sorted, [&](const Slot& a, const Slot& b) {
            return a.key != b.key || a.key.is_whole()
                       ? a.key < b.key
                       : long_texts_[static_cast<std::size_t>(a.long_text)] <
                             long_texts_[static_cast<std::size_t>(b.long_text)];
        });
        for (const Slot& slot : sorted) {
            ranking.position_of[static_cast<std::size_t>(slot.number)] =
                static_cast<std::int32_t>(ranking.alleles.size());
            append_text(slot, ranking.alleles);
        }
        ranking.gene_offsets.push_back(static_cast<std::int64_t>(ranking.alleles.size()));
    }
    return ranking;
}

std::size_t AlleleIndex::held_bytes() const noexcept {
    return slot_count_ * sizeof(Slot) + long_bytes_;
}

std::size_t AlleleIndex::peak_bytes(std::size_t more) const noexcept {
    // A table is made anew, twice as large, when its slots are five eighths full. A ranking
    // holds a number, an offset and the bytes of each allele, vectors grown by doubling.
    constexpr std::size_t kRankedBytes = sizeof(std::int32_t) + 2 * (sizeof(std::int64_t) + 15);
    const std::size_t alleles = static_cast<std::size_t>(size_) + more;
    const std::size_t slots =
        std::max(slot_count_, 16 * alleles / 5 + kFirstSlots * tables_.size());
    return slots * sizeof(Slot) + alleles * kRankedBytes + 2 * long_bytes_;
}

}  // namespace phylo
