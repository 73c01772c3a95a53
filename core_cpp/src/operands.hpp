#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "phylo/allele_table.hpp"
#include "phylo/buffer.hpp"
#include "phylo/parallel.hpp"
#include "phylo/similarity_plan.hpp"

namespace phylo {

/// Common columns of some models, as kernels.hpp lays panels out.
class Panels {
   public:
    Panels() = default;
    /// Of `models` models; not initialised.
    Panels(std::int64_t models, std::int64_t groups, Arithmetic arithmetic);

    [[nodiscard]] std::int64_t panel_bytes() const noexcept { return panel_bytes_; }
    /// A model's first group; `model` counts from 0.
    [[nodiscard]] const std::uint8_t* of(std::int64_t model) const noexcept {
        return bytes_.data() + model / kPanelModels * panel_bytes_ +
               model % kPanelModels * lane_bytes_;
    }
    [[nodiscard]] std::uint8_t* of(std::int64_t model) noexcept {
        return bytes_.data() + model / kPanelModels * panel_bytes_ +
               model % kPanelModels * lane_bytes_;
    }
    /// Sets the counts of a model's panel to 0, from one group up to another.
    void clear(std::int64_t model, std::int64_t first_group, std::int64_t end_group) noexcept;

   private:
    Buffer<std::uint8_t> bytes_;
    std::int64_t panel_bytes_ = 0;
    std::int64_t lane_bytes_ = 4;
};

/// A count in a rare column's list, in 32 bits: up to 2^24 models, counts up to 255.
struct PackedPosting {
    using Value = std::int32_t;
    std::uint32_t bits;
    PackedPosting() = default;
    PackedPosting(std::int64_t model, std::int32_t count) noexcept
        : bits(static_cast<std::uint32_t>(model) << 8U | static_cast<std::uint32_t>(count)) {}
    [[nodiscard]] std::uint32_t read() const noexcept { return bits; }
    static std::uint32_t model(std::uint32_t entry) noexcept { return entry >> 8U; }
    static std::int32_t value(std::uint32_t entry) noexcept {
        return static_cast<std::int32_t>(entry & 0xffU);
    }
};
inline constexpr std::int64_t kMostPackedModels = std::int64_t{1} << 24U;

/// Any count, or a frequency.
template <class T>
struct Posting {
    using Value = T;
    std::int32_t model_;
    T value_;
    Posting() = default;
    Posting(std::int64_t model, T value) noexcept
        : model_(static_cast<std::int32_t>(model)), value_(value) {}
    [[nodiscard]] const Posting& read() const noexcept { return *this; }
    static std::uint32_t model(const Posting& entry) noexcept {
        return static_cast<std::uint32_t>(entry.model_);
    }
    static T value(const Posting& entry) noexcept { return entry.value_; }
};

/// A list is read four postings at a time, and ends with as many of value 0 as that may overrun.
inline constexpr std::int64_t kPostingGroup = 4;
inline constexpr std::int64_t kPostingPad = kPostingGroup - 1;

/// A table's wanted rows and columns, ready to be multiplied.
template <class P>
struct Operands {
    using Value = typename P::Value;
    Panels row_panels;  ///< empty where rows and columns are the same models
    Panels column_panels;
    Buffer<P> postings;  ///< rare columns' lists, one after the other, models ascending

    /// A row model's turn in a rare column: the part of the list that the row is multiplied with.
    /// Its length is known before the list is read: all of it can be asked for ahead, and where it
    /// ends is decided without waiting for it.
    struct Turn {
        std::uint32_t begin;
        std::uint32_t groups;  ///< of kPostingGroup
    };
    /// Turns were packed by blocks of genes, each block for all models of a run.
    struct Run {
        std::int64_t begin;
        std::int64_t end;
        std::int64_t blocks;
        /// Of block b and the run's model m: turns offsets[b * (models + 1) + m] up to the next.
        std::vector<std::uint32_t> offsets;
    };
    std::vector<Run> runs;  ///< those that have rows
    Buffer<Turn> turns;
    /// The row's value in each turn. Empty in a square call: there it stands in the list, before
    /// the turn's part.
    Buffer<Value> turn_values;

    /// Turns of a row model, columns ascending.
    struct Turns {
        std::span<const Turn> parts;
        const Value* values;  ///< null in a square call
    };
    /// What Turns may lie in.
    struct Scratch {
        std::vector<Turn> parts;
        std::vector<Value> values;
    };
    [[nodiscard]] Turns turns_of(std::int64_t model, Scratch& scratch) const;
};

/// Packs what the plan says. `values`: the frequencies of the table's entries; empty for counts.
/// O(nnz) time, in parallel over the scan's runs, whose `holders` it uses up.
template <class P>
Operands<P> pack(const AlleleTable& table, const Pairs& pairs, const SimilarityPlan& plan,
                 TableScan& scan, std::span<const double> values, int threads,
                 const StopRequest& stop);

}  // namespace phylo
