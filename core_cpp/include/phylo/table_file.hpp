#pragma once

#include <string>

#include "phylo/allele_table.hpp"

namespace phylo {

/// Version of the file format; readers refuse any other.
inline constexpr unsigned kTableFormat = 1;

/// Writes a table and a text of the caller's (provenance, JSON) to a new file.
///
/// Layout, little-endian: magic "PHYLOTBL"; u32 format; u32 CRC-32 of all that follows;
/// nine u64 sizes; then the sections in the order of `AlleleTable`'s members, each
/// padded to eight bytes. Throws std::system_error when the disk refuses.
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
