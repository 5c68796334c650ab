#include "modules/fintech/gateway/tigerbeetle/session.h"

#include <algorithm>

#include "kernel/base/crc32c.h"
#include "modules/fintech/machine/ledger/api.h"

namespace heptane::fintech::tigerbeetle {

namespace {

void count(std::atomic<uint64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

Buffer payload_of(const Request& request, Bytes body, uint8_t rights) {
  std::vector<std::byte> payload(Caller::kBytes + body.size());
  Caller{request.client, request.checksum, request.session, request.request, request.release, rights}.write(
      payload.data());
  if (!body.empty()) std::memcpy(payload.data() + Caller::kBytes, body.data(), body.size());
  return Buffer::take(std::move(payload));
}

struct Needed {
  std::string_view resource;
  auth::Verb verb;
};

// As the routes over HTTP. To register is to be somebody who may look.
Needed needed_of(uint8_t operation) {
  switch (static_cast<Operation>(operation)) {
    case Operation::create_accounts: return {"accounts", auth::Verb::create};
    case Operation::create_transfers: return {"transfers", auth::Verb::create};
    case Operation::lookup_transfers:
    case Operation::get_account_transfers:
    case Operation::query_transfers: return {"transfers", auth::Verb::read};
    default: return {"accounts", auth::Verb::read};
  }
}

}  // namespace

std::unique_ptr<net::Session> TigerbeetleProtocol::open(const net::Address&) {
  return std::make_unique<TigerbeetleSession>(*this);
}

void TigerbeetleSession::on_open(net::SessionContext& context) { context.need(kHeaderBytes); }

// One message a call.
size_t TigerbeetleSession::on_bytes(Bytes input, net::SessionContext& context) {
  if (closed_) return input.size();
  if (input.size() < kHeaderBytes) {
    context.need(kHeaderBytes);
    return 0;
  }
  const Bytes header = input.first(kHeaderBytes);
  Frame frame;
  if (const char* why = read_frame(header, frame)) return close(why, context, input.size());
  if (frame.cluster != cluster()) return close("another cluster", context, input.size());
  if (input.size() < frame.size) {
    context.need(frame.size);
    return 0;
  }
  const Bytes body = input.subspan(kHeaderBytes, frame.size - kHeaderBytes);
  if (!body_is_whole(frame, body)) return close("wrong body checksum", context, input.size());
  if (!enter(context)) return input.size();
  const int64_t requests = frame.command == WireCommand::request ? 1 : 0;
  payer_.use({.bytes_in = static_cast<int64_t>(frame.size), .bytes_out = 0, .requests = requests});
  on_message(header, frame, body, context);
  if (closed_) return input.size();
  context.need(kHeaderBytes);
  steer_input(context);
  return frame.size;
}

bool TigerbeetleSession::enter(net::SessionContext& context) {
  if (payer_.quotas == nullptr || slot_.enter(*payer_.quotas, payer_.principal)) return true;
  closed_ = true;
  context.close(net::CloseReason::limit, "more connections than quotas.connections allows");
  return false;
}

void TigerbeetleSession::send(Buffer message, net::SessionContext& context) {
  payer_.use({.bytes_in = 0, .bytes_out = static_cast<int64_t>(message.size()), .requests = 0});
  context.write(std::move(message));
}

// Nothing is read while as many requests wait as may, or the client owes.
void TigerbeetleSession::steer_input(net::SessionContext& context) {
  if (quota_timer_ == 0)
    if (const int64_t pause_ns = payer_.pause_ns(); pause_ns > 0) quota_timer_ = context.arm(pause_ns);
  const bool pause = quota_timer_ != 0 || in_flight_.size() >= kInFlightMax;
  if (pause != paused_) context.pause_input(paused_ = pause);
}

void TigerbeetleSession::on_message(Bytes header, const Frame& frame, Bytes body, net::SessionContext& context) {
  if (frame.command == WireCommand::ping_client) {
    Ping ping;
    if (const char* why = read_ping(header, frame, ping)) {
      close(why, context, 0);
      return;
    }
    return send(write_pong(cluster(), ping), context);
  }
  if (frame.command != WireCommand::request) {
    close("a message that clients do not send", context, 0);
    return;
  }
  Request request;
  if (const char* why = read_request(header, frame, request)) {
    close(why, context, 0);
    return;
  }
  count(protocol_.counters().requests);
  on_request(request, body, context);
}

// In the order in which the protocol's own server looks.
void TigerbeetleSession::on_request(const Request& request, Bytes body, net::SessionContext& context) {
  using enum EvictionReason;
  if (request.release < kReleaseMin) return evict(request.client, client_release_too_low, context);
  if (request.release > kReleaseMax) return evict(request.client, client_release_too_high, context);
  if (request.operation == kRegisterOperation) {
    if (body.size() != kRegisterRequestBytes) return evict(request.client, invalid_request_body_size, context);
  } else {
    const OperationRow* row = find_operation(request.operation);
    if (row == nullptr) return evict(request.client, invalid_request_operation, context);
    if (!parse_body(*row, body)) return evict(request.client, invalid_request_body, context);
  }
  const std::optional<Admitted> admitted = admit(request, context);
  if (!admitted) {
    close("the listener's user may not do this", context, 0);
    return;
  }
  const bool under_way = std::any_of(in_flight_.begin(), in_flight_.end(), [&](const InFlight& asked) {
    return asked.request.checksum == request.checksum && asked.request.client == request.client;
  });
  if (under_way || !ask(request, body, *admitted, context)) drop();
}

// Looked at for every request: what was allowed may be revoked.
std::optional<TigerbeetleSession::Admitted> TigerbeetleSession::admit(const Request& request,
                                                                      net::SessionContext& context) const {
  auth::Authenticator* authenticator = protocol_.options().authenticator;
  if (authenticator == nullptr) return Admitted{};
  const std::optional<auth::Identity> identity = authenticator->by_configuration(protocol_.options().user);
  if (!identity) return std::nullopt;
  const Needed needed = needed_of(request.operation);
  if (!authenticator->allows(*identity, context.remote().host, "ledger", needed.resource, needed.verb))
    return std::nullopt;
  return Admitted{identity->principal, authenticator->may(*identity, "ledger", kWithdrawResource, auth::Verb::create)};
}

Submission TigerbeetleSession::submission_of(CommandType type, const Request& request, Bytes body,
                                             const Admitted& admitted, const net::SessionContext& context) const {
  Submission submission;
  submission.machine = kLedgerMachineId;
  submission.type = type;
  submission.payload = payload_of(request, body, body.empty() ? uint8_t{0} : rights_of(admitted.may_withdraw));
  submission.payload_crc = crc32c(submission.payload.view());
  submission.principal = admitted.principal;
  submission.listener = protocol_.options().listener;
  submission.received_utc_ns = context.utc_ns();
  return submission;
}

bool TigerbeetleSession::ask(const Request& request, Bytes body, const Admitted& admitted,
                             net::SessionContext& context) {
  const OperationRow* row = find_operation(request.operation);
  const bool reads = row != nullptr && !row->creates;
  if (row == nullptr) touch_due_ns_ = 0;
  InFlight asked{++last_id_, context.monotonic_ns() + kRequestDeadlineNs, request, std::nullopt, std::nullopt};
  if (reads) {
    if (!context.query(asked.id, QueryRequest{kLedgerMachineId, request.operation, payload_of(request, body, 0),
                                              admitted.principal}))
      return false;
  } else {
    Submission submission = row == nullptr ? submission_of(kRegister, request, {}, admitted, context)
                                           : submission_of(request.operation, request, body, admitted, context);
    if (submission.type == kCreateTransfers && settles(submission.payload.view())) {
      asked.otherwise = submission;
      submission.type = kSettleTransfers;
    }
    if (row != nullptr)
      asked.standing = QueryRequest{kLedgerMachineId, kQueryStanding, payload_of(request, {}, 0), admitted.principal};
    if (!context.submit(asked.id, std::move(submission))) return false;
  }
  in_flight_.push_back(std::move(asked));
  if (timer_ == 0) timer_ = context.arm(kRequestDeadlineNs);
  if (reads) touch(request, admitted, context);
  return true;
}

// Reads are not logged. So that a session that does nothing else is not the one that makes room, the log is told now and
// then; its answer is nobody's.
void TigerbeetleSession::touch(const Request& request, const Admitted& admitted, net::SessionContext& context) {
  const int64_t now = context.monotonic_ns();
  if (touch_due_ns_ > now) return;
  if (context.submit(++last_id_, submission_of(kTouch, request, {}, admitted, context)))
    touch_due_ns_ = now + kTouchEveryNs;
}

void TigerbeetleSession::on_reply(RequestId id, const Reply& reply, net::SessionContext& context) {
  const auto asked = std::find_if(in_flight_.begin(), in_flight_.end(), [&](const InFlight& a) { return a.id == id; });
  if (asked == in_flight_.end() || closed_) return;
  if (ask_otherwise(*asked, reply, context)) return;
  const Request request = asked->request;
  in_flight_.erase(asked);
  if (in_flight_.empty() && timer_ != 0) {
    context.cancel(timer_);
    timer_ = 0;
  }
  answer(request, reply, context);
  steer_input(context);
}

// False: the reply is what there is to say. What is refused for want of room may have been done before, and its reply lost on
// the way: then the client gets that, and one whose session made room is told so, however long there is none.
bool TigerbeetleSession::ask_otherwise(InFlight& asked, const Reply& reply, net::SessionContext& context) {
  if (asked.otherwise && reply.error == Errc::unsupported) {
    Submission submission = std::move(*asked.otherwise);
    asked.otherwise.reset();
    return context.submit(asked.id, std::move(submission));
  }
  const bool no_room = reply.error == Errc::overloaded || reply.error == Errc::no_space;
  if (!no_room || !asked.standing) return false;
  QueryRequest standing = std::move(*asked.standing);
  asked.standing.reset();
  return context.query(asked.id, std::move(standing));
}

void TigerbeetleSession::answer(const Request& request, const Reply& reply, net::SessionContext& context) {
  if (!reply.ok()) {
    if (reply.detail == 0 || reply.detail > static_cast<uint32_t>(EvictionReason::session_release_mismatch))
      return drop();
    return evict(request.client, static_cast<EvictionReason>(reply.detail), context);
  }
  count(protocol_.counters().replies);
  const ReplyFields fields{static_cast<uint64_t>(reply.numbers[0]), static_cast<uint64_t>(reply.numbers[1])};
  if (request.operation != kRegisterOperation)
    return send(write_reply(cluster(), request, fields, reply.payload.view()), context);
  std::array<std::byte, kRegisterResultBytes> result{};
  store_le(result.data(), static_cast<uint32_t>(kBodyBytesMax));
  send(write_reply(cluster(), request, fields, result), context);
}

// Requests that the shard has not answered: forgotten, the client asks again.
void TigerbeetleSession::on_timer(net::SessionTimerId timer, net::SessionContext& context) {
  if (closed_) return;
  if (timer == quota_timer_) {
    quota_timer_ = 0;
    return steer_input(context);
  }
  if (timer != timer_) return;
  timer_ = 0;
  const int64_t now = context.monotonic_ns();
  const size_t late = std::erase_if(in_flight_, [&](const InFlight& asked) { return asked.deadline_ns <= now; });
  for (size_t i = 0; i < late; ++i) drop();
  if (!in_flight_.empty()) timer_ = context.arm(std::max<int64_t>(0, in_flight_.front().deadline_ns - now));
  steer_input(context);
}

void TigerbeetleSession::evict(Uint128 client, EvictionReason reason, net::SessionContext& context) {
  count(protocol_.counters().evictions);
  send(write_eviction(cluster(), client, reason), context);
}

void TigerbeetleSession::drop() { count(protocol_.counters().dropped); }

size_t TigerbeetleSession::close(const char* why, net::SessionContext& context, size_t consumed) {
  count(protocol_.counters().malformed);
  closed_ = true;
  context.close(net::CloseReason::protocol_error, why);
  return consumed;
}

}  // namespace heptane::fintech::tigerbeetle
