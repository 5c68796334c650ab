// Writing messages: fields into a text, and the envelope around a body. Order: 8 9 35, then the header's fields by number as far as the
// session writes them (34 43 49 52 56), what the draft adds, 122, the body as it was written, 10. The same arguments give the same bytes
// for ever: a resent message equals the first one but for 43, 52, 122, 9 and 10. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace heptane::fix {

// `tag=value` and the end of the field.
void add_field(std::string& out, int32_t tag, std::string_view value);
void add_field(std::string& out, int32_t tag, int64_t value);
void add_decimal(std::string& out, int32_t tag, int64_t value, int scale);
void add_timestamp(std::string& out, int32_t tag, int64_t time_ns, int digits);

// A message without what its number, its times and its peers add.
struct Draft {
  std::string_view type;
  std::string_view header;  // fields beside those that the session writes: routing, PossResend
  std::string_view body;
};

struct Envelope {
  std::string_view begin_string;
  std::string_view sender_comp_id;
  std::string_view target_comp_id;
  uint64_t number = 0;
  int64_t sending_time_ns = 0;
  std::optional<int64_t> original_time_ns;  // when it was sent first: a possible duplicate
  int timestamp_digits = 3;
};

// Appends the whole message.
void encode(std::string& out, const Envelope& envelope, const Draft& draft);

}  // namespace heptane::fix
