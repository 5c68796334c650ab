#include "kernel/net/datagram_endpoint.h"

#include <algorithm>
#include <utility>

namespace heptane::net {

namespace {
constexpr size_t kDatagramsPerTurn = 64;
}  // namespace

DatagramEndpoint::DatagramEndpoint(LoopCore& core, DatagramProtocol& protocol, std::unique_ptr<DatagramSocket> socket,
                                   SessionId id, uint16_t index)
    : core_(core), protocol_(protocol), socket_(std::move(socket)), session_(protocol.open()), id_(id), index_(index) {
  socket_->set_events(this);
}

DatagramEndpoint::~DatagramEndpoint() { core_.timers.cancel_all(id_); }

void DatagramEndpoint::open() {
  session_->on_open(*this);
  socket_->want_read();
}

void DatagramEndpoint::process() {
  const size_t limit = protocol_.datagram_limit_bytes();
  const size_t got = socket_->receive(kDatagramsPerTurn, [&](const Address& from, Bytes payload) {
    core_.counters.datagrams_in.add();
    if (payload.size() > limit) return core_.counters.datagrams_dropped.add();
    session_->on_datagram(from, payload, *this);
  });
  readable_ = got == kDatagramsPerTurn;
  if (!readable_) socket_->want_read();
}

bool DatagramEndpoint::send(const Address& to, Bytes payload) {
  const bool sent = socket_->send(to, payload);
  (sent ? core_.counters.datagrams_out : core_.counters.datagrams_dropped).add();
  return sent;
}

bool DatagramEndpoint::send_request(ShardRequest&& request) {
  const bool sent =
      outstanding_ < core_.config.max_outstanding && !core_.draining && core_.send_gated(std::move(request));
  if (sent)
    ++outstanding_;
  else
    core_.counters.overloaded.add();
  return sent;
}

bool DatagramEndpoint::submit(RequestId request, Submission submission) {
  submission.listener = index_;
  if (submission.received_utc_ns == 0) submission.received_utc_ns = utc_ns();
  return send_request({id_, request, std::move(submission)});
}

bool DatagramEndpoint::query(RequestId request, QueryRequest query) {
  return send_request({id_, request, std::move(query)});
}

void DatagramEndpoint::deliver(RequestId request, const Reply& reply) {
  --outstanding_;
  session_->on_reply(request, reply, *this);
}

SessionTimerId DatagramEndpoint::arm(int64_t delay_ns) {
  const SessionTimerId timer = core_.next_timer++;
  core_.timers.arm(id_, timer, monotonic_ns() + std::max<int64_t>(0, delay_ns));
  return timer;
}

void DatagramEndpoint::cancel(SessionTimerId timer) {
  if (timer >= kFirstSessionTimer) core_.timers.cancel(id_, timer);
}

}  // namespace heptane::net
