// SHA-2, HMAC (RFC 2104), PBKDF2 (RFC 8018 §5.2) and comparison in constant time, as small functions over OpenSSL. Chance
// comes from the Random seam, never from here. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "kernel/base/bytes.h"

namespace heptane::crypto {

enum class Hash : uint8_t { sha256, sha512 };

constexpr size_t hash_bytes(Hash hash) { return hash == Hash::sha256 ? 32 : 64; }

std::string digest(Hash hash, std::string_view message);
std::string hmac(Hash hash, std::string_view key, std::string_view message);
// One output block: as long as the hash. `iterations` >= 1.
std::string pbkdf2(Hash hash, std::string_view password, std::string_view salt, uint32_t iterations);

// Says nothing of where two strings of one length differ.
bool equal_in_constant_time(std::string_view a, std::string_view b);

// Lower case.
std::string hex(std::string_view bytes);

}  // namespace heptane::crypto
