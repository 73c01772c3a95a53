#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "panels.hpp"
#include "phylo/allele_table.hpp"
#include "phylo/kernels.hpp"
#include "terms.hpp"

namespace phylo::resampling {

/// Seconds that a product of rare alleles takes, in round numbers: it is written to a list and
/// read again.
inline constexpr double kRareProductSeconds = 8e-9;

/// Where the values of each column lie: common alleles in panels, a gene's columns in groups of
/// their own; rare ones in lists; alleles that one model alone has, nowhere, since no numerator
/// needs them.
struct ColumnPlaces {
    static constexpr std::int32_t kPrivate = std::numeric_limits<std::int32_t>::min();
    std::vector<std::int32_t> places;       ///< >= 0: column in the panels; else ~list, or kPrivate
    std::vector<std::int64_t> gene_groups;  ///< first group of each gene, and their number
    std::vector<std::int64_t> offsets;      ///< first of each rare column's postings, and the end
};

/// An allele that c of n models have costs c^2 / 2 products as a rare one and n^2 / 2 as a common
/// one, quicker by far: the larger of the two decides.
inline ColumnPlaces place_columns(const AlleleTable& table, std::int64_t columns_a_group,
                                  double rate) {
    std::vector<std::int32_t> owners(static_cast<std::size_t>(table.n_columns()), 0);
    for (const std::int32_t column : table.columns) {
        ++owners[static_cast<std::size_t>(column)];
    }
    const double share = std::sqrt(1.0 / (rate * kRareProductSeconds));
    const double common = std::max(2.0, share * static_cast<double>(table.n_models()));
    ColumnPlaces found;
    found.places.assign(owners.size(), ColumnPlaces::kPrivate);
    found.offsets.push_back(0);
    std::int64_t groups = 0;
    for (std::size_t g = 0; g < table.genes.size(); ++g) {
        found.gene_groups.push_back(groups);
        std::int64_t next = groups * columns_a_group;
        for (std::int64_t c = table.gene_offsets[g]; c < table.gene_offsets[g + 1]; ++c) {
            const std::int32_t having = owners[static_cast<std::size_t>(c)];
            std::int32_t& place = found.places[static_cast<std::size_t>(c)];
            if (having >= common) {
                place = static_cast<std::int32_t>(next++);
            } else if (having >= 2) {
                place = ~static_cast<std::int32_t>(found.offsets.size() - 1);
                found.offsets.push_back(found.offsets.back() + having);
            }
        }
        groups = (next + columns_a_group - 1) / columns_a_group;
    }
    found.gene_groups.push_back(groups);
    return found;
}

/// That a model has a rare allele; in the postings of a column, ascending.
template <class Value>
struct Posting {
    std::int32_t model;
    Value value;
};

/// A rare allele of one model.
template <class Value>
struct RareEntry {
    std::int32_t list;
    std::int32_t gene;
    Value value;
};

/// A table's alleles as the tiles need them. O(nnz + columns + models x common columns).
template <class Count, class Partial>
struct Alleles {
    ColumnPlaces columns;
    Panels<Count> common;
    std::vector<Posting<Partial>> postings;     ///< column by column
    std::vector<RareEntry<Partial>> rare;       ///< model by model
    std::vector<std::int64_t> rare_offsets{0};  ///< first of each model's, and the end

    Alleles(const AlleleTable& table, const GeneTerms& terms, ColumnPlaces places)
        : columns(std::move(places)),
          common(table.n_models(), columns.gene_groups.back()),
          postings(static_cast<std::size_t>(columns.offsets.back())) {
        rare.reserve(postings.size());
        std::vector<std::int64_t> next(columns.offsets.begin(), columns.offsets.end() - 1);
        for (std::int64_t m = 0; m < table.n_models(); ++m) {
            for_each_entry(
                table, terms.integer, m, [&](std::int64_t gene, std::int32_t column, double value) {
                    const std::int32_t place = columns.places[static_cast<std::size_t>(column)];
                    if (place >= 0) {
                        *common.at(m, place) = static_cast<Count>(value);
                    } else if (place != ColumnPlaces::kPrivate) {
                        const std::int64_t at = next[static_cast<std::size_t>(~place)]++;
                        postings[static_cast<std::size_t>(at)] = {
                            .model = static_cast<std::int32_t>(m),
                            .value = static_cast<Partial>(value)};
                        rare.push_back({.list = ~place,
                                        .gene = static_cast<std::int32_t>(gene),
                                        .value = static_cast<Partial>(value)});
                    }
                });
            rare_offsets.push_back(static_cast<std::int64_t>(rare.size()));
        }
    }
};

}  // namespace phylo::resampling
