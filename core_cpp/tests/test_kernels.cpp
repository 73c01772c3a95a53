#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "cpu_features.hpp"
#include "phylo/kernels.hpp"

using namespace phylo;

namespace {

constexpr std::size_t kRows = kTileRows;
constexpr std::size_t kColumns = kTileColumns;

/// Random panels of counts up to `largest`, and what their product is, entry by entry.
template <class Count>
struct Panels {
    std::size_t groups;
    std::size_t columns_a_group = 4 / sizeof(Count);
    std::vector<std::uint8_t> bytes;
    explicit Panels(std::size_t n_groups, int largest, unsigned seed)
        : groups(n_groups), bytes(4 * n_groups * kGroupBytes) {
        std::mt19937 random(seed);
        std::uniform_int_distribution<int> count(0, largest);
        for (std::size_t at = 0; at < bytes.size(); at += sizeof(Count)) {
            const auto value = static_cast<Count>(random() % 4 == 0 ? largest : count(random));
            std::memcpy(bytes.data() + at, &value, sizeof value);
        }
    }
    [[nodiscard]] std::int64_t count(std::size_t model, std::size_t column) const {
        Count value;
        const std::size_t at = model / 16 * groups * kGroupBytes +
                               column / columns_a_group * kGroupBytes + model % 16 * 4 +
                               column % columns_a_group * sizeof(Count);
        std::memcpy(&value, bytes.data() + at, sizeof value);
        return value;
    }
    /// Models 16 to 24 against models 0 to 48.
    [[nodiscard]] CountTile tile(std::vector<std::int32_t>& sums, bool add, int largest) const {
        return {.rows = bytes.data() + groups * kGroupBytes + std::ptrdiff_t{8} * 4,
                .columns = bytes.data(),
                .panel_bytes = static_cast<std::int64_t>(groups) * kGroupBytes,
                .groups = static_cast<std::int64_t>(groups),
                .sums = sums.data(),
                .stride = kColumns,
                .add = add,
                .largest_product = largest * largest};
    }
    [[nodiscard]] std::vector<std::int32_t> slow(int start) const {
        std::vector<std::int32_t> sums(kRows * kColumns, start);
        for (std::size_t r = 0; r < kRows; ++r) {
            for (std::size_t c = 0; c < kColumns; ++c) {
                for (std::size_t k = 0; k < groups * columns_a_group; ++k) {
                    sums[r * kColumns + c] +=
                        static_cast<std::int32_t>(count(24 + r, k) * count(c, k));
                }
            }
        }
        return sums;
    }
};

template <class Count, class Multiply>
void check_product(Multiply&& multiply, int largest) {
    for (const std::size_t groups : {0U, 1U, 2U, 37U, 200U}) {
        const Panels<Count> panels(groups, largest, static_cast<unsigned>(groups));
        std::vector<std::int32_t> sums(kRows * kColumns, 7);
        multiply(panels.tile(sums, true, largest));
        CHECK(sums == panels.slow(7));
        multiply(panels.tile(sums, false, largest));
        CHECK(sums == panels.slow(0));
    }
}

}  // namespace

TEST_CASE("products of counts are exact in every instruction set") {
    for (const KernelSet* set : usable_kernels()) {
        CAPTURE(set->name);
        for (const int largest : {1, 32, 90, 127}) {
            check_product<std::uint8_t>(set->multiply_u8, largest);
        }
        for (const int largest : {1, 3000}) {
            check_product<std::int16_t>(set->multiply_i16, largest);
        }
        // The largest sum of a group that 32 bits hold.
        const Panels<std::int16_t> panels(1, 32767, 3);
        std::vector<std::int32_t> sums(kRows * kColumns);
        set->multiply_i16(panels.tile(sums, false, 32767));
        CHECK(sums == panels.slow(0));
    }
}

