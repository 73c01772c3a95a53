#include "phylo/resampling.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "phylo/errors.hpp"
#include "phylo/kernels.hpp"
#include "resampling/alleles.hpp"
#include "resampling/numerators.hpp"
#include "resampling/panels.hpp"
#include "resampling/sinks.hpp"
#include "resampling/terms.hpp"

namespace phylo {

using namespace resampling;

/// What the public class hides: which types values have.
class ResamplingPlan {
   public:
    ResamplingPlan() = default;
    virtual ~ResamplingPlan() = default;
    ResamplingPlan(const ResamplingPlan&) = delete;
    ResamplingPlan& operator=(const ResamplingPlan&) = delete;
    ResamplingPlan(ResamplingPlan&&) = delete;
    ResamplingPlan& operator=(ResamplingPlan&&) = delete;

    [[nodiscard]] virtual std::int64_t n_models() const noexcept = 0;
    [[nodiscard]] virtual std::int64_t n_replicates() const noexcept = 0;
    virtual void replicates(std::int64_t first, double floor, int threads, std::span<float> out,
                            const StopRequest& stop) const = 0;
    virtual void replicates(std::int64_t first, double floor, int threads, std::span<double> out,
                            const StopRequest& stop) const = 0;
    virtual void errors(ErrorMethod method, double floor, int threads, const ErrorArrays& out,
                        const StopRequest& stop) const = 0;
};

namespace {

/// Numerators of a strip that a worker works on: they stay in the second-level cache.
constexpr std::int64_t kStripBytes = std::int64_t{256} * 1024;
/// Blocks of columns from which on they alone keep threads busy; with fewer, rows are split.
constexpr std::int64_t kManyBlocks = 64;
constexpr std::int64_t kRowsATask = 4 * kTileColumns;

std::int64_t pairs_of(std::int64_t models) noexcept { return models * (models - 1) / 2; }

/// The place of (row, column), row < column, in the upper triangle by rows.
std::int64_t pair_place(std::int64_t models, std::int64_t row, std::int64_t column) noexcept {
    return row * models - row * (row + 1) / 2 + column - row - 1;
}

/// Rows of a strip: a divisor of 48 in steps of eight.
std::int64_t rows_a_strip(std::int64_t row_bytes) noexcept {
    for (const std::int64_t rows : {48, 24, 16}) {
        if (rows * row_bytes <= kStripBytes) {
            return rows;
        }
    }
    return kTileRows;
}

std::vector<Task> make_tasks(std::int64_t models) {
    const std::int64_t blocks = (models + kTileColumns - 1) / kTileColumns;
    const std::int64_t rows_a_task = blocks < kManyBlocks ? kRowsATask : models;
    std::vector<Task> tasks;
    // The last columns have the most rows: they go first.
    for (std::int64_t block = blocks - 1; block >= 0; --block) {
        const std::int64_t column_begin = block * kTileColumns;
        const std::int64_t rows = std::min(models, column_begin + kTileColumns) - 1;
        for (std::int64_t begin = 0; begin < rows; begin += rows_a_task) {
            tasks.push_back({.column_begin = column_begin,
                             .row_begin = begin,
                             .row_end = std::min(begin + rows_a_task, rows)});
        }
    }
    return tasks;
}

/// Counts in panels as `Count`; numerators, self terms and weights as `Partial`.
template <class Count, class Partial>
class TypedPlan final : public ResamplingPlan {
   public:
    TypedPlan(const AlleleTable& table, GeneTerms terms, ColumnPlaces places,
              std::span<const std::int64_t> weights, std::int64_t n_replicates)
        : table_(table),
          kernels_(kernels()),
          terms_(std::move(terms)),
          alleles_(table, terms_, std::move(places)),
          models_(table.n_models()),
          genes_(table.n_genes()),
          n_replicates_(n_replicates),
          groups_(Panels<Partial>::groups_for(genes_)),
          weights_(n_replicates_, groups_),
          self_(models_, groups_),
          present_(models_, groups_) {
        for (std::int64_t b = 0; b < n_replicates_; ++b) {
            for (std::int64_t g = 0; g < genes_; ++g) {
                *weights_.at(b, g) =
                    static_cast<Partial>(weights[static_cast<std::size_t>(b * genes_ + g)]);
            }
        }
        for (std::int64_t m = 0; m < models_; ++m) {
            for (std::int64_t g = 0; g < genes_; ++g) {
                const auto at = static_cast<std::size_t>(m * genes_ + g);
                *self_.at(m, g) = static_cast<Partial>(terms_.terms[at]);
                *present_.at(m, g) = static_cast<Partial>(terms_.present[at]);
            }
        }
        self_sums_ = weigh_models(self_);
        for (std::int64_t b = 0; b < n_replicates_; ++b) {
            for (std::int64_t m = 0; m < models_; ++m) {
                self_sums_[b * padded() + m] *= scale(m);
            }
        }
    }

