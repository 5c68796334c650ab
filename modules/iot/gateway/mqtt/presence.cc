#include "modules/iot/gateway/mqtt/presence.h"

#include <utility>

#include "kernel/base/crc32c.h"
#include "modules/iot/machine/devices/device_api.h"
#include "modules/iot/machine/presence.h"

namespace heptane::iot::mqtt {

namespace {

constexpr int64_t kNsPerMs = 1'000'000;

std::string_view cut(std::string_view text) {
  if (text.size() <= kPresenceTextBytes) return text;
  size_t end = kPresenceTextBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

}  // namespace

void Presence::attach(net::SessionContext& context) { context_ = &context; }

void Presence::connected(const ClientFacts& facts) { tell(facts, {}, true); }

void Presence::disconnected(const ClientFacts& facts, std::string_view why) { tell(facts, why, false); }

// Of `users` those who proved who they are, and things that are registered.
void Presence::tell(const ClientFacts& facts, std::string_view why, bool connected) {
  if (context_ == nullptr || options_.presence == "off") return;
  const bool asks = options_.presence != "all" && !facts.known_user;
  if (asks && (!things_ || things_() == 0 || !devices::valid_name(facts.client))) return;
  if (bytes_ >= kBytesMax) return counters_.presence_dropped.add();
  Buffer entry = entry_of(facts, why, connected);
  if (asks)
    ask(facts.client, std::move(entry));
  else
    add(entry.view());
}

Buffer Presence::entry_of(const ClientFacts& facts, std::string_view why, bool connected) const {
  const std::string address = net::to_text(*facts.remote);
  PresenceEntry entry;
  entry.kind = connected ? PresenceKind::connected : PresenceKind::disconnected;
  entry.utc_ms = context_->utc_ns() / kNsPerMs;
  entry.client = facts.client;
  entry.user = cut(facts.user);
  entry.address = cut(address);
  entry.why = cut(why);
  entry.version = static_cast<uint8_t>(facts.version);
  entry.keep_alive_s = static_cast<uint16_t>(facts.keep_alive_s);
  entry.durable = facts.session != 0;
  ByteWriter out;
  append_entry(out, entry);
  return Buffer::take(out.release());
}

void Presence::ask(std::string_view thing, Buffer entry) {
  QueryRequest query;
  query.machine = devices::kDevicesMachineId;
  query.type = devices::kQueryThing;
  query.payload = Buffer::copy_of(as_bytes(thing));
  if (!context_->query(last_request_ + 1, std::move(query))) return counters_.presence_dropped.add();
  bytes_ += entry.size();
  asked_.emplace(++last_request_, std::move(entry));
}

Presence::Batch& Presence::room() {
  if (batches_.empty() || batches_.back().count == kPresenceMax || batches_.back().bytes.size() >= kPublishBytesTarget)
    batches_.emplace_back();
  return batches_.back();
}

void Presence::add(Bytes entry) {
  if (!std::exchange(told_start_, true)) {
    ByteWriter out;
    PresenceEntry start;
    start.kind = PresenceKind::started;
    start.utc_ms = context_->utc_ns() / kNsPerMs;
    append_entry(out, start);
    put(room(), out.view());
  }
  put(room(), entry);
  if (timer_ == 0) timer_ = context_->arm(kEachNs);
}

void Presence::put(Batch& batch, Bytes entry) {
  batch.bytes.append(entry);
  ++batch.count;
  bytes_ += entry.size();
}

void Presence::flush() {
  if (context_ != nullptr) send();
}

// In nobody's name: who is revoked still leaves.
void Presence::send() {
  while (!batches_.empty()) {
    const Batch& batch = batches_.front();
    ByteWriter whole;
    whole.reserve(sizeof(uint16_t) + batch.bytes.size());
    whole.le<uint16_t>(batch.count);
    whole.append(batch.bytes.view());
    Submission submission;
    submission.machine = kBrokerMachineId;
    submission.type = kPresence;
    submission.payload = Buffer::take(whole.release());
    submission.payload_crc = crc32c(submission.payload.view());
    if (!context_->submit(last_request_ + 1, std::move(submission))) {
      if (timer_ == 0) timer_ = context_->arm(kEachNs);
      return;
    }
    ++last_request_;
    bytes_ -= batch.bytes.size();
    batches_.pop_front();
  }
}

bool Presence::on_timer(net::SessionTimerId timer) {
  if (timer_ == 0 || timer != timer_) return false;
  timer_ = 0;
  send();
  return true;
}

bool Presence::on_reply(RequestId request, const Reply& reply) {
  if (request < kRequests) return false;
  if (!reply.ok()) counters_.presence_dropped.add();
  const auto asked = asked_.find(request);
  if (asked == asked_.end()) return true;
  const Buffer entry = std::move(asked->second);
  asked_.erase(asked);
  bytes_ -= entry.size();
  if (reply.ok() && reply.numbers[0] != 0 && context_ != nullptr) add(entry.view());
  return true;
}

}  // namespace heptane::iot::mqtt
