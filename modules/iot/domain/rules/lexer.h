// The words of the rules' SQL and where they stand. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/result.h"

namespace heptane::iot::rules {

enum class WordKind : uint8_t { name, quoted_name, text, number, sign, end };

struct Word {
  WordKind kind = WordKind::end;
  std::string text;  // of quoted ones without their quotes
  size_t at = 0;     // in the SQL, from 0

  bool is_sign(std::string_view sign) const { return kind == WordKind::sign && text == sign; }
  // SQL's words are so in any case.
  bool is_keyword(std::string_view upper) const;
};

// The last one is the end. Errc::invalid_argument.
Result<std::vector<Word>> words_of(std::string_view sql);

// `at 12, near 'kwh': why`; positions from 1.
Error wrong_at(const Word& word, const std::string& why);

}  // namespace heptane::iot::rules
