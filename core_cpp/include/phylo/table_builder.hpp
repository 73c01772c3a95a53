#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "phylo/allele_table.hpp"

namespace phylo {

/// One batch of rows: row r says that model[r] has allele r of the strings in gene[r].
struct RowBatch {
    std::span<const std::int32_t> models;
    std::span<const std::int32_t> genes;
    std::span<const std::int64_t> allele_offsets;  ///< rows + 1
    std::string_view allele_bytes;
};

/// Gathers rows in batches of any size and order into a canonical AlleleTable.
///
/// Repeated (model, gene, allele) rows add. Memory is O(distinct rows): pending rows are
/// merged whenever they outnumber the merged ones.
class TableBuilder {
   public:
    /// Names that rows may refer to from now on, by index, after those given before.
    void add_models(const StringList& names);
    void add_genes(const StringList& names);

    /// Adds `counts[r]` probes for each row (1 each where counts is empty). A batch is checked
    /// whole before any of it is taken: a throw leaves the builder as it was.
    void add_counts(const RowBatch& batch, std::span<const std::int64_t> counts);

    /// Adds exact probabilities.
    void add_probabilities(const RowBatch& batch, std::span<const double> probabilities);

    /// The table; the builder is empty afterwards.
    [[nodiscard]] AlleleTable finish();

   private:
    struct Row {
        std::int32_t model;
        std::int32_t allele;  ///< provisional: order of first appearance
        std::int64_t count;
        double probability;
    };
    struct AlleleKey {
        std::int32_t gene;
        std::string_view text;
        bool operator==(const AlleleKey&) const = default;
    };
    struct AlleleHash {
        std::size_t operator()(const AlleleKey& key) const noexcept {
            return std::hash<std::string_view>{}(key.text) ^
                   (static_cast<std::size_t>(key.gene) * 0x9E3779B97F4A7C15ULL);
        }
    };

    void check(const RowBatch& batch) const;
    std::int32_t intern(std::int32_t gene, std::string_view text);
    void merge_pending();
    [[nodiscard]] std::vector<std::int32_t> rank_alleles(AlleleTable& table) const;
    [[nodiscard]] std::string place(const Row& row) const;

    StringList models_;
    StringList genes_;
    std::vector<std::int32_t> allele_genes_;
    std::vector<std::string_view> allele_texts_;
    std::vector<std::unique_ptr<std::string>> text_blocks_;
    std::unordered_map<AlleleKey, std::int32_t, AlleleHash> interned_;
    std::vector<Row> rows_;
    std::size_t merged_ = 0;
    bool any_exact_ = false;
};

}  // namespace phylo
