#include "sim/checker.h"

#include <algorithm>
#include <charconv>
#include <iterator>

namespace heptane::sim {

namespace {

constexpr size_t kUsualFillerLimit = 120;
constexpr size_t kLongFillerLimit = 4000;

uint64_t mixed(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ULL;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBULL;
  return value ^ (value >> 31);
}

std::string text_of(RecordName name) {
  return "P" + std::to_string(name.producer) + "-N" + std::to_string(name.number);
}

std::string at(size_t topic, Offset offset) {
  return "topic " + std::to_string(topic) + " offset " + std::to_string(offset);
}

}  // namespace

std::string record_value(RecordName name) {
  const uint64_t chance = mixed((uint64_t{name.producer} << 32 | name.number) + 0x9E3779B97F4A7C15ULL);
  const size_t filler = chance % 20 == 0 ? chance / 20 % kLongFillerLimit : chance / 20 % kUsualFillerLimit;
  std::string value = text_of(name) + "-";
  value.reserve(value.size() + filler);
  for (uint64_t state = chance, i = 0; i < filler; ++i) {
    if (i % 8 == 0) state = mixed(state + 1);
    value.push_back(static_cast<char>('!' + (state >> (i % 8 * 8)) % 90));
  }
  return value;
}

std::optional<RecordName> parse_value(Bytes value) {
  const std::string_view text = as_text(value);
  const size_t dash = text.find("-N");
  if (text.empty() || text[0] != 'P' || dash == std::string_view::npos) return std::nullopt;
  RecordName name;
  const char* end = text.data() + text.size();
  if (std::from_chars(text.data() + 1, end, name.producer).ptr != text.data() + dash) return std::nullopt;
  if (std::from_chars(text.data() + dash + 2, end, name.number).ec != std::errc()) return std::nullopt;
  if (text != record_value(name)) return std::nullopt;
  return name;
}

void Checker::promise(size_t topic, Offset offset, RecordName name, const char* how) {
  Topic& model = topics_[topic];
  const auto [there, is_new] = model.promised.try_emplace(offset, name);
  if (!is_new && there->second != name)
    return fail(at(topic, offset) + " held " + text_of(there->second) + " and now " + text_of(name) + " is " + how);
  const auto [place, first_time] = model.places.try_emplace(name, offset);
  if (!first_time && place->second != offset)
    fail(text_of(name) + " is " + how + " at " + at(topic, offset) + " and was at offset " +
         std::to_string(place->second) + " before: a duplicate");
}

void Checker::acknowledged(size_t topic, RecordName first, uint32_t count, Offset base_offset) {
  if (base_offset < 0) return fail("an acknowledgement names offset " + std::to_string(base_offset));
  for (uint32_t i = 0; i < count; ++i)
    promise(topic, base_offset + i, {first.producer, first.number + i}, "acknowledged");
  acknowledged_total_ += count;
}

void Checker::seen(size_t topic, Offset offset, Bytes value) {
  const std::optional<RecordName> name = parse_value(value);
  if (!name) return fail(at(topic, offset) + ": a consumer was given bytes that no producer sent");
  promise(topic, offset, *name, "seen");
  ++seen_total_;
}

void Checker::told_end(size_t topic, Offset end) { topics_[topic].told_end = std::max(topics_[topic].told_end, end); }

void Checker::begin_audit(size_t topic) {
  topics_[topic].next = 0;
  topics_[topic].next_number.clear();
}

void Checker::audit(size_t topic, Offset offset, Bytes value) {
  Topic& model = topics_[topic];
  if (offset != model.next)
    return fail("topic " + std::to_string(topic) + " goes on at offset " + std::to_string(offset) + " instead of " +
                std::to_string(model.next));
  ++model.next;
  const std::optional<RecordName> name = parse_value(value);
  if (!name) return fail(at(topic, offset) + ": the log holds bytes that no producer sent");
  uint32_t& expected = model.next_number[name->producer];
  if (name->number != expected)
    fail(at(topic, offset) + " holds " + text_of(*name) + " where number " + std::to_string(expected) + " must follow");
  expected = name->number + 1;
  // What a start found it keeps: its recovery has synced it.
  promise(topic, offset, *name, "in the log");
}

void Checker::end_audit(size_t topic, Offset durable_end) {
  Topic& model = topics_[topic];
  if (model.next != durable_end)
    fail("topic " + std::to_string(topic) + " ends at offset " + std::to_string(durable_end) + " and " +
         std::to_string(model.next) + " records could be read");
  if (lost_tail_allowed_) model.told_end = std::min(model.told_end, durable_end);
  if (durable_end < model.told_end)
    fail("topic " + std::to_string(topic) + " ends at offset " + std::to_string(durable_end) +
         " and a consumer had been told of offset " + std::to_string(model.told_end));
  const auto lost = model.promised.lower_bound(model.next);
  if (lost == model.promised.end()) return;
  if (!lost_tail_allowed_)
    return fail(at(topic, lost->first) + ": " + text_of(lost->second) + " was promised and is lost (with " +
                std::to_string(std::distance(lost, model.promised.end()) - 1) + " more)");
  for (auto gone = lost; gone != model.promised.end(); ++gone) model.places.erase(gone->second);
  model.promised.erase(lost, model.promised.end());
}

void Checker::audit_missing(size_t topic) {
  if (topics_[topic].created && !lost_tail_allowed_)
    fail("topic " + std::to_string(topic) + " was created and acknowledged and is gone");
  begin_audit(topic);
  end_audit(topic, 0);
}

Offset Checker::promised_end(size_t topic) const {
  const auto& promised = topics_[topic].promised;
  return promised.empty() ? 0 : promised.rbegin()->first + 1;
}

}  // namespace heptane::sim
