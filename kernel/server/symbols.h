// Names of this process's functions by address, from the symbol tables of its program and libraries (elfutils). Any
// thread, but not the I/O thread's: it takes a while.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernel/base/result.h"

namespace heptane::server {

// One for each address, in C++ as it was written; an address that is nobody's as 0x... . A tenth of a second. Errc::too_large: they are
// longer than `bytes_max` together, or took longer than kSymbolsNs.
inline constexpr int64_t kSymbolsNs = 5'000'000'000;
Result<std::vector<std::string>> symbol_names(const std::vector<uint64_t>& addresses, size_t bytes_max);
// How many symbols the program has; 0: it was stripped.
uint64_t symbols_known();

}  // namespace heptane::server
