#include "index_lines.hpp"

#include <array>
#include <cmath>

#include "cpu_features.hpp"
#include "phylo/kernels.hpp"

namespace phylo {

namespace {

[[gnu::always_inline]] inline void products(double* __restrict sums,
                                            const double* __restrict others, double own,
                                            std::int32_t n) noexcept {
    for (std::int32_t j = 0; j < n; ++j) {
        sums[j] += own * others[j];
    }
}

template <bool kRoot>
[[gnu::always_inline]] inline bool terms(double* __restrict sums, const double* __restrict shared,
                                         const double* __restrict half, double own,
                                         std::int32_t n) noexcept {
    std::int64_t cancelled = 0;
    for (std::int32_t j = 0; j < n; ++j) {
        const double both = own + half[j];
        const double rest = both - shared[j];
        const double term = kRoot ? std::sqrt(rest) : rest;
        sums[j] += rest > both * kCancelled ? term : 0.0;  // false where `both` is NaN
        cancelled |= is_cancelled(both, shared[j]) ? 1 : 0;
    }
    return cancelled != 0;
}

[[gnu::always_inline]] inline void squares(double* __restrict sums, const double* __restrict shared,
                                           const double* __restrict half, double own,
                                           std::int32_t n) noexcept {
    for (std::int32_t j = 0; j < n; ++j) {
        const double term = own + half[j] - 2 * shared[j];
        sums[j] += std::isnan(half[j]) ? 0.0 : term;
    }
}

// The loops above, compiled for one instruction set.
// NOLINTBEGIN(bugprone-macro-parentheses): a name and an attribute bear none
#define PHYLO_LINE_KERNELS(name, attribute)                                                       \
    struct name {                                                                                 \
        attribute static void add_products(double* sums, const double* others, double own,        \
                                           std::int32_t n) {                                      \
            products(sums, others, own, n);                                                       \
        }                                                                                         \
        attribute static bool add_terms(double* sums, const double* shared, const double* half,   \
                                        double own, std::int32_t n) {                             \
            return terms<false>(sums, shared, half, own, n);                                      \
        }                                                                                         \
        attribute static bool add_roots(double* sums, const double* shared, const double* half,   \
                                        double own, std::int32_t n) {                             \
            return terms<true>(sums, shared, half, own, n);                                       \
        }                                                                                         \
        attribute static void add_squares(double* sums, const double* shared, const double* half, \
                                          double own, std::int32_t n) {                           \
            squares(sums, shared, half, own, n);                                                  \
        }                                                                                         \
    }
// NOLINTEND(bugprone-macro-parentheses)

PHYLO_LINE_KERNELS(Portable, );
#if defined(__x86_64__)
PHYLO_LINE_KERNELS(Avx2, [[gnu::target("avx2")]]);
PHYLO_LINE_KERNELS(Avx512, [[gnu::target("avx512f,avx512dq,avx512vl")]]);
#endif

#undef PHYLO_LINE_KERNELS

template <class Set>
LineKernels kernels_of(std::string_view name) {
    return {.instruction_set = name,
            .add_products = Set::add_products,
            .add_terms = Set::add_terms,
            .add_roots = Set::add_roots,
            .add_squares = Set::add_squares};
}

}  // namespace

std::span<const LineKernels> line_kernels() noexcept {
#if defined(__x86_64__)
    static const std::array known{kernels_of<Portable>("portable"), kernels_of<Avx2>("avx2"),
                                  kernels_of<Avx512>("avx512")};
    static const std::size_t usable = []() -> std::size_t {
        const CpuFeatures has = cpu_features();
        if (!has.avx2) {
            return 1;
        }
        return has.avx512_dq_vl ? 3 : 2;
    }();
    return std::span(known).first(usable);
#else
    static const std::array known{kernels_of<Portable>("portable")};
    return known;
#endif
}

const LineKernels& chosen_line_kernels() {
    const std::span<const LineKernels> usable = line_kernels();
    const std::string_view wanted = kernels().name;
    const bool is_best = wanted == usable_kernels().back()->name;
    if (is_best || wanted.starts_with("avx512")) {
        return usable.back();
    }
    return usable[wanted.starts_with("avx") ? 1 : 0];
}

}  // namespace phylo
