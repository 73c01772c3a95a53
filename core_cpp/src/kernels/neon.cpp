// 128-bit registers of 64-bit Arm, with dot products of bytes where the compiler targets them.
#include <arm_neon.h>

#include "elementwise.hpp"
#include "kernel_sets.hpp"
#include "tiles.hpp"

namespace phylo {
namespace {

struct Base {
    using Sum = uint32x4_t;
    static constexpr std::int64_t kLanes = 4;
    static Sum zero() { return vdupq_n_u32(0); }
    static uint8x16_t load(const std::uint8_t* counts) { return vld1q_u8(counts); }
    static uint8x16_t broadcast(const std::uint8_t* counts) {
        std::uint32_t group;
        __builtin_memcpy(&group, counts, sizeof group);
        return vreinterpretq_u8_u32(vdupq_n_u32(group));
    }
    static void in_order(const Sum& /*a*/, const Sum& /*b*/, const Sum& /*c*/) {}
    static void store(std::int32_t* sums, Sum sum, bool add) {
        const int32x4_t whole = vreinterpretq_s32_u32(sum);
        vst1q_s32(sums, add ? vaddq_s32(whole, vld1q_s32(sums)) : whole);
    }
};

/// Four columns of u8.
struct Bytes : Base {
    static Sum add_products(Sum sum, uint8x16_t x, uint8x16_t w) {
#ifdef __ARM_FEATURE_DOTPROD
        return vdotq_u32(sum, x, w);
#else
        // Products of 16 bits, added in pairs to 32 bits, and these in pairs.
        const uint32x4_t low = vpaddlq_u16(vmull_u8(vget_low_u8(x), vget_low_u8(w)));
        const uint32x4_t high = vpaddlq_u16(vmull_u8(vget_high_u8(x), vget_high_u8(w)));
        return vaddq_u32(sum, vpaddq_u32(low, high));
#endif
    }
};

/// Two columns of i16, none negative.
struct Shorts : Base {
    static Sum add_products(Sum sum, uint8x16_t x, uint8x16_t w) {
        const uint16x8_t p = vreinterpretq_u16_u8(x);
        const uint16x8_t q = vreinterpretq_u16_u8(w);
        const uint32x4_t low = vmull_u16(vget_low_u16(p), vget_low_u16(q));
        const uint32x4_t high = vmull_u16(vget_high_u16(p), vget_high_u16(q));
        return vaddq_u32(sum, vpaddq_u32(low, high));
    }
};

}  // namespace

const KernelSet kNeonKernels = with_elementwise({.name = "neon",
                                                 .multiply_u8 = multiply_counts<Bytes, 8>,
                                                 .multiply_i16 = multiply_counts<Shorts, 8>,
                                                 .multiply_f64 = multiply_frequencies<16>,
                                                 .u8_rate = 60e9,
                                                 .i16_rate = 30e9});

}  // namespace phylo