    [[nodiscard]] std::int64_t n_models() const noexcept override { return models_; }
    [[nodiscard]] std::int64_t n_replicates() const noexcept override { return n_replicates_; }

    void replicates(std::int64_t first, double floor, int threads, std::span<float> out,
                    const StopRequest& stop) const override {
        write_replicates(first, floor, threads, out, stop);
    }
    void replicates(std::int64_t first, double floor, int threads, std::span<double> out,
                    const StopRequest& stop) const override {
        write_replicates(first, floor, threads, out, stop);
    }
    void errors(ErrorMethod method, double floor, int threads, const ErrorArrays& out,
                const StopRequest& stop) const override {
        if (method == ErrorMethod::bootstrap) {
            walk(0, n_replicates_, {}, threads, stop, [&](const PairRun& run) {
                return ErrorSink<ErrorMethod::bootstrap>(kernels_, floor, out, run);
            });
        } else {
            walk(0, n_replicates_, weigh_models(present_), threads, stop, [&](const PairRun& run) {
                return ErrorSink<ErrorMethod::jackknife>(kernels_, floor, out, run);
            });
        }
    }

   private:
    using Sum = SumOf<Partial>;
    /// Eight replicates of 48 pairs.
    static constexpr std::int64_t kChunk = kTileRows * kTileColumns;

    /// What a worker keeps.
    struct Worker {
        GeneNumerators<Count, Partial> numerators;
        Panels<Partial> own;     ///< of a row and its 48 columns: the row's self terms,
        Panels<Partial> others;  ///< the columns' self terms,
        Panels<Partial> shared;  ///< and 1 for each gene; all 0 where one of the two lacks it
        std::array<Sum, kChunk> sums;
        std::array<double, kChunk> selves;
        std::array<double, kChunk> kept;
        std::array<double, kTileColumns> values;
    };

    [[nodiscard]] std::int64_t padded() const noexcept {
        return (models_ + kTileColumns - 1) / kTileColumns * kTileColumns;
    }
    [[nodiscard]] double scale(std::int64_t model) const noexcept {
        return terms_.scales[static_cast<std::size_t>(model)];
    }

    /// sums[8 x 48] of eight replicates from `replicate` on and the 48 rows at `panels`.
    void weigh(const Partial* panels, std::int64_t replicate, Sum* sums) const {
        constexpr std::int64_t largest = std::numeric_limits<std::int16_t>::max();
        multiply(kernels_, weights_.at(replicate, 0), panels, groups_ * Panels<Partial>::kGroup,
                 groups_, largest, sums);
    }

    /// Weighted sums of every model: replicates x padded models.
    [[nodiscard]] Buffer<double> weigh_models(const Panels<Partial>& panels) const {
        Buffer<double> all((n_replicates_ + kTileRows) * padded());
        Buffer<Sum> sums(kChunk);
        for (std::int64_t m = 0; m < models_; m += kTileColumns) {
            for (std::int64_t b = 0; b < n_replicates_; b += kTileRows) {
                weigh(panels.at(m, 0), b, sums.data());
                for (std::int64_t k = 0; k < kTileRows; ++k) {
                    std::copy_n(sums.data() + k * kTileColumns, kTileColumns,
                                all.data() + (b + k) * padded() + m);
                }
            }
        }
        return all;
    }

