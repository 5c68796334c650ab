#include "modules/iot/gateway/mqtt/telling.h"

#include <utility>

#include "kernel/base/crc32c.h"

namespace heptane::iot::mqtt {

namespace {

constexpr int64_t kNsPerMs = 1'000'000;

std::string_view cut(std::string_view text, size_t most) {
  if (text.size() <= most) return text;
  size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

}  // namespace

void Telling::tell(const ToldEvent& event, uint32_t each) {
  if (context_ == nullptr) return;
  const int64_t now_ns = context_->monotonic_ns();
  end_windows();
  ToldEvent now = event;
  now.utc_ms = context_->utc_ns() / kNsPerMs;
  now.user = cut(event.user, kToldTextBytes);
  now.address = cut(event.address, kToldTextBytes);
  now.subject = cut(event.subject, kToldSubjectBytes);
  Key key{event.kind, std::string(now.user), std::string(event.client)};
  const auto found = rows_.find(key);
  if (found == rows_.end()) {
    if (rows_.size() >= kRowsMax) return counters_.events_dropped.add();
    windows_.emplace_back(now_ns + kWindowNs, key);
    rows_[std::move(key)].told = 1;
    return put(now);
  }
  Row& row = found->second;
  if (row.told < each) {
    ++row.told;
    return put(now);
  }
  ++row.others;
  row.reason = now.reason;
  row.qos = now.qos;
  row.utc_ms = now.utc_ms;
  row.address = now.address;
  row.subject = now.subject;
}

// A second that is over, and what was not told in it: the last of that speaks for it, and begins another second.
void Telling::end_windows() {
  const int64_t now_ns = context_->monotonic_ns();
  while (!windows_.empty() && windows_.front().first <= now_ns) {
    const auto found = rows_.find(windows_.front().second);
    windows_.pop_front();
    Row& row = found->second;
    if (row.others == 0) {
      rows_.erase(found);
      continue;
    }
    ToldEvent event;
    event.kind = std::get<0>(found->first);
    event.user = std::get<1>(found->first);
    event.client = std::get<2>(found->first);
    event.reason = row.reason;
    event.qos = row.qos;
    event.others = row.others - 1;
    event.utc_ms = row.utc_ms;
    event.address = row.address;
    event.subject = row.subject;
    put(event);
    row.others = 0;
    row.told = 1;
    windows_.emplace_back(now_ns + kWindowNs, found->first);
  }
}

void Telling::put(const ToldEvent& event) {
  ByteWriter out;
  append_told(out, event);
  arm();
  if (bytes_ + out.size() > kBytesMax) return counters_.events_dropped.add();
  bytes_ += out.size();
  waiting_.emplace_back(as_text(out.view()));
}

void Telling::arm() {
  if (timer_ == 0 && context_ != nullptr) timer_ = context_->arm(kEachNs);
}

void Telling::flush() {
  if (context_ != nullptr) send();
}

// One command, in nobody's name. False: the shard has no room.
bool Telling::send() {
  ByteWriter events;
  uint16_t count = 0;
  auto at = waiting_.begin();
  for (; at != waiting_.end() && count < kToldMax && events.size() < kPublishBytesTarget; ++at, ++count)
    events.append(*at);
  if (count == 0) return true;
  ByteWriter whole;
  whole.le<uint16_t>(count);
  whole.append(events.view());
  Submission submission;
  submission.machine = kBrokerMachineId;
  submission.type = kTell;
  submission.payload = Buffer::take(whole.release());
  submission.payload_crc = crc32c(submission.payload.view());
  if (!context_->submit(last_request_ + 1, std::move(submission))) return false;
  ++last_request_;
  bytes_ -= events.size();
  waiting_.erase(waiting_.begin(), at);
  return true;
}

bool Telling::on_timer(net::SessionTimerId timer) {
  if (timer_ == 0 || timer != timer_) return false;
  timer_ = 0;
  end_windows();
  send();
  if (!waiting_.empty() || !rows_.empty()) arm();
  return true;
}

bool Telling::on_reply(RequestId request, const Reply& reply) {
  if (request < kRequests || request >= 2 * kRequests) return false;
  if (!reply.ok()) counters_.events_dropped.add();
  return true;
}

}  // namespace heptane::iot::mqtt
