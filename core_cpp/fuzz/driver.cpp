// Runs a fuzz target without libFuzzer: every file of the folders given, then as many changed
// ones as asked for. `target [-runs=N] [-seed=S] [-last=FILE] FOLDER...`; the input that was
// running when the process ended lies in FILE.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" {
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);
[[gnu::weak]] std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                                  std::size_t most, unsigned seed);
}

namespace {

using Input = std::vector<std::uint8_t>;

constexpr unsigned kMostSeconds = 30;  ///< of one input
constexpr std::size_t kMostBytes = 4096;

std::mt19937_64& randomness() {
    // The same inputs each time, unless -seed says otherwise.
    static std::mt19937_64 random;  // NOLINT(bugprone-random-generator-seed)
    return random;
}
std::size_t below(std::size_t end) { return static_cast<std::size_t>(randomness()() % end); }

/// Bytes that are borders of something.
std::uint64_t border() {
    constexpr std::array<std::uint64_t, 12> borders = {
        0,          1,          0x7F,       0x80,        0xFF,        0x7FFF,
        0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1ULL << 53U, ~0ULL >> 1U, ~0ULL};
    return borders[below(borders.size())];
}

void change(Input& input) {
    const std::size_t at = input.empty() ? 0 : below(input.size());
    const std::size_t left = input.size() - at;
    const std::size_t some = left == 0 ? 0 : 1 + below(std::min<std::size_t>(left, 16));
    const auto place = input.begin() + static_cast<std::ptrdiff_t>(at);
    switch (below(6)) {
        case 0:
            input.insert(place, static_cast<std::uint8_t>(randomness()()));
            break;
        case 1:
            input.erase(place, place + static_cast<std::ptrdiff_t>(some));
            break;
        case 2: {
            const Input copied(place, place + static_cast<std::ptrdiff_t>(some));
            const auto to = static_cast<std::ptrdiff_t>(below(input.size() + 1));
            input.insert(input.begin() + to, copied.begin(), copied.end());
            break;
        }
        case 3: {
            std::uint64_t value = border();
            for (std::size_t i = 0; i < std::min<std::size_t>(8, left); ++i, value >>= 8U) {
                input[at + i] = static_cast<std::uint8_t>(value);
            }
            break;
        }
        case 4:
            if (left > 0) {
                input[at] = static_cast<std::uint8_t>(input[at] ^ (1U << below(8)));
            }
            break;
        default:
            if (left > 0) {
                input[at] = static_cast<std::uint8_t>(input[at] + below(5) - 2);
            }
    }
}

void run(const Input& input, const std::string& last) {
    std::ofstream(last, std::ios::binary | std::ios::trunc)
        .write(reinterpret_cast<const char*>(input.data()),
               static_cast<std::streamsize>(input.size()));
    // Memory of exactly the input's size: what reads beyond it is seen.
    const Input exact(input.begin(), input.end());
    alarm(kMostSeconds);
    LLVMFuzzerTestOneInput(exact.data(), exact.size());
    alarm(0);
}

std::vector<Input> inputs_of(const std::string& folder) {
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        paths.push_back(entry.path());
    }
    std::ranges::sort(paths);
    std::vector<Input> inputs;
    for (const auto& path : paths) {
        std::ifstream in(path, std::ios::binary);
        inputs.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    }
    return inputs;
}

}  // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most) {
    Input input(data, data + size);
    for (std::size_t n = 1 + below(4); n > 0; --n) {
        change(input);
    }
    input.resize(std::min(input.size(), most));
    std::ranges::copy(input, data);
    return input.size();
}

int main(int argc, char* const* argv) {
    long runs = 0;
    std::string last = "last_input";
    std::vector<Input> inputs;
    for (int a = 1; a < argc; ++a) {
        const std::string argument = argv[a];
        const auto value = [&](const std::string& name) { return argument.substr(name.size()); };
        if (argument.starts_with("-runs=")) {
            runs = std::stol(value("-runs="));
        } else if (argument.starts_with("-seed=")) {
            randomness().seed(std::stoul(value("-seed=")));
        } else if (argument.starts_with("-last=")) {
            last = value("-last=");
        } else {
            for (Input& input : inputs_of(argument)) {
                inputs.push_back(std::move(input));
            }
        }
    }
    for (const Input& input : inputs) {
        run(input, last);
    }
    for (long k = 0; k < runs && !inputs.empty(); ++k) {
        Input input = inputs[below(inputs.size())];
        std::size_t size = input.size();
        const std::size_t most = std::max(size, kMostBytes) + 64;
        input.resize(most);
        size = LLVMFuzzerCustomMutator != nullptr
                   ? LLVMFuzzerCustomMutator(input.data(), size, most,
                                             static_cast<unsigned>(randomness()()))
                   : LLVMFuzzerMutate(input.data(), size, most);
        input.resize(size);
        run(input, last);
    }
    std::filesystem::remove(last);
    std::printf("%zu inputs and %ld changed ones\n", inputs.size(), inputs.empty() ? 0 : runs);
    return 0;
}