    template <class Real>
    void write_replicates(std::int64_t first, double floor, int threads, std::span<Real> out,
                          const StopRequest& stop) const {
        const std::int64_t n_pairs = pairs_of(models_);
        const std::int64_t count =
            n_pairs == 0 ? 0 : static_cast<std::int64_t>(out.size()) / n_pairs;
        walk(first, first + count, {}, threads, stop, [&](const PairRun& run) {
            return ReplicateSink<Real>{.kernels = kernels_,
                                       .first = first,
                                       .n_pairs = n_pairs,
                                       .floor = floor,
                                       .out = out.data(),
                                       .run = run};
        });
    }

    /// Passes replicates first..last of every pair to sinks, a row of a tile at a time.
    template <class MakeSink>
    void walk(std::int64_t first, std::int64_t last, const Buffer<double>& kept, int threads,
              const StopRequest& stop, MakeSink&& make_sink) const {
        const std::vector<Task> tasks = make_tasks(models_);
        const auto n_tasks = static_cast<std::int64_t>(tasks.size());
        const std::int64_t strip = rows_a_strip(3 * groups_ * Panels<Partial>::kGroup *
                                                static_cast<std::int64_t>(sizeof(Partial)));
        std::vector<Worker> workers;
        for (int w = threads_for(n_tasks, threads); w > 0; --w) {
            workers.push_back({.numerators = {table_, terms_, alleles_, kernels_, strip},
                               .own = {kTileColumns, groups_},
                               .others = {kTileColumns, groups_},
                               .shared = {kTileColumns, groups_},
                               .sums = {},
                               .selves = {},
                               .kept = {},
                               .values = {}});
        }
        const auto work = [&](std::int64_t index, int at) {
            const Task& task = tasks[static_cast<std::size_t>(index)];
            Worker& worker = workers[static_cast<std::size_t>(at)];
            worker.numerators.gather_rare(task);
            for (std::int64_t row = task.row_begin; row < task.row_end; row += strip) {
                worker.numerators.form(row, task.column_begin);
                const std::int64_t end = std::min(row + strip, task.row_end);
                for (std::int64_t r = row; r < end; ++r) {
                    emit(worker, task, r, worker.numerators.row(r - row), first, last, kept,
                         make_sink);
                }
            }
        };
        parallel_for(n_tasks, threads, work, stop);
    }

    /// Whether a row and all 48 columns have the same genes: then each model's self term is its
    /// own, whatever it is compared with.
    [[nodiscard]] bool same_genes(std::int64_t row, std::int64_t column_begin) const noexcept {
        const std::int64_t end = std::min(column_begin + kTileColumns, models_);
        const auto begin = terms_.patterns.begin();
        return std::all_of(begin + column_begin, begin + end, [&](std::size_t pattern) {
            return pattern == terms_.patterns[static_cast<std::size_t>(row)];
        });
    }

    /// Self terms of a row and 48 columns over the genes that both of a pair have.
    void restrict_to_shared(Worker& worker, std::int64_t row, std::int64_t column_begin) const {
        constexpr std::int64_t columns = Panels<Partial>::kColumns;
        for (std::int64_t g = 0; g < genes_; g += columns) {
            const Partial* own = self_.at(row, g);
            const Partial* present = present_.at(row, g);
            for (std::int64_t lane = 0; lane < kTileColumns; lane += kPanelModels) {
                const Partial* there = present_.at(column_begin + lane, g);
                const Partial* others = self_.at(column_begin + lane, g);
                Partial* own_out = worker.own.at(lane, g);
                Partial* others_out = worker.others.at(lane, g);
                Partial* shared_out = worker.shared.at(lane, g);
                for (std::int64_t k = 0; k < Panels<Partial>::kGroup; ++k) {
                    own_out[k] = static_cast<Partial>(own[k % columns] * there[k]);
                    others_out[k] = static_cast<Partial>(others[k] * present[k % columns]);
                    shared_out[k] = static_cast<Partial>(there[k] * present[k % columns]);
                }
            }
        }
    }

