#include "sim/mqtt_losses.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <utility>

#include "kernel/server/records_reader.h"
#include "kernel/streams/record_batch.h"
#include "modules/iot/machine/events.h"

namespace heptane::sim {

namespace {

struct Gap {
  std::string reason;
  bool queued = false;  // its messages had numbers
  uint64_t first = 0;   // or the number that the next message had
  uint64_t last = 0;
  uint64_t count = 0;
};

// What stands behind `name` in the object; empty: nothing does.
std::string_view text_behind(std::string_view object, std::string_view name) {
  const std::string key = "\"" + std::string(name) + "\":";
  const size_t at = object.find(key);
  if (at == std::string_view::npos) return {};
  std::string_view rest = object.substr(at + key.size());
  if (rest.starts_with('"')) rest.remove_prefix(1);
  return rest.substr(0, rest.find_first_of("\",}"));
}

uint64_t number_behind(std::string_view object, std::string_view name) {
  const std::string_view text = text_behind(object, name);
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::vector<Gap> gaps_of(const std::string& client, const std::vector<std::string>& events) {
  std::vector<Gap> gaps;
  for (const std::string& event : events) {
    if (text_behind(event, "event") != "gap" || text_behind(event, "client") != client) continue;
    Gap gap;
    gap.reason = text_behind(event, "reason");
    gap.queued = text_behind(event, "before").empty();
    gap.first = number_behind(event, gap.queued ? "first" : "before");
    gap.last = gap.queued ? number_behind(event, "last") : gap.first;
    gap.count = number_behind(event, "count");
    gaps.push_back(std::move(gap));
  }
  return gaps;
}

// The payloads by their numbers; nullopt: more were never queued than there are.
std::optional<std::vector<std::string>> numbered(const std::vector<std::string>& matched,
                                                 const std::vector<Gap>& gaps) {
  std::map<uint64_t, uint64_t> passed;  // before each number
  for (const Gap& gap : gaps)
    if (!gap.queued) passed[gap.first] += gap.count;
  std::vector<std::string> all;
  for (size_t at = 0;; ++at) {
    const auto before = passed.find(all.size());
    if (before != passed.end()) at += before->second;
    if (at > matched.size()) return std::nullopt;
    if (at == matched.size()) return all;
    all.push_back(matched[at]);
  }
}

// Where all that is in a full queue may have been sent the newest one is dropped.
bool may_lose(const std::string& policy, const std::string& reason) {
  return policy != "refuse" && (reason == policy || reason == "drop_newest");
}

bool is_named(uint64_t number, const std::vector<Gap>& gaps) {
  return std::any_of(gaps.begin(), gaps.end(),
                     [&](const Gap& gap) { return gap.queued && gap.first <= number && number <= gap.last; });
}

}  // namespace

SimMqttCrammed::SimMqttCrammed(ClientWorld& world, MqttWatch& watch, uint32_t number, uint16_t port, Wish wish)
    : SimMqttReceiver(world, watch, "mqtt-crammed-" + std::to_string(number), port, std::move(wish)),
      number_(watch_.crammed.size()) {
  watch_.crammed.push_back({name_, wish_.filter, {}, true, watch_.queue_full});
}

bool SimMqttCrammed::finished() const { return !promised() || (subscribed() && !its().waits); }

void SimMqttCrammed::go_on() {
  if (finishing_ || world_.random.one_in(8)) SimMqttReceiver::go_on();
}

bool SimMqttCrammed::on_message(const Arrived& message) {
  if (message.id == 0 || message.retain || !name_of(message.payload)) return false;
  const uint64_t number = message.id - 1U;
  std::map<uint64_t, std::string>& got = its().got;
  const auto known = got.find(number);
  if (known == got.end() && !got.empty() && number < got.rbegin()->first)
    return wrong("number " + std::to_string(number) + " behind " + std::to_string(got.rbegin()->first));
  if (known != got.end() && known->second != message.payload)
    return wrong("two messages under number " + std::to_string(number));
  ++(known == got.end() ? watch_.delivered : watch_.again);
  got.emplace(number, message.payload);
  return true;
}

void compare_losses(const MqttWatch::Crammed& client, const std::vector<std::string>& matched,
                    const std::vector<std::string>& events, Checker& checker) {
  const std::vector<Gap> gaps = gaps_of(client.name, events);
  uint64_t lost = 0;
  for (const Gap& gap : gaps) {
    if (!may_lose(client.policy, gap.reason)) return checker.fail(client.name + " lost messages by " + gap.reason);
    if (gap.queued) lost += gap.count;
  }
  const auto all = numbered(matched, gaps);
  if (!all) return checker.fail(client.name + " is said to have lost more messages than there were");
  for (const auto& [number, payload] : client.got)
    if (number >= all->size() || (*all)[number] != payload)
      return checker.fail(client.name + " got another message as number " + std::to_string(number) +
                          " than the log and iot.events say");
  for (uint64_t number = 0; number < all->size(); ++number)
    if (!client.got.contains(number) && !is_named(number, gaps))
      return checker.fail(client.name + " did not get number " + std::to_string(number) + ", and no gap names it");
  if (client.got.size() + lost != all->size())
    checker.fail(client.name + " got " + std::to_string(client.got.size()) + " of " + std::to_string(all->size()) +
                 " numbers, and " + std::to_string(lost) + " are said to be lost");
}

std::vector<std::string> read_events(server::Server& server, Disk& disk, Checker& checker) {
  constexpr uint32_t kReadBytes = 64 << 10;
  std::vector<std::string> values;
  const std::optional<PartitionId> found = server.streams().find_partition(std::string(iot::kEventsStream), 0);
  const Offset end = found ? server.streams().durable_end(*found) : 0;
  server::LogRecordsReader reader(server.log(), disk, server.archive(), server.renderers());
  for (Offset next = 0; next < end;) {
    const net::RecordsRead read = reader.read(server.streams().locate({*found, next, kReadBytes, {}}));
    if (read.error || read.batches.empty()) {
      checker.fail("iot.events cannot be read at offset " + std::to_string(next));
      return values;
    }
    for (const Buffer& batch : read.batches)
      (void)streams::for_each_record(batch.view(), [&](const streams::RecordView& record) {
        if (record.offset < next) return;
        values.emplace_back(as_text(record.value));
        next = record.offset + 1;
      });
  }
  return values;
}

uint64_t lost_of(const std::string& client, const std::vector<std::string>& events) {
  uint64_t lost = 0;
  for (const Gap& gap : gaps_of(client, events)) lost += gap.count;
  return lost;
}

}  // namespace heptane::sim
