#include "operands.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>

#include "phylo/errors.hpp"

namespace phylo {

namespace {

std::size_t index(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

/// Writes a value at a place of a model's panel.
template <Arithmetic kind, class Value>
void put(std::uint8_t* model, std::int64_t place, Value value) noexcept {
    if constexpr (kind == Arithmetic::u8) {
        model[(place >> 2) * kGroupBytes + (place & 3)] = static_cast<std::uint8_t>(value);
    } else if constexpr (kind == Arithmetic::i16) {
        const auto count = static_cast<std::int16_t>(value);
        std::memcpy(model + (place >> 1) * kGroupBytes + (place & 1) * 2, &count, sizeof count);
    } else {
        const auto frequency = static_cast<double>(value);
        std::memcpy(model + place * 2 * kGroupBytes, &frequency, sizeof frequency);
    }
}

/// Columns at which blocks of genes begin, and the number of columns.
std::vector<std::int64_t> cut_columns(const AlleleTable& table, const SimilarityPlan& plan,
                                      std::int64_t posting_bytes) {
    std::vector<std::int64_t> begins = cut_genes(
        table, table.n_columns() * 4 + plan.rare_columns * 8 + plan.rare_entries * posting_bytes);
    for (std::int64_t& begin : begins) {
        begin = table.gene_offsets[index(begin)];
    }
    return begins;
}

/// Where a run's next model goes in a rare column's list, and where the list ends.
struct Place {
    std::uint32_t next;
    std::uint32_t end;
};

/// The rare columns' lists, one after the other, each with its padding.
struct Lists {
    std::uint64_t size = 0;
    std::vector<std::uint32_t> begins;
    std::vector<Buffer<Place>> places;                    ///< of each run
    std::vector<std::vector<std::uint64_t>> turn_begins;  ///< of each run and block
    std::uint64_t turns = 0;
};

/// Invariant: lists are filled run after run, and models ascend within a run, so lists ascend.
Lists lay_out_lists(const SimilarityPlan& plan, TableScan& scan,
                    const std::vector<std::int64_t>& blocks) {
    Lists lists;
    lists.begins.resize(index(plan.rare_columns));
    const std::size_t runs = scan.runs.size();
    for (std::size_t r = 0; r < runs; ++r) {
        lists.places.emplace_back(plan.rare_columns);
    }
    std::vector<std::vector<std::uint64_t>> turns(runs);  // of each run and block
    std::int64_t rare = 0;
    for (std::size_t b = 0; b + 1 < blocks.size(); ++b) {
        std::vector<std::uint64_t> of_run(runs, 0);
        for (std::int64_t c = blocks[b]; c < blocks[b + 1]; ++c) {
            if (plan.slots[c] >= SimilarityPlan::kAbsent) {
                continue;
            }
            lists.begins[index(rare)] = static_cast<std::uint32_t>(lists.size);
            for (std::size_t r = 0; r < runs; ++r) {
                const auto holders = static_cast<std::uint64_t>(scan.runs[r].holders[c]);
                lists.places[r][rare].next = static_cast<std::uint32_t>(lists.size);
                lists.size += scan.runs[r].columns ? holders : 0;
                of_run[r] += scan.runs[r].rows ? holders : 0;
            }
            for (std::size_t r = 0; r < runs; ++r) {
                lists.places[r][rare].end = static_cast<std::uint32_t>(lists.size);
            }
            lists.size += kPostingPad;
            ++rare;
        }
        for (std::size_t r = 0; r < runs; ++r) {
            turns[r].push_back(of_run[r]);
        }
    }
    for (std::size_t r = 0; r < runs; ++r) {
        lists.turn_begins.emplace_back();
        for (const std::uint64_t count : turns[r]) {
            lists.turn_begins[r].push_back(lists.turns);
            lists.turns += count;
        }
        scan.runs[r].holders = {};
    }
    if (std::max(lists.size, lists.turns) > std::numeric_limits<std::uint32_t>::max()) {
        throw InputError(
            "the rare alleles of this table have more than 2^32 entries: compare its models in "
            "parts");
    }
    return lists;
}

/// An entry of a model's row, and what the plan says of its column.
struct Pick {
    std::int32_t slot;
    std::int32_t entry;  ///< counted from the first of the row
};

/// Packs runs of models.
template <class P, Arithmetic kind>
class Packer {
   public:
    using Value = typename P::Value;

    Packer(const AlleleTable& table, const Pairs& pairs, const SimilarityPlan& plan,
           std::span<const double> values, const std::vector<std::int64_t>& blocks, Lists& lists,
           Operands<P>& operands)
        : table_(table),
          pairs_(pairs),
          plan_(plan),
          values_(values),
          blocks_(blocks),
          lists_(lists),
          operands_(operands) {}

    void pack(const TableScan::Run& run, std::size_t r, typename Operands<P>::Run* turns) {
        Panels& panels = run.columns ? operands_.column_panels : operands_.row_panels;
        const std::int64_t base = run.columns ? pairs_.column_begin : pairs_.row_begin;
        panels.clear(run.begin - base, padded(run.end - base));
        std::vector<std::int64_t> next(table_.indptr.begin() + run.begin,
                                       table_.indptr.begin() + run.end);
        Work work{.run = run, .places = lists_.places[r].data()};
        for (std::size_t b = 0; b + 1 < blocks_.size(); ++b) {
            const auto end_column = static_cast<std::int32_t>(blocks_[b + 1]);
            work.turn = operands_.turns.data() + lists_.turn_begins[r][b];
            for (std::int64_t m = run.begin; m < run.end; ++m) {
                note_turn(turns, work);
                const std::int64_t begin = next[index(m - run.begin)];
                next[index(m - run.begin)] = sort_out(begin, m, end_column, work);
                fill_panel(begin, panels.of(m - base), work);
                fill_lists(begin, m, work);
            }
            note_turn(turns, work);
        }
        lists_.places[r] = {};
    }

   private:
    /// What packing one run works with.
    struct Work {
        const TableScan::Run& run;
        Place* places;
        Turn<Value>* turn = nullptr;  ///< where the next one goes
        std::vector<Pick> dense{};
        std::vector<Pick> rare{};
        std::size_t n_dense = 0;
        std::size_t n_rare = 0;
    };

    static std::int64_t padded(std::int64_t models) noexcept {
        return (models + kTileColumns - 1) / kTileColumns * kTileColumns;
    }

    void note_turn(typename Operands<P>::Run* turns, const Work& work) const {
        if (turns != nullptr) {
            turns->offsets.push_back(
                static_cast<std::uint32_t>(work.turn - operands_.turns.data()));
        }
    }

    [[nodiscard]] Value value(std::int64_t entry) const noexcept {
        if constexpr (std::is_floating_point_v<Value>) {
            return values_[index(entry)];
        } else {
            return table_.counts[index(entry)];
        }
    }

    /// Parts a model's entries, up to a column, into those of dense and of rare columns, and
    /// gives the first entry beyond. Which kind comes next cannot be foreseen, so no branch
    /// depends on it: both lists are written, one of them moves on.
    std::int64_t sort_out(std::int64_t begin, std::int64_t m, std::int32_t end_column,
                          Work& work) const {
        const std::int64_t row_end = table_.indptr[index(m) + 1];
        const auto most = static_cast<std::size_t>(row_end - begin) + 1;
        if (work.dense.size() < most) {
            work.dense.resize(2 * most);
            work.rare.resize(2 * most);
        }
        const std::int32_t* columns = table_.columns.data();
        const std::int32_t* slots = plan_.slots.data();
        Pick* dense = work.dense.data();
        Pick* rare = work.rare.data();
        std::int64_t e = begin;
        for (; e < row_end && columns[e] < end_column; ++e) {
            const std::int32_t slot = slots[columns[e]];
            const Pick pick{.slot = slot, .entry = static_cast<std::int32_t>(e - begin)};
            *dense = pick;
            *rare = pick;
            dense += slot > SimilarityPlan::kAbsent ? 1 : 0;
            rare += slot < SimilarityPlan::kAbsent ? 1 : 0;
        }
        work.n_dense = static_cast<std::size_t>(dense - work.dense.data());
        work.n_rare = static_cast<std::size_t>(rare - work.rare.data());
        return e;
    }

    void fill_panel(std::int64_t begin, std::uint8_t* panel, const Work& work) const noexcept {
        for (std::size_t k = 0; k < work.n_dense; ++k) {
            put<kind>(panel, work.dense[k].slot, value(begin + work.dense[k].entry));
        }
    }

    void fill_lists(std::int64_t begin, std::int64_t m, Work& work) noexcept {
        Turn<Value>* turn = work.turn;
        for (std::size_t k = 0; k < work.n_rare; ++k) {
            const std::int64_t rare = SimilarityPlan::kAbsent - 1 - std::int64_t{work.rare[k].slot};
            Place& place = work.places[rare];
            const Value own = value(begin + work.rare[k].entry);
            if (work.run.columns) {
                operands_.postings[place.next] = P(m - pairs_.column_begin, own);
                ++place.next;
            }
            if (work.run.rows) {  // else `turn` is another run's
                // In a square call only models after this one: each pair once.
                const std::uint32_t first =
                    pairs_.symmetric ? place.next : lists_.begins[index(rare)];
                *turn = {.begin = first, .end = place.end, .value = own};
                turn += first < place.end ? 1 : 0;
            }
        }
        work.turn = turn;
    }

    const AlleleTable& table_;
    const Pairs& pairs_;
    const SimilarityPlan& plan_;
    std::span<const double> values_;
    const std::vector<std::int64_t>& blocks_;
    Lists& lists_;
    Operands<P>& operands_;
};

template <class P, Arithmetic kind>
void pack_runs(const AlleleTable& table, const Pairs& pairs, const SimilarityPlan& plan,
               TableScan& scan, std::span<const double> values, int threads,
               const StopRequest& stop, Operands<P>& operands) {
    const std::vector<std::int64_t> blocks = cut_columns(table, plan, sizeof(P));
    Lists lists = lay_out_lists(plan, scan, blocks);
    operands.postings = Buffer<P>(static_cast<std::int64_t>(lists.size));
    // One beyond the last: a model's last entry is written before it is dropped.
    operands.turns = Buffer<Turn<typename P::Value>>(static_cast<std::int64_t>(lists.turns) + 1);
    // Nothing is added to the last column, which every row is compared with.
    const P nothing(std::max<std::int64_t>(pairs.columns(), 1) - 1, 0);
    for (std::size_t k = 0; k < lists.begins.size(); ++k) {
        const std::uint32_t end = lists.places.front()[static_cast<std::int64_t>(k)].end;
        std::fill_n(operands.postings.data() + end, kPostingPad, nothing);
    }
    std::vector<typename Operands<P>::Run*> turns(scan.runs.size(), nullptr);
    operands.runs.reserve(scan.runs.size());
    for (std::size_t r = 0; r < scan.runs.size(); ++r) {
        const TableScan::Run& run = scan.runs[r];
        if (run.rows) {
            operands.runs.push_back({.begin = run.begin,
                                     .end = run.end,
                                     .blocks = static_cast<std::int64_t>(blocks.size()) - 1,
                                     .offsets = {}});
            turns[r] = &operands.runs.back();
        }
    }
    Packer<P, kind> packer(table, pairs, plan, values, blocks, lists, operands);
    parallel_for(
        static_cast<std::int64_t>(scan.runs.size()), threads,
        [&](std::int64_t r, int) { packer.pack(scan.runs[index(r)], index(r), turns[index(r)]); },
        stop);
}

}  // namespace

Panels::Panels(std::int64_t models, std::int64_t groups, Arithmetic arithmetic)
    : panel_bytes_(groups * (arithmetic == Arithmetic::frequency ? 2 : 1) * kGroupBytes),
      lane_bytes_(arithmetic == Arithmetic::frequency ? 8 : 4) {
    const std::int64_t tiles = (models + kTileColumns - 1) / kTileColumns;
    bytes_ = Buffer<std::uint8_t>(tiles * (kTileColumns / kPanelModels) * panel_bytes_);
}

void Panels::clear(std::int64_t first_model, std::int64_t end_model) noexcept {
    const std::int64_t begin = first_model / kPanelModels * panel_bytes_;
    const std::int64_t end = end_model / kPanelModels * panel_bytes_;
    if (end > begin) {
        std::memset(bytes_.data() + begin, 0, index(end - begin));
    }
}

template <class P>
std::span<const Turn<typename P::Value>> Operands<P>::turns_of(
    std::int64_t model, std::vector<Turn<Value>>& scratch) const {
    const auto run = std::find_if(runs.begin(), runs.end(),
                                  [&](const Run& candidate) { return model < candidate.end; });
    const std::int64_t stride = run->end - run->begin + 1;
    const auto block = [&](std::int64_t b) {
        const std::uint32_t* offset = run->offsets.data() + b * stride + model - run->begin;
        return std::span(turns.data() + offset[0], offset[1] - offset[0]);
    };
    if (run->blocks == 1) {
        return block(0);
    }
    scratch.clear();
    for (std::int64_t b = 0; b < run->blocks; ++b) {
        const auto part = block(b);
        scratch.insert(scratch.end(), part.begin(), part.end());
    }
    return scratch;
}

template <class P>
Operands<P> pack(const AlleleTable& table, const Pairs& pairs, const SimilarityPlan& plan,
                 TableScan& scan, std::span<const double> values, int threads,
                 const StopRequest& stop) {
    Operands<P> operands;
    operands.column_panels = Panels(pairs.columns(), plan.groups(), plan.arithmetic);
    if (!pairs.one_side()) {
        operands.row_panels = Panels(pairs.rows(), plan.groups(), plan.arithmetic);
    }
    const auto run = [&]<Arithmetic kind>() {
        pack_runs<P, kind>(table, pairs, plan, scan, values, threads, stop, operands);
    };
    if constexpr (std::is_floating_point_v<typename P::Value>) {
        run.template operator()<Arithmetic::frequency>();
    } else if (plan.arithmetic == Arithmetic::u8) {
        run.template operator()<Arithmetic::u8>();
    } else {
        run.template operator()<Arithmetic::i16>();
    }
    return operands;
}

template struct Operands<PackedPosting>;
template struct Operands<Posting<std::int32_t>>;
template struct Operands<Posting<double>>;
template Operands<PackedPosting> pack(const AlleleTable&, const Pairs&, const SimilarityPlan&,
                                      TableScan&, std::span<const double>, int, const StopRequest&);
template Operands<Posting<std::int32_t>> pack(const AlleleTable&, const Pairs&,
                                              const SimilarityPlan&, TableScan&,
                                              std::span<const double>, int, const StopRequest&);
template Operands<Posting<double>> pack(const AlleleTable&, const Pairs&, const SimilarityPlan&,
                                        TableScan&, std::span<const double>, int,
                                        const StopRequest&);

}  // namespace phylo
