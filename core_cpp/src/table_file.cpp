#include "phylo/table_file.hpp"

#include <array>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <system_error>
#include <utility>

#include "phylo/errors.hpp"
#include "system_files.hpp"

static_assert(std::endian::native == std::endian::little,
              "the table file is little-endian; a big-endian build needs byte swaps here");

namespace phylo {

static_assert(sizeof(HybridCell) == 16, "hybrid cells are written as they lie in memory");

namespace {

constexpr std::array<char, 8> kMagic = {'P', 'H', 'Y', 'L', 'O', 'T', 'B', 'L'};
constexpr std::size_t kSizes = 11;
constexpr std::size_t kSizesInFormat1 = 9;
constexpr std::size_t kHeader = kMagic.size() + 2 * sizeof(std::uint32_t);

using CrcTables = std::array<std::array<std::uint32_t, 256>, 8>;
constexpr CrcTables make_crc_tables() {
    CrcTables tables{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t crc = i;
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0xEDB88320U : 0U);
        }
        tables[0][i] = crc;
    }
    for (std::size_t t = 1; t < 8; ++t) {
        for (std::size_t i = 0; i < 256; ++i) {
            const std::uint32_t previous = tables[t - 1][i];
            tables[t][i] = tables[0][previous & 0xFFU] ^ (previous >> 8);
        }
    }
    return tables;
}
constexpr CrcTables kCrc = make_crc_tables();

/// CRC-32 (IEEE 802.3, reflected), eight bytes a step.
class Crc32 {
   public:
    void update(const void* data, std::size_t size) noexcept {
        const auto* bytes = static_cast<const unsigned char*>(data);
        for (; size >= 8; size -= 8, bytes += 8) {
            std::uint32_t low = 0;
            std::uint32_t high = 0;
            std::memcpy(&low, bytes, 4);
            std::memcpy(&high, bytes + 4, 4);
            low ^= state_;
            state_ = kCrc[7][low & 0xFFU] ^ kCrc[6][(low >> 8) & 0xFFU] ^
                     kCrc[5][(low >> 16) & 0xFFU] ^ kCrc[4][low >> 24] ^ kCrc[3][high & 0xFFU] ^
                     kCrc[2][(high >> 8) & 0xFFU] ^ kCrc[1][(high >> 16) & 0xFFU] ^
                     kCrc[0][high >> 24];
        }
        for (; size > 0; --size, ++bytes) {
            state_ = kCrc[0][(state_ ^ *bytes) & 0xFFU] ^ (state_ >> 8);
        }
    }
    [[nodiscard]] std::uint32_t value() const noexcept { return ~state_; }

   private:
    std::uint32_t state_ = 0xFFFFFFFFU;
};

