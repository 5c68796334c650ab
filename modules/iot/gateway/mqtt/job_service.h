// The way of job requests (thing_requests.h): what is published to `$aws/things/THING/jobs/…`; and of all that the stream `iot.jobs`
// gets, whoever caused it (a thing, an operator, a timer of the machine): its records go to subscribers in the order of the log. They
// are read out of it, so that a roll-out to many things waits in the log and not here.
//
// A request goes to the log when it is known from where on the stream is read: its answer is not missed. The I/O thread's.
#pragma once

#include "modules/iot/domain/devices/job_request.h"
#include "modules/iot/gateway/mqtt/thing_requests.h"

namespace heptane::iot::mqtt {

class JobService final : public ThingRequests {
 public:
  static constexpr RequestId kRequests = 1ULL << 47;
  static constexpr RequestId kReads = 1ULL << 48;  // its queries and reads are from here to twice of it

  explicit JobService(Broker& broker);

  void attach(net::SessionContext& context);
  void detach();

  // Subscriber::published follows when it is in the log, unless nobody waits (ticket 0). False: there is no room.
  bool request(const devices::JobTopic& topic, std::string_view payload, SessionId from, uint64_t ticket,
               const Principal& principal);
  // A command of the machine was answered, whoever sent it: it may be the first one of the stream.
  void heard(const Reply& reply);

  // False: it is not its own.
  bool on_reply(RequestId request, const Reply& reply);
  bool on_records(RequestId request, const net::RecordsRead& records);
  bool on_advanced(net::SubscriptionId subscription, Offset durable_end);
  bool on_timer(net::SessionTimerId timer);

 private:
  static bool is_read(RequestId request) { return request >= kReads && request < 2 * kReads; }
  bool may_send() const override { return placed_; }
  void ask();
  void begin_at(PartitionId partition, Offset next);
  void take(const net::RecordsRead& records);
  void read();
  void wait();
  void again_later();

  bool placed_ = false;  // it is known where the stream is read on, or that there is none
  PartitionId partition_ = kNoPartition;
  Offset next_ = -1;  // -1: its end is asked for
  RequestId last_request_ = kReads;
  bool under_way_ = false;
  net::SubscriptionId subscription_ = 0;  // 0: none
  net::SessionTimerId retry_ = 0;         // 0: not armed
};

}  // namespace heptane::iot::mqtt
