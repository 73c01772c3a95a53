// Any bytes as an allele table's file: refused with FormatError, or a table that is whole and safe
// in every kernel, in memory that is bounded by the file's size.
#include <algorithm>
#include <cstring>
#include <string_view>

#include "fuzz.hpp"
#include "phylo/errors.hpp"
#include "phylo/table_file.hpp"

namespace {

using namespace phylo;
using namespace phylo::fuzz;

/// What reading takes, as a multiple of the file's size, and beside it.
constexpr std::size_t kMultiple = 8;
constexpr std::size_t kBeside = std::size_t{16} << 10U;

constexpr std::string_view kMagic = "PHYLOTBL";
constexpr std::size_t kChecksumAt = 12;
constexpr std::size_t kHeader = 16;

}  // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

/// Most changed inputs get the checksum that belongs to them: else nothing behind it were reached.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed) {
    std::size_t changed = LLVMFuzzerMutate(data, size, most);
    if (seed % 16 != 0 && changed >= kHeader) {
        changed -= changed % 8;  // a file is whole words
        std::ranges::copy(kMagic, data);
        const std::uint32_t checksum = slow_crc32({data + kHeader, changed - kHeader});
        std::memcpy(data + kChecksumAt, &checksum, sizeof checksum);
    }
    return changed;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const MemoryFile file;
    static const MemoryFile copy;
    file.set_bytes({data, size});
    TableFile read;
    try {
        const MemoryLimit limit(kMultiple * size + kBeside);
        read = read_table(file.path());
    } catch (const FormatError&) {
        return 0;
    }
    write_table(read.table, read.note, copy.path());
    const TableFile again = read_table(copy.path());
    require(again.table == read.table && again.note == read.note, "what is written is read");
    exercise(read.table);
    return 0;
}