TEST_CASE("products of frequencies have the same bits in every instruction set") {
    constexpr std::size_t groups = 53;
    std::mt19937 random(5);
    std::uniform_real_distribution<double> frequency(0.0, 1.0);
    std::vector<double> panels(4 * groups * kPanelModels);
    for (double& value : panels) {
        value = frequency(random);
    }
    std::vector<double> first;
    for (const KernelSet* set : usable_kernels()) {
        CAPTURE(set->name);
        std::vector<double> sums(kRows * kColumns, 0.25);
        set->multiply_f64({.rows = panels.data() + 3 * groups * kPanelModels + 8,
                           .columns = panels.data(),
                           .panel_doubles = groups * kPanelModels,
                           .groups = groups,
                           .sums = sums.data(),
                           .stride = kColumns});
        double slow = 0.0;
        for (std::size_t k = 0; k < groups; ++k) {
            slow += panels[3 * groups * kPanelModels + k * kPanelModels + 8 + 2] *
                    panels[groups * kPanelModels + k * kPanelModels + 5];
        }
        CHECK(sums[2 * kColumns + 16 + 5] == 0.25 + slow);
        first = first.empty() ? sums : first;
        CHECK(sums == first);
    }
}

TEST_CASE("identities and distances have the same bits in every instruction set") {
    std::mt19937_64 random(6);
    std::uniform_real_distribution<double> uniform(0.0, 1.0);
    std::vector<std::int32_t> numerators;
    std::vector<double> selves;
    for (int i = 0; i < 5003; ++i) {
        numerators.push_back(static_cast<std::int32_t>(random() % 131072));
        selves.push_back(i % 11 == 0 ? 0.0 : 1.0 + static_cast<double>(random() % 131072));
    }
    const auto n = static_cast<std::int64_t>(selves.size());
    std::vector<double> similarities(selves.size());
    for (std::size_t j = 0; j < selves.size(); ++j) {
        similarities[j] = j % 3 == 0 ? 1.0 - std::ldexp(uniform(random), -static_cast<int>(j % 50))
                                     : std::ldexp(uniform(random), -static_cast<int>(j % 37));
    }
    similarities[0] = 1.0;
    similarities[1] = 1.5;
    similarities[2] = 0.0;
    similarities[3] = std::nan("");
    for (const KernelSet* set : usable_kernels()) {
        CAPTURE(set->name);
        std::vector<double> S(selves.size());
        set->identities_i32(numerators.data(), n, 77.0, selves.data(), S.data());
        std::vector<double> D = similarities;
        set->distances(D.data(), n, 1e-10);
        std::vector<float> narrowed(D.size());
        set->narrow(D.data(), n, narrowed.data());
        for (const std::size_t from : {0U, 1U, 7U, 16U, 4990U}) {  // aligned to a cache line or not
            std::vector<float> streamed(D.size() - from);
            set->stream(D.data() + from, n - static_cast<std::int64_t>(from), streamed.data());
            CHECK(std::memcmp(streamed.data(), narrowed.data() + from,
                              streamed.size() * sizeof(float)) == 0);
            set->stream(D.data() + from, 1, streamed.data());
        }
        int wrong = 0;
        for (std::size_t j = 0; j < selves.size(); ++j) {
            const double product = 77.0 * selves[j];
            const double identity = numerators[j] / std::sqrt(product);
            wrong += product > 0.0 ? S[j] != identity : !std::isnan(S[j]);
            if (std::isnan(similarities[j])) {
                wrong += std::isnan(D[j]) ? 0 : 1;
                continue;
            }
            const double distance = 0.0 - std::log(std::min(1.0, std::max(similarities[j], 1e-10)));
            const double ulp = std::nextafter(distance, 100.0) - distance;
            wrong += std::abs(D[j] - distance) <= ulp && !std::signbit(D[j]) ? 0 : 1;
            wrong += narrowed[j] == static_cast<float>(D[j]) ? 0 : 1;
        }
        CHECK(wrong == 0);
    }
}

#if defined(__x86_64__) && defined(__linux__)
TEST_CASE("the processor is told to have what the compiler's own way says that it has") {
    const CpuFeatures has = cpu_features();
    __builtin_cpu_init();
    const bool f = __builtin_cpu_supports("avx512f") != 0;
    const bool dq_vl =
        f && __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0;
    CHECK(has.avx2 == (__builtin_cpu_supports("avx2") != 0));
    CHECK(has.avx512_dq_vl == dq_vl);
    CHECK(has.avx512_vnni == (dq_vl && __builtin_cpu_supports("avx512bw") != 0 &&
                              __builtin_cpu_supports("avx512vnni") != 0));
    CHECK((!has.avx_vnni || has.avx2));
}
#endif
