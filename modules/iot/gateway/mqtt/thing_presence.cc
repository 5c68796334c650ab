#include "modules/iot/gateway/mqtt/thing_presence.h"

#include <algorithm>
#include <utility>

#include "kernel/base/crc32c.h"
#include "modules/iot/gateway/mqtt/broker.h"
#include "modules/iot/machine/devices/device_api.h"

namespace heptane::iot::mqtt {

// Whoever was connected before the start is not: told first, without waiting for anybody to connect.
void ThingPresence::attach(net::SessionContext& context) {
  context_ = &context;
  if (any()) timer_ = context_->arm(0);
}

void ThingPresence::detach() {
  context_ = nullptr;
  if (start_ == Start::asked) start_ = Start::untold;
  start_request_ = 0;
  batches_.clear();
  under_way_.clear();
  by_user_.clear();
  bytes_ = 0;
  timer_ = 0;
}

void ThingPresence::wake_after(int64_t delay_ns) {
  if (timer_ == 0) timer_ = context_->arm(delay_ns);
}

void ThingPresence::tell(std::string_view thing, uint64_t connection, bool connected) {
  if (context_ == nullptr || !devices::valid_name(thing) || !any()) return;
  if (bytes_ >= kBytesMax) return broker_.counters().things_dropped.add();
  if (batches_.empty() || batches_.back().count == devices::kConnectionsMax) batches_.emplace_back();
  Batch& batch = batches_.back();
  const size_t before = batch.bytes.size();
  devices::append_connection(batch.bytes, {thing, connection, connected});
  ++batch.count;
  bytes_ += batch.bytes.size() - before;
  wake_after(kEachNs);
}

void ThingPresence::note_user(std::string_view thing, uint64_t connection, bool connected) {
  if (connected) {
    by_user_.insert_or_assign(std::string(thing), connection);
    return;
  }
  const auto found = by_user_.find(thing);
  if (found != by_user_.end() && found->second == connection) by_user_.erase(found);
}

// 0: it has none.
uint64_t ThingPresence::connection_of(std::string_view thing) const {
  const Subscriber* client = broker_.find(thing);
  const auto user = by_user_.find(thing);
  return std::max(client == nullptr ? 0 : client->thing_connection(), user == by_user_.end() ? 0 : user->second);
}

void ThingPresence::created(const Buffer& payload, const Reply& reply) {
  const auto things = reply.ok() ? devices::decode_things(payload.view()) : std::nullopt;
  if (!things || reply.payload.size() != things->size()) return;
  const Bytes statuses = reply.payload.view();
  for (size_t i = 0; i < things->size(); ++i) {
    if (static_cast<devices::CreateStatus>(statuses[i]) != devices::CreateStatus::created) continue;
    const std::string& name = (*things)[i].name;
    if (const uint64_t connection = connection_of(name); connection != 0) tell(name, connection, true);
  }
}

void ThingPresence::flush() {
  if (context_ != nullptr) send();
}

// In nobody's name: who is revoked still leaves.
bool ThingPresence::submit(uint16_t type, Buffer payload) {
  Submission submission;
  submission.machine = devices::kDevicesMachineId;
  submission.type = type;
  submission.payload = std::move(payload);
  submission.payload_crc = crc32c(submission.payload.view());
  if (context_->submit(last_request_ + 1, std::move(submission))) return ++last_request_, true;
  wake_after(kEachNs);
  return false;
}

// True: the log has it.
bool ThingPresence::send_start() {
  if (start_ != Start::untold || !any()) return start_ == Start::told;
  if (!submit(devices::kStarted, {})) return false;
  start_ = Start::asked;
  start_request_ = last_request_;
  return false;
}

void ThingPresence::send() {
  if (!send_start()) return;
  while (!batches_.empty()) {
    Batch& batch = batches_.front();
    ByteWriter whole;
    whole.le<uint16_t>(batch.count);
    whole.append(batch.bytes.view());
    if (!submit(devices::kConnections, Buffer::take(whole.release()))) return;
    under_way_.emplace(last_request_, std::move(batch));
    batches_.pop_front();
  }
}

bool ThingPresence::on_reply(RequestId request, const Reply& reply) {
  if (request < kRequests || request >= 2 * kRequests) return false;
  if (request == start_request_) {
    start_request_ = 0;
    start_ = reply.ok() ? Start::told : Start::untold;
    if (reply.ok())
      send();
    else
      wake_after(kAgainNs);
    return true;
  }
  const auto found = under_way_.find(request);
  if (found == under_way_.end()) return true;
  Batch batch = std::move(found->second);
  under_way_.erase(found);
  take_reply(std::move(batch), reply);
  return true;
}

// Told again it may come behind what is newer: the registry goes by the numbers.
void ThingPresence::take_reply(Batch batch, const Reply& reply) {
  const bool for_now = !reply.ok() && (*reply.error == Errc::overloaded || *reply.error == Errc::no_space);
  if (for_now) {
    batches_.push_front(std::move(batch));
    return wake_after(kAgainNs);
  }
  if (!reply.ok()) broker_.counters().things_dropped.add(batch.count);
  bytes_ -= batch.bytes.size();
}

bool ThingPresence::on_timer(net::SessionTimerId timer) {
  if (timer_ == 0 || timer != timer_) return false;
  timer_ = 0;
  send();
  return true;
}

}  // namespace heptane::iot::mqtt
