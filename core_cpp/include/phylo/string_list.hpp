#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace phylo {

/// Strings stored end to end, as Arrow's large_string lays them out: entry i is
/// bytes[offsets[i], offsets[i + 1]).
class StringList {
   public:
    StringList() = default;
    StringList(std::vector<std::int64_t> offsets, std::string bytes)
        : offsets_(std::move(offsets)), bytes_(std::move(bytes)) {}

    [[nodiscard]] std::size_t size() const noexcept { return offsets_.size() - 1; }
    [[nodiscard]] std::string_view operator[](std::size_t i) const noexcept {
        const auto begin = static_cast<std::size_t>(offsets_[i]);
        const auto end = static_cast<std::size_t>(offsets_[i + 1]);
        return std::string_view(bytes_).substr(begin, end - begin);
    }
    void push_back(std::string_view text) {
        bytes_.append(text);
        offsets_.push_back(static_cast<std::int64_t>(bytes_.size()));
    }
    [[nodiscard]] const std::vector<std::int64_t>& offsets() const noexcept { return offsets_; }
    [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }
    [[nodiscard]] bool operator==(const StringList&) const = default;

   private:
    std::vector<std::int64_t> offsets_{0};
    std::string bytes_;
};

/// Whether the bytes are well-formed UTF-8 (no surrogates, no overlong forms).
[[nodiscard]] bool is_utf8(std::string_view bytes) noexcept;

/// The text between single quotes, as errors show names.
[[nodiscard]] std::string quoted(std::string_view text);

}  // namespace phylo
