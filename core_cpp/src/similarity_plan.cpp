#include "phylo/similarity_plan.hpp"

#include <algorithm>
#include <limits>

#include "phylo/errors.hpp"

namespace phylo {

namespace {

std::size_t index(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

/// Seconds of one thread, in round numbers, as measured on processors of 2024. The plan needs
/// their ratios only.
constexpr double kStepSeconds = 0.8e-9;  ///< one pair of models that share a rare column
constexpr double kEntrySeconds = 12e-9;  ///< starting on one model's list of a rare column
constexpr double kPackSeconds = 1.5e-9;  ///< writing one count into a panel
/// Multiply-adds of doubles a second, the same for every instruction set: the border between
/// dense and rare columns fixes the order of the sums, hence the bits of a float table.
constexpr double kFrequencyRate = 25e9;

/// Groups that a tile goes through at once: what it reads of the columns stays in a cache.
constexpr std::int64_t kChunkGroups = 512;
/// A chunk of doubles: short sums have small errors.
constexpr std::int64_t kFrequencyChunk = 256;

constexpr std::int64_t kMostIn32Bits = std::numeric_limits<std::int32_t>::max();

Arithmetic arithmetic_for(const TableScan& scan) noexcept {
    if (!scan.integer) {
        return Arithmetic::frequency;
    }
    const std::int64_t largest = std::max(scan.largest_row_count, scan.largest_column_count);
    if (largest <= 127) {
        return Arithmetic::u8;
    }
    return largest <= 32767 ? Arithmetic::i16 : Arithmetic::wide;
}

double products_a_second(const KernelSet& kernels, Arithmetic arithmetic) noexcept {
    switch (arithmetic) {
        case Arithmetic::u8:
            return kernels.u8_rate;
        case Arithmetic::i16:
            return kernels.i16_rate;
        default:
            return kFrequencyRate;
    }
}

/// Holders of a column among rows and among columns; the same number in a square call.
struct Holders {
    std::int64_t rows;
    std::int64_t columns;
};

/// Pairs that whole tiles compute: about half a tile more a row than wanted in a square call, and
/// what pads rows and columns.
double computed_pairs(const Pairs& pairs) noexcept {
    const auto padded = [](std::int64_t models, std::int64_t to) {
        const std::int64_t whole = (models + to - 1) / to * to;
        return static_cast<double>(whole);
    };
    const double rows = padded(pairs.rows(), kTileRows);
    const double columns = padded(pairs.columns(), kTileColumns);
    constexpr double half = static_cast<double>(kTileColumns + kTileRows) / 2;
    return pairs.symmetric ? rows * std::min(columns, columns / 2 + half) : rows * columns;
}

/// What columns cost either way.
class Costs {
   public:
    Costs(const Pairs& pairs, const KernelSet& kernels, Arithmetic arithmetic)
        : symmetric_(pairs.symmetric),
          dense_(computed_pairs(pairs) / products_a_second(kernels, arithmetic)) {}

    [[nodiscard]] std::int64_t steps(Holders holders) const noexcept {
        return symmetric_ ? holders.rows * (holders.rows - 1) / 2 : holders.rows * holders.columns;
    }
    /// Of some columns with some entries together.
    [[nodiscard]] double dense(std::int64_t columns, std::int64_t entries) const noexcept {
        return dense_ * static_cast<double>(columns) + kPackSeconds * static_cast<double>(entries);
    }
    [[nodiscard]] static double rare(std::int64_t steps, std::int64_t entries) noexcept {
        return kStepSeconds * static_cast<double>(steps) +
               kEntrySeconds * static_cast<double>(entries);
    }
    [[nodiscard]] bool prefers_dense(Holders holders) const noexcept {
        const std::int64_t entries = holders.rows + (symmetric_ ? 0 : holders.columns);
        return dense(1, entries) <= rare(steps(holders), entries);
    }

   private:
    bool symmetric_;
    double dense_;
};

/// Gives the dense columns their places in the panels, cut into chunks whose sums fit 32 bits.
class Layout {
   public:
    explicit Layout(SimilarityPlan& plan)
        : plan_(plan), per_group_(columns_a_group(plan.arithmetic)) {
        plan_.chunks.push_back(0);
    }

    /// Whether columns of a gene whose sums have this bound can be dense at all.
    [[nodiscard]] bool may_be_dense(std::int64_t bound) const noexcept {
        return plan_.arithmetic != Arithmetic::wide && (!plan_.long_sums || bound <= kMostIn32Bits);
    }

    /// Places one after the other for the dense columns of the next gene; gives the first.
    std::int64_t take(std::int64_t columns, std::int64_t bound) {
        if (plan_.long_sums && may_be_dense(bound)) {
            if (bound_ + bound > kMostIn32Bits) {
                end_chunk();
            }
            bound_ += bound;
        }
        const std::int64_t longest =
            (plan_.arithmetic == Arithmetic::frequency ? kFrequencyChunk : kChunkGroups) *
            per_group_;
        const std::int64_t first = places_;
        for (std::int64_t left = columns; left > 0;) {
            std::int64_t room = plan_.chunks.back() * per_group_ + longest - places_;
            if (room == 0) {
                plan_.chunks.push_back(places_ / per_group_);
                room = longest;
            }
            const std::int64_t taken = std::min(left, room);
            places_ += taken;
            left -= taken;
        }
        plan_.dense_columns += columns;
        return first;
    }

    void finish() { end_chunk(); }

   private:
    void end_chunk() {
        places_ = (places_ + per_group_ - 1) / per_group_ * per_group_;
        bound_ = 0;
        if (places_ > plan_.chunks.back() * per_group_) {
            plan_.chunks.push_back(places_ / per_group_);
        }
    }

    SimilarityPlan& plan_;
    std::int64_t per_group_;
    std::int64_t places_ = 0;
    std::int64_t bound_ = 0;  ///< of the sums of the last chunk
};

void refuse_inexact(std::int64_t bound) {
    if (bound > kExactLimit) {
        const bool known = bound != std::numeric_limits<std::int64_t>::max();
        throw InputError("the numerators of this table may reach " +
                         (known ? std::to_string(bound) : std::string("2^63")) +
                         ", above 2^53, and would not be exact: use fewer probes or genes");
    }
}

/// Holders from which a column of a square call is dense.
std::int64_t least_holders(const Pairs& pairs, const Costs& costs) noexcept {
    std::int64_t low = 2;
    std::int64_t high = std::max<std::int64_t>(2, pairs.rows()) + 1;
    while (low < high) {  // rare - dense grows with the holders
        const std::int64_t middle = (low + high) / 2;
        if (costs.prefers_dense({.rows = middle, .columns = middle})) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/// The columns of a gene by where they go.
struct GeneColumns {
    std::int64_t dense = 0;
    std::int64_t rare = 0;
    std::int64_t dense_entries = 0;  ///< holders; those of rows and of columns in a call of both
    std::int64_t rare_rows = 0;
    std::int64_t rare_columns = 0;
    std::int64_t rare_steps = 0;
};

/// Decides where columns go, gene by gene; one for each thread.
class ColumnSorter {
   public:
    ColumnSorter(const AlleleTable& table, const Pairs& pairs, const TableScan& scan,
                 const Costs& costs, std::int64_t least_holders)
        : table_(table),
          scan_(scan),
          costs_(costs),
          symmetric_(pairs.symmetric),
          one_side_(pairs.one_side()),
          least_holders_(least_holders) {}

    GeneColumns count(std::int64_t gene, bool may_be_dense) {
        GeneColumns found;
        visit(gene, may_be_dense, [&](std::int64_t, Kind kind, Holders holders) {
            const std::int64_t entries = holders.rows + (one_side_ ? 0 : holders.columns);
            found.dense += kind.dense;
            found.rare += kind.rare;
            found.dense_entries += kind.dense * entries;
            found.rare_rows += kind.rare * holders.rows;
            found.rare_columns += kind.rare * holders.columns;
            found.rare_steps += kind.rare * costs_.steps(holders);
        });
        return found;
    }

    /// Writes a gene's slots, given its first place in the panels and its first rare column.
    void place(std::int64_t gene, bool may_be_dense, std::int64_t place, std::int64_t rare,
               std::int32_t* slots) {
        auto dense_slot = static_cast<std::int32_t>(place);
        auto rare_slot = static_cast<std::int32_t>(SimilarityPlan::kAbsent - 1 - rare);
        visit(gene, may_be_dense, [&](std::int64_t column, Kind kind, Holders) {
            static_assert(SimilarityPlan::kAbsent == -1);  // all bits of it are set
            slots[column] = (-kind.dense & dense_slot) | (-kind.rare & rare_slot) |
                            (kind.dense + kind.rare - 1);
            dense_slot += kind.dense;
            rare_slot -= kind.rare;
        });
    }

   private:
    /// 0 or 1, and not both 1; neither where no two models share the column. Which comes next
    /// cannot be foreseen, so that no branch depends on it.
    struct Kind {
        std::int32_t dense;
        std::int32_t rare;
    };

    template <class Visitor>
    void visit(std::int64_t gene, bool may_be_dense, const Visitor& visitor) {
        const std::int64_t begin = table_.gene_offsets[index(gene)];
        const std::int64_t end = table_.gene_offsets[index(gene) + 1];
        sum_holders(begin, end);
        const std::int32_t* rows = rows_.data();
        if (symmetric_) {
            const auto least = static_cast<std::int32_t>(
                may_be_dense ? least_holders_ : std::numeric_limits<std::int32_t>::max());
            for (std::int64_t c = begin; c < end; ++c) {
                const std::int32_t holders = rows[c - begin];
                const auto shared = static_cast<std::int32_t>(holders > 1);
                const auto dense = static_cast<std::int32_t>(holders >= least);
                visitor(c, Kind{.dense = dense, .rare = shared - dense},
                        Holders{.rows = holders, .columns = holders});
            }
            return;
        }
        const std::int32_t* columns = one_side_ ? rows : columns_.data();
        for (std::int64_t c = begin; c < end; ++c) {
            const Holders holders{.rows = rows[c - begin], .columns = columns[c - begin]};
            const bool shared = holders.rows > 0 && holders.columns > 0;
            const bool dense = shared && may_be_dense && costs_.prefers_dense(holders);
            visitor(
                c,
                Kind{.dense = static_cast<std::int32_t>(dense),
                     .rare = static_cast<std::int32_t>(shared) - static_cast<std::int32_t>(dense)},
                holders);
        }
    }

    /// Adds the runs' holders up.
    void sum_holders(std::int64_t begin, std::int64_t end) {
        rows_.assign(index(end - begin), 0);
        columns_.assign(index(one_side_ ? 0 : end - begin), 0);
        for (const TableScan::Run& run : scan_.runs) {
            std::int32_t* sums = run.rows ? rows_.data() : columns_.data();
            const std::int32_t* holders = run.holders.data() + begin;
            for (std::int64_t c = 0; c < end - begin; ++c) {
                sums[c] += holders[c];
            }
        }
    }

    const AlleleTable& table_;
    const TableScan& scan_;
    const Costs& costs_;
    bool symmetric_;
    bool one_side_;
    std::int64_t least_holders_;
    std::vector<std::int32_t> rows_;  ///< holders of the gene's columns
    std::vector<std::int32_t> columns_;
};

/// Sums up what the genes' columns take, and gives each gene its first place in the panels.
std::vector<std::int64_t> add_up(SimilarityPlan& plan, Layout& layout, const Costs& costs,
                                 const std::vector<GeneColumns>& genes, const TableScan& scan,
                                 bool one_side) {
    std::vector<std::int64_t> places;
    SimilarityPlan::Rare rare;
    std::int64_t dense_entries = 0;
    plan.rare_before.reserve(genes.size() + 1);
    for (std::size_t g = 0; g < genes.size(); ++g) {
        const GeneColumns& gene = genes[g];
        places.push_back(layout.take(gene.dense, scan.gene_bounds[g]));
        plan.rare_before.push_back(rare);
        rare.columns += gene.rare;
        rare.listed += gene.rare_columns;
        rare.turns += gene.rare_rows;
        dense_entries += gene.dense_entries;
        plan.rare_steps += gene.rare_steps;
    }
    plan.rare_before.push_back(rare);
    plan.rare_columns = rare.columns;
    plan.private_columns = plan.slots.size() - plan.dense_columns - plan.rare_columns;
    plan.rare_entries = rare.turns + (one_side ? 0 : rare.listed);
    plan.dense_seconds = costs.dense(plan.dense_columns, dense_entries);
    plan.rare_seconds = Costs::rare(plan.rare_steps, plan.rare_entries);
    layout.finish();
    return places;
}

}  // namespace

std::int64_t columns_a_group(Arithmetic arithmetic) noexcept {
    switch (arithmetic) {
        case Arithmetic::u8:
            return 4;
        case Arithmetic::i16:
            return 2;
        default:
            return 1;
    }
}

std::string_view name_of(Arithmetic arithmetic) {
    switch (arithmetic) {
        case Arithmetic::u8:
            return "u8";
        case Arithmetic::i16:
            return "i16";
        case Arithmetic::wide:
            return "wide";
        default:
            return "float64";
    }
}

std::vector<std::int64_t> cut_for_threads(const AlleleTable& table) {
    constexpr std::int64_t least_columns = 16384;
    const std::int64_t pieces = std::clamp<std::int64_t>(
        table.n_columns() / least_columns, 1, std::max<std::int64_t>(1, table.n_genes()));
    std::vector<std::int64_t> begins;
    for (std::int64_t piece = 0; piece <= pieces; ++piece) {
        begins.push_back(table.n_genes() * piece / pieces);
    }
    return begins;
}

SimilarityPlan plan_similarity(const AlleleTable& table, const Pairs& pairs, const TableScan& scan,
                               int threads, const StopRequest& stop) {
    refuse_inexact(scan.numerator_bound);
    SimilarityPlan plan;
    plan.kernels = &kernels();
    plan.arithmetic = arithmetic_for(scan);
    plan.ragged = scan.ragged;
    plan.long_sums = scan.integer && scan.numerator_bound > kMostIn32Bits;
    plan.slots = Buffer<std::int32_t>(table.n_columns());
    const Costs costs(pairs, *plan.kernels, plan.arithmetic);
    const bool panels = plan.arithmetic != Arithmetic::wide;
    plan.least_holders = pairs.symmetric && panels ? least_holders(pairs, costs) : 0;
    Layout layout(plan);
    const std::vector<std::int64_t> pieces = cut_for_threads(table);
    const auto for_each_gene = [&](const auto& visit) {
        parallel_for(
            static_cast<std::int64_t>(pieces.size()) - 1, threads,
            [&](std::int64_t piece, int) {
                ColumnSorter sorter(table, pairs, scan, costs, plan.least_holders);
                for (std::int64_t g = pieces[index(piece)]; g < pieces[index(piece) + 1]; ++g) {
                    visit(sorter, g, layout.may_be_dense(scan.gene_bounds[index(g)]));
                }
            },
            stop);
    };
    std::vector<GeneColumns> genes(index(table.n_genes()));
    for_each_gene([&](ColumnSorter& sorter, std::int64_t g, bool may_be_dense) {
        genes[index(g)] = sorter.count(g, may_be_dense);
    });
    const std::vector<std::int64_t> places =
        add_up(plan, layout, costs, genes, scan, pairs.one_side());
    for_each_gene([&](ColumnSorter& sorter, std::int64_t g, bool may_be_dense) {
        sorter.place(g, may_be_dense, places[index(g)], plan.rare_before[index(g)].columns,
                     plan.slots.data());
    });
    return plan;
}

std::int64_t SimilarityPlan::bytes(const AlleleTable& table, const Pairs& pairs,
                                   int threads) const noexcept {
    const auto padded = [](std::int64_t models) {
        return (models + kTileColumns - 1) / kTileColumns * kTileColumns;
    };
    const bool frequency = arithmetic == Arithmetic::frequency;
    const std::int64_t width = padded(pairs.columns());
    const std::int64_t models = width + (pairs.one_side() ? 0 : padded(pairs.rows()));
    const std::int64_t group = (frequency ? 2 : 1) * kGroupBytes;
    const std::int64_t panels = models / kPanelModels * groups() * group;
    // A list's posting and padding, a turn and, but in a square call, its value.
    const std::int64_t posting = frequency ? 16 : (arithmetic == Arithmetic::u8 ? 4 : 8);
    const std::int64_t lists =
        rare_entries * (posting + 8 + (pairs.symmetric ? 0 : 8)) + rare_columns * 3 * posting;
    const std::int64_t runs = threads_for(models / kTileColumns, std::min(threads, 8));
    const std::int64_t columns = (4 * runs + 4) * table.n_columns() + (8 * runs + 4) * rare_columns;
    const std::int64_t sum_bytes = long_sums || frequency ? 8 : 4;
    const std::int64_t workers = threads * width * (kStripRows * sum_bytes + std::int64_t{24});
    // Frequencies; and self terms by gene, first as they are found, then in panels, or by pattern
    // of missing genes; and those of every worker's rows.
    const std::int64_t floats = frequency ? 8 * table.nnz() : 0;
    const std::int64_t by_gene = ragged ? std::int64_t{25} * models * table.n_genes() : 0;
    const std::int64_t terms = ragged ? std::int64_t{16} * threads * kStripRows * width : 0;
    return panels + lists + columns + workers + floats + by_gene + terms;
}

}  // namespace phylo
