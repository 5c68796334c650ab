// SASLprep (RFC 4013, a profile of stringprep, RFC 3454): what a password is before it is hashed or compared, so that the
// same password typed in another way is the same bytes. Unicode 3.2, as the RFC says: what came later is unassigned. Pure.
#pragma once

#include <string>
#include <string_view>

#include "kernel/base/result.h"

namespace heptane::auth {

enum class PreparedFor : uint8_t {
  storing,  // unassigned characters are refused: a later Unicode may prepare them otherwise
  asking,   // they stay
};

// Errc::invalid_argument says what is wrong about `text`, as a predicate: `is not UTF-8`. No limits of its own.
Result<std::string> saslprep(std::string_view text, PreparedFor use);

}  // namespace heptane::auth
