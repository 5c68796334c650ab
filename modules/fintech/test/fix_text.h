// Messages of FIX as a test writes them: `|` ends a field, BodyLength and CheckSum are put in. One thread.
#pragma once

#include <algorithm>
#include <string>

#include "modules/fintech/domain/fix/encode.h"
#include "modules/fintech/domain/fix/tags.h"
#include "modules/fintech/domain/fix/values.h"

namespace heptane::fix::test {

inline std::string with_ends(std::string text) {
  std::replace(text.begin(), text.end(), '|', kSoh);
  return text;
}

inline std::string readable(std::string text) {
  std::replace(text.begin(), text.end(), kSoh, '|');
  return text;
}

inline std::string check_sum_of(const std::string& text) {
  unsigned sum = 0;
  for (const char c : text) sum += static_cast<unsigned char>(c);
  std::string digits = std::to_string(1'000 + sum % 256).substr(1);
  std::string out;
  add_field(out, kCheckSum, digits);
  return out;
}

// `35=0|34=2|...` to a whole message.
inline std::string whole(const std::string& text, const std::string& begin_string = "FIX.4.4") {
  const std::string body = with_ends(text);
  std::string out;
  add_field(out, kBeginString, begin_string);
  add_field(out, kBodyLength, static_cast<int64_t>(body.size()));
  out += body;
  return out + check_sum_of(out);
}

}  // namespace heptane::fix::test