    /// Products of both self terms of eight replicates of a row's pairs.
    void multiply_selves(Worker& worker, std::int64_t row, std::int64_t column_begin,
                         std::int64_t replicate) const {
        weigh(worker.own.at(0, 0), replicate, worker.sums.data());
        for (std::int64_t k = 0; k < kChunk; ++k) {
            const auto at = static_cast<std::size_t>(k);
            worker.selves[at] = static_cast<double>(worker.sums[at]) * scale(row);
        }
        weigh(worker.others.at(0, 0), replicate, worker.sums.data());
        const std::int64_t lanes = std::min(kTileColumns, models_ - column_begin);
        for (std::int64_t k = 0; k < kTileRows; ++k) {
            for (std::int64_t lane = 0; lane < lanes; ++lane) {
                const auto at = static_cast<std::size_t>(k * kTileColumns + lane);
                worker.selves[at] *=
                    static_cast<double>(worker.sums[at]) * scale(column_begin + lane);
            }
        }
    }

    template <class MakeSink>
    void emit(Worker& worker, const Task& task, std::int64_t row, const Partial* numerators,
              std::int64_t first, std::int64_t last, const Buffer<double>& kept,
              MakeSink&& make_sink) const {
        const std::int64_t begin = std::max(row + 1, task.column_begin);
        const std::int64_t end = std::min(task.column_begin + kTileColumns, models_);
        const std::int64_t lane = begin - task.column_begin;
        const PairRun run = {.first = pair_place(models_, row, begin), .n = end - begin};
        auto sink = make_sink(run);
        constexpr bool needs_kept = decltype(sink)::kNeedsKept;
        const bool same = same_genes(row, task.column_begin);
        if (!same) {
            restrict_to_shared(worker, row, task.column_begin);
        }
        for (std::int64_t b = first / kTileRows * kTileRows; b < last; b += kTileRows) {
            if (!same) {
                multiply_selves(worker, row, task.column_begin, b);
            }
            if (!same && needs_kept) {
                weigh(worker.shared.at(0, 0), b, worker.sums.data());
                std::ranges::copy(worker.sums, worker.kept.begin());
            }
            weigh(numerators, b, worker.sums.data());
            for (std::int64_t k = std::max<std::int64_t>(0, first - b);
                 k < std::min(kTileRows, last - b); ++k) {
                const double* selves = self_sums_.data() + (b + k) * padded();
                const std::int64_t at = k * kTileColumns + lane;
                identities(worker.sums.data() + at, run.n, same ? selves[row] : 1.0,
                           same ? selves + begin : worker.selves.data() + at, worker.values.data());
                const double* genes_kept = worker.kept.data() + at;
                if (same && needs_kept) {
                    genes_kept = kept.data() + (b + k) * padded() + begin;
                }
                sink.take(b + k, worker.values.data(), genes_kept);
            }
        }
        sink.finish();
    }

    void identities(const std::int32_t* numerators, std::int64_t n, double self,
                    const double* selves, double* out) const {
        kernels_.identities_i32(numerators, n, self, selves, out);
    }
    void identities(const double* numerators, std::int64_t n, double self, const double* selves,
                    double* out) const {
        kernels_.identities_f64(numerators, n, self, selves, out);
    }

