#include "phylo/table_builder.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "phylo/errors.hpp"

namespace phylo {

namespace {

std::string row_name(const RowBatch& batch, std::size_t r) {
    return "row " + std::to_string(batch.first_row + static_cast<std::int64_t>(r));
}

void check_index(const RowBatch& batch, std::span<const std::int32_t> indices, std::size_t limit,
                 const char* what) {
    const auto outside = std::ranges::find_if(
        indices, [&](std::int32_t i) { return i < 0 || std::cmp_greater_equal(i, limit); });
    if (outside != indices.end()) {
        throw InputError(row_name(batch, static_cast<std::size_t>(outside - indices.begin())) +
                         ": " + what + " index " + std::to_string(*outside) + " is not in 0.." +
                         std::to_string(static_cast<std::int64_t>(limit) - 1));
    }
}

void check_length(const RowBatch& batch, std::size_t length) {
    if (length != batch.models.size()) {
        throw std::logic_error("a batch's arrays differ in length");
    }
}

void check_counts(const RowBatch& batch, std::span<const std::int64_t> counts) {
    for (std::size_t r = 0; r < counts.size(); ++r) {
        if (counts[r] < 0 || counts[r] > std::numeric_limits<std::int32_t>::max()) {
            throw InputError(row_name(batch, r) + ": count " + std::to_string(counts[r]) +
                             " is not in 0..2147483647");
        }
    }
}

void check_fractions(const RowBatch& batch, std::span<const double> values, const char* what) {
    for (std::size_t r = 0; r < values.size(); ++r) {
        if (!(values[r] >= 0.0 && values[r] <= 1.0)) {
            throw InputError(row_name(batch, r) + ": " + what + " " + std::to_string(values[r]) +
                             " is not in 0..1");
        }
    }
}

std::string place(const AlleleTable& table, std::int64_t model, std::int64_t gene) {
    return "model " + quoted(table.models[static_cast<std::size_t>(model)]) + ", gene " +
           quoted(table.genes[static_cast<std::size_t>(gene)]);
}

/// Fills a table's entries from rows in order of model and column.
class EntryWriter {
   public:
    EntryWriter(AlleleTable& table, std::size_t entries, bool with_probabilities)
        : table_(table), with_probabilities_(with_probabilities) {
        table_.indptr.assign(1, 0);
        table_.columns.reserve(entries);
        table_.counts.reserve(entries);
        table_.probabilities.reserve(with_probabilities ? entries : 0);
    }

    void put(std::int32_t model, std::int32_t column, std::int64_t count, double probability) {
        end_models_before(model);
        if (count > std::numeric_limits<std::int32_t>::max()) {
            throw InputError(entry_place(model, column) + ": an allele's count exceeds 2147483647");
        }
        // Above 1 by rounding alone is 1.
        if (probability > 1.0 + 1e-9) {
            throw InputError(entry_place(model, column) + ": an allele's probabilities add up to " +
                             std::to_string(probability));
        }
        table_.columns.push_back(column);
        table_.counts.push_back(static_cast<std::int32_t>(count));
        if (with_probabilities_) {
            table_.probabilities.push_back(std::min(probability, 1.0));
        }
    }

    void end_models_before(std::int64_t model) {
        while (std::cmp_less_equal(table_.indptr.size(), model)) {
            table_.indptr.push_back(table_.nnz());
        }
    }

   private:
    [[nodiscard]] std::string entry_place(std::int32_t model, std::int32_t column) const {
        const auto next = std::ranges::upper_bound(table_.gene_offsets, std::int64_t{column});
        return place(table_, model, next - table_.gene_offsets.begin() - 1);
    }

    AlleleTable& table_;
    bool with_probabilities_;
};

/// Makes hybrid cells of a table's cells that were given an undecided mass. Until then their
/// counts are draws, and their probabilities what is decided.
class HybridSettler {
   public:
    explicit HybridSettler(AlleleTable& table) : table_(table) {}

    /// `masses` ordered by model and gene, each cell once.
    void settle(const std::vector<HybridCell>& masses) {
        std::vector<HybridCell> hybrid;
        auto mass = masses.begin();
        for (std::int64_t m = 0; m < table_.n_models(); ++m) {
            for_each_cell(table_, m, [&](const Cell& cell) {
                // Masses of cells that have no entry are those of missing cells.
                while (mass != masses.end() &&
                       (mass->model < m || (mass->model == m && mass->gene < cell.gene))) {
                    ++mass;
                }
                if (mass != masses.end() && mass->model == m && mass->gene == cell.gene &&
                    is_hybrid(cell, mass->undecided)) {
                    hybrid.push_back(*mass);
                    convert(cell, mass->undecided);
                }
            });
        }
        table_.hybrid_cells = std::move(hybrid);
    }

