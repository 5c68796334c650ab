#include "kernel/auth/saslprep.h"

#include <stringprep.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace heptane::auth {

namespace {

bool printable_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
}

const char* what_is_wrong(int result) {
  switch (result) {
    case STRINGPREP_CONTAINS_UNASSIGNED: return "holds a character that is not in Unicode 3.2 (SASLprep, RFC 4013)";
    case STRINGPREP_CONTAINS_PROHIBITED:
      return "holds a character that passwords must not hold, a control character for example (SASLprep, RFC 4013)";
    case STRINGPREP_BIDI_BOTH_L_AND_RAL:
    case STRINGPREP_BIDI_LEADTRAIL_NOT_RAL:
    case STRINGPREP_BIDI_CONTAINS_PROHIBITED: return "mixes writing from right to left with other (SASLprep, RFC 4013)";
    case STRINGPREP_ICONV_ERROR: return "is not UTF-8";
    default: return "cannot be prepared (SASLprep, RFC 4013)";
  }
}

}  // namespace

Result<std::string> saslprep(std::string_view text, PreparedFor use) {
  if (printable_ascii(text)) return std::string(text);
  const auto wrong = [](int result) { return Error{Errc::invalid_argument, what_is_wrong(result), 0}; };
  if (text.find('\0') != std::string_view::npos) return wrong(STRINGPREP_CONTAINS_PROHIBITED);
  char* prepared = nullptr;
  const auto flags = use == PreparedFor::storing ? STRINGPREP_NO_UNASSIGNED : Stringprep_profile_flags{};
  const int result = stringprep_profile(std::string(text).c_str(), &prepared, "SASLprep", flags);
  if (result != STRINGPREP_OK) return wrong(result);
  const std::unique_ptr<char, decltype(&std::free)> owned(prepared, &std::free);
  return std::string(prepared);
}

}  // namespace heptane::auth
