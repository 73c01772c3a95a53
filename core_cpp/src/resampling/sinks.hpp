#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <type_traits>

#include "phylo/kernels.hpp"
#include "phylo/resampling.hpp"

namespace phylo::resampling {

/// Neighbouring pairs of one row, at most 48: where they lie in a condensed matrix.
struct PairRun {
    std::int64_t first;
    std::int64_t n;
};

/// Writes S or D of some replicates: out[(replicate - first) x n_pairs + pair].
template <class Real>
struct ReplicateSink {
    static constexpr bool kNeedsKept = false;
    const KernelSet& kernels;
    std::int64_t first;
    std::int64_t n_pairs;
    double floor;
    Real* out;
    PairRun run;

    /// `values` may be changed.
    void take(std::int64_t replicate, double* values, const double* /*kept*/) {
        if (floor > 0.0) {
            kernels.distances(values, run.n, floor);
        }
        Real* to = out + (replicate - first) * n_pairs + run.first;
        if constexpr (std::is_same_v<Real, float>) {
            kernels.narrow(values, run.n, to);
        } else {
            std::memcpy(to, values, static_cast<std::size_t>(run.n) * sizeof(double));
        }
    }
    void finish() {}
};

/// Sums over the replicates of a run of pairs, and the errors they give.
///
/// Invariant: x is a replicate's value less the estimate, which loses no digits, and is 0 where
/// the replicate is the estimate; after b replicates the sums run over these.
///
/// Bootstrap: bias = mean of x, variance = (sum x^2 - (sum x)^2 / n) / (n - 1).
///
/// Jackknife (Busing et al. 1999), of N shared genes and blocks of m_b, h_b = N / m_b: with
/// A = sum (1 - m_b / N) x_b the bias is A; pseudo-values differ from the corrected estimate
/// by A - (h_b - 1) x_b, so the variance, the mean of their squares over h_b - 1, is
/// (sum (h_b - 1) x_b^2 - 2 A sum x_b + A^2 sum 1 / (h_b - 1)) / blocks.
template <ErrorMethod kMethod>
class ErrorSink {
   public:
    static constexpr bool kNeedsKept = kMethod == ErrorMethod::jackknife;

    ErrorSink(const KernelSet& kernels, double floor, const ErrorArrays& out, const PairRun& run)
        : kernels_(kernels), floor_(floor), out_(out), run_(run) {}

    /// `kept`: shared genes that the replicate has, pair by pair.
    void take(std::int64_t replicate, double* values, const double* kept) {
        double distances[kTileColumns];
        std::memcpy(distances, values, static_cast<std::size_t>(run_.n) * sizeof(double));
        kernels_.distances(distances, run_.n, floor_);
        if (replicate == 0) {
            std::memcpy(similarity_.estimate, values,
                        static_cast<std::size_t>(run_.n) * sizeof(double));
            std::memcpy(distance_.estimate, distances,
                        static_cast<std::size_t>(run_.n) * sizeof(double));
            if constexpr (kNeedsKept) {
                std::memcpy(genes_, kept, static_cast<std::size_t>(run_.n) * sizeof(double));
            }
            return;
        }
        double defined[kTileColumns];  // 1 where the replicate counts
        double odds[kTileColumns];     // h_b - 1
        double share[kTileColumns];    // 1 - m_b / N
        for (std::int64_t j = 0; j < run_.n; ++j) {
            if constexpr (kNeedsKept) {
                const double left_out = genes_[j] - kept[j];
                defined[j] = left_out > 0.0 ? 1.0 : 0.0;
                odds[j] = kept[j] / (left_out > 0.0 ? left_out : 1.0);
                share[j] = kept[j] / (genes_[j] > 0.0 ? genes_[j] : 1.0);
                inverse_odds_[j] += left_out / (kept[j] > 0.0 ? kept[j] : 1.0);
            } else {
                defined[j] = values[j] == values[j] ? 1.0 : 0.0;
                odds[j] = 1.0;
                share[j] = 0.0;
            }
            counts_[j] += defined[j];
        }
        add(similarity_, values, defined, odds, share);
        add(distance_, distances, defined, odds, share);
    }

    void finish() const {
        write(similarity_, out_.similarity, out_.similarity_bias, out_.similarity_error);
        write(distance_, out_.distance, out_.distance_bias, out_.distance_error);
    }

   private:
    struct Sums {
        double estimate[kTileColumns] = {};
        double x[kTileColumns] = {};
        double squares[kTileColumns] = {};
        double bias[kTileColumns] = {};  ///< A
    };

    void add(Sums& sums, const double* values, const double* defined, const double* odds,
             const double* share) {
        for (std::int64_t j = 0; j < run_.n; ++j) {
            const double x = defined[j] > 0.0 ? values[j] - sums.estimate[j] : 0.0;
            sums.x[j] += x;
            sums.squares[j] += odds[j] * x * x;
            sums.bias[j] += share[j] * x;
        }
    }

    void write(const Sums& sums, std::span<double> estimates, std::span<double> biases,
               std::span<double> errors) const {
        constexpr double nan = std::numeric_limits<double>::quiet_NaN();
        for (std::int64_t j = 0; j < run_.n; ++j) {
            const double n = counts_[j];
            const double x = sums.x[j];
            const double a = sums.bias[j];
            double variance = (sums.squares[j] - x * x / n) / (n - 1.0);
            double bias = x / n;
            if constexpr (kNeedsKept) {
                variance = (sums.squares[j] - 2.0 * a * x + a * a * inverse_odds_[j]) / n;
                bias = a;
            }
            const auto at = static_cast<std::size_t>(run_.first + j);
            estimates[at] = sums.estimate[j];
            biases[at] = n > 0.0 ? bias : nan;
            errors[at] = n > 1.0 ? std::sqrt(variance > 0.0 ? variance : variance * 0.0) : nan;
        }
    }

    const KernelSet& kernels_;
    double floor_;
    const ErrorArrays& out_;
    PairRun run_;
    Sums similarity_;
    Sums distance_;
    double genes_[kTileColumns] = {};  ///< N
    double counts_[kTileColumns] = {};
    double inverse_odds_[kTileColumns] = {};  ///< sum 1 / (h_b - 1)
};

}  // namespace phylo::resampling
