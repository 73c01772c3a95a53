#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <numbers>
#include <numeric>
#include <vector>

#include "fuzz.hpp"
#include "phylo/cpu_dispatch.hpp"
#include "phylo/errors.hpp"
#include "phylo/f_statistics.hpp"
#include "phylo/gene_products.hpp"
#include "phylo/indices.hpp"
#include "phylo/resampling.hpp"
#include "phylo/similarity.hpp"

namespace phylo::fuzz {

namespace {

/// What kernels are given: their slow sums take models^2 x columns.
constexpr std::int64_t kMostModels = 40;
constexpr std::int64_t kMostGenes = 200;
constexpr std::int64_t kMostColumns = 4000;

std::size_t index(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

/// Frequencies and counts as dense rows, and which genes a model has.
struct Dense {
    std::int64_t models;
    std::int64_t genes;
    std::vector<std::vector<double>> frequencies;
    std::vector<std::vector<std::int64_t>> counts;
    std::vector<std::vector<bool>> present;
    std::vector<std::int64_t> gene_of;

    explicit Dense(const AlleleTable& table)
        : models(table.n_models()),
          genes(table.n_genes()),
          frequencies(index(models), std::vector<double>(index(table.n_columns()))),
          counts(index(models), std::vector<std::int64_t>(index(table.n_columns()))),
          present(index(models), std::vector<bool>(index(genes))) {
        for (std::int64_t g = 0; g < genes; ++g) {
            gene_of.insert(gene_of.end(),
                           index(table.gene_offsets[index(g) + 1] - table.gene_offsets[index(g)]),
                           g);
        }
        const std::vector<double> values = entry_values(table);
        for (std::int64_t m = 0; m < models; ++m) {
            for_each_cell(table, m, [&](const Cell& cell) {
                present[index(m)][index(cell.gene)] = true;
                for (std::int64_t e = cell.begin; e < cell.end; ++e) {
                    const auto column = static_cast<std::size_t>(table.columns[index(e)]);
                    frequencies[index(m)][column] = values[index(e)] * cell_scale(table, cell);
                    counts[index(m)][column] = table.counts[index(e)];
                }
            });
        }
    }

    /// visit(p, q) for each allele that one of the models has, of a gene that both have.
    template <class Visit>
    void for_each_allele(std::int64_t i, std::int64_t j, std::int64_t gene, Visit&& visit) const {
        for (std::size_t c = 0; c < gene_of.size(); ++c) {
            const double p = frequencies[index(i)][c];
            const double q = frequencies[index(j)][c];
            if (gene_of[c] == gene && (p > 0.0 || q > 0.0)) {
                visit(p, q);
            }
        }
    }
};

bool near(double a, double b) {
    return (std::isnan(a) && std::isnan(b)) ||
           std::abs(a - b) <= 1e-9 * std::max(std::abs(a), std::abs(b)) + 1e-12;
}

bool same_bits(std::span<const double> a, std::span<const double> b) {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

void check_derived(const AlleleTable& table) {
    static_cast<void>(summarise(table));
    check_invariants(drop_single_probe_cells(table));
    std::vector<std::int64_t> models(index(table.n_models()));
    std::iota(models.rbegin(), models.rend(), 0);
    std::vector<std::int64_t> genes;
    for (std::int64_t g = 1; g < table.n_genes(); g += 2) {
        genes.push_back(g);
    }
    check_invariants(select(table, models, genes));
    const AlleleTable none = select(table, {}, genes);
    check_invariants(none);
    check_invariants(concatenate(none, table));
}

void check_numerators(const AlleleTable& table, const Dense& dense, int threads) {
    const std::int64_t n = dense.models;
    std::vector<std::int64_t> found(index(n * n));
    try {
        compare(
            table, Pairs::square(table), Estimator::plugin, threads,
            {.quantity = Quantity::numerator, .type = Output::Type::int64, .values = found.data()});
    } catch (const InputError&) {
        return;  // they might exceed 2^53
    }
    for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
            const auto& a = dense.counts[index(i)];
            const auto& b = dense.counts[index(j)];
            require(found[index(i * n + j)] ==
                        std::inner_product(a.begin(), a.end(), b.begin(), std::int64_t{0}),
                    "numerators are the slow sums");
        }
    }
}

double slow_similarity(const Dense& dense, std::int64_t i, std::int64_t j) {
    double both = 0.0;
    double own = 0.0;
    double other = 0.0;
    for (std::int64_t g = 0; g < dense.genes; ++g) {
        if (dense.present[index(i)][index(g)] && dense.present[index(j)][index(g)]) {
            dense.for_each_allele(i, j, g, [&](double p, double q) {
                both += p * q;
                own += p * p;
                other += q * q;
            });
        }
    }
    const double product = own * other;
    return product > 0.0 ? both / std::sqrt(product) : std::nan("");
}

std::vector<double> similarities(const AlleleTable& table, Estimator estimator, int threads) {
    std::vector<double> found(index(Pairs::square(table).count()));
    compare(table, Pairs::square(table), estimator, threads,
            {.layout = Output::Layout::condensed, .values = found.data()});
    return found;
}

void check_similarities(const AlleleTable& table, const Dense& dense,
                        std::span<const double> found) {
    std::size_t at = 0;
    for (std::int64_t i = 0; i < dense.models; ++i) {
        for (std::int64_t j = i + 1; j < dense.models; ++j) {
            // Squares of tiny frequencies leave the normal numbers.
            const double expected = slow_similarity(dense, i, j);
            const bool tiny = table.has_exact() && !(expected > 1e-100);
            require(tiny || near(found[at], expected), "similarities are the slow sums");
            ++at;
        }
    }
}

double slow_term(const Dense& dense, Index which, std::int64_t i, std::int64_t j,
                 std::int64_t gene) {
    double sum = 0.0;
    const auto part = [](double x, double m) { return x > 0.0 ? x * std::log2(x / m) / 2 : 0.0; };
    dense.for_each_allele(i, j, gene, [&](double p, double q) {
        const double root_gap = std::sqrt(p) - std::sqrt(q);
        sum += which == Index::rogers ? (p - q) * (p - q) / 2
               : which == Index::jsd  ? part(p, (p + q) / 2) + part(q, (p + q) / 2)
                                      : root_gap * root_gap / 2;
    });
    return which == Index::chord    ? 2 / std::numbers::pi * std::sqrt(2 * sum)
           : which == Index::rogers ? std::sqrt(sum)
                                    : sum;
}

double slow_index(const Dense& dense, Index which, std::int64_t i, std::int64_t j) {
    double sum = 0.0;
    std::int64_t shared = 0;
    for (std::int64_t g = 0; g < dense.genes; ++g) {
        if (dense.present[index(i)][index(g)] && dense.present[index(j)][index(g)]) {
            sum += slow_term(dense, which, i, j, g);
            ++shared;
        }
    }
    return shared > 0 ? sum / static_cast<double>(shared) : std::nan("");
}

std::vector<double> indices(const AlleleTable& table, Index which, int threads) {
    std::vector<double> found(index(Pairs::square(table).count()));
    genetic_distance<double>(table, Pairs::square(table), which, true, threads, found);
    return found;
}

constexpr std::array kIndices = {Index::da, Index::chord, Index::rogers, Index::jsd};

void check_indices(const Dense& dense, Index which, std::span<const double> found) {
    std::size_t at = 0;
    for (std::int64_t i = 0; i < dense.models; ++i) {
        for (std::int64_t j = i + 1; j < dense.models; ++j) {
            // The slow entropies cancel where frequencies are all but the same; so do slow roots.
            const double expected = slow_index(dense, which, i, j);
            require(near(found[at], expected) || std::abs(found[at] - expected) < 1e-7,
                    "indices are the slow sums");
            ++at;
        }
    }
}

std::vector<double> resampled(const AlleleTable& table, int threads) {
    std::vector<std::int64_t> weights(index(2 * table.n_genes()), 1);
    for (std::int64_t g = 0; g < table.n_genes(); ++g) {
        weights[index(table.n_genes() + g)] = g % 3;
    }
    const Resampling resampling(table, Estimator::plugin, weights, 2);
    std::vector<double> found(index(2 * resampling.n_pairs()));
    resampling.replicates(0, 0.0, threads, std::span(found));
    return found;
}

std::vector<double> f2(const AlleleTable& table, int threads) {
    const std::vector<double> weights(index(table.n_columns()), 1.0);
    std::vector<std::int64_t> ends;
    if (table.n_genes() > 1) {
        ends.push_back(table.n_genes() / 2);
    }
    if (table.n_genes() > 0) {
        ends.push_back(table.n_genes());
    }
    std::vector<double> found(index(Pairs::square(table).count()) * ends.size());
    f2_blocks(table, {.weights = weights, .block_ends = ends}, threads, found);
    return found;
}

/// What of a table must have the same bits wherever it is computed.
std::vector<std::vector<double>> all_results(const AlleleTable& table, int threads) {
    const AlleleTable drawn = drop_single_probe_cells(table);
    std::vector<std::vector<double>> results;
    results.push_back(similarities(table, Estimator::plugin, threads));
    results.push_back(similarities(drawn, Estimator::unbiased, threads));
    for (const Index which : kIndices) {
        results.push_back(indices(table, which, threads));
    }
    results.push_back(resampled(table, threads));
    results.push_back(f2(drawn, threads));
    if (table.n_models() > 0) {
        results.push_back(gene_products(table, 0, Estimator::plugin, threads).numerators);
    }
    return results;
}

void check_kernels(const AlleleTable& table) {
    const Dense dense(table);
    const std::vector<std::string> sets = detected_instruction_sets();
    std::vector<std::vector<double>> first;
    // One set a table has threads: starting them takes longer than the rest.
    const std::size_t threaded = table.columns.size() % sets.size();
    for (std::size_t s = 0; s < sets.size(); ++s) {
        setenv("PYPHYLO_ISA", sets[s].c_str(), 1);  // NOLINT(concurrency-mt-unsafe): one thread
        const int threads = s == threaded ? 2 : 1;
        check_numerators(table, dense, threads);
        const std::vector<std::vector<double>> results = all_results(table, threads);
        if (s == 0) {
            first = results;
        }
        for (std::size_t k = 0; k < results.size(); ++k) {
            require(same_bits(results[k], first[k]), "every instruction set gives the same bits");
        }
    }
    unsetenv("PYPHYLO_ISA");  // NOLINT(concurrency-mt-unsafe): one thread
    check_similarities(table, dense, first[0]);
    for (std::size_t k = 0; k < kIndices.size(); ++k) {
        check_indices(dense, kIndices[k], first[2 + k]);
    }
}

}  // namespace

void exercise(const AlleleTable& table) {
    check_invariants(table);
    check_derived(table);
    if (table.n_models() <= kMostModels && table.n_genes() <= kMostGenes &&
        table.n_columns() <= kMostColumns) {
        try {
            check_kernels(table);
        } catch (const InputError&) {
            // Numerators might exceed 2^53: a refusal, as for any table of such counts.
            unsetenv("PYPHYLO_ISA");  // NOLINT(concurrency-mt-unsafe): one thread
        }
    }
}

}  // namespace phylo::fuzz
