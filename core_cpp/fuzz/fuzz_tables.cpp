// Tables of any shape, built from rows that an input stands for: counts, probabilities and hybrid
// cells, some of them nonsense. What is built holds its invariants, survives its file, and gives
// in every kernel what slow sums give.
#include <array>
#include <bit>
#include <limits>
#include <map>
#include <vector>

#include "fuzz.hpp"
#include "phylo/errors.hpp"
#include "phylo/table_builder.hpp"
#include "phylo/table_file.hpp"

namespace {

using namespace phylo;
using namespace phylo::fuzz;

StringList names(int count) {
    StringList list;
    for (int i = 0; i < count; ++i) {
        list.push_back(std::to_string(i));
    }
    return list;
}

std::int64_t drawn_count(Choices& choices) {
    constexpr std::array<std::int64_t, 12> border = {
        0,     -1,    127,     128,        255,        256,
        32767, 32768, 3037000, 2147483647, 2147483648, std::numeric_limits<std::int64_t>::min()};
    const int kind = choices.below(64);
    return kind < 52 ? 1 + kind % 5 : border[static_cast<std::size_t>(kind - 52)];
}

double drawn_fraction(Choices& choices) {
    const int kind = choices.below(32);
    if (kind == 31) {
        return std::bit_cast<double>(choices.bytes(8));
    }
    return kind == 30 ? 5e-324 : kind / 16.0 / 4.0;
}

struct Rows {
    std::vector<std::int32_t> models;
    std::vector<std::int32_t> genes;
    std::vector<std::int64_t> offsets{0};
    std::string bytes;
    std::vector<std::int64_t> counts;
    std::vector<double> probabilities;
    std::vector<double> undecided;

    Rows(Choices& choices, int n_models, int n_genes, bool odd_texts) {
        for (int r = choices.byte(); r > 0 && !choices.empty(); --r) {
            models.push_back(choices.below(n_models));
            genes.push_back(choices.below(n_genes));
            bytes += odd_texts ? choices.text()
                               : std::string(1, static_cast<char>('a' + choices.below(26)));
            offsets.push_back(static_cast<std::int64_t>(bytes.size()));
            counts.push_back(drawn_count(choices));
            probabilities.push_back(drawn_fraction(choices));
            undecided.push_back(0.25 * choices.below(5));
        }
    }
    [[nodiscard]] RowBatch batch() const {
        return {.models = models,
                .genes = genes,
                .alleles = Utf8Column<std::int64_t>{.offsets = offsets, .bytes = bytes}};
    }
};

void add(TableBuilder& builder, const Rows& rows, int kind) {
    const RowBatch batch = rows.batch();
    if (kind == 0) {
        builder.add_hybrid(batch, rows.probabilities, rows.counts, rows.undecided);
    } else if (kind == 1) {
        builder.add_probabilities(batch, rows.probabilities);
    } else if (kind == 2) {
        builder.add_counts(batch, {});
    } else {
        builder.add_counts(batch, rows.counts);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Choices choices({data, size});
    const int models = 1 + choices.below(12);
    const int genes = 1 + choices.below(9);
    const bool odd_texts = choices.below(4) == 0;
    TableBuilder builder;
    builder.add_models(names(models));
    builder.add_genes(names(genes));
    while (!choices.empty()) {
        const int kind = choices.below(6);
        const Rows rows(choices, models, genes, odd_texts);
        try {
            add(builder, rows, kind);
        } catch (const InputError&) {
            continue;  // the batch was refused whole
        }
    }
    AlleleTable table;
    try {
        table = builder.finish();
    } catch (const InputError&) {
        return 0;
    }
    static const MemoryFile file;
    write_table(table, "", file.path());
    require(read_table(file.path()).table == table, "what is written is read");
    exercise(table);
    return 0;
}
