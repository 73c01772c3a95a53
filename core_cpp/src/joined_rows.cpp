#include "phylo/joined_rows.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>
#include <vector>

#ifdef __SSE2__
#include <immintrin.h>
#endif

#include "phylo/kernels.hpp"

namespace phylo {

namespace {

std::size_t index(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

/// Rows and columns that are mirrored at once: both sides stay in the first cache.
constexpr std::int64_t kTile = 64;
constexpr std::int64_t kMarks = 64;  ///< nodes in a word of marks

/// Copies a stretch of a row; its largest absolute value as it is stored.
template <class Given, class T>
double copy(const Given* source, std::int64_t count, T* target) noexcept {
    T size = 0;
    for (std::int64_t k = 0; k < count; ++k) {
        const auto value = static_cast<T>(source[k]);
        target[k] = value;
        const T absolute = std::abs(value);
        size = absolute > size ? absolute : size;
    }
    return static_cast<double>(size);
}

/// row(t)[s] = row(s)[t] for some s and t.
template <class RowOf>
void transpose_each(const RowOf& row, std::int64_t s_begin, std::int64_t s_end,
                    std::int64_t t_begin, std::int64_t t_end) noexcept {
    for (std::int64_t t = t_begin; t < t_end; ++t) {
        auto* target = row(t);
        for (std::int64_t s = s_begin; s < s_end; ++s) {
            target[s] = row(s)[t];
        }
    }
}

#ifdef __SSE2__
void transpose_vectors(const float* const* source, float* const* target) noexcept {
    __m128 a = _mm_loadu_ps(source[0]);
    __m128 b = _mm_loadu_ps(source[1]);
    __m128 c = _mm_loadu_ps(source[2]);
    __m128 d = _mm_loadu_ps(source[3]);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(target[0], a);
    _mm_storeu_ps(target[1], b);
    _mm_storeu_ps(target[2], c);
    _mm_storeu_ps(target[3], d);
}

void transpose_vectors(const double* const* source, double* const* target) noexcept {
    for (int s = 0; s < 4; s += 2) {
        for (int t = 0; t < 4; t += 2) {
            const __m128d a = _mm_loadu_pd(source[s] + t);
            const __m128d b = _mm_loadu_pd(source[s + 1] + t);
            _mm_storeu_pd(target[t] + s, _mm_unpacklo_pd(a, b));
            _mm_storeu_pd(target[t + 1] + s, _mm_unpackhi_pd(a, b));
        }
    }
}
#else
template <class T>
void transpose_vectors(const T* const* source, T* const* target) noexcept {
    for (int t = 0; t < 4; ++t) {
        for (int s = 0; s < 4; ++s) {
            target[t][s] = source[s][t];
        }
    }
}
#endif

/// As transpose_each, four by four; s and t have nothing in common.
template <class RowOf>
void transpose(const RowOf& row, std::int64_t s_begin, std::int64_t s_end, std::int64_t t_begin,
               std::int64_t t_end) noexcept {
    using T = std::remove_pointer_t<decltype(row(0))>;
    const std::int64_t s_whole = s_begin + (s_end - s_begin) / 4 * 4;
    const std::int64_t t_whole = t_begin + (t_end - t_begin) / 4 * 4;
    for (std::int64_t t = t_begin; t < t_whole; t += 4) {
        for (std::int64_t s = s_begin; s < s_whole; s += 4) {
            const std::array<const T*, 4> source{row(s) + t, row(s + 1) + t, row(s + 2) + t,
                                                 row(s + 3) + t};
            const std::array<T*, 4> target{row(t) + s, row(t + 1) + s, row(t + 2) + s,
                                           row(t + 3) + s};
            transpose_vectors(source.data(), target.data());
        }
    }
    transpose_each(row, s_whole, s_end, t_begin, t_end);
    transpose_each(row, s_begin, s_whole, t_whole, t_end);
}

std::int64_t keep_marked(const KernelSet& set, float* row, std::int64_t n,
                         const std::uint64_t* marks) noexcept {
    return set.keep_f32(row, n, marks);
}
std::int64_t keep_marked(const KernelSet& set, double* row, std::int64_t n,
                         const std::uint64_t* marks) noexcept {
    return set.keep_f64(row, n, marks);
}

}  // namespace

template <class Given, class T>
double fill_from_condensed(std::span<const Given> condensed, DistanceRows<T> rows, std::int64_t n,
                           std::int64_t first, std::int64_t last) noexcept {
    const auto row = [&](std::int64_t i) noexcept { return rows.row(i); };
    double size = 0.0;
    for (std::int64_t top = first; top < last; top += kTile) {
        const std::int64_t bottom = std::min(last, top + kTile);
        for (std::int64_t left = top; left < n; left += kTile) {
            const std::int64_t right = std::min(n, left + kTile);
            for (std::int64_t i = top; i < bottom; ++i) {
                const std::int64_t begin = std::max(left, i + 1);
                if (begin < right) {
                    const std::int64_t source = i * n - i * (i + 1) / 2 - i - 1;
                    size = std::max(size, copy(condensed.data() + source + begin, right - begin,
                                               row(i) + begin));
                }
            }
            if (left >= bottom) {
                transpose(row, top, bottom, left, right);
                continue;
            }
            for (std::int64_t i = top; i < bottom; ++i) {
                row(i)[i] = T{0};
                transpose_each(row, i, i + 1, i + 1, right);
            }
        }
    }
    return size;
}

template <class Given, class T>
double fill_from_square(std::span<const Given> square, DistanceRows<T> rows, std::int64_t n,
                        std::int64_t first, std::int64_t last) noexcept {
    double size = 0.0;
    for (std::int64_t i = first; i < last; ++i) {
        size = std::max(size, copy(square.data() + i * n, n, rows.row(i)));
        rows.row(i)[i] = T{0};
    }
    return size;
}

template <class T>
void close_gaps(DistanceRows<T> rows, std::span<const std::int64_t> at,
                std::span<const std::int64_t> kept, std::int64_t closed) {
    const auto live = static_cast<std::int64_t>(kept.size());
    if (live == 0) {
        return;
    }
    const auto row = [&](std::int64_t i) noexcept { return rows.row(at[index(i)]); };
    std::vector<std::uint64_t> marks(index(kept.back() / kMarks + 1), 0);
    for (const std::int64_t node : kept) {
        marks[index(node / kMarks)] |= std::uint64_t{1} << (node % kMarks);
    }
    const std::int64_t known = std::min(closed, kept.back() + 1);
    const std::int64_t old = std::ranges::lower_bound(kept, closed) - kept.begin();
    const KernelSet& set = kernels();
    for (std::int64_t i = 0; i < live; ++i) {
        keep_marked(set, row(i), i < old ? known : kept[index(i)], marks.data());
        row(i)[i] = T{0};
    }
    // Now the rows from `old` on hold the distances to all before them, and no row one to a later.
    for (std::int64_t top = old; top < live; top += kTile) {
        const std::int64_t bottom = std::min(live, top + kTile);
        for (std::int64_t left = 0; left < top; left += kTile) {
            transpose(row, top, bottom, left, std::min(left + kTile, top));
        }
        for (std::int64_t i = top; i < bottom; ++i) {
            transpose_each(row, i, i + 1, top, i);
        }
    }
}

template double fill_from_condensed(std::span<const float>, DistanceRows<float>, std::int64_t,
                                    std::int64_t, std::int64_t) noexcept;
template double fill_from_condensed(std::span<const float>, DistanceRows<double>, std::int64_t,
                                    std::int64_t, std::int64_t) noexcept;
template double fill_from_condensed(std::span<const double>, DistanceRows<float>, std::int64_t,
                                    std::int64_t, std::int64_t) noexcept;
template double fill_from_condensed(std::span<const double>, DistanceRows<double>, std::int64_t,
                                    std::int64_t, std::int64_t) noexcept;
template double fill_from_square(std::span<const float>, DistanceRows<float>, std::int64_t,
                                 std::int64_t, std::int64_t) noexcept;
template double fill_from_square(std::span<const float>, DistanceRows<double>, std::int64_t,
                                 std::int64_t, std::int64_t) noexcept;
template double fill_from_square(std::span<const double>, DistanceRows<float>, std::int64_t,
                                 std::int64_t, std::int64_t) noexcept;
template double fill_from_square(std::span<const double>, DistanceRows<double>, std::int64_t,
                                 std::int64_t, std::int64_t) noexcept;
template void close_gaps(DistanceRows<float>, std::span<const std::int64_t>,
                         std::span<const std::int64_t>, std::int64_t);
template void close_gaps(DistanceRows<double>, std::span<const std::int64_t>,
                         std::span<const std::int64_t>, std::int64_t);

}  // namespace phylo
