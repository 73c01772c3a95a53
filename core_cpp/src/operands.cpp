#include "operands.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>

#include "fetch_line.hpp"
#include "phylo/errors.hpp"

namespace phylo {

namespace {

std::size_t index(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

/// 1 where a number is negative, else 0, in a way that no compiler makes a branch of.
std::uint32_t sign_bit(std::int32_t number) noexcept {
    return static_cast<std::uint32_t>(number) >> 31U;
}

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

/// Where a run's next model goes in a rare column's list, and where the models of all runs end.
struct Place {
    std::uint32_t next;
    std::uint32_t end;
};

/// The rare columns' lists, one after the other, each with its padding.
struct Lists {
    Buffer<std::uint32_t> begins;                         ///< empty in a square call
    std::vector<Buffer<Place>> places;                    ///< of each run
    std::vector<std::vector<std::uint64_t>> turn_begins;  ///< of each run and block
};

/// Postings of all rare columns' lists.
std::int64_t size_of_lists(const SimilarityPlan& plan) noexcept {
    return plan.rare_before.back().listed + kPostingPad * plan.rare_before.back().columns;
}

void refuse_long_lists(const SimilarityPlan& plan) {
    if (std::max(size_of_lists(plan), plan.rare_before.back().turns) >
        std::int64_t{std::numeric_limits<std::uint32_t>::max()}) {
        throw InputError(
            "the rare alleles of this table have more than 2^32 entries: compare its models in "
            "parts");
    }
}

/// Lays the lists of rare columns out, gene by gene; one for each thread.
/// Invariant: lists are filled run after run, and models ascend within a run, so lists ascend.
template <class P>
class ListLayout {
   public:
    ListLayout(const AlleleTable& table, const Pairs& pairs, const SimilarityPlan& plan,
               const TableScan& scan, Lists& lists, Buffer<P>& postings)
        : table_(table),
          plan_(plan),
          scan_(scan),
          lists_(lists),
          postings_(postings),
          nothing_(std::max<std::int64_t>(pairs.columns(), 1) - 1, 0) {}

    /// `turns`: of each run; set to those that its rows have in the gene's columns.
    void lay_out(std::int64_t gene, std::uint64_t* turns) {
        const SimilarityPlan::Rare& before = plan_.rare_before[index(gene)];
        const std::int64_t first = before.listed + kPostingPad * before.columns;
        const std::int64_t rare_columns = find_rare(gene);
        const std::size_t runs = scan_.runs.size();
        std::fill_n(turns, runs, 0);
        std::int64_t end = first;
        for (std::int64_t k = 0; k < rare_columns; ++k) {
            const std::int64_t rare = before.columns + k;
            if (lists_.begins.size() > 0) {
                lists_.begins[rare] = static_cast<std::uint32_t>(end);
            }
            for (std::size_t r = 0; r < runs; ++r) {
                const TableScan::Run& run = scan_.runs[r];
                const std::int32_t holders = run.holders[rare_[index(k)]];
                lists_.places[r][rare].next = static_cast<std::uint32_t>(end);
                end += run.columns ? holders : 0;
                turns[r] += static_cast<std::uint64_t>(run.rows ? holders : 0);
            }
            for (std::size_t r = 0; r < runs; ++r) {
                lists_.places[r][rare].end = static_cast<std::uint32_t>(end);
            }
            // Nothing is added to the last column, which every row is compared with.
            std::fill_n(postings_.data() + end, kPostingPad, nothing_);
            end += kPostingPad;
        }
        if (table_.has_exact()) {
            // Where counts are wanted, entries of exact cells are passed over, and lists end
            // early.
            std::fill_n(postings_.data() + first, end - first, nothing_);
        }
    }

   private:
    /// Collects a gene's rare columns. Which are cannot be foreseen: no branch depends on it.
    std::int64_t find_rare(std::int64_t gene) {
        const std::int64_t begin = table_.gene_offsets[index(gene)];
        const std::int64_t end = table_.gene_offsets[index(gene) + 1];
        rare_.resize(std::max(rare_.size(), index(end - begin) + 1));
        const std::int32_t* slots = plan_.slots.data();
        std::int64_t* rare = rare_.data();
        for (std::int64_t c = begin; c < end; ++c) {
            *rare = c;
            rare += sign_bit(slots[c] - SimilarityPlan::kAbsent);
        }
        return rare - rare_.data();
    }

    const AlleleTable& table_;
    const SimilarityPlan& plan_;
    const TableScan& scan_;
    Lists& lists_;
    Buffer<P>& postings_;
    const P nothing_;
    std::vector<std::int64_t> rare_;
};

/// Lays all lists out and ends them with their padding. `blocks` are of genes. Uses up the
/// holders of the scan's runs.
template <class P>
Lists lay_out_lists(const AlleleTable& table, const Pairs& pairs, const SimilarityPlan& plan,
                    TableScan& scan, const std::vector<std::int64_t>& blocks, int threads,
                    const StopRequest& stop, Buffer<P>& postings) {
    const std::size_t runs = scan.runs.size();
    Lists lists;
    lists.begins = Buffer<std::uint32_t>(pairs.symmetric ? 0 : plan.rare_columns);
    for (std::size_t r = 0; r < runs; ++r) {
        lists.places.emplace_back(plan.rare_columns);
    }
    std::vector<std::uint64_t> turns(index(table.n_genes()) * runs);  // of each gene and run
    const std::vector<std::int64_t> pieces = cut_for_threads(table);
    parallel_for(
        static_cast<std::int64_t>(pieces.size()) - 1, threads,
        [&](std::int64_t piece, int) {
            ListLayout<P> layout(table, pairs, plan, scan, lists, postings);
            for (std::int64_t g = pieces[index(piece)]; g < pieces[index(piece) + 1]; ++g) {
                layout.lay_out(g, turns.data() + index(g) * runs);
            }
        },
        stop);
    std::uint64_t taken = 0;
    for (std::size_t r = 0; r < runs; ++r) {
        lists.turn_begins.emplace_back();
        for (std::size_t b = 0; b + 1 < blocks.size(); ++b) {
            lists.turn_begins[r].push_back(taken);
            for (std::int64_t g = blocks[b]; g < blocks[b + 1]; ++g) {
                taken += turns[index(g) * runs + r];
            }
        }
        scan.runs[r].holders = {};
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
        std::vector<std::int64_t> next(table_.indptr.begin() + run.begin,
                                       table_.indptr.begin() + run.end);
        Work work{.run = run, .places = lists_.places[r].data()};
        for (std::size_t b = 0; b + 1 < blocks_.size(); ++b) {
            const auto end_column = static_cast<std::int32_t>(first_column(b + 1));
            work.turn = static_cast<std::int64_t>(lists_.turn_begins[r][b]);
            const GroupRange groups = groups_of(b);
            for (std::int64_t m = run.begin; m < run.end; ++m) {
                if ((m - base) % kPanelModels == 0) {
                    panels.clear(m - base, groups.begin, groups.end);
                }
                fetch_model(next, run, m + kModelsAhead);
                note_turn(turns, work);
                const std::int64_t begin = next[index(m - run.begin)];
                next[index(m - run.begin)] = sort_out(begin, m, end_column, work);
                fill_panel(begin, panels.of(m - base), work);
                fill_lists(begin, m, work);
            }
            note_turn(turns, work);
        }
        clear_lanes_beyond(panels, run.end - base);
        lists_.places[r] = {};
    }

   private:
    /// What packing one run works with.
    struct Work {
        const TableScan::Run& run;
        Place* places;          ///< of each rare column
        std::int64_t turn = 0;  ///< where the next one goes
        std::vector<Pick> dense{};
        std::vector<Pick> rare{};
        std::size_t n_dense = 0;
        std::size_t n_rare = 0;
    };

    /// Groups of the panels that a block of genes is the first to write to.
    struct GroupRange {
        std::int64_t begin;
        std::int64_t end;
    };
    [[nodiscard]] GroupRange groups_of(std::size_t block) const noexcept {
        const std::int64_t per_group = columns_a_group(plan_.arithmetic);
        const auto up_to = [&](std::size_t b) {
            return b + 1 == blocks_.size()
                       ? plan_.groups()
                       : (places_before(first_column(b)) + per_group - 1) / per_group;
        };
        return {.begin = up_to(block), .end = up_to(block + 1)};
    }

    /// Of a block of genes.
    [[nodiscard]] std::int64_t first_column(std::size_t block) const noexcept {
        return table_.gene_offsets[index(blocks_[block])];
    }

    /// Places that dense columns before this one have taken.
    [[nodiscard]] std::int64_t places_before(std::int64_t column) const noexcept {
        for (std::int64_t c = column; c-- > 0;) {
            if (plan_.slots[c] >= 0) {
                return plan_.slots[c] + std::int64_t{1};
            }
        }
        return 0;
    }

    /// Tiles are whole: the panels behind the last model are there, and empty.
    void clear_lanes_beyond(Panels& panels, std::int64_t models) const noexcept {
        const std::int64_t first = (models + kPanelModels - 1) / kPanelModels * kPanelModels;
        const std::int64_t end = (models + kTileColumns - 1) / kTileColumns * kTileColumns;
        for (std::int64_t m = first; m < end; m += kPanelModels) {
            panels.clear(m, 0, plan_.groups());
        }
    }

    /// Asks for a model's next entries, which lie far from those of the model before.
    void fetch_model(const std::vector<std::int64_t>& next, const TableScan::Run& run,
                     std::int64_t m) const noexcept {
        if (m < run.end) {
            const std::int64_t e = next[index(m - run.begin)];
            fetch_line(table_.columns.data() + e);
            fetch_line(table_.columns.data() + e, 1);
            fetch_line(table_.counts.data() + e);
            fetch_line(table_.counts.data() + e, 1);
        }
    }

    static void note_turn(typename Operands<P>::Run* turns, const Work& work) {
        if (turns != nullptr) {
            turns->offsets.push_back(static_cast<std::uint32_t>(work.turn));
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
    /// depends on it: both lists are written, one of them moves on, by a sign's bit (compilers
    /// make branches of comparisons).
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
            dense += sign_bit(~slot);
            rare += sign_bit(slot - SimilarityPlan::kAbsent);
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

    /// Lists lie anywhere: the places of a model's entries are all asked for before they are
    /// written to.
    void fill_lists(std::int64_t begin, std::int64_t m, Work& work) noexcept {
        if (work.run.columns) {
            for (std::size_t k = 0; k < work.n_rare; ++k) {
                const std::int64_t rare = rare_column(work.rare[k]);
                __builtin_prefetch(operands_.postings.data() + work.places[rare].next, 1);
            }
        }
        for (std::size_t k = 0; k < work.n_rare; ++k) {
            const std::int64_t rare = rare_column(work.rare[k]);
            Place& place = work.places[rare];
            const Value own = value(begin + work.rare[k].entry);
            if (own == Value{0}) {
                continue;  // an exact cell, of which there are no counts
            }
            if (work.run.columns) {
                operands_.postings[place.next++] = P(m - pairs_.column_begin, own);
            }
            if (pairs_.symmetric) {
                // Only models after this one: each pair once.
                operands_.turns[work.turn++] = turn(place.next, place.end);
            } else if (work.run.rows) {
                operands_.turns[work.turn] = turn(lists_.begins[rare], place.end);
                operands_.turn_values[work.turn++] = own;
            }
        }
    }

    static typename Operands<P>::Turn turn(std::uint32_t begin, std::uint32_t end) noexcept {
        constexpr auto group = static_cast<std::uint32_t>(kPostingGroup);
        return {.begin = begin, .groups = (end - begin + group - 1) / group};
    }

    static std::int64_t rare_column(const Pick& pick) noexcept {
        return SimilarityPlan::kAbsent - 1 - std::int64_t{pick.slot};
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
    refuse_long_lists(plan);
    const std::int64_t n_turns = plan.rare_before.back().turns;
    operands.postings = Buffer<P>(size_of_lists(plan));
    operands.turns = Buffer<typename Operands<P>::Turn>(n_turns);
    if (!pairs.symmetric) {
        operands.turn_values = Buffer<typename P::Value>(n_turns);
    }
    const std::vector<std::int64_t> blocks =
        cut_genes(table, table.n_columns() * 4 + plan.rare_columns * 8 +
                             plan.rare_entries * std::int64_t{sizeof(P)});
    Lists lists = lay_out_lists(table, pairs, plan, scan, blocks, threads, stop, operands.postings);
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
    // Without groups too there is memory that models' lanes can point into.
    const std::int64_t lanes = lane_bytes_ * kPanelModels;
    bytes_ =
        Buffer<std::uint8_t>(std::max(lanes, tiles * (kTileColumns / kPanelModels) * panel_bytes_));
}

void Panels::clear(std::int64_t model, std::int64_t first_group, std::int64_t end_group) noexcept {
    const std::int64_t bytes = lane_bytes_ * kPanelModels;
    std::uint8_t* panel = bytes_.data() + model / kPanelModels * panel_bytes_;
    std::memset(panel + first_group * bytes, 0, index((end_group - first_group) * bytes));
}

template <class P>
typename Operands<P>::Turns Operands<P>::turns_of(std::int64_t model, Scratch& scratch) const {
    const auto run = std::find_if(runs.begin(), runs.end(),
                                  [&](const Run& candidate) { return model < candidate.end; });
    const std::int64_t stride = run->end - run->begin + 1;
    const bool valued = turn_values.size() > 0;
    const auto block = [&](std::int64_t b) -> Turns {
        const std::uint32_t* offset = run->offsets.data() + b * stride + model - run->begin;
        return {.parts = std::span(turns.data() + offset[0], offset[1] - offset[0]),
                .values = valued ? turn_values.data() + offset[0] : nullptr};
    };
    if (run->blocks == 1) {
        return block(0);
    }
    scratch.parts.clear();
    scratch.values.clear();
    for (std::int64_t b = 0; b < run->blocks; ++b) {
        const Turns part = block(b);
        scratch.parts.insert(scratch.parts.end(), part.parts.begin(), part.parts.end());
        if (valued) {
            scratch.values.insert(scratch.values.end(), part.values,
                                  part.values + part.parts.size());
        }
    }
    return {.parts = scratch.parts, .values = valued ? scratch.values.data() : nullptr};
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
