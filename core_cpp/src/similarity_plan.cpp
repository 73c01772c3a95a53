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

/// What a column costs either way.
class Costs {
   public:
    Costs(const Pairs& pairs, const KernelSet& kernels, Arithmetic arithmetic)
        : symmetric_(pairs.symmetric),
          dense_(computed_pairs(pairs) / products_a_second(kernels, arithmetic)) {}

    [[nodiscard]] std::int64_t steps(Holders holders) const noexcept {
        return symmetric_ ? holders.rows * (holders.rows - 1) / 2 : holders.rows * holders.columns;
    }
    [[nodiscard]] double dense(Holders holders) const noexcept {
        return dense_ + kPackSeconds * entries(holders);
    }
    [[nodiscard]] double rare(Holders holders) const noexcept {
        return kStepSeconds * static_cast<double>(steps(holders)) +
               kEntrySeconds * entries(holders);
    }

   private:
    [[nodiscard]] double entries(Holders holders) const noexcept {
        return static_cast<double>(symmetric_ ? holders.rows : holders.rows + holders.columns);
    }

    bool symmetric_;
    double dense_;
};

/// Holders of a column, all runs together.
Holders holders_of(const TableScan& scan, std::int64_t column, bool one_side) noexcept {
    Holders sum{.rows = 0, .columns = 0};
    for (const TableScan::Run& run : scan.runs) {
        (run.rows ? sum.rows : sum.columns) += run.holders[column];
    }
    if (one_side) {
        sum.columns = sum.rows;
    }
    return sum;
}

/// Gives the dense columns their places in the panels, cut into chunks whose sums fit 32 bits.
class Layout {
   public:
    explicit Layout(SimilarityPlan& plan)
        : plan_(plan), per_group_(columns_a_group(plan.arithmetic)) {
        plan_.chunks.push_back(0);
    }

    /// Whether a gene's columns can be dense at all.
    bool begin_gene(std::int64_t bound) {
        if (!plan_.long_sums) {
            return true;
        }
        if (bound > kMostIn32Bits) {
            return false;
        }
        if (bound_ + bound > kMostIn32Bits) {
            end_chunk();
        }
        bound_ += bound;
        return true;
    }

    std::int32_t next_place() {
        const std::int64_t longest =
            plan_.arithmetic == Arithmetic::frequency ? kFrequencyChunk : kChunkGroups;
        if (places_ == (plan_.chunks.back() + longest) * per_group_) {
            plan_.chunks.push_back(places_ / per_group_);
        }
        ++plan_.dense_columns;
        return static_cast<std::int32_t>(places_++);
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
        const Holders holders{.rows = middle, .columns = middle};
        if (costs.dense(holders) <= costs.rare(holders)) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
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

SimilarityPlan plan_similarity(const AlleleTable& table, const Pairs& pairs,
                               const TableScan& scan) {
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
    for (std::int64_t g = 0; g < table.n_genes(); ++g) {
        const bool may_be_dense = panels && layout.begin_gene(scan.gene_bounds[index(g)]);
        for (std::int64_t c = table.gene_offsets[index(g)]; c < table.gene_offsets[index(g) + 1];
             ++c) {
            const Holders holders = holders_of(scan, c, pairs.one_side());
            const bool shared =
                pairs.symmetric ? holders.rows > 1 : holders.rows > 0 && holders.columns > 0;
            if (!shared) {
                ++plan.private_columns;
                plan.slots[c] = SimilarityPlan::kAbsent;
            } else if (may_be_dense &&
                       (pairs.symmetric ? holders.rows >= plan.least_holders
                                        : costs.dense(holders) <= costs.rare(holders))) {
                plan.slots[c] = layout.next_place();
                plan.dense_seconds += costs.dense(holders);
            } else {
                plan.slots[c] =
                    static_cast<std::int32_t>(SimilarityPlan::kAbsent - 1 - plan.rare_columns++);
                plan.rare_entries += holders.rows + (pairs.one_side() ? 0 : holders.columns);
                plan.rare_steps += costs.steps(holders);
                plan.rare_seconds += costs.rare(holders);
            }
        }
    }
    layout.finish();
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
