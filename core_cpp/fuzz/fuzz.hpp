// What the fuzz targets share. Each target is one LLVMFuzzerTestOneInput: libFuzzer runs it, or
// driver.cpp where there is no libFuzzer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "phylo/allele_table.hpp"

namespace phylo::fuzz {

/// Ends the process, so that the fuzzer keeps the input, where something promised does not hold.
void require(bool holds, std::string_view what);

/// While it lives, the process ends where the memory taken by `new` since then exceeds `most`.
class MemoryLimit {
   public:
    explicit MemoryLimit(std::size_t most) noexcept;
    ~MemoryLimit();
    MemoryLimit(const MemoryLimit&) = delete;
    MemoryLimit& operator=(const MemoryLimit&) = delete;

    /// The most that was taken at once since the limit was set.
    [[nodiscard]] static std::size_t peak() noexcept;
};

/// A file without a place in any folder.
class MemoryFile {
   public:
    MemoryFile();
    ~MemoryFile();
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;

    void set_bytes(std::span<const std::uint8_t> bytes) const;
    [[nodiscard]] std::string path() const;

   private:
    int descriptor_;
};

/// An input as the choices that a target makes of it; zeros once it is used up.
class Choices {
   public:
    explicit Choices(std::span<const std::uint8_t> bytes) noexcept : bytes_(bytes) {}

    [[nodiscard]] bool empty() const noexcept { return bytes_.empty(); }
    [[nodiscard]] std::uint8_t byte() noexcept;
    [[nodiscard]] std::uint64_t bytes(int count) noexcept;
    /// In 0..end, end at most 256.
    [[nodiscard]] int below(int end) noexcept { return byte() % end; }
    /// Up to 15 bytes of any kind, or up to 255 of the same.
    [[nodiscard]] std::string text();

   private:
    std::span<const std::uint8_t> bytes_;
};

/// CRC-32 (IEEE 802.3), a bit a step: the oracle of the table file's.
[[nodiscard]] std::uint32_t slow_crc32(std::span<const std::uint8_t> bytes) noexcept;

/// Requires of a table that opened or was built: its invariants hold, the tables made of it too,
/// and every kernel, on each instruction set and some thread numbers, gives what slow sums give.
/// Tables of many models or columns are looked at without kernels.
void exercise(const AlleleTable& table);

}  // namespace phylo::fuzz
