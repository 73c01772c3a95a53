// Bits of results that are the same on every processor, instruction set and number of threads.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels_of.hpp"
#include "make_table.hpp"
#include "phylo/cpu_dispatch.hpp"
#include "phylo/gene_products.hpp"
#include "phylo/indices.hpp"
#include "phylo/resampling.hpp"
#include "phylo/similarity.hpp"

using namespace phylo;
using namespace phylo::testing;

namespace {

/// FNV-1a of the values' bits, a byte a step; NaN is one value.
template <class T>
std::uint64_t digest(std::span<const T> values) {
    std::uint64_t hash = 0xCBF29CE484222325U;
    for (const T value : values) {
        std::uint64_t bits = 0;
        if constexpr (std::is_same_v<T, double>) {
            bits = std::isnan(value) ? ~std::uint64_t{0} : std::bit_cast<std::uint64_t>(value);
        } else {
            bits = static_cast<std::uint64_t>(value);
        }
        for (int byte = 0; byte < 8; ++byte, bits >>= 8U) {
            hash = (hash ^ (bits & 0xFFU)) * 0x100000001B3U;
        }
    }
    return hash;
}

template <class T>
std::uint64_t digest(const std::vector<T>& values) {
    return digest(std::span<const T>(values));
}

std::vector<double> similarities(const AlleleTable& table, Estimator estimator, int threads) {
    std::vector<double> found(static_cast<std::size_t>(Pairs::square(table).count()));
    compare(table, Pairs::square(table), estimator, threads,
            {.layout = Output::Layout::condensed, .values = found.data()});
    return found;
}

std::vector<std::int64_t> numerators(const AlleleTable& table, int threads) {
    std::vector<std::int64_t> found(static_cast<std::size_t>(table.n_models() * table.n_models()));
    compare(table, Pairs::square(table), Estimator::plugin, threads,
            {.quantity = Quantity::numerator, .type = Output::Type::int64, .values = found.data()});
    return found;
}

std::vector<double> indices(const AlleleTable& table, Index which, int threads) {
    std::vector<double> found(static_cast<std::size_t>(Pairs::square(table).count()));
    genetic_distance<double>(table, Pairs::square(table), which, true, threads, found);
    return found;
}

std::vector<double> replicates(const AlleleTable& table, int threads) {
    std::vector<std::int64_t> weights(static_cast<std::size_t>(3 * table.n_genes()));
    for (std::size_t g = 0; g < weights.size(); ++g) {
        weights[g] = static_cast<std::int64_t>(g % 4);
    }
    const Resampling resampling(table, Estimator::unbiased, weights, 3);
    std::vector<double> found(static_cast<std::size_t>(3 * resampling.n_pairs()));
    resampling.replicates(0, 0.0, threads, std::span(found));
    return found;
}

std::vector<std::uint64_t> digests(const AlleleTable& table, int threads) {
    const GeneProducts products = gene_products(table, 3, Estimator::plugin, threads);
    return {digest(numerators(table, threads)),
            digest(similarities(table, Estimator::plugin, threads)),
            digest(similarities(table, Estimator::unbiased, threads)),
            digest(indices(table, Index::da, threads)),
            digest(indices(table, Index::chord, threads)),
            digest(indices(table, Index::rogers, threads)),
            digest(replicates(table, threads)),
            digest(products.numerators)};
}

}  // namespace

TEST_CASE("results have the same bits everywhere") {
    const AlleleTable table = make_table(37, 23, random_rows(37, 23, 8, 5));
    const std::vector<std::uint64_t> golden = {
        0x62CB461C5986272A, 0xE3C6EAB7B8B05B58, 0xCBCAB9E4A0D8405E, 0x6E6F9CFCCFD17A77,
        0x5826D3013802D317, 0x62431C7682B952FF, 0x34B116B1A2DB2240, 0x2EA864E59BB8682D};
    for (const std::string& set : detected_instruction_sets()) {
        const KernelsOf kernels(set);
        for (const int threads : {1, 2, 3, 8}) {
            CAPTURE(set);
            CAPTURE(threads);
            CHECK(digests(table, threads) == golden);
        }
    }
}
