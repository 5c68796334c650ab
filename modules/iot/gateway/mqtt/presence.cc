#include "modules/iot/gateway/mqtt/presence.h"

#include <utility>

#include "kernel/base/crc32c.h"
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

// Of `users` those who proved who they are.
bool Presence::wants(const ClientFacts& facts) const {
  if (context_ == nullptr || options_.presence == "off") return false;
  return options_.presence == "all" || facts.known_user;
}

void Presence::connected(const ClientFacts& facts) {
  if (wants(facts)) add(facts, {}, true);
}

void Presence::disconnected(const ClientFacts& facts, std::string_view why) {
  if (wants(facts)) add(facts, why, false);
}

void Presence::add(const ClientFacts& facts, std::string_view why, bool connected) {
  if (bytes_ >= kBytesMax) return counters_.presence_dropped.add();
  const int64_t now_ms = context_->utc_ns() / kNsPerMs;
  const auto room = [&]() -> Batch& {
    if (batches_.empty() || batches_.back().count == kPresenceMax ||
        batches_.back().bytes.size() >= kPublishBytesTarget)
      batches_.emplace_back();
    return batches_.back();
  };
  if (!std::exchange(told_start_, true)) {
    ByteWriter start;
    PresenceEntry entry;
    entry.kind = PresenceKind::started;
    entry.utc_ms = now_ms;
    append_entry(start, entry);
    put(room(), start.view());
  }
  const std::string address = net::to_text(*facts.remote);
  PresenceEntry entry;
  entry.kind = connected ? PresenceKind::connected : PresenceKind::disconnected;
  entry.utc_ms = now_ms;
  entry.client = facts.client;
  entry.user = cut(facts.user);
  entry.address = cut(address);
  entry.why = cut(why);
  entry.version = static_cast<uint8_t>(facts.version);
  entry.keep_alive_s = static_cast<uint16_t>(facts.keep_alive_s);
  entry.durable = facts.session != 0;
  ByteWriter out;
  append_entry(out, entry);
  put(room(), out.view());
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
  return true;
}

}  // namespace heptane::iot::mqtt
