#include "modules/iot/gateway/mqtt/job_service.h"

#include <algorithm>
#include <utility>

#include "modules/iot/gateway/devices/job_json.h"
#include "modules/iot/gateway/mqtt/broker.h"
#include "modules/iot/gateway/mqtt/stored_message.h"
#include "modules/iot/machine/jobs/job_api.h"

namespace heptane::iot::mqtt {

namespace {

constexpr uint32_t kReadBytes = 256 << 10;
constexpr int64_t kAgainNs = 10'000'000;

}  // namespace

JobService::JobService(Broker& broker)
    : ThingRequests(broker, {kRequests, devices::kJobsMachineId, devices::kJobRequest, devices::kJobsInFlight}) {}

void JobService::attach(net::SessionContext& context) {
  ThingRequests::attach(context);
  ask();
}

void JobService::detach() {
  ThingRequests::detach();
  under_way_ = false;
  subscription_ = 0;
  retry_ = 0;
}

bool JobService::request(const devices::JobTopic& topic, std::string_view payload, SessionId from, uint64_t ticket,
                         const Principal& principal) {
  const auto make = [&](bool too_many) {
    return devices::encode(too_many ? devices::refused_job_request(topic, payload, devices::JobFault::throttled)
                                    : devices::read_job_request(topic, payload));
  };
  return ThingRequests::request(topic.thing, make, from, ticket, principal);
}

// Which partition the stream has.
void JobService::ask() {
  if (context_->query(++last_request_, {devices::kJobsMachineId, devices::kQueryJobsPlace, {}, {}}))
    under_way_ = true;
  else
    again_later();
}

void JobService::heard(const Reply& reply) {
  const auto place = reply.ok() ? devices::decode_job_place(reply.payload.view()) : std::nullopt;
  if (place && place->partition != partition_ && context_ != nullptr) begin_at(place->partition, place->next);
}

void JobService::begin_at(PartitionId partition, Offset next) {
  partition_ = partition;
  next_ = next;
  const bool waited = !std::exchange(placed_, true);
  if (!under_way_) wait();
  if (waited) send();
}

bool JobService::on_reply(RequestId request, const Reply& reply) {
  if (!is_read(request)) return ThingRequests::on_reply(request, reply);
  if (request != last_request_) return true;
  under_way_ = false;
  if (partition_ != kNoPartition) return wait(), true;  // heard meanwhile
  if (!reply.ok()) return again_later(), true;
  if (reply.numbers[0] != 0) {
    const auto place = devices::decode_job_place(reply.payload.view());
    partition_ = place ? place->partition : kNoPartition;
    wait();
    return true;
  }
  placed_ = true;
  send();
  return true;
}

void JobService::read() {
  ReadRequest read;
  read.partition = partition_;
  read.max_bytes = kReadBytes;
  read.offset = next_;
  under_way_ = context_->read(++last_request_, read);
  if (!under_way_) again_later();
}

bool JobService::on_records(RequestId request, const net::RecordsRead& records) {
  if (!is_read(request)) return false;
  if (request != last_request_) return true;
  under_way_ = false;
  if (records.partition != partition_) return read(), true;
  const Offset before = next_;
  take(records);
  if (next_ >= records.durable_end)
    wait();
  else if (next_ > before)
    read();
  else
    again_later();
  return true;
}

void JobService::take(const net::RecordsRead& records) {
  // What is not there any more is passed over.
  const bool gone = records.error == Errc::not_found || records.error == Errc::invalid_argument;
  next_ = std::max(next_, gone ? records.durable_end : records.log_start);
  const auto wanted = [&](Offset offset) {
    if (offset < next_) return false;
    next_ = offset + 1;
    return true;
  };
  const auto each = [&](Offset offset, const MessagePtr& message) {
    broker_.deliver_stored(message, {partition_, offset});
  };
  for (const Buffer& batch : records.batches)
    for_each_stored(batch, context_->monotonic_ns(), context_->utc_ns(), wanted, each);
  const bool unreadable = records.error == Errc::corrupt || records.error == Errc::io;
  if (!unreadable || next_ >= records.durable_end) return;
  ++next_;  // that one alone: what is behind it may be read
  broker_.counters().jobs_dropped.add();
}

void JobService::wait() {
  if (subscription_ != 0) context_->unsubscribe(subscription_);
  subscription_ = context_->subscribe(partition_, next_);
  if (subscription_ == 0) again_later();
}

// The stream's end, where it is not known yet from where on it is read.
bool JobService::on_advanced(net::SubscriptionId subscription, Offset durable_end) {
  if (subscription == 0 || subscription != subscription_) return false;
  subscription_ = 0;
  if (next_ >= 0) {
    if (!under_way_) read();
    return true;
  }
  next_ = durable_end;
  placed_ = true;
  wait();
  send();
  return true;
}

void JobService::again_later() {
  if (retry_ == 0) retry_ = context_->arm(kAgainNs);
}

bool JobService::on_timer(net::SessionTimerId timer) {
  if (ThingRequests::on_timer(timer)) return true;
  if (retry_ == 0 || timer != retry_) return false;
  retry_ = 0;
  if (under_way_) return true;
  if (partition_ != kNoPartition && next_ < 0)
    wait();
  else if (partition_ != kNoPartition)
    read();
  else if (!placed_)
    ask();
  return true;
}

}  // namespace heptane::iot::mqtt
