#include "sim/mqtt_messages.h"

#include <charconv>

namespace heptane::sim {

namespace {

constexpr uint32_t kRetainedEach = 4;    // of so many numbers one is retained
constexpr uint32_t kForStreamsEach = 8;  // and one for streams alone
constexpr uint32_t kKeepTopics = 12;     // of all publishers
constexpr uint32_t kTopics = 3;          // of each publisher and family

std::string named(char kind, MessageName name) {
  return kind + std::to_string(name.from) + "." + std::to_string(name.number) + ";";
}

// Takes a number off that this character ends.
std::optional<uint32_t> take_number(std::string_view& text, char end) {
  uint32_t number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || rest == text.data() + text.size() || *rest != end) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(rest - text.data()) + 1);
  return number;
}

bool is_retained(MessageName name) { return name.number % kRetainedEach == kRetainedEach - 1; }

// Two go to one topic, one behind the other: the second is another message, or removes the first.
uint32_t pair_of(MessageName name) { return name.number / kRetainedEach / 2; }

bool removes(MessageName name) { return name.number / kRetainedEach % 2 == 1 && (pair_of(name) + name.from) % 2 == 0; }

std::string topic_of(MessageName name, bool appended) {
  const std::string last = std::to_string(name.number % kTopics);
  if (appended) return "app/" + last;
  if (is_retained(name)) return "keep/" + std::to_string((pair_of(name) * 5 + name.from * 3) % kKeepTopics);
  const bool for_streams = name.number % kForStreamsEach == kForStreamsEach - 2;
  return (for_streams ? "tap/" : "sim/") + std::to_string(name.from) + "/" + last;
}

std::string_view take_level(std::string_view& rest, bool& more) {
  const size_t slash = rest.find('/');
  const std::string_view level = rest.substr(0, slash);
  more = slash != std::string_view::npos;
  rest = more ? rest.substr(slash + 1) : std::string_view();
  return level;
}

}  // namespace

SimMessage message_of(MessageName name, bool appended) {
  SimMessage message;
  message.topic = topic_of(name, appended);
  message.retain = !appended && is_retained(name);
  if (message.retain && removes(name)) return message;
  message.payload = named('m', name);
  message.payload.append(name.number * 37 % 300, 'x');
  return message;
}

SimMessage will_of(MessageName name) { return {"will/" + std::to_string(name.from), named('w', name)}; }

std::optional<MessageName> name_of(std::string_view payload) {
  if (!payload.starts_with('m') && !payload.starts_with('w')) return std::nullopt;
  payload.remove_prefix(1);
  const auto from = take_number(payload, '.');
  const auto number = from ? take_number(payload, ';') : std::nullopt;
  if (!number) return std::nullopt;
  return MessageName{*from, *number};
}

bool filter_matches(std::string_view filter, std::string_view topic) {
  bool more_filter = true, more_topic = true;
  while (more_filter) {
    const std::string_view wanted = take_level(filter, more_filter);
    if (wanted == "#") return true;
    if (!more_topic) return false;
    const std::string_view level = take_level(topic, more_topic);
    if (wanted != "+" && wanted != level) return false;
    if (!more_topic && more_filter) return filter == "#";
  }
  return !more_topic;
}

uint32_t next_number(uint32_t publisher, bool appended, uint32_t above, std::string_view filter) {
  if (appended != filter.starts_with("app/")) return UINT32_MAX;
  constexpr uint32_t kPeriod = kForStreamsEach * kTopics;  // then its topics come again
  for (uint32_t number = above + 1; number <= above + kPeriod; ++number)
    if (filter_matches(filter, topic_of({publisher, number}, appended))) return number;
  return UINT32_MAX;
}

}  // namespace heptane::sim
