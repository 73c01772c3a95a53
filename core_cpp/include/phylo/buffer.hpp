#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <new>
#include <utility>

#include "phylo/large_memory.hpp"

namespace phylo {

/// Told the bytes that are about to be taken; throws where they are too many.
using Claim = std::function<void(std::int64_t bytes)>;

/// Memory for plain values, not initialised, aligned to cache lines; large buffers are in large
/// pages, which are far quicker to touch first, and are kept for later ones.
template <class T>
class Buffer {
   public:
    Buffer() = default;
    explicit Buffer(std::int64_t size) : size_(static_cast<std::size_t>(size)) {
        if (size_ == 0) {
            return;
        }
        const std::size_t bytes = (size_ * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
        if (bytes >= kLargePage) {
            block_ = take_large(bytes);
            data_ = static_cast<T*>(block_.address);
        } else {
            data_ = static_cast<T*>(::operator new(bytes, std::align_val_t{kAlignment}));
        }
    }
    ~Buffer() { release(); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    Buffer(Buffer&& other) noexcept { swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        swap(other);
        return *this;
    }

    [[nodiscard]] T* data() noexcept { return data_; }
    [[nodiscard]] const T* data() const noexcept { return data_; }
    [[nodiscard]] std::int64_t size() const noexcept { return static_cast<std::int64_t>(size_); }
    [[nodiscard]] T& operator[](std::int64_t at) noexcept { return data_[at]; }
    [[nodiscard]] const T& operator[](std::int64_t at) const noexcept { return data_[at]; }

   private:
    static constexpr std::size_t kAlignment = 64;

    void swap(Buffer& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(block_, other.block_);
    }
    void release() noexcept {
        if (block_.address != nullptr) {
            give_large(block_);
        } else if (data_ != nullptr) {
            ::operator delete(data_, std::align_val_t{kAlignment});
        }
    }

    T* data_ = nullptr;
    std::size_t size_ = 0;
    LargeBlock block_;  ///< where it is large
};

}  // namespace phylo
