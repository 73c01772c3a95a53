#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "make_table.hpp"
#include "phylo/errors.hpp"
#include "phylo/table_file.hpp"

using namespace phylo;
using namespace phylo::testing;

namespace {

/// A path in the temporary folder, removed at the end.
class TemporaryFile {
   public:
    TemporaryFile()
        : path_((std::filesystem::temp_directory_path() /
                 ("phylo_test_" + std::to_string(reinterpret_cast<std::uintptr_t>(this))))
                    .string()) {}
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile() { static_cast<void>(std::remove(path_.c_str())); }
    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::string bytes() const {
        std::ifstream in(path_, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    void set_bytes(const std::string& bytes) const {
        std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
    }

   private:
    std::string path_;
};

}  // namespace

TEST_CASE("what is written is read") {
    const TemporaryFile file;
    const AlleleTable table = make_table(8, 5, random_rows(8, 5, 4, 7));
    write_table(table, "{\"note\": 1}", file.path());
    const TableFile read = read_table(file.path());
    CHECK(read.table == table);
    CHECK(read.note == "{\"note\": 1}");
    CHECK(file.bytes().size() % 8 == 0);
}

TEST_CASE("truncated, damaged and foreign files are refused") {
    const TemporaryFile file;
    write_table(make_table(2, 2, {{0, 0, "a"}, {1, 1, "bc"}}), "", file.path());
    const std::string whole = file.bytes();
    for (std::size_t size = 0; size < whole.size(); ++size) {
        file.set_bytes(whole.substr(0, size));
        CHECK_THROWS_AS(static_cast<void>(read_table(file.path())), FormatError);
    }
    for (std::size_t i = 0; i < whole.size(); ++i) {
        std::string damaged = whole;
        damaged[i] = static_cast<char>(damaged[i] ^ 0x40);
        file.set_bytes(damaged);
        CHECK_THROWS_AS(static_cast<void>(read_table(file.path())), FormatError);
    }
    CHECK_THROWS_AS(static_cast<void>(read_table(file.path() + ".none")), std::system_error);
}
