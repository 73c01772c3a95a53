#include "phylo/similarity.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "fetch_line.hpp"
#include "operands.hpp"
#include "row_output.hpp"

namespace phylo {

namespace {

constexpr std::size_t index(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

constexpr std::int64_t strips_of(std::int64_t rows) noexcept {
    return (rows + kStripRows - 1) / kStripRows;
}

/// Turns of a row that are taken between asking for a list and reading it.
constexpr std::size_t kAhead = 8;
/// Rare alleles of a float table that are summed before they are added to the rest.
constexpr std::size_t kFrequencyTurns = 4096;

/// The wanted pairs of some rows, and their sums: sums[r * stride + j - first_column].
template <class P, class Sum>
struct Strip {
    std::int64_t row_begin;
    std::int64_t row_end;
    std::int64_t first_column;  ///< a multiple of kTileColumns
    std::int64_t end_column;
    std::int64_t stride;
    Buffer<Sum> sums;
    Buffer<Sum> rare_sums;  ///< of one row (float tables)
    typename Operands<P>::Scratch turns;

    /// Numerators of a row: element j is that of column j.
    Sum* row(std::int64_t r) noexcept { return sums.data() + r * stride - first_column; }
};

}  // namespace

/// Computes strips of a call, one kind of posting and of sum hidden.
class PackedComparison::Strips {
   public:
    Strips() = default;
    virtual ~Strips() = default;
    Strips(const Strips&) = delete;
    Strips& operator=(const Strips&) = delete;
    virtual void run(RowRange range, const RowOutput& rows, int threads,
                     const StopRequest& stop) const = 0;
};

namespace {

/// Multiplies and adds, for one kind of posting P and of sum.
///
/// Row and column models count from the first of theirs.
template <class P, class Sum>
class Engine final : public PackedComparison::Strips {
   public:
    using Value = typename P::Value;
    using Strip = phylo::Strip<P, Sum>;
    using Turn = typename Operands<P>::Turn;
    using Turns = typename Operands<P>::Turns;

    Engine(const Pairs& pairs, const SimilarityPlan& plan, const TableScan& scan,
           Operands<P> operands)
        : pairs_(pairs),
          plan_(plan),
          largest_product_(static_cast<std::int32_t>(
              std::min<std::int64_t>(scan.largest_row_count * scan.largest_column_count,
                                     std::numeric_limits<std::int32_t>::max()))),
          operands_(std::move(operands)) {}

    void run(RowRange range, const RowOutput& rows, int threads,
             const StopRequest& stop) const override {
        const std::int64_t first = range.begin / kStripRows;
        const std::int64_t strips = strips_of(range.end) - first;
        const auto workers = index(threads_for(strips, threads));
        std::vector<Strip> strip_of(workers);
        std::vector<RowOutput::Scratch> scratch_of(workers);
        const std::int64_t width =
            (pairs_.columns() + kTileColumns - 1) / kTileColumns * kTileColumns;
        const auto work = [&](std::int64_t task, int worker) {
            // The first strips of a symmetric call have the most columns.
            auto& strip = strip_of[index(worker)];
            strip.row_begin = (first + task) * kStripRows;
            strip.row_end = std::min(strip.row_begin + kStripRows, range.end);
            strip.first_column =
                pairs_.symmetric ? strip.row_begin / kTileColumns * kTileColumns : 0;
            strip.end_column = width;
            strip.stride = width - strip.first_column;
            if (strip.sums.size() == 0) {
                strip.sums = Buffer<Sum>(kStripRows * width);
                strip.rare_sums = Buffer<Sum>(std::is_floating_point_v<Sum> ? width : 0);
            }
            accumulate(strip);
            RowOutput::Scratch& scratch = scratch_of[index(worker)];
            rows.begin_strip(strip.row_begin, strip.row_end, scratch);
            for (std::int64_t row = strip.row_begin; row < strip.row_end; ++row) {
                rows.write(row, strip.row(row - strip.row_begin), scratch);
            }
            rows.end_strip(strip.row_begin, strip.row_end, scratch);
        };
        parallel_for(strips, threads, work, stop);
    }