struct CloseFile {
    void operator()(std::FILE* file) const noexcept { static_cast<void>(std::fclose(file)); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

[[noreturn]] void throw_errno(const std::string& path) {
    throw std::system_error(errno, std::generic_category(), path);
}

constexpr std::size_t padding(std::size_t size) noexcept { return (8 - size % 8) % 8; }

class Writer {
   public:
    explicit Writer(const std::string& path) : path_(path), file_(open_file(path, true)) {
        if (!file_) {
            throw_errno(path_);
        }
        put(kMagic.data(), kMagic.size());
        const std::array<std::uint32_t, 2> format_and_checksum = {kTableFormat, 0};
        put(format_and_checksum.data(), sizeof format_and_checksum);
    }
    void section(const void* data, std::size_t size) {
        constexpr std::array<char, 8> zeros{};
        put_checked(data, size);
        put_checked(zeros.data(), padding(size));
    }
    template <class T>
    void section(const std::vector<T>& values) {
        section(values.data(), values.size() * sizeof(T));
    }
    void section(const StringList& strings) {
        section(strings.offsets());
        section(strings.bytes().data(), strings.bytes().size());
    }
    void close() {
        const std::uint32_t checksum = crc_.value();
        if (std::fseek(file_.get(), static_cast<long>(kHeader - sizeof checksum), SEEK_SET) != 0) {
            throw_errno(path_);
        }
        put(&checksum, sizeof checksum);
        if (std::fclose(file_.release()) != 0) {
            throw_errno(path_);
        }
    }

   private:
    void put_checked(const void* data, std::size_t size) {
        crc_.update(data, size);
        put(data, size);
    }
    void put(const void* data, std::size_t size) {
        if (size > 0 && std::fwrite(data, 1, size, file_.get()) != size) {
            throw_errno(path_);
        }
    }
    std::string path_;
    File file_;
    Crc32 crc_;
};

class Reader {
   public:
    explicit Reader(const std::string& path) : path_(path), file_(open_file(path, false)) {
        if (!file_) {
            throw_errno(path_);
        }
        left_ = size_of_file(path);
        std::array<char, 8> magic{};
        std::array<std::uint32_t, 2> format_and_checksum{};
        if (left_ < kHeader) {
            refuse("it is too short to be one");
        }
        take(magic.data(), magic.size());
        if (magic != kMagic) {
            refuse("it begins with other bytes");
        }
        take(format_and_checksum.data(), sizeof format_and_checksum);
        format_ = format_and_checksum[0];
        if (format_ < 1) {
            refuse("it is damaged: its format version is 0");
        }
        if (format_ > kTableFormat) {
            throw FormatError("allele table '" + path_ + "' has format version " +
                              std::to_string(format_) + "; this pyphylo reads 1 to " +
                              std::to_string(kTableFormat) +
                              ": upgrade with pip install --upgrade pyphylo");
        }
        expected_ = format_and_checksum[1];
    }
    [[nodiscard]] unsigned format() const noexcept { return format_; }
    void section(void* data, std::size_t size) {
        std::array<char, 8> padded{};
        take_checked(data, size);
        take_checked(padded.data(), padding(size));
    }
    template <class T>
    [[nodiscard]] std::vector<T> values(std::uint64_t count) {
        require_left(count, sizeof(T));
        std::vector<T> out(count);
        section(out.data(), out.size() * sizeof(T));
        return out;
    }
    [[nodiscard]] std::string text(std::uint64_t size) {
        require_left(size, 1);
        std::string out(size, '\0');
        section(out.data(), out.size());
        return out;
    }
    [[nodiscard]] StringList strings(std::uint64_t count, std::uint64_t bytes) {
        if (count == std::numeric_limits<std::uint64_t>::max()) {
            refuse("it is damaged");
        }
        auto offsets = values<std::int64_t>(count + 1);
        auto joined = text(bytes);
        bool ascending = offsets.front() == 0 && std::cmp_equal(offsets.back(), bytes);
        for (std::size_t i = 1; i < offsets.size(); ++i) {
            ascending = ascending && offsets[i - 1] <= offsets[i];
        }
        if (!ascending) {
            refuse("it is damaged: string offsets");
        }
        return {std::move(offsets), std::move(joined)};
    }
    void finish() {
        if (left_ != 0) {
            refuse("it is longer than it says");
        }
        if (crc_.value() != expected_) {
            refuse("it is damaged: its checksum differs");
        }
    }
    [[noreturn]] void refuse(const std::string& why) const {
        throw FormatError("'" + path_ + "' is not a whole pyphylo allele table: " + why);
    }

   private:
    void require_left(std::uint64_t count, std::uint64_t size) const {
        if (count > left_ / size) {
            refuse("it is truncated");
        }
    }
    void take_checked(void* data, std::size_t size) {
        require_left(size, 1);
        take(data, size);
        crc_.update(data, size);
    }
    void take(void* data, std::size_t size) {
        if (size > 0 && std::fread(data, 1, size, file_.get()) != size) {
            if (std::ferror(file_.get()) != 0) {
                throw_errno(path_);
            }
            refuse("it is truncated");
        }
        left_ -= size;
    }
    std::string path_;
    File file_;
    std::uintmax_t left_ = 0;
    std::uint32_t format_ = 0;
    std::uint32_t expected_ = 0;
    Crc32 crc_;
};

}  // namespace

void write_table(const AlleleTable& table, const std::string& note, const std::string& path) {
    Writer writer(path);
    const std::array<std::uint64_t, kSizes> sizes = {
        table.models.size(),        table.models.bytes().size(), table.genes.size(),
        table.genes.bytes().size(), table.alleles.size(),        table.alleles.bytes().size(),
        table.columns.size(),       table.probabilities.size(),  note.size(),
        table.draws.size(),         table.hybrid_cells.size(),
    };
    writer.section(sizes.data(), sizeof sizes);
    writer.section(table.models);
    writer.section(table.genes);
    writer.section(table.alleles);
    writer.section(table.gene_offsets);
    writer.section(table.indptr);
    writer.section(table.columns);
    writer.section(table.counts);
    writer.section(table.probabilities);
    writer.section(table.draws);
    writer.section(table.decided);
    writer.section(table.hybrid_cells);
    writer.section(note.data(), note.size());
    writer.close();
}

TableFile read_table(const std::string& path) {
    Reader reader(path);
    std::array<std::uint64_t, kSizes> sizes{};
    // Format 1 ends its sizes earlier: those of what it did not have stay zero.
    const std::size_t n_sizes = reader.format() == 1 ? kSizesInFormat1 : kSizes;
    reader.section(sizes.data(), n_sizes * sizeof sizes[0]);
    TableFile file;
    AlleleTable& table = file.table;
    table.models = reader.strings(sizes[0], sizes[1]);
    table.genes = reader.strings(sizes[2], sizes[3]);
    table.alleles = reader.strings(sizes[4], sizes[5]);
    table.gene_offsets = reader.values<std::int64_t>(sizes[2] + 1);
    table.indptr = reader.values<std::int64_t>(sizes[0] + 1);
    table.columns = reader.values<std::int32_t>(sizes[6]);
    table.counts = reader.values<std::int32_t>(sizes[6]);
    table.probabilities = reader.values<double>(sizes[7]);
    table.draws = reader.values<std::int32_t>(sizes[9]);
    table.decided = reader.values<double>(sizes[9]);
    table.hybrid_cells = reader.values<HybridCell>(sizes[10]);
    file.note = reader.text(sizes[8]);
    reader.finish();
    check_invariants(table);
    return file;
}

}  // namespace phylo
