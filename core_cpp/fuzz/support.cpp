#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "fuzz.hpp"

namespace {

std::atomic<std::int64_t> live{0};
std::atomic<std::int64_t> highest{0};
std::atomic<std::int64_t> limit{0};  // 0: none
std::atomic<std::int64_t> start{0};

void* counted(void* address) {
    if (address == nullptr) {
        throw std::bad_alloc();
    }
    const auto size = static_cast<std::int64_t>(malloc_usable_size(address));
    const std::int64_t now = live.fetch_add(size) + size - start.load();
    if (limit.load() > 0) {
        highest.store(std::max(highest.load(), now));  // one thread reads a file
        if (now > limit.load()) {
            static_cast<void>(std::fputs("more memory than stated was taken\n", stderr));
            std::abort();
        }
    }
    return address;
}

void release(void* address) noexcept {
    if (address != nullptr) {
        live.fetch_sub(static_cast<std::int64_t>(malloc_usable_size(address)));
        std::free(address);  // NOLINT(cppcoreguidelines-no-malloc)
    }
}

}  // namespace

// NOLINTBEGIN(cppcoreguidelines-no-malloc): these are what `new` is made of
void* operator new(std::size_t size) {
    return counted(std::malloc(std::max(size, std::size_t{1})));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
    const auto step = static_cast<std::size_t>(alignment);
    return counted(std::aligned_alloc(step, (size + step - 1) / step * step));
}
void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
    try {
        return operator new(size);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}
void operator delete(void* address, const std::nothrow_t& /*tag*/) noexcept { release(address); }
void operator delete(void* address) noexcept { release(address); }
void operator delete(void* address, std::size_t /*size*/) noexcept { release(address); }
void operator delete(void* address, std::align_val_t /*alignment*/) noexcept { release(address); }
void operator delete(void* address, std::size_t /*size*/, std::align_val_t /*alignment*/) noexcept {
    release(address);
}
// NOLINTEND(cppcoreguidelines-no-malloc)

namespace phylo::fuzz {

void require(bool holds, std::string_view what) {
    if (!holds) {
        static_cast<void>(std::fprintf(stderr, "does not hold: %.*s\n",
                                       static_cast<int>(what.size()), what.data()));
        std::abort();
    }
}

MemoryLimit::MemoryLimit(std::size_t most) noexcept {
    start.store(live.load());
    highest.store(0);
    limit.store(static_cast<std::int64_t>(most));
}
MemoryLimit::~MemoryLimit() { limit.store(0); }
std::size_t MemoryLimit::peak() noexcept { return static_cast<std::size_t>(highest.load()); }

MemoryFile::MemoryFile() : descriptor_(memfd_create("fuzz", 0)) {
    require(descriptor_ >= 0, "the system gives a memory file");
}
MemoryFile::~MemoryFile() { close(descriptor_); }

void MemoryFile::set_bytes(std::span<const std::uint8_t> bytes) const {
    const auto size = static_cast<ssize_t>(bytes.size());
    require(ftruncate(descriptor_, 0) == 0 &&
                pwrite(descriptor_, bytes.data(), bytes.size(), 0) == size,
            "a memory file can be written");
}
std::string MemoryFile::path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

std::uint8_t Choices::byte() noexcept {
    if (bytes_.empty()) {
        return 0;
    }
    const std::uint8_t first = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return first;
}

std::uint64_t Choices::bytes(int count) noexcept {
    std::uint64_t value = 0;
    for (int i = 0; i < count; ++i) {
        value = value << 8U | byte();
    }
    return value;
}

std::string Choices::text() {
    const std::size_t length = byte();
    if (length >= 16) {
        std::string same(length, static_cast<char>(byte()));
        return same;
    }
    std::string text;
    for (std::size_t i = 0; i < length; ++i) {
        text.push_back(static_cast<char>(byte()));
    }
    return text;
}

std::uint32_t slow_crc32(std::span<const std::uint8_t> bytes) noexcept {
    std::uint32_t crc = 0xFFFFFFFFU;
    for (const std::uint8_t byte : bytes) {
        crc ^= byte;
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0xEDB88320U : 0U);
        }
    }
    return ~crc;
}

}  // namespace phylo::fuzz
