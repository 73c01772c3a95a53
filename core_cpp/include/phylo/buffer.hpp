#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <new>
#include <utility>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace phylo {

/// Told the bytes that are about to be taken; throws where they are too many.
using Claim = std::function<void(std::int64_t bytes)>;

/// Memory for plain values, not initialised, aligned to cache lines; large buffers ask for large
/// pages, which are far quicker to touch first.
template <class T>
class Buffer {
   public:
    Buffer() = default;
    explicit Buffer(std::int64_t size) : size_(static_cast<std::size_t>(size)) {
        if (size_ == 0) {
            return;
        }
        const std::size_t bytes = (size_ * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
        const bool large = bytes >= kLarge;
        alignment_ = large ? kLarge : kAlignment;
        data_ = static_cast<T*>(::operator new(bytes, std::align_val_t{alignment_}));
#ifdef __linux__
        if (large) {
            madvise(data_, bytes, MADV_HUGEPAGE);
        }
#endif
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
    static constexpr std::size_t kLarge = std::size_t{2} << 20U;

    void swap(Buffer& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(alignment_, other.alignment_);
    }
    void release() noexcept {
        if (data_ != nullptr) {
            ::operator delete(data_, std::align_val_t{alignment_});
        }
    }

    T* data_ = nullptr;
    std::size_t size_ = 0;
    std::size_t alignment_ = kAlignment;
};

}  // namespace phylo
