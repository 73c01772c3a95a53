// Writes the first inputs of fuzz_table_file into a folder: tables of each kind of cell, one
// without anything, one of names alone, and one of the format before.
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "fuzz.hpp"
#include "make_table.hpp"
#include "phylo/table_file.hpp"

namespace {

using namespace phylo;
using namespace phylo::testing;

AlleleTable exact_table() {
    const std::array<double, 4> probabilities = {0.5, 0.25, 0.75, 1.0};
    const Batch batch({{0, 0, "a"}, {0, 0, "b"}, {1, 0, "a"}, {2, 1, "\xC3\xA9"}});
    TableBuilder builder;
    builder.add_models(names("m", 3));
    builder.add_genes(names("g", 2));
    builder.add_probabilities(batch.view(), probabilities);
    return builder.finish();
}

AlleleTable hybrid_table() {
    const std::array<double, 5> probabilities = {0.5, 0.0, 0.25, 0.0, 0.5};
    const std::array<std::int64_t, 5> counts = {0, 2, 1, 3, 0};
    const std::array<double, 5> undecided = {0.5, 0.5, 0.75, 1.0, 0.0};
    const Batch batch({{0, 0, "a"}, {0, 0, "b"}, {1, 0, "a"}, {1, 1, "c"}, {0, 1, "c"}});
    TableBuilder builder;
    builder.add_models(names("m", 2));
    builder.add_genes(names("g", 2));
    builder.add_hybrid(batch.view(), probabilities, counts, undecided);
    return builder.finish();
}

/// A table without hybrid cells as format 1 has it: two sizes fewer.
void write_format_1(const std::filesystem::path& from, const std::filesystem::path& to) {
    std::ifstream in(from, std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    constexpr std::size_t header = 16;
    bytes.erase(header + 9 * sizeof(std::uint64_t), 2 * sizeof(std::uint64_t));
    // Texts without bytes and an empty list of draws take none: the sections are the same.
    bytes[8] = 1;
    const std::uint32_t checksum = fuzz::slow_crc32(
        {reinterpret_cast<const std::uint8_t*>(bytes.data()) + header, bytes.size() - header});
    std::memcpy(bytes.data() + header - sizeof checksum, &checksum, sizeof checksum);
    std::ofstream(to, std::ios::binary) << bytes;
}

}  // namespace

int main(int argc, char* const* argv) {
    if (argc != 2) {
        return 2;
    }
    const std::filesystem::path folder = argv[1];
    std::filesystem::create_directories(folder);
    const auto write = [&](const AlleleTable& table, const char* name) {
        write_table(table, "{\"note\": 1}", (folder / name).string());
    };
    write(make_table(0, 0, {}), "empty");
    write(make_table(2, 2, {{0, 0, "a"}, {1, 1, "bc"}}), "small");
    write(make_table(9, 4, random_rows(9, 4, 5, 1)), "counts");
    write(make_table(2, 1, {{0, 0, "a", 40'000}, {1, 0, "a", 2'000'000'000}}), "large_counts");
    write(make_table(400, 400, {}), "names");
    write(exact_table(), "exact");
    write(hybrid_table(), "hybrid");
    write_format_1(folder / "counts", folder / "format_1");
    write_format_1(folder / "exact", folder / "format_1_exact");
    return 0;
}