   private:
    /// Fills a strip's sums. Of a symmetric call's only columns after the row are right.
    void accumulate(Strip& strip) const {
        const std::int64_t rows =
            (strip.row_end - strip.row_begin + kTileRows - 1) / kTileRows * kTileRows;
        if (plan_.dense_columns == 0 || std::is_floating_point_v<Sum>) {
            std::fill_n(strip.sums.data(), rows * strip.stride, Sum{0});
        }
        if (plan_.dense_columns > 0) {
            for (std::size_t chunk = 0; chunk + 1 < plan_.chunks.size(); ++chunk) {
                multiply_chunk(strip, rows, chunk);
            }
        }
        for (std::int64_t r = 0; r < strip.row_end - strip.row_begin; ++r) {
            add_rare(strip, r);
        }
    }

    void multiply_chunk(Strip& strip, std::int64_t rows, std::size_t chunk) const {
        for (std::int64_t j = strip.first_column; j < strip.end_column; j += kTileColumns) {
            for (std::int64_t r = 0; r < rows; r += kTileRows) {
                if (pairs_.symmetric && j + kTileColumns - 1 <= strip.row_begin + r) {
                    continue;  // no column of the tile is after its first row
                }
                multiply_tile(strip, r, j, chunk);
            }
        }
    }

    void multiply_tile(Strip& strip, std::int64_t r, std::int64_t j, std::size_t chunk) const {
        const Panels& columns = operands_.column_panels;
        const Panels& rows = pairs_.one_side() ? columns : operands_.row_panels;
        const std::int64_t first = plan_.chunks[chunk];
        const std::int64_t groups = plan_.chunks[chunk + 1] - first;
        Sum* sums = strip.row(r) + j;
        if constexpr (std::is_floating_point_v<Sum>) {
            const std::int64_t at = first * 2 * kGroupBytes;
            plan_.kernels->multiply_f64(
                {.rows = reinterpret_cast<const double*>(rows.of(strip.row_begin + r) + at),
                 .columns = reinterpret_cast<const double*>(columns.of(j) + at),
                 .panel_doubles = columns.panel_bytes() / 8,
                 .groups = groups,
                 .sums = sums,
                 .stride = strip.stride});
        } else {
            std::array<std::int32_t, index(kTileRows * kTileColumns)> part;
            constexpr bool direct = std::is_same_v<Sum, std::int32_t>;
            std::int32_t* place = part.data();
            if constexpr (direct) {
                place = sums;
            }
            const CountTile tile{.rows = rows.of(strip.row_begin + r) + first * kGroupBytes,
                                 .columns = columns.of(j) + first * kGroupBytes,
                                 .panel_bytes = columns.panel_bytes(),
                                 .groups = groups,
                                 .sums = place,
                                 .stride = direct ? strip.stride : kTileColumns,
                                 .add = direct && chunk > 0,
                                 .largest_product = largest_product_};
            if (plan_.arithmetic == Arithmetic::u8) {
                plan_.kernels->multiply_u8(tile);
            } else {
                plan_.kernels->multiply_i16(tile);
            }
            if constexpr (!direct) {
                for (std::int64_t i = 0; i < kTileRows; ++i) {
                    for (std::int64_t c = 0; c < kTileColumns; ++c) {
                        Sum& sum = sums[i * strip.stride + c];
                        sum = (chunk > 0 ? sum : 0) + part[index(i * kTileColumns + c)];
                    }
                }
            }
        }
    }

    /// Adds a row's turns in rare columns to its sums.
    void add_rare(Strip& strip, std::int64_t r) const {
        const Turns turns = operands_.turns_of(pairs_.row_begin + strip.row_begin + r, strip.turns);
        const std::size_t count = turns.parts.size();
        Sum* sums = strip.row(r);
        if (!std::is_floating_point_v<Sum> || count <= kFrequencyTurns) {
            add_turns(turns, 0, count, sums);
            return;
        }
        Sum* part = strip.rare_sums.data() - strip.first_column;
        for (std::size_t t = 0; t < count; t += kFrequencyTurns) {
            std::fill_n(strip.rare_sums.data(), strip.stride, Sum{0});
            add_turns(turns, t, std::min(t + kFrequencyTurns, count), part);
            for (std::int64_t j = strip.first_column; j < strip.end_column; ++j) {
                sums[j] += part[j];
            }
        }
    }