   private:
    [[nodiscard]] bool is_hybrid(const Cell& cell, double undecided) const {
        const std::int64_t draws = probes_in(table_, cell);
        if (undecided == 0.0) {
            if (draws > 0) {
                throw InputError(place(table_, cell.model, cell.gene) + ": " +
                                 std::to_string(draws) + " draws in a cell without undecided mass");
            }
            return false;
        }
        const auto q = std::span(table_.probabilities);
        const bool any_decided =
            !q.empty() &&
            std::ranges::any_of(q.subspan(static_cast<std::size_t>(cell.begin),
                                          static_cast<std::size_t>(cell.end - cell.begin)),
                                [](double p) { return p > 0.0; });
        return any_decided || undecided < 1.0;
    }

    void convert(const Cell& cell, double undecided) {
        const auto entries = static_cast<std::size_t>(table_.nnz());
        table_.probabilities.resize(entries);
        table_.draws.resize(entries);
        table_.decided.resize(entries);
        const std::int64_t m = probes_in(table_, cell);
        for (auto e = static_cast<std::size_t>(cell.begin); std::cmp_less(e, cell.end); ++e) {
            table_.draws[e] = std::exchange(table_.counts[e], 0);
            table_.decided[e] = table_.probabilities[e];
            table_.probabilities[e] =
                hybrid_frequency(table_.decided[e], undecided, table_.draws[e], m);
        }
    }

