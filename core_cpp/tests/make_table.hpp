#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "phylo/table_builder.hpp"

namespace phylo::testing {

/// A row as the tests write it.
struct Row {
    std::int32_t model;
    std::int32_t gene;
    std::string allele;
    std::int64_t count = 1;
};

inline StringList names(const std::string& prefix, int count) {
    StringList list;
    for (int i = 0; i < count; ++i) {
        list.push_back(prefix + std::to_string(i));
    }
    return list;
}

/// Rows as the arrays that a RowBatch looks at.
struct Batch {
    std::vector<std::int32_t> models;
    std::vector<std::int32_t> genes;
    std::vector<std::int64_t> offsets{0};
    std::string bytes;
    std::vector<std::int64_t> counts;

    explicit Batch(const std::vector<Row>& rows) {
        for (const Row& row : rows) {
            models.push_back(row.model);
            genes.push_back(row.gene);
            bytes += row.allele;
            offsets.push_back(static_cast<std::int64_t>(bytes.size()));
            counts.push_back(row.count);
        }
    }
    [[nodiscard]] RowBatch view() const {
        return {.models = models,
                .genes = genes,
                .alleles = Utf8Column<std::int64_t>{.offsets = offsets, .bytes = bytes}};
    }
};

inline AlleleTable make_table(int models, int genes, const std::vector<Row>& rows) {
    TableBuilder builder;
    builder.add_models(names("m", models));
    builder.add_genes(names("g", genes));
    const Batch batch(rows);
    builder.add_counts(batch.view(), batch.counts);
    return builder.finish();
}

/// Pseudo-random rows: `n` probes a cell, some cells missing.
inline std::vector<Row> random_rows(int models, int genes, int n, unsigned seed) {
    std::vector<Row> rows;
    std::uint32_t state = seed * 2654435761U + 1U;
    const auto next = [&state](std::uint32_t below) {
        state = state * 1664525U + 1013904223U;
        return (state >> 8) % below;
    };
    for (int m = 0; m < models; ++m) {
        for (int g = 0; g < genes; ++g) {
            if (next(6) == 0) {
                continue;
            }
            for (int p = 0; p < n; ++p) {
                rows.push_back({m, g, std::string(1, static_cast<char>('a' + next(1 + next(20))))});
            }
        }
    }
    return rows;
}

}  // namespace phylo::testing
