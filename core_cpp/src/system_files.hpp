#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace phylo {

/// Opens a file by a UTF-8 path, on every system; null and errno where it cannot be.
[[nodiscard]] std::FILE* open_file(const std::string& path, bool for_writing);

/// Bytes of the file with a UTF-8 path. Throws std::filesystem::filesystem_error.
[[nodiscard]] std::uintmax_t size_of_file(const std::string& path);

/// Writes all bytes at a place of an open file, from any thread; the file's own position is of no
/// account. Throws std::system_error when the disk refuses.
void write_at(int file, const char* bytes, std::int64_t count, std::int64_t offset);

}  // namespace phylo
