#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <optional>
#include <unordered_map>
#include <vector>

#include "index_cells.hpp"
#include "index_lines.hpp"

// How the indices read one allele: a kernel gives the payload of an entry, the shared part of two
// payloads (see IndexCells), and the gap, what an allele of frequencies p and q that differ adds
// to half_i + half_j - shared. `kHasCommon`: for an allele that many models have, add_common adds
// the shared parts of all models of a tile side by side, where Payload{} stands for its absence.

namespace phylo {

/// Sums of products of frequencies, or of their roots.
template <bool kRoots>
class Products {
   public:
    using Payload = double;
    static constexpr bool kHasCommon = true;

    explicit Products(const IndexCells& cells) : frequencies_(cells.frequencies) {}

    [[nodiscard]] Payload payload(std::int64_t entry) const noexcept {
        const double p = frequencies_[static_cast<std::size_t>(entry)];
        return kRoots ? std::sqrt(p) : p;
    }
    [[nodiscard]] static double shared(Payload x, Payload y) noexcept { return x * y; }

    /// Half the square of p - q, or of sqrt p - sqrt q = (p - q) / (sqrt p + sqrt q).
    [[nodiscard]] static double gap(double p, double q) noexcept {
        const double difference = kRoots ? (p - q) / (std::sqrt(p) + std::sqrt(q)) : p - q;
        return difference * difference / 2;
    }
    static void add_common(const LineKernels& lines, double* sums, const Payload* others,
                           Payload own, std::int32_t n) noexcept {
        lines.add_products(sums, others, own, n);
    }

   private:
    const std::vector<double>& frequencies_;
};

/// Entropies of two frequencies less that of their sum: a logarithm for each shared allele.
class Entropies {
   public:
    struct Payload {
        double p;
        double p_log_p;
    };
    static constexpr bool kHasCommon = false;

    explicit Entropies(const IndexCells& cells) : frequencies_(cells.frequencies) {}

    [[nodiscard]] static Payload payload_of(double p) noexcept {
        return {.p = p, .p_log_p = p * std::log2(p)};
    }
    [[nodiscard]] Payload payload(std::int64_t entry) const noexcept {
        return payload_of(frequencies_[static_cast<std::size_t>(entry)]);
    }
    [[nodiscard]] static double shared(const Payload& a, const Payload& b) noexcept {
        return (payload_of(a.p + b.p).p_log_p - (a.p_log_p + b.p_log_p)) / 2;
    }

    /// (p log2(p / m) + q log2(q / m)) / 2 with m = (p + q) / 2; in d = (p - q) / (p + q) it is
    /// (p + q) / 2 (log(1 - d^2) / 2 + d atanh d) / log 2, whose two parts cancel by a factor of
    /// 3 at most where d is small.
    [[nodiscard]] static double gap(double p, double q) noexcept {
        const double d = (p - q) / (p + q);
        if (std::abs(d) == 1.0) {  // one is zero, or nothing beside the other
            return (p + q) / 2;
        }
        return (p + q) / 2 * (std::log1p(-d * d) / 2 + d * std::atanh(d)) / std::numbers::ln2;
    }

   private:
    const std::vector<double>& frequencies_;
};

/// The same, looked up by pairs of frequencies, where few differ: counts of few probes.
class LookedUpEntropies {
   public:
    using Payload = std::uint16_t;  ///< number of a frequency; 0 is the frequency 0
    static constexpr bool kHasCommon = true;
    /// Frequencies that may differ: 2 MiB of pairs.
    static constexpr std::size_t kMaxFrequencies = 512;

    /// Nothing where more frequencies differ.
    [[nodiscard]] static std::optional<LookedUpEntropies> find(const IndexCells& cells) {
        LookedUpEntropies found;
        std::vector<Entropies::Payload> frequencies{{.p = 0.0, .p_log_p = 0.0}};
        std::unordered_map<double, Payload> known;
        found.numbers_.reserve(cells.frequencies.size());
        for (const double p : cells.frequencies) {
            const auto [entry, is_new] = known.emplace(p, static_cast<Payload>(frequencies.size()));
            if (is_new) {
                if (frequencies.size() == kMaxFrequencies) {
                    return std::nullopt;
                }
                frequencies.push_back(Entropies::payload_of(p));
            }
            found.numbers_.push_back(entry->second);
        }
        found.width_ = frequencies.size();
        found.pairs_.assign(found.width_ * found.width_, 0.0);
        for (std::size_t a = 1; a < found.width_; ++a) {
            for (std::size_t b = 1; b < found.width_; ++b) {
                found.pairs_[a * found.width_ + b] =
                    Entropies::shared(frequencies[a], frequencies[b]);
            }
        }
        return found;
    }

    [[nodiscard]] Payload payload(std::int64_t entry) const noexcept {
        return numbers_[static_cast<std::size_t>(entry)];
    }
    [[nodiscard]] double shared(Payload a, Payload b) const noexcept {
        return pairs_[a * width_ + b];
    }
    [[nodiscard]] static double gap(double p, double q) noexcept { return Entropies::gap(p, q); }
    void add_common(const LineKernels& /*lines*/, double* __restrict sums,
                    const Payload* __restrict others, Payload own, std::int32_t n) const noexcept {
        const double* row = pairs_.data() + own * width_;
        for (std::int32_t j = 0; j < n; ++j) {
            sums[j] += row[others[j]];
        }
    }

   private:
    std::vector<Payload> numbers_;  ///< of each entry
    std::size_t width_ = 0;
    std::vector<double> pairs_;
};

}  // namespace phylo