    void add_turns(const Turns& turns, std::size_t begin, std::size_t end,
                   Sum* sums) const noexcept {
        const P* postings = operands_.postings.data();
        for (std::size_t t = begin; t < end; ++t) {
            if (t + kAhead < end) {
                fetch(turns.parts[t + kAhead]);
            }
            const P* posting = postings + turns.parts[t].begin;
            const auto own = static_cast<Sum>(turns.values == nullptr ? P::value(posting[-1].read())
                                                                      : turns.values[t]);
            for (std::uint32_t group = turns.parts[t].groups; group > 0; --group) {
                add(posting[0], own, sums);
                add(posting[1], own, sums);
                add(posting[2], own, sums);
                add(posting[3], own, sums);
                posting += kPostingGroup;
            }
        }
    }

    /// Asks for a turn's list. Lists lie anywhere, and are too short for processors to foresee.
    void fetch(const Turn& turn) const noexcept {
        const P* list = operands_.postings.data() + turn.begin;
        fetch_line(list);
        fetch_line(list, 1);  // needed or not: few lists have more than two lines
        const std::size_t bytes = sizeof(P) * kPostingGroup * static_cast<std::size_t>(turn.groups);
        for (std::size_t line = 2; line * kLineBytes < bytes; ++line) {
            fetch_line(list, line);
        }
    }

    static void add(const P& posting, Sum own, Sum* sums) noexcept {
        const auto entry = posting.read();
        sums[P::model(entry)] += own * static_cast<Sum>(P::value(entry));
    }

