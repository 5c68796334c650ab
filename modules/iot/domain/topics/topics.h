// Topic names and filters (MQTT 5.0 §4.7): what is well formed, what matches what. A topic's levels stand between slashes and
// may be empty; `+` is any one level, `#` any rest, the level above it included; neither reaches a first level that begins
// with `$`. Pure; any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace heptane::iot {

constexpr size_t kTopicLimitBytes = 1024;
constexpr size_t kTopicLimitLevels = 32;

// Text as MQTT takes it (§1.5.4): well-formed UTF-8 without U+0000; control characters and what Unicode calls no characters
// are refused too, which the specification allows and every broker of standing does.
bool valid_text(std::string_view text);

// Both expect valid text. Not empty, no wildcard.
bool valid_topic(std::string_view topic);
// Not empty; each wildcard is a level of its own, `#` the last.
bool valid_filter(std::string_view filter);
// Within the limits above.
bool within_limits(std::string_view topic_or_filter);

// `$share/GROUP/FILTER` (§4.8.2).
struct SharedFilter {
  std::string_view group;
  std::string_view filter;
};
bool is_shared(std::string_view filter);
// Topics of the server's own, where clients do not publish; and filters that name such a level first. A bridge says its state
// there, as brokers' bridges do.
bool is_servers(std::string_view topic);
bool is_over_servers(std::string_view filter);
// nullopt: it begins like one and is none.
std::optional<SharedFilter> parse_shared(std::string_view filter);

size_t levels_of(std::string_view topic_or_filter);

// Level by level; the tree (topic_tree.h) says the same for many filters at once.
bool matches(std::string_view filter, std::string_view topic);

// Some topic matches both filters.
bool overlap(std::string_view one, std::string_view other);

// The part of a filter that every topic it matches begins with.
std::string_view literal_prefix(std::string_view filter);

// Takes the first level off; nullopt: none is left.
class Levels {
 public:
  explicit Levels(std::string_view text) : rest_(text) {}
  std::optional<std::string_view> next();
  bool done() const { return done_; }

 private:
  std::string_view rest_;
  bool done_ = false;
};

}  // namespace heptane::iot
