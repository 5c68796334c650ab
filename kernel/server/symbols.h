// Names of this process's functions by address, from the symbol tables of its program and libraries (elfutils).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace heptane::server {

// One for each address, in C++ as it was written; an address that is nobody's as 0x... . A tenth of a second.
std::vector<std::string> symbol_names(const std::vector<uint64_t>& addresses);
// How many symbols the program has; 0: it was stripped.
uint64_t symbols_known();

}  // namespace heptane::server
