#include "modules/data/gateway/postgres/session.h"

#include <algorithm>
#include <array>

#include "kernel/base/utf8.h"
#include "kernel/net/peer.h"

namespace heptane::data::postgres {

using sql::failure;
using sql::Failure;

namespace {

constexpr std::string_view kListener = "postgres";
constexpr std::string_view kMechanism = "SCRAM-SHA-256";
constexpr const char* kProtocolViolation = "08P01";
constexpr size_t kCancelBytes = 8;  // of CancelRequest behind its code
// What AuthenticationRequest asks for.
constexpr int32_t kAuthenticationOk = 0;
constexpr int32_t kAuthenticationSasl = 10;
constexpr int32_t kAuthenticationSaslContinue = 11;
constexpr int32_t kAuthenticationSaslFinal = 12;

void count(std::atomic<uint64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

bool is_text(std::string_view text) { return is_utf8(text) && text.find('\0') == std::string_view::npos; }

}  // namespace

void PostgresSession::on_open(net::SessionContext& context) {
  context_ = &context;
  context.need(kLengthBytes);
  context.watch_output(kStallNs);
  authenticate_timer_ = context.arm(kAuthenticateWithinNs);
}

// Input.

size_t PostgresSession::on_bytes(Bytes input, net::SessionContext& context) {
  context_ = &context;
  size_t consumed = 0;
  while (stage_ != Stage::closed && !busy() && out_.size() < kStepBytes) {
    const size_t taken = take(input.subspan(consumed));
    if (taken == 0) break;
    consumed += taken;
  }
  flush();
  if (stage_ == Stage::closed) return input.size();
  if (busy()) hold_input(input.size() - consumed);
  return consumed;
}

void PostgresSession::hold_input(size_t left) {
  held_ = true;
  if (left <= kAheadBytes) return context_->need(left + 1);
  paused_ = true;
  context_->pause_input(true);
}

// What was left is offered again when a pause ends.
void PostgresSession::resume_input() {
  if (stage_ == Stage::closed || busy() || !std::exchange(held_, false)) return;
  context_->need(kHeaderBytes);
  if (!std::exchange(paused_, false)) context_->pause_input(true);
  context_->pause_input(false);
}

void PostgresSession::flush() {
  if (out_.size() == 0) return;
  if (options().quotas != nullptr)
    options().quotas->use(kListener, payer(),
                          {.bytes_in = 0, .bytes_out = static_cast<int64_t>(out_.size()), .requests = 0});
  context_->write(Buffer::take(out_.release()));
}

size_t PostgresSession::take(Bytes input) {
  return stage_ == Stage::startup ? take_startup(input) : take_message(input);
}

// Length, code, then what belongs to it: there is no type before it.
size_t PostgresSession::take_startup(Bytes input) {
  if (input.size() < kLengthBytes) {
    context_->need(kLengthBytes);
    return 0;
  }
  const auto length = load_be<uint32_t>(input.data());
  if (length < 2 * kLengthBytes || length > kStartupBytesMax) {
    count(counters().oversized_messages);
    fatal(failure(kProtocolViolation, "invalid length of startup packet"), net::CloseReason::protocol_error);
    return input.size();
  }
  if (input.size() < length) {
    context_->need(length);
    return 0;
  }
  on_first(load_be<uint32_t>(input.data() + kLengthBytes), input.subspan(2 * kLengthBytes, length - 2 * kLengthBytes));
  if (stage_ == Stage::startup) context_->need(kLengthBytes);
  return length;
}

// Its type and length are looked at before anything is kept of it.
size_t PostgresSession::take_message(Bytes input) {
  if (input.size() < kHeaderBytes) {
    context_->need(kHeaderBytes);
    return 0;
  }
  const char type = static_cast<char>(input[0]);
  const auto length = load_be<uint32_t>(input.data() + 1);
  if (!acceptable(type, length)) return input.size();
  const size_t whole = 1 + size_t{length};
  if (input.size() < whole) {
    context_->need(whole);
    return 0;
  }
  if (options().quotas != nullptr)
    options().quotas->use(kListener, payer(), {.bytes_in = static_cast<int64_t>(whole), .bytes_out = 0, .requests = 1});
  on_message(type, input.subspan(kHeaderBytes, whole - kHeaderBytes));
  if (stage_ != Stage::closed) context_->need(kHeaderBytes);
  return whole;
}

bool PostgresSession::acceptable(char type, size_t length) {
  const bool known = stage_ == Stage::authentication
                         ? std::string_view("pX").find(type) != std::string_view::npos
                         : std::string_view("QPBDEHCSXFdcf").find(type) != std::string_view::npos;
  if (!known) {
    malformed("invalid frontend message type " + std::to_string(static_cast<unsigned char>(type)));
    return false;
  }
  if (length < kLengthBytes) {
    malformed("invalid message length");
    return false;
  }
  const size_t limit = stage_ == Stage::serving ? options().max_message_bytes : kStrangersBytesMax;
  if (length <= limit) return true;
  count(counters().oversized_messages);
  fatal(failure("54000", "a message of " + std::to_string(length) + " bytes is longer than " + std::to_string(limit),
                "postgres.max_message_bytes sets the limit."),
        net::CloseReason::limit);
  return false;
}

void PostgresSession::malformed(std::string_view why) {
  count(counters().malformed_messages);
  fatal(failure(kProtocolViolation, std::string(why)), net::CloseReason::protocol_error);
}

// Startup and authentication.

// TLS that the listener has begins below the session (tls_preamble.h): who asks for it here is told that there is none.
void PostgresSession::on_first(uint32_t code, Bytes body) {
  if (code == kCancelRequest) {
    if (body.size() == kCancelBytes)
      protocol_.cancel({load_be<uint32_t>(body.data()), load_be<uint32_t>(body.data() + kLengthBytes)});
    return end("a cancel request");
  }
  if (code == kSslRequest || code == kGssencRequest) {
    if (std::exchange(code == kSslRequest ? asked_for_tls_ : asked_for_gssenc_, true))
      return malformed("encryption was asked for twice");
    return out_.bytes().u8('N');
  }
  start(code, body);
}

void PostgresSession::start(uint32_t code, Bytes body) {
  const uint32_t major = code >> 16;
  const uint32_t minor = code & 0xffff;
  if (major != kProtocolMajor)
    return fatal(failure(kProtocolViolation, "unsupported frontend protocol " + std::to_string(major) + "." +
                                                 std::to_string(minor) + ": server supports 3.0"),
                 net::CloseReason::protocol_error);
  const auto parameters = read_startup(body);
  if (!parameters) return malformed("invalid startup packet layout");
  std::vector<std::string_view> unknown;
  stage_ = Stage::authentication;
  for (const StartupParameter& parameter : *parameters) {
    if (parameter.name.starts_with("_pq_."))
      unknown.push_back(parameter.name);
    else if (!take_parameter(parameter))
      return;
  }
  if (user_.empty())
    return fatal(failure("28000", "no PostgreSQL user name specified in startup packet"),
                 net::CloseReason::protocol_error);
  if (minor > 0 || !unknown.empty()) {
    ByteWriter& out = out_.begin(Answer::negotiate_version);
    out.be(int32_t{0});
    out.be(static_cast<int32_t>(unknown.size()));
    for (const std::string_view name : unknown) out_.text(name);
    out_.end();
  }
  authenticate();
}

// False: the connection ends.
bool PostgresSession::take_parameter(const StartupParameter& parameter) {
  std::optional<Failure> failed;
  if (!is_text(parameter.name) || !is_text(parameter.value)) {
    failed = failure("22021", "invalid byte sequence for encoding \"UTF8\" in the startup packet");
  } else if (parameter.name == "user") {
    user_ = parameter.value;
  } else if (parameter.name == "options") {
    return take_options(parameter.value);
  } else if (parameter.name == "replication") {
    const bool off = parameter.value == "false" || parameter.value == "off" || parameter.value == "0";
    if (!off) failed = failure("0A000", "replication is not served: streams are read over Kafka or HTTP");
  } else if (parameter.name != "database") {
    failed = variables_.set(parameter.name, std::string(parameter.value));
    // What a driver sets of itself, like its machine's time zone: it is told what holds here, and reads times with their offset.
    if (failed && std::string_view(failed->sqlstate) == "0A000" && !variables_.spelling(parameter.name).empty())
      failed.reset();
  }
  if (failed) fatal(std::move(*failed), net::CloseReason::protocol_error);
  return !failed;
}

// `-c name=value` and `--name=value`, as PGOPTIONS holds them.
bool PostgresSession::take_options(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    std::string_view word = text.substr(at, end - at);
    at = end + 1;
    if (word.empty() || word == "-c") continue;
    if (word.starts_with("-c") || word.starts_with("--")) word.remove_prefix(2);
    const size_t equals = word.find('=');
    const auto failed = equals == std::string_view::npos
                            ? failure("0A000", "options are -c NAME=VALUE")
                            : variables_.set(word.substr(0, equals), std::string(word.substr(equals + 1)));
    if (!failed) continue;
    fatal(*failed, net::CloseReason::protocol_error);
    return false;
  }
  return true;
}

void PostgresSession::authenticate() {
  auth::Authenticator* authenticator = options().authenticator;
  if (authenticator == nullptr) return accept({});
  const auth::Peer peer = net::peer_of(*context_, kListener);
  if (auto identity = authenticator->by_certificate(peer)) {
    if (identity->name != user_) return refuse_authentication("the certificate is another user's");
    return accept(std::move(*identity));
  }
  const auto mechanisms = authenticator->mechanisms(peer);
  if (std::find(mechanisms.begin(), mechanisms.end(), kMechanism) == mechanisms.end())
    return refuse_authentication("SCRAM-SHA-256 is not offered to this client");
  out_.begin(Answer::authentication).be(kAuthenticationSasl);
  out_.text(kMechanism);
  out_.bytes().u8(0);
  out_.end();
}

void PostgresSession::on_sasl(Bytes body) {
  Bytes message = body;
  if (!std::exchange(sasl_begun_, true)) {
    const auto initial = read_sasl_initial(body);
    if (!initial) return malformed("malformed SASL message");
    if (initial->mechanism != kMechanism) return refuse_authentication("the mechanism is SCRAM-SHA-256");
    auth::Peer peer = net::peer_of(*context_, kListener);
    peer.named = user_;
    sasl_ = options().authenticator->begin(kMechanism, peer);
    message = initial->message;
  }
  const auth::SaslStep step = sasl_->step(message);
  if (step.outcome == auth::SaslStep::Outcome::refused) return refuse_authentication(step.reason);
  const bool done = step.outcome == auth::SaslStep::Outcome::done;
  out_.begin(Answer::authentication).be(done ? kAuthenticationSaslFinal : kAuthenticationSaslContinue);
  out_.bytes().append(step.answer);
  out_.end();
  if (done) accept(step.identity);
}

void PostgresSession::refuse_authentication(std::string_view why) {
  count(counters().failed_authentications);
  fatal(failure("28P01", "authentication of user \"" + user_ + "\" failed: " + std::string(why)),
        net::CloseReason::protocol_error);
}

void PostgresSession::accept(auth::Identity identity) {
  sasl_.reset();
  identity_ = std::move(identity);
  if (options().quotas != nullptr && !slot_.enter(*options().quotas, identity_.name)) {
    count(counters().over_quota);
    return fatal(failure("53300", "more connections than quotas.connections allows"), net::CloseReason::limit);
  }
  context_->cancel(authenticate_timer_);
  stage_ = Stage::serving;
  Variables named(user_);
  for (const Variables::Shown& variable : variables_.all()) named.take_over(variable.name, variables_);
  variables_ = std::move(named);
  key_ = protocol_.enter(cancellation_);
  out_.begin(Answer::authentication).be(kAuthenticationOk);
  out_.end();
  for (const Variables::Shown& variable : variables_.reported()) out_.parameter_status(variable.name, variable.value);
  ByteWriter& out = out_.begin(Answer::backend_key);
  out.be(key_.process_id);
  out.be(key_.secret);
  out_.end();
  ready();
}

bool PostgresSession::in_force() {
  const auth::Authenticator* authenticator = options().authenticator;
  if (authenticator == nullptr || authenticator->in_force(identity_)) return true;
  count(counters().unauthenticated);
  fatal(failure("28000", "the user was changed or deleted: connect again"), net::CloseReason::protocol_error);
  return false;
}

// The loop's calls.

void PostgresSession::on_reply(RequestId id, const Reply& reply, net::SessionContext& context) {
  (void)id, (void)reply, (void)context;  // the shard is never asked
}

void PostgresSession::on_worked(RequestId id, net::SessionContext& context) {
  context_ = &context;
  if (stage_ == Stage::closed || step_ == nullptr || id != request_) return;
  on_step();
  flush();
  resume_input();
}

void PostgresSession::on_writable(net::SessionContext& context) {
  context_ = &context;
  if (stage_ == Stage::closed || !std::exchange(awaits_client_, false)) return;
  resubmit();
  flush();
  resume_input();
}

void PostgresSession::on_timer(net::SessionTimerId timer, net::SessionContext& context) {
  context_ = &context;
  if (stage_ == Stage::closed) return;
  if (timer == authenticate_timer_ && stage_ != Stage::serving) {
    count(counters().unauthenticated);
    fatal(failure("28000", "no authentication in time"), net::CloseReason::deadline);
  } else if (timer == seat_timer_) {
    seat_timer_ = 0;
    if (step_ == nullptr) seat_.reset();
  } else if (timer == portals_timer_) {
    portals_timer_ = 0;
    end_late_portals();
  } else if (timer == mute_timer_) {
    mute_timer_ = 0;
    muted_until_ns_ = 0;
  }
  flush();
  resume_input();
}

void PostgresSession::on_stop(net::SessionContext& context) {
  context_ = &context;
  fatal(failure("57P01", "terminating connection due to administrator command"), net::CloseReason::shutdown);
  flush();
}

void PostgresSession::on_close(net::CloseReason reason) {
  (void)reason;
  stage_ = Stage::closed;
  cancellation_->cancel();
  if (key_.process_id != 0) protocol_.leave(key_);
  if (awaits_client_ && step_) bury(step_->portal);
  drop_portals();
  slot_.leave();
}

// Answers.

// In a transaction nothing but its end is served any more; of extended messages nothing until Sync.
void PostgresSession::fail(Failure failed) {
  count(counters().statements_failed);
  out_.error(failed, false);
  if (transaction_ == Transaction::open) transaction_ = Transaction::failed;
  if (in_simple_)
    simple_.clear();
  else
    skip_until_sync_ = true;
}

void PostgresSession::fatal(Failure failed, net::CloseReason reason) {
  if (stage_ == Stage::closed) return;
  stage_ = Stage::closed;
  out_.error(failed, true);
  flush();
  cancellation_->cancel();
  context_->close(reason, failed.message);
}

// What was answered before goes out.
void PostgresSession::end(std::string_view why) {
  stage_ = Stage::closed;
  flush();
  context_->close(net::CloseReason::session_closed, why);
}

void PostgresSession::ready() {
  out_.ready(static_cast<char>(transaction_));
  leave_seat_later();
  if (options().quotas == nullptr) return;
  const int64_t wait_ns = options().quotas->wait_ns(kListener, payer());
  if (wait_ns <= 0) return;
  options().quotas->count_throttled(wait_ns);
  muted_until_ns_ = context_->monotonic_ns() + wait_ns;
  mute_timer_ = context_->arm(wait_ns);
}

// The protocol.

std::unique_ptr<net::Session> PostgresProtocol::open(const net::Address& remote) {
  (void)remote;
  return std::make_unique<PostgresSession>(*this);
}

std::span<const std::string_view> PostgresProtocol::alpn() const {
  static constexpr std::array<std::string_view, 1> kNames{"postgresql"};
  return kNames;
}

// As every client reads it, whatever it would have asked first.
std::string_view PostgresProtocol::refusal() const {
  static const std::string text = [] {
    MessageWriter out;
    out.error(failure("53300", "sorry, too many clients already"), true);
    return std::string(as_text(out.release()));
  }();
  return text;
}

CancelKey PostgresProtocol::enter(std::shared_ptr<Cancellation> cancellation) {
  const std::string bytes = options_.random ? options_.random(sizeof(uint32_t)) : std::string(sizeof(uint32_t), '\0');
  const std::lock_guard lock(mutex_);
  constexpr uint32_t kProcessIds = 0x7fffffff;  // positive where a client takes it for signed
  do {
    last_process_id_ = last_process_id_ % kProcessIds + 1;
  } while (cancellable_.contains(last_process_id_));
  const CancelKey key{last_process_id_, load_be<uint32_t>(as_bytes(bytes).data())};
  cancellable_[key.process_id] = {key.secret, std::move(cancellation)};
  return key;
}

void PostgresProtocol::leave(const CancelKey& key) {
  const std::lock_guard lock(mutex_);
  cancellable_.erase(key.process_id);
}

void PostgresProtocol::cancel(const CancelKey& key) {
  count(counters_.cancel_requests);
  std::shared_ptr<Cancellation> found;
  {
    const std::lock_guard lock(mutex_);
    const auto session = cancellable_.find(key.process_id);
    if (session != cancellable_.end() && session->second.secret == key.secret) found = session->second.cancellation;
  }
  if (found)
    found->cancel();
  else
    count(counters_.cancel_requests_unknown);
}

}  // namespace heptane::data::postgres
