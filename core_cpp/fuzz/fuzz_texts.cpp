// Columns of alleles whose offsets, codes and bytes are anything at all: refused, or read without
// touching other memory, into what a plain map of texts gives.
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "fuzz.hpp"
#include "phylo/errors.hpp"
#include "phylo/table_builder.hpp"

namespace {

using namespace phylo;
using namespace phylo::fuzz;

/// UTF-8 as its definition has it: decode a code point, and its shortest form is these bytes.
bool slow_is_utf8(std::string_view text) {
    std::size_t at = 0;
    while (at < text.size()) {
        const auto lead = static_cast<std::uint8_t>(text[at]);
        const std::size_t length = lead < 0x80             ? 1
                                   : (lead & 0xE0) == 0xC0 ? 2
                                   : (lead & 0xF0) == 0xE0 ? 3
                                   : (lead & 0xF8) == 0xF0 ? 4
                                                           : 0;
        if (length == 0 || at + length > text.size()) {
            return false;
        }
        std::uint32_t point = length == 1 ? lead : lead & (0x7FU >> length);
        for (std::size_t i = 1; i < length; ++i) {
            const auto next = static_cast<std::uint8_t>(text[at + i]);
            if ((next & 0xC0) != 0x80) {
                return false;
            }
            point = point << 6U | (next & 0x3FU);
        }
        const std::size_t shortest = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
        if (length != shortest || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) {
            return false;
        }
        at += length;
    }
    return true;
}

std::optional<std::string> slow_encoding(std::span<const std::uint32_t> points) {
    while (!points.empty() && points.back() == 0) {
        points = points.first(points.size() - 1);
    }
    std::string text;
    for (const std::uint32_t point : points) {
        const auto put = [&](std::uint32_t byte) { text.push_back(static_cast<char>(byte)); };
        if (point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) {
            return std::nullopt;
        }
        if (point < 0x80) {
            put(point);
        } else if (point < 0x800) {
            put(0xC0 | point >> 6U);
            put(0x80 | (point & 0x3FU));
        } else if (point < 0x10000) {
            put(0xE0 | point >> 12U);
            put(0x80 | (point >> 6U & 0x3FU));
            put(0x80 | (point & 0x3FU));
        } else {
            put(0xF0 | point >> 18U);
            put(0x80 | (point >> 12U & 0x3FU));
            put(0x80 | (point >> 6U & 0x3FU));
            put(0x80 | (point & 0x3FU));
        }
    }
    return text;
}

/// A column that looks at memory of its own, of exactly its size.
struct Column {
    std::vector<std::int32_t> short_offsets;
    std::vector<std::int64_t> offsets;
    std::vector<std::uint32_t> points;
    std::vector<std::int32_t> codes;
    std::vector<char> bytes;
    AlleleColumn view;
    std::vector<std::optional<std::string>> texts;  ///< nothing where a text is none
    bool sound = true;
};

/// Offsets ascend mostly; now and then one is anything.
template <class Offset>
std::vector<Offset> drawn_offsets(Choices& choices, int rows, std::size_t bytes) {
    std::vector<Offset> offsets;
    Offset at = 0;
    for (int r = 0; r <= rows; ++r) {
        const int kind = choices.below(24);
        if (kind == 23) {
            offsets.push_back(static_cast<Offset>(choices.bytes(sizeof(Offset))));
            continue;
        }
        offsets.push_back(at);
        at = static_cast<Offset>(std::min<std::size_t>(bytes, static_cast<std::size_t>(at + kind)));
    }
    return offsets;
}

template <class Offset>
void read_texts(Column& column, const std::vector<Offset>& offsets) {
    const auto size = static_cast<Offset>(column.bytes.size());
    column.sound = offsets.front() >= 0 && offsets.back() <= size;
    for (std::size_t r = 0; r + 1 < offsets.size(); ++r) {
        column.sound = column.sound && offsets[r] >= 0 && offsets[r] <= offsets[r + 1] &&
                       offsets[r + 1] <= size;
        if (column.sound) {
            const std::string text(
                column.bytes.begin() + static_cast<std::ptrdiff_t>(offsets[r]),
                column.bytes.begin() + static_cast<std::ptrdiff_t>(offsets[r + 1]));
            column.texts.push_back(slow_is_utf8(text) ? std::optional(text) : std::nullopt);
        }
    }
}

void draw_dictionary(Column& column, Choices& choices, int rows, std::string_view bytes) {
    const int values = choices.below(20);
    column.offsets = drawn_offsets<std::int64_t>(choices, values, bytes.size());
    read_texts(column, column.offsets);
    const auto known = std::move(column.texts);
    column.texts.clear();
    for (int r = 0; r < rows; ++r) {
        const int code = choices.below(24);
        column.codes.push_back(code == 23 ? static_cast<std::int32_t>(choices.bytes(4)) : code);
        column.sound = column.sound && column.codes.back() >= 0 && column.codes.back() < values;
        if (column.sound) {
            column.texts.push_back(known[static_cast<std::size_t>(column.codes.back())]);
        }
    }
    column.view = DictionaryColumn{.codes = column.codes,
                                   .values = {.offsets = column.offsets, .bytes = bytes}};
}

void draw_points(Column& column, Choices& choices, int rows) {
    const int width = 1 + choices.below(5);
    for (int r = 0; r < rows; ++r) {
        for (int c = 0; c < width; ++c) {
            column.points.push_back(static_cast<std::uint32_t>(choices.bytes(choices.below(5))));
        }
        column.texts.push_back(
            slow_encoding(std::span(column.points).last(static_cast<std::size_t>(width))));
    }
    column.view = Ucs4Column{.characters = column.points, .width = static_cast<std::size_t>(width)};
}

void draw(Column& column, Choices& choices, int rows) {
    for (int i = choices.below(64); i > 0; --i) {
        column.bytes.push_back(static_cast<char>(choices.byte()));
    }
    const std::string_view bytes(column.bytes.data(), column.bytes.size());
    switch (choices.below(4)) {
        case 0:
            column.short_offsets = drawn_offsets<std::int32_t>(choices, rows, bytes.size());
            read_texts(column, column.short_offsets);
            column.view = Utf8Column<std::int32_t>{.offsets = column.short_offsets, .bytes = bytes};
            break;
        case 1:
            column.offsets = drawn_offsets<std::int64_t>(choices, rows, bytes.size());
            read_texts(column, column.offsets);
            column.view = Utf8Column<std::int64_t>{.offsets = column.offsets, .bytes = bytes};
            break;
        case 2:
            draw_dictionary(column, choices, rows, bytes);
            break;
        default:
            draw_points(column, choices, rows);
    }
}

using Counts = std::map<std::tuple<int, int, std::string>, std::int64_t>;

Counts counts_of(const AlleleTable& table) {
    Counts counts;
    for (std::int64_t m = 0; m < table.n_models(); ++m) {
        for_each_cell(table, m, [&](const Cell& cell) {
            for (std::int64_t e = cell.begin; e < cell.end; ++e) {
                const auto entry = static_cast<std::size_t>(e);
                const auto allele = static_cast<std::size_t>(table.columns[entry]);
                counts[{static_cast<int>(m), static_cast<int>(cell.gene),
                        std::string(table.alleles[allele])}] = table.counts[entry];
            }
        });
    }
    return counts;
}

StringList names(int count) {
    StringList list;
    for (int i = 0; i < count; ++i) {
        list.push_back(std::to_string(i));
    }
    return list;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view whole(reinterpret_cast<const char*>(data), size);
    require(is_utf8(whole) == slow_is_utf8(whole), "is_utf8 is what the definition says");

    Choices choices({data, size});
    constexpr int kModels = 5;
    constexpr int kGenes = 3;
    TableBuilder builder;
    builder.add_models(names(kModels));
    builder.add_genes(names(kGenes));
    Counts expected;
    while (!choices.empty()) {
        const int rows = choices.below(choices.below(8) == 0 ? 200 : 9);
        Column column;
        draw(column, choices, rows);
        std::vector<std::int32_t> models;
        std::vector<std::int32_t> genes;
        bool inside = true;
        for (int r = 0; r < rows; ++r) {
            models.push_back(choices.below(32) == 31 ? choices.byte() - 128
                                                     : choices.below(kModels));
            genes.push_back(choices.below(32) == 31 ? choices.byte() - 128 : choices.below(kGenes));
            inside = inside && models.back() >= 0 && models.back() < kModels && genes.back() >= 0 &&
                     genes.back() < kGenes;
        }
        const bool texts =
            std::ranges::all_of(column.texts, [](const auto& t) { return t.has_value(); });
        bool taken = true;
        try {
            builder.add_counts({.models = models, .genes = genes, .alleles = column.view}, {});
        } catch (const InputError&) {
            taken = false;
        } catch (const std::logic_error&) {
            taken = false;
        }
        require(taken == (column.sound && inside && texts), "sound batches are taken, others not");
        for (int r = 0; taken && r < rows; ++r) {
            const auto row = static_cast<std::size_t>(r);
            if (const auto& text = column.texts[row]) {
                expected[{models[row], genes[row], *text}] += 1;
            }
        }
    }
    const AlleleTable table = builder.finish();
    check_invariants(table);
    require(counts_of(table) == expected, "counts are those of the rows");
    return 0;
}