    const Pairs& pairs_;
    const SimilarityPlan& plan_;
    std::int32_t largest_product_;
    Operands<P> operands_;
};

/// Frequencies of the entries of a float table.
std::vector<double> frequencies(const AlleleTable& table) {
    std::vector<double> values = entry_values(table);
    for (std::int64_t m = 0; m < table.n_models(); ++m) {
        for_each_cell(table, m, [&](const Cell& cell) {
            const std::int64_t n = probes_in(table, cell);
            for (std::int64_t e = cell.begin; e < cell.end; ++e) {
                if (n > 0) {
                    values[index(e)] /= static_cast<double>(n);
                }
            }
        });
    }
    return values;
}

}  // namespace

PackedComparison::PackedComparison(const AlleleTable& table, const Pairs& pairs,
                                   Estimator estimator, int threads, const Output& output,
                                   const StopRequest& stop, const Claim& claim)
    : pairs_(pairs), output_(output), scan_(scan(table, pairs, threads, stop)) {
    // Numerators are of counts, which a float table may have too.
    const bool integer = scan_.integer;
    scan_.integer = integer || output.quantity == Quantity::numerator;
    plan_ = plan_similarity(table, pairs_, scan_, threads, stop);
    if (claim) {
        const int workers = threads_for(strips_of(pairs_.rows()), threads);
        const std::int64_t file_rows =
            output.file < 0 ? 0 : workers * kStripRows * pairs_.columns() * output.item_bytes();
        claim(plan_.bytes(table, pairs_, workers) + file_rows);
    }
    if (output.quantity != Quantity::numerator) {
        terms_ =
            std::make_unique<RowTerms>(table, pairs_, estimator, scan_, integer, *plan_.kernels);
    }
    if (plan_.arithmetic == Arithmetic::frequency) {
        pack_for<Posting<double>, double>(table, frequencies(table), threads, stop);
    } else if (plan_.arithmetic == Arithmetic::u8 && table.n_models() < kMostPackedModels) {
        if (plan_.long_sums) {
            pack_for<PackedPosting, std::int64_t>(table, {}, threads, stop);
        } else {
            pack_for<PackedPosting, std::int32_t>(table, {}, threads, stop);
        }
    } else if (plan_.long_sums) {
        pack_for<Posting<std::int32_t>, std::int64_t>(table, {}, threads, stop);
    } else {
        pack_for<Posting<std::int32_t>, std::int32_t>(table, {}, threads, stop);
    }
}

PackedComparison::~PackedComparison() = default;

template <class P, class Sum>
void PackedComparison::pack_for(const AlleleTable& table, std::span<const double> values,
                                int threads, const StopRequest& stop) {
    strips_ = std::make_unique<Engine<P, Sum>>(
        pairs_, plan_, scan_, pack<P>(table, pairs_, plan_, scan_, values, threads, stop));
}

std::int64_t PackedComparison::items(RowRange range) const {
    const auto whole_strips = [&](std::int64_t row) {
        return row % kStripRows == 0 || row == pairs_.rows();
    };
    if (range.begin < 0 || range.end < range.begin || range.end > pairs_.rows() ||
        !whole_strips(range.begin) || !whole_strips(range.end)) {
        throw std::invalid_argument("rows are computed in whole strips");
    }
    if (output_.layout == Output::Layout::condensed) {
        return condensed_items(pairs_, range.end) - condensed_items(pairs_, range.begin);
    }
    return (range.end - range.begin) * pairs_.columns();
}

bool PackedComparison::compute(RowRange range, void* values, int threads,
                               const StopRequest& stop) const {
    const bool whole = items(range) == items({.begin = 0, .end = pairs_.rows()});
    if (pairs_.symmetric && output_.layout == Output::Layout::matrix && !whole) {
        throw std::invalid_argument("some rows of a symmetric call are written condensed");
    }
    Output output = output_;
    output.values = values;
    const RowOutput rows(pairs_, scan_, terms_.get(), *plan_.kernels, output, range.begin);
    strips_->run(range, rows, threads, stop);
    return rows.found_nan();
}

bool compare(const AlleleTable& table, const Pairs& pairs, Estimator estimator, int threads,
             const Output& output, const StopRequest& stop, const Claim& claim) {
    const PackedComparison packed(table, pairs, estimator, threads, output, stop, claim);
    return packed.compute({.begin = 0, .end = pairs.rows()}, output.values, threads, stop);
}

double measure_integer_peak(int threads) {
    constexpr std::int64_t groups = 32;  // four panels of 2 KiB
    constexpr std::int64_t products = kTileRows * kTileColumns * 4 * groups;
    const KernelSet& set = kernels();
    const int used = threads_for(std::numeric_limits<int>::max(), threads);
    std::vector<double> rates(index(used), 0.0);
    parallel_for(used, used, [&](std::int64_t task, int) {
        Buffer<std::uint8_t> panels(4 * groups * kGroupBytes);
        std::memset(panels.data(), 1, index(panels.size()));
        std::array<std::int32_t, index(kTileRows * kTileColumns)> sums;
        const CountTile tile{.rows = panels.data() + 3 * groups * kGroupBytes,
                             .columns = panels.data(),
                             .panel_bytes = groups * kGroupBytes,
                             .groups = groups,
                             .sums = sums.data(),
                             .stride = kTileColumns,
                             .add = false,
                             .largest_product = 1};
        for (int trial = 0; trial < 5; ++trial) {
            const auto start = std::chrono::steady_clock::now();
            std::int64_t tiles = 0;
            std::chrono::duration<double> spent{};
            while (spent.count() < 0.004) {
                for (int i = 0; i < 100; ++i) {
                    set.multiply_u8(tile);
                }
                tiles += 100;
                spent = std::chrono::steady_clock::now() - start;
            }
            double& best = rates[index(task)];
            best = std::max(best, static_cast<double>(tiles * products) / spent.count());
        }
    });
    double sum = 0.0;
    for (const double rate : rates) {
        sum += rate;
    }
    return sum;
}

}  // namespace phylo
