#pragma once

#include <string>

#include "phylo/allele_table.hpp"

namespace phylo {

/// Version of the file format; readers also take those before, and refuse any other.
/// 2: hybrid cells. 1: sampled and exact cells.
inline constexpr unsigned kTableFormat = 2;

/// Writes a table and a text of the caller's (provenance, JSON) to a new file.
///
/// Layout, little-endian: magic "PHYLOTBL"; u32 format; u32 CRC-32 of all that follows;
/// eleven u64 sizes (nine in format 1); then the sections in the order of `AlleleTable`'s
/// members (up to `probabilities` in format 1) and the text, each padded to eight bytes. Throws
/// std::system_error when the disk refuses.
void write_table(const AlleleTable& table, const std::string& note, const std::string& path);

struct TableFile {
    AlleleTable table;
    std::string note;
};

/// Reads what write_table wrote. Sizes are checked against the file's before memory is
/// taken. Throws FormatError for a foreign, truncated or damaged file, std::system_error
/// when it cannot be read.
[[nodiscard]] TableFile read_table(const std::string& path);

}  // namespace phylo