    AlleleTable& table_;
};

void refuse_two_masses(const AlleleTable& table, const std::vector<HybridCell>& masses) {
    const auto two = std::ranges::adjacent_find(masses, [](const auto& a, const auto& b) {
        return a.model == b.model && a.gene == b.gene;
    });
    if (two != masses.end()) {
        throw InputError(place(table, two->model, two->gene) + ": its undecided mass is given as " +
                         std::to_string(two->undecided) + " and as " +
                         std::to_string(std::next(two)->undecided));
    }
}

/// Renumbers keys, then merges.
template <class Value>
void merge_renumbered(GatheredRows<Value>& gathered, const std::vector<std::int32_t>& position_of,
                      std::size_t models) {
    for (auto& row : gathered.rows()) {
        row.key = position_of[static_cast<std::size_t>(row.key)];
    }
    gathered.merge(models);
}

}  // namespace

void GatheredMasses::push(const HybridCell& cell) {
    constexpr std::size_t kSortAt = std::size_t{1} << 18;
    if (!cells_.empty() && cells_.back() == cell) {
        return;
    }
    cells_.push_back(cell);
    if (cells_.size() > std::max(kSortAt, 2 * sorted_)) {
        static_cast<void>(sorted());
    }
}

const std::vector<HybridCell>& GatheredMasses::sorted() {
    std::ranges::sort(cells_, {}, [](const HybridCell& cell) {
        return std::tuple(cell.model, cell.gene, cell.undecided);
    });
    const auto repeats = std::ranges::unique(cells_);
    cells_.erase(repeats.begin(), repeats.end());
    sorted_ = cells_.size();
    return cells_;
}

void TableBuilder::add_models(const StringList& names) {
    for (std::size_t i = 0; i < names.size(); ++i) {
        models_.push_back(names[i]);
    }
}

void TableBuilder::add_genes(const StringList& names) {
    for (std::size_t i = 0; i < names.size(); ++i) {
        genes_.push_back(names[i]);
    }
    alleles_.resize(genes_.size());
}

void TableBuilder::check(const RowBatch& batch) const {
    check_length(batch, batch.genes.size());
    check_length(batch, rows_in(batch.alleles));
    check_column(batch.alleles);
    check_index(batch, batch.models, models_.size(), "model");
    check_index(batch, batch.genes, genes_.size(), "gene");
}

/// Calls take(row, number of its allele) for each wanted row.
template <class Wanted, class Take>
void TableBuilder::number_alleles(const RowBatch& batch, Wanted&& wanted, Take&& take) {
    constexpr std::size_t kBlock = TextReader::kBlock;
    TextReader reader(batch.alleles);
    std::array<std::size_t, kBlock> rows{};
    std::array<std::int32_t, kBlock> genes{};
    std::array<std::string_view, kBlock> texts{};
    std::array<std::int32_t, kBlock> numbers{};
    for (std::size_t begin = 0; begin < batch.models.size(); begin += kBlock) {
        const std::size_t end = std::min(begin + kBlock, batch.models.size());
        const std::span<const std::string_view> block = reader.read(begin, end);
        std::size_t n = 0;
        for (std::size_t r = begin; r < end; ++r) {
            if (wanted(r)) {
                rows[n] = r;
                genes[n] = batch.genes[r];
                texts[n] = block[r - begin];
                ++n;
            }
        }
        const std::size_t good = alleles_.find_or_add(
            std::span(genes).first(n), std::span(texts).first(n), reader.readable_end(), numbers);
        if (good < n) {
            throw InputError(row_name(batch, rows[good]) +
                             ": the allele is not UTF-8 text (half a surrogate pair?)");
        }
        for (std::size_t i = 0; i < n; ++i) {
            take(rows[i], numbers[i]);
        }
    }
}

/// As number_alleles, but whole or not at all.
template <class Wanted, class Take>
void TableBuilder::take_rows(const RowBatch& batch, Wanted&& wanted, Take&& take) {
    const std::int64_t alleles = alleles_.size();
    const std::size_t counts = counts_.size();
    const std::size_t probabilities = probabilities_.size();
    try {
        number_alleles(batch, wanted, take);
    } catch (...) {
        alleles_.truncate(alleles);
        counts_.truncate(counts);
        probabilities_.truncate(probabilities);
        throw;
    }
}

void TableBuilder::add_counts(const RowBatch& batch, std::span<const std::int64_t> counts) {
    check(batch);
    check_length(batch, counts.empty() ? batch.models.size() : counts.size());
    check_counts(batch, counts);
    counts_.reserve(batch.models.size());
    take_rows(
        batch, [&](std::size_t r) { return counts.empty() || counts[r] > 0; },
        [&](std::size_t r, std::int32_t allele) {
            counts_.push(batch.models[r], allele, counts.empty() ? 1 : counts[r]);
        });
    counts_.merge_if_due(models_.size());
}

void TableBuilder::add_probabilities(const RowBatch& batch, std::span<const double> probabilities) {
    check(batch);
    check_length(batch, probabilities.size());
    check_fractions(batch, probabilities, "probability");
    probabilities_.reserve(batch.models.size());
    take_rows(
        batch, [&](std::size_t r) { return probabilities[r] > 0.0; },
        [&](std::size_t r, std::int32_t allele) {
            probabilities_.push(batch.models[r], allele, probabilities[r]);
        });
    probabilities_.merge_if_due(models_.size());
}

void TableBuilder::add_hybrid(const RowBatch& batch, std::span<const double> probabilities,
                              std::span<const std::int64_t> counts,
                              std::span<const double> undecided) {
    check(batch);
    check_length(batch, probabilities.size());
    check_length(batch, counts.size());
    check_length(batch, undecided.size());
    check_fractions(batch, probabilities, "probability");
    check_counts(batch, counts);
    check_fractions(batch, undecided, "undecided mass");
    counts_.reserve(batch.models.size());
    probabilities_.reserve(batch.models.size());
    take_rows(
        batch, [&](std::size_t r) { return probabilities[r] > 0.0 || counts[r] > 0; },
        [&](std::size_t r, std::int32_t allele) {
            if (counts[r] > 0) {
                counts_.push(batch.models[r], allele, counts[r]);
            }
            if (probabilities[r] > 0.0) {
                probabilities_.push(batch.models[r], allele, probabilities[r]);
            }
        });
    for (std::size_t r = 0; r < undecided.size(); ++r) {
        undecided_.push(
            {.model = batch.models[r], .gene = batch.genes[r], .undecided = undecided[r]});
    }
    counts_.merge_if_due(models_.size());
    probabilities_.merge_if_due(models_.size());
}

std::size_t TableBuilder::peak_bytes(std::size_t more) const noexcept {
    // Rows and, while they are merged, their copy; the table's entries, which take no more than
    // that copy did, come after it.
    const std::size_t peak = counts_.peak_bytes(more) + probabilities_.peak_bytes(more) +
                             alleles_.peak_bytes(more) + undecided_.peak_bytes(more);
    const std::size_t held = counts_.held_bytes() + probabilities_.held_bytes() +
                             alleles_.held_bytes() + undecided_.held_bytes();
    return peak > held ? peak - held : 0;
}

AlleleTable TableBuilder::finish() {
    AlleleTable table;
    AlleleIndex::Ranking ranking = alleles_.rank();
    alleles_ = AlleleIndex();
    merge_renumbered(counts_, ranking.position_of, models_.size());
    merge_renumbered(probabilities_, ranking.position_of, models_.size());
    table.models = std::move(models_);
    table.genes = std::move(genes_);
    table.alleles = std::move(ranking.alleles);
    table.gene_offsets = std::move(ranking.gene_offsets);
    const auto& counts = counts_.rows();
    const auto& probabilities = probabilities_.rows();
    EntryWriter writer(table, counts.size() + probabilities.size(), !probabilities.empty());
    const auto before = [](const auto& a, const auto& b) {
        return a.model != b.model ? a.model < b.model : a.key < b.key;
    };
    auto count = counts.begin();
    auto probability = probabilities.begin();
    while (count != counts.end() || probability != probabilities.end()) {
        const bool take_count = probability == probabilities.end() ||
                                (count != counts.end() && !before(*probability, *count));
        const bool take_probability =
            count == counts.end() ||
            (probability != probabilities.end() && !before(*count, *probability));
        const std::int32_t model = take_count ? count->model : probability->model;
        const std::int32_t column = take_count ? count->key : probability->key;
        writer.put(model, column, take_count ? (count++)->value : 0,
                   take_probability ? (probability++)->value : 0.0);
    }
    writer.end_models_before(table.n_models());
    const std::vector<HybridCell>& masses = undecided_.sorted();
    refuse_two_masses(table, masses);
    HybridSettler(table).settle(masses);
    *this = TableBuilder();
    check_cells(table);
    return table;
}

}  // namespace phylo
