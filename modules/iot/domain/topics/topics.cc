#include "modules/iot/domain/topics/topics.h"

#include <algorithm>
#include <cstdint>

namespace heptane::iot {

namespace {

constexpr std::string_view kShare = "$share/";

uint32_t byte_at(std::string_view text, size_t at) { return static_cast<uint8_t>(text[at]); }

// The character at `at`, and how many bytes it takes; 0 bytes: it is not well formed.
struct Character {
  uint32_t code = 0;
  size_t bytes = 0;
};

Character character_at(std::string_view text, size_t at) {
  const uint32_t first = byte_at(text, at);
  if (first < 0x80) return {first, 1};
  const size_t bytes = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (first < 0xC2 || first > 0xF4 || text.size() - at < bytes) return {};
  uint32_t code = first & (0xFFU >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) {
    const uint32_t next = byte_at(text, at + i);
    if ((next & 0xC0) != 0x80) return {};
    code = code << 6 | (next & 0x3F);
  }
  constexpr uint32_t kShortest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kShortest[bytes] || code > 0x10FFFF) return {};
  return {code, bytes};
}

// Of ASCII, as most are.
bool is_plain(char c) { return c >= 0x20 && c < 0x7F; }

bool allowed(uint32_t code) {
  if (code < 0x20 || (code >= 0x7F && code <= 0x9F)) return false;  // control characters
  if (code >= 0xD800 && code <= 0xDFFF) return false;               // surrogates
  if (code >= 0xFDD0 && code <= 0xFDEF) return false;               // no characters
  return (code & 0xFFFE) != 0xFFFE;
}

}  // namespace

bool valid_text(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    if (is_plain(text[at])) {
      ++at;
      continue;
    }
    const Character character = character_at(text, at);
    if (character.bytes == 0 || !allowed(character.code)) return false;
    at += character.bytes;
  }
  return true;
}

bool valid_topic(std::string_view topic) {
  return !topic.empty() && std::none_of(topic.begin(), topic.end(), [](char c) { return c == '+' || c == '#'; });
}

bool valid_filter(std::string_view filter) {
  if (filter.empty()) return false;
  Levels levels(filter);
  while (const auto level = levels.next()) {
    if (level->size() > 1 && level->find_first_of("+#") != std::string_view::npos) return false;
    if (*level == "#" && !levels.done()) return false;
  }
  return true;
}

bool within_limits(std::string_view text) {
  return text.size() <= kTopicLimitBytes && levels_of(text) <= kTopicLimitLevels;
}

size_t levels_of(std::string_view text) { return 1 + static_cast<size_t>(std::count(text.begin(), text.end(), '/')); }

bool is_shared(std::string_view filter) { return filter.starts_with(kShare) || filter == "$share"; }

bool is_servers(std::string_view topic) {
  const std::string_view first = topic.substr(0, topic.find('/'));
  if (first == "$rules" || first == "$bridge") return true;
  return is_over_servers(topic) && !matches("$SYS/broker/connection/+/state", topic);
}

bool is_over_servers(std::string_view filter) {
  const std::string_view first = filter.substr(0, filter.find('/'));
  return first == "$SYS" || first == "$CONTROL" || first == "$share";
}

std::optional<SharedFilter> parse_shared(std::string_view filter) {
  if (!filter.starts_with(kShare)) return std::nullopt;
  filter.remove_prefix(kShare.size());
  const size_t slash = filter.find('/');
  if (slash == std::string_view::npos || slash == 0) return std::nullopt;
  const SharedFilter shared{filter.substr(0, slash), filter.substr(slash + 1)};
  if (shared.group.find_first_of("+#") != std::string_view::npos || !valid_filter(shared.filter)) return std::nullopt;
  return shared;
}

bool matches(std::string_view filter, std::string_view topic) {
  if (topic.starts_with('$') && !filter.starts_with('$')) return false;
  Levels wanted(filter);
  Levels levels(topic);
  while (true) {
    const auto want = wanted.next();
    if (want == "#") return true;
    const auto level = levels.next();
    if (!want || !level) return !want && !level;
    if (*want != "+" && *want != *level) return false;
  }
}

bool overlap(std::string_view one, std::string_view other) {
  if (one.starts_with('$') != other.starts_with('$')) return false;
  Levels ones(one);
  Levels others(other);
  while (true) {
    const auto here = ones.next();
    const auto there = others.next();
    if (here == "#" || there == "#") return true;  // the level above it included
    if (!here || !there) return !here && !there;
    if (*here != "+" && *there != "+" && *here != *there) return false;
  }
}

std::string_view literal_prefix(std::string_view filter) {
  const size_t wildcard = filter.find_first_of("+#");
  if (wildcard == std::string_view::npos) return filter;
  // `a/#` matches `a` as well.
  if (filter[wildcard] == '#' && wildcard > 0) return filter.substr(0, wildcard - 1);
  return filter.substr(0, wildcard);
}

std::optional<std::string_view> Levels::next() {
  if (done_) return std::nullopt;
  const size_t slash = rest_.find('/');
  const std::string_view level = rest_.substr(0, slash);
  if (slash == std::string_view::npos)
    done_ = true;
  else
    rest_.remove_prefix(slash + 1);
  return level;
}

}  // namespace heptane::iot
