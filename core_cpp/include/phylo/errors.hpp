#pragma once

#include <stdexcept>
#include <string>

namespace phylo {

/// What the caller passed cannot be used; the text names the value, the place and the remedy.
class InputError : public std::runtime_error {
   public:
    using std::runtime_error::runtime_error;
};

/// A file is foreign, truncated or damaged.
class FormatError : public std::runtime_error {
   public:
    using std::runtime_error::runtime_error;
};

/// The caller asked for work to stop (Ctrl-C).
class Interrupted : public std::runtime_error {
   public:
    Interrupted() : std::runtime_error("interrupted") {}
};

}  // namespace phylo
