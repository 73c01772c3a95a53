#include "phylo/gene_products.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "phylo/errors.hpp"
#include "phylo/similarity_plan.hpp"
#include "resampling/terms.hpp"

namespace phylo {

namespace {

/// Models of one task: enough to outweigh handing it out.
constexpr std::int64_t kModelsATask = 256;

}  // namespace

GeneProducts gene_products(const AlleleTable& table, std::int64_t model, Estimator estimator,
                           int threads, const StopRequest& stop) {
    resampling::GeneTerms known = resampling::gene_terms(table, estimator);
    const std::vector<std::int64_t> ones(known.probes.size(), 1);
    if (known.integer && resampling::bound_sums(known, ones).value > kExactLimit) {
        throw InputError(
            "numerators may exceed 2^53, and would not be exact: use fewer probes or fewer genes");
    }
    // The model's own values by column: a lookup instead of a search for every entry.
    std::vector<double> own(static_cast<std::size_t>(table.n_columns()), 0.0);
    resampling::for_each_entry(table, known.integer, model,
                               [&](std::int64_t, std::int32_t column, double value) {
                                   own[static_cast<std::size_t>(column)] = value;
                               });
    const std::int64_t genes = table.n_genes();
    GeneProducts found;
    found.numerators.assign(known.terms.size(), 0.0);
    const std::int64_t tasks = (table.n_models() + kModelsATask - 1) / kModelsATask;
    const auto work = [&](std::int64_t task, int) {
        const std::int64_t end = std::min((task + 1) * kModelsATask, table.n_models());
        for (std::int64_t m = task * kModelsATask; m < end; ++m) {
            double* row = found.numerators.data() + m * genes;
            resampling::for_each_entry(
                table, known.integer, m, [&](std::int64_t gene, std::int32_t column, double value) {
                    row[gene] += value * own[static_cast<std::size_t>(column)];
                });
        }
    };
    parallel_for(tasks, threads, work, stop);
    found.terms = std::move(known.terms);
    found.present = std::move(known.present);
    found.scales = std::move(known.scales);
    return found;
}

}  // namespace phylo
