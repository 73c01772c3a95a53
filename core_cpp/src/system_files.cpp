#include "system_files.hpp"

#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <io.h>
#include <windows.h>
#else
#include <unistd.h>
#endif

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

namespace phylo {

namespace {

/// Narrow strings are UTF-8 here; Windows takes them for those of its code page.
[[nodiscard]] std::filesystem::path as_path(const std::string& path) {
    return {std::u8string(path.begin(), path.end())};
}

/// Writes some of the bytes and returns how many.
std::int64_t write_some(int file, const char* bytes, std::int64_t count, std::int64_t offset) {
#ifdef _WIN32
    constexpr std::int64_t most = 1 << 30;
    OVERLAPPED place{};
    place.Offset = static_cast<DWORD>(offset & 0xFFFFFFFF);
    place.OffsetHigh = static_cast<DWORD>(offset >> 32);
    DWORD written = 0;
    auto* const handle = reinterpret_cast<HANDLE>(_get_osfhandle(file));
    const auto wanted = static_cast<DWORD>(std::min(count, most));
    if (WriteFile(handle, bytes, wanted, &written, &place) == 0) {
        throw std::system_error(static_cast<int>(GetLastError()), std::system_category());
    }
    return written;
#else
    for (;;) {
        const ::ssize_t written = ::pwrite(file, bytes, static_cast<std::size_t>(count), offset);
        if (written >= 0) {
            return written;
        }
        if (errno != EINTR) {
            throw std::system_error(errno, std::generic_category());
        }
    }
#endif
}

}  // namespace

std::FILE* open_file(const std::string& path, bool for_writing) {
#ifdef _WIN32
    return _wfopen(as_path(path).c_str(), for_writing ? L"wb" : L"rb");
#else
    return std::fopen(path.c_str(), for_writing ? "wb" : "rb");
#endif
}

std::uintmax_t size_of_file(const std::string& path) {
    return std::filesystem::file_size(as_path(path));
}

void write_at(int file, const char* bytes, std::int64_t count, std::int64_t offset) {
    while (count > 0) {
        const std::int64_t written = write_some(file, bytes, count, offset);
        if (written == 0) {
            throw std::system_error(ENOSPC, std::generic_category());
        }
        bytes += written;
        offset += written;
        count -= written;
    }
}

}  // namespace phylo
