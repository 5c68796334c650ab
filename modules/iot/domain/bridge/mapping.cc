#include "modules/iot/domain/bridge/mapping.h"

#include <utility>

#include "modules/iot/domain/topics/topics.h"

namespace heptane::iot::bridge {

namespace {

bool good_prefix(std::string_view prefix) {
  return valid_text(prefix) && prefix.find_first_of("+#") == std::string_view::npos;
}

bool good_filter(std::string_view filter) {
  return valid_text(filter) && valid_filter(filter) && within_limits(filter) && !is_shared(filter) &&
         !is_over_servers(filter);
}

}  // namespace

std::string wrong_mapping(const Mapping& mapping) {
  if (!good_prefix(mapping.local_prefix) || !good_prefix(mapping.remote_prefix)) return "a prefix has no + or #";
  if (!good_filter(mapping.local_filter()) || !good_filter(mapping.remote_filter()))
    return "prefix and filter together must be a topic filter of at most 1,024 bytes and 32 levels, not below $SYS, "
           "$CONTROL or $share";
  return {};
}

std::optional<Mapped> mapped(const std::vector<Mapping>& mappings, Direction direction, std::string_view topic) {
  for (const Mapping& mapping : mappings) {
    if (mapping.direction != direction) continue;
    const bool out = direction == Direction::out;
    const std::string& from = out ? mapping.local_prefix : mapping.remote_prefix;
    // Of a/# the topic a has no name behind the prefix a/.
    if (!topic.starts_with(from) || !matches(out ? mapping.local_filter() : mapping.remote_filter(), topic)) continue;
    std::string to = out ? mapping.remote_prefix : mapping.local_prefix;
    to += topic.substr(from.size());
    if (!valid_topic(to) || !within_limits(to)) return std::nullopt;
    if (!matches(out ? mapping.remote_filter() : mapping.local_filter(), to)) return std::nullopt;
    return Mapped{std::move(to), mapping.qos};
  }
  return std::nullopt;
}

Meeting meeting_of(const std::vector<Mapping>& outward, const std::vector<Mapping>& inward) {
  for (const Mapping& out : outward)
    for (const Mapping& in : inward)
      if (out.direction == Direction::out && in.direction == Direction::in &&
          overlap(out.remote_filter(), in.remote_filter()))
        return {&out, &in};
  return {};
}

}  // namespace heptane::iot::bridge
