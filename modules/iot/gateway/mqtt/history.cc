#include "modules/iot/gateway/mqtt/history.h"

#include <algorithm>

#include "kernel/base/crc32c.h"
#include "modules/iot/gateway/mqtt/broker.h"
#include "modules/iot/machine/seen.h"

namespace heptane::iot::mqtt {

namespace {

constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kMsPerSecond = 1'000;
constexpr size_t kVisitsMax = 4'096;  // connected clients, for one command

bool has_room(uint16_t count, const ByteWriter& list) { return count < kSeenMax && list.size() < kPublishBytesTarget; }

}  // namespace

bool History::tells(const ClientFacts& facts) const {
  if (options_.presence == "off") return false;
  return options_.presence == "all" || facts.known_user;
}

// Nothing is made for a client that came for the first time: what it says of itself is enough while it is there.
void History::connected(const ClientFacts& facts) {
  if (context_ == nullptr) return;
  if (tells(facts) && timer_ == 0) timer_ = context_->arm(kEachNs);
  const auto at = clients_.find(facts.client);
  if (at != clients_.end()) add(at->second, coming(facts));
}

void History::disconnected(const ClientFacts& facts, const char* why) {
  if (context_ == nullptr) return;
  const std::string_view user = facts.user.substr(0, kSeenUserBytes);
  auto at = clients_.find(facts.client);
  if (at == clients_.end()) {
    at = clients_.emplace(facts.client, Client{}).first;
    add(at->second, coming(facts));
  }
  Client& client = at->second;
  client.user = user;
  client.seen_ms = facts.heard_ms;
  add(client, {context_->utc_ns() / kNsPerMs, false, net::to_text(*facts.remote), why});
  if (tells(facts)) tell_later(client.seen_ms, facts.client, user);
  order_.erase(client.place);
  client.place = ++last_place_;
  order_.emplace(client.place, at);
  if (clients_.size() <= kClientsMax) return;
  clients_.erase(order_.begin()->second);
  order_.erase(order_.begin());
}

History::Event History::coming(const ClientFacts& facts) {
  return {facts.connected_s * kMsPerSecond, true, net::to_text(*facts.remote), ""};
}

void History::add(Client& client, Event event) {
  if (client.events.size() == kEventsMax) client.events.erase(client.events.begin());
  client.events.push_back(std::move(event));
}

History::Client History::look(const ClientFacts& facts) const {
  Client client;
  if (const Client* known = find(facts.client)) client = *known;
  if (client.events.empty()) client.events.push_back(coming(facts));
  client.user = facts.user;
  client.seen_ms = facts.heard_ms;
  return client;
}

void History::tell_later(int64_t seen_ms, std::string_view client, std::string_view user) {
  if (untold_.size() < kUntoldMax) untold_.insert_or_assign(std::string(client), Untold{seen_ms, std::string(user)});
  if (timer_ == 0) timer_ = context_->arm(kEachNs);
}

const History::Client* History::find(std::string_view client) const {
  const auto found = clients_.find(client);
  return found == clients_.end() ? nullptr : &found->second;
}

void History::flush() {
  if (context_ != nullptr) send();
}

bool History::on_timer(net::SessionTimerId timer) {
  if (timer_ == 0 || timer != timer_) return false;
  timer_ = 0;
  const bool more = send() && ++commands_ < kCommandsEach;
  if (!more) commands_ = 0;
  if (more || !untold_.empty() || !broker_.clients().empty()) timer_ = context_->arm(more ? kNextNs : kEachNs);
  return true;
}

// Those that were heard since they were looked at last, as far as the round goes; returns how many there are with `count`.
uint16_t History::add_connected(ByteWriter& list, uint16_t count, std::string& last) {
  if (last.empty()) {
    before_ms_ = round_ms_;
    round_ms_ = context_->utc_ns() / kNsPerMs;
  }
  const auto& clients = broker_.clients();
  auto at = clients.upper_bound(std::string_view(last));
  for (size_t visits = 0; at != clients.end() && visits < kVisitsMax && has_room(count, list); ++at, ++visits) {
    const ClientFacts facts = (*at)->facts();
    last = facts.client;
    if (!tells(facts) || facts.connected_s == 0 || facts.heard_ms < before_ms_) continue;
    append_seen(list, {facts.heard_ms, facts.client, facts.user.substr(0, kSeenUserBytes)});
    ++count;
  }
  if (at == clients.end()) last.clear();
  return count;
}

// In nobody's name. False: that was all, or the shard has no room: more a minute later.
bool History::send() {
  ByteWriter list;
  uint16_t count = 0;
  auto untold = untold_.begin();
  for (; untold != untold_.end() && has_room(count, list); ++untold, ++count)
    append_seen(list, {untold->second.utc_ms, untold->first, untold->second.user});
  std::string last = after_;
  count = add_connected(list, count, last);
  if (count == 0) {
    after_ = std::move(last);
    return false;
  }
  ByteWriter whole;
  whole.le<uint16_t>(count);
  whole.append(list.view());
  Submission submission;
  submission.machine = kBrokerMachineId;
  submission.type = kSeen;
  submission.payload = Buffer::take(whole.release());
  submission.payload_crc = crc32c(submission.payload.view());
  if (!context_->submit(last_request_ + 1, std::move(submission))) return false;
  ++last_request_;
  untold_.erase(untold_.begin(), untold);
  after_ = std::move(last);
  return !has_room(count, list);
}

}  // namespace heptane::iot::mqtt
