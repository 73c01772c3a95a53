#include "index_cells.hpp"

#include <bit>
#include <limits>

namespace phylo {

namespace {

std::size_t index_of(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

/// Writes the frequencies of a cell's entries and returns their sum.
double read_frequencies(const AlleleTable& table, const Cell& cell, std::vector<double>& to) {
    const std::int64_t n = probes_in(table, cell);
    double mass = 0.0;
    for (std::int64_t e = cell.begin; e < cell.end; ++e) {
        to[index_of(e)] = n == 0 ? table.probabilities[index_of(e)]
                                 : table.counts[index_of(e)] / static_cast<double>(n);
        mass += to[index_of(e)];
    }
    return n == 0 ? mass : 1.0;  // without the rounding of a sum of quotients
}

double half_of(const AlleleTable& table, const Cell& cell, Index index, std::vector<double>& to) {
    double sum = read_frequencies(table, cell, to);
    if (index == Index::rogers) {
        sum = 0.0;
        for (std::int64_t e = cell.begin; e < cell.end; ++e) {
            sum += to[index_of(e)] * to[index_of(e)];
        }
    }
    return sum / 2;
}

}  // namespace

IndexCells::IndexCells(const AlleleTable& table, Index index, int threads, const StopRequest& stop)
    : IndexCells(
          table,
          [&table, index](const Cell& cell, std::vector<double>& to) {
              return half_of(table, cell, index, to);
          },
          threads, stop) {}

IndexCells::IndexCells(const AlleleTable& table, const ReadCell& read, int threads,
                       const StopRequest& stop)
    : frequencies(index_of(table.nnz())),
      halves(index_of(table.n_genes() * table.n_models()),
             std::numeric_limits<double>::quiet_NaN()),
      starts(halves.size(), -1),
      n_models_(table.n_models()),
      words_(index_of((table.n_genes() + 63) / 64)),
      present_(index_of(n_models_) * words_) {
    const auto work = [&](std::int64_t model, int) {
        for_each_cell(table, model, [&](const Cell& cell) {
            halves[at(cell.gene, model)] = read(cell, frequencies);
            starts[at(cell.gene, model)] = cell.begin;
            const auto gene = index_of(cell.gene);
            present_[index_of(model) * words_ + gene / 64] |= std::uint64_t{1} << (gene % 64);
        });
    };
    parallel_for(n_models_, threads, work, stop);
}

std::int64_t IndexCells::common_genes(std::int64_t i, std::int64_t j) const noexcept {
    std::int64_t common = 0;
    for (std::size_t w = 0; w < words_; ++w) {
        common +=
            std::popcount(present_[index_of(i) * words_ + w] & present_[index_of(j) * words_ + w]);
    }
    return common;
}

}  // namespace phylo