    const AlleleTable& table_;
    const KernelSet& kernels_;
    GeneTerms terms_;
    Alleles<Count, Partial> alleles_;
    std::int64_t models_;
    std::int64_t genes_;
    std::int64_t n_replicates_;
    std::int64_t groups_;
    Panels<Partial> weights_;
    Panels<Partial> self_;
    Panels<Partial> present_;
    Buffer<double> self_sums_;  ///< replicates x padded models, over all the genes of a model
};

/// Bytes that a plan keeps, and that errors() takes beside its results and workers.
template <class Count, class Partial>
std::int64_t plan_bytes(const AlleleTable& table, const ColumnPlaces& places,
                        std::int64_t n_replicates) {
    const std::int64_t rows = table.n_models() + kTileColumns;
    const std::int64_t rare = sizeof(Posting<Partial>) + sizeof(RareEntry<Partial>);
    const std::int64_t common = kColumnsAGroup<Count> * static_cast<std::int64_t>(sizeof(Count));
    const std::int64_t a_gene = 2 * sizeof(Partial) + sizeof(double) + 1;  // terms, in both forms
    return places.gene_groups.back() * common * rows + places.offsets.back() * rare +
           table.n_genes() * (a_gene * rows + 8 * n_replicates) +
           (n_replicates + kTileRows) * rows * 2 * static_cast<std::int64_t>(sizeof(double));
}

template <class Count, class Partial>
std::unique_ptr<const ResamplingPlan> make_typed(const AlleleTable& table, GeneTerms terms,
                                                 std::span<const std::int64_t> weights,
                                                 std::int64_t n_replicates, const Claim& claim) {
    ColumnPlaces places = place_columns(table, kColumnsAGroup<Count>, rate_of<Count>(kernels()));
    if (claim) {
        claim(plan_bytes<Count, Partial>(table, places, n_replicates));
    }
    return std::make_unique<TypedPlan<Count, Partial>>(table, std::move(terms), std::move(places),
                                                       weights, n_replicates);
}

/// 16-bit numerators and weights whose sums fit 32 bits, or doubles: these hold whole numbers up
/// to 2^53 exactly, so wide counts go with the frequencies.
std::unique_ptr<const ResamplingPlan> make_plan(const AlleleTable& table, Estimator estimator,
                                                std::span<const std::int64_t> weights,
                                                std::int64_t n_replicates, const Claim& claim) {
    GeneTerms terms = gene_terms(table, estimator);
    const SumBound bound = terms.integer ? bound_sums(terms, weights) : SumBound{};
    if (bound.value > kExactLimit) {
        throw InputError(
            "the weighted numerators of replicate " + std::to_string(bound.replicate) +
            " may reach " +
            (bound.value == INT64_MAX ? std::string("2^63") : std::to_string(bound.value)) +
            ", above 2^53, and would not be exact: use smaller weights, fewer probes or "
            "fewer genes");
    }
    constexpr std::int64_t short_limit = std::numeric_limits<std::int16_t>::max();
    constexpr std::int64_t short_probes = 181;  // of which the square fits
    const std::int64_t largest_weight = weights.empty() ? 0 : std::ranges::max(weights);
    const bool narrow = terms.integer && terms.largest_probes <= short_probes &&
                        largest_weight <= short_limit &&
                        bound.value <= std::numeric_limits<std::int32_t>::max();
    static_assert(short_probes * short_probes <= short_limit);
    if (!narrow) {
        return make_typed<double, double>(table, std::move(terms), weights, n_replicates, claim);
    }
    if (terms.largest_count > 127) {
        return make_typed<std::int16_t, std::int16_t>(table, std::move(terms), weights,
                                                      n_replicates, claim);
    }
    return make_typed<std::uint8_t, std::int16_t>(table, std::move(terms), weights, n_replicates,
                                                  claim);
}

}  // namespace

Resampling::Resampling(const AlleleTable& table, Estimator estimator,
                       std::span<const std::int64_t> weights, std::int64_t n_replicates,
                       const Claim& claim)
    : plan_(make_plan(table, estimator, weights, n_replicates, claim)) {}
Resampling::~Resampling() = default;
Resampling::Resampling(Resampling&&) noexcept = default;
Resampling& Resampling::operator=(Resampling&&) noexcept = default;

std::int64_t Resampling::n_pairs() const noexcept { return pairs_of(plan_->n_models()); }
std::int64_t Resampling::n_replicates() const noexcept { return plan_->n_replicates(); }

void Resampling::replicates(std::int64_t first, double floor, int threads, std::span<float> out,
                            const StopRequest& stop) const {
    plan_->replicates(first, floor, threads, out, stop);
}
void Resampling::replicates(std::int64_t first, double floor, int threads, std::span<double> out,
                            const StopRequest& stop) const {
    plan_->replicates(first, floor, threads, out, stop);
}
void Resampling::errors(ErrorMethod method, double floor, int threads, const ErrorArrays& out,
                        const StopRequest& stop) const {
    plan_->errors(method, floor, threads, out, stop);
}

}  // namespace phylo
