#include "sim/ledger_client.h"

#include <algorithm>
#include <cstring>

#include "kernel/base/aegis128l.h"
#include "modules/fintech/domain/ledger/multi_batch.h"

namespace heptane::sim {

namespace {

using namespace fintech;

constexpr size_t kHeader = 256;
constexpr size_t kMessageMax = size_t{1} << 20;
constexpr uint32_t kClientRelease = 17 << 8 | 9;
constexpr size_t kLookupMax = 6;
enum Kind : uint8_t { kRequest = 5, kReply = 8, kEviction = 18 };
enum Asked : uint8_t { kRegistration = 2, kLookupTransfers = 141, kMakeAccounts = 146, kMakeTransfers = 147 };

// Where fields of a header lie.
constexpr size_t kBodySum = 32, kSize = 96, kRelease = 108, kCommand = 114;
constexpr size_t kAskedClient = 160, kAskedSession = 176, kAskedNumber = 192, kAskedOperation = 196;
constexpr size_t kAnsweredSum = 128, kAnsweredClient = 192, kAnsweredCommit = 216, kAnsweredOperation = 236;
constexpr size_t kEvictedClient = 128, kEvictedWhy = 255;

Uint128 sum_of(Bytes bytes) {
  const Aegis128lTag tag = aegis128l_checksum(bytes);
  return load_le<Uint128>(tag.data());
}
Uint128 header_sum(Bytes message) { return sum_of(message.subspan(16, kHeader - 16)); }
Uint128 name_of(Bytes message) { return load_le<Uint128>(message.data()); }
uint8_t operation_of(Bytes message) { return static_cast<uint8_t>(message[kAskedOperation]); }

template <class Row>
std::vector<std::byte> body_of(const std::vector<std::vector<Row>>& batches) {
  MultiBatchWriter writer(sizeof(Row));
  for (const std::vector<Row>& batch : batches) {
    const auto* bytes = reinterpret_cast<const std::byte*>(batch.data());
    writer.out().insert(writer.out().end(), bytes, bytes + batch.size() * sizeof(Row));
    writer.end_batch();
  }
  return writer.finish();
}

}  // namespace

SimLedgerClient::SimLedgerClient(ClientWorld& world, LedgerWatch& watch, uint32_t number, uint16_t port)
    : SimClient(world), watch_(watch), number_(number), port_(port), events_(world.random, number) {
  enter();
}

std::string SimLedgerClient::state() const {
  return "ledger client " + std::to_string(number_) + " (request " + std::to_string(request_) +
         (message_.empty() ? " answered)" : " open)");
}

// A client that nobody knows yet.
void SimLedgerClient::enter() {
  id_ = Uint128{number_ + 1} << 64 | world_.random.next();
  session_ = 0;
  request_ = 0;
  last_message_.clear();
  const std::vector<std::byte> body(kHeader);
  ask(kRegistration, body);
}

void SimLedgerClient::ask(uint8_t operation, Bytes body) {
  message_.assign(kHeader, std::byte{0});
  message_.insert(message_.end(), body.begin(), body.end());
  std::byte* header = message_.data();
  store_le(header + kBodySum, sum_of(body));
  store_le(header + kSize, static_cast<uint32_t>(message_.size()));
  store_le(header + kRelease, kClientRelease);
  header[kCommand] = std::byte{kRequest};
  store_le(header + kAskedClient, id_);
  store_le(header + kAskedSession, session_);
  store_le(header + kAskedNumber, request_);
  header[kAskedOperation] = std::byte{operation};
  store_le(header, header_sum(message_));
  asked_.insert(name_of(message_));
  sent_ = false;
}

void SimLedgerClient::go_on() {
  if (message_.empty()) {
    if (finishing_ || !world_.random.one_in(3)) return;
    compose();
  }
  const int64_t now_ns = world_.clock.monotonic_ns();
  if (sent_ && now_ns < ask_again_ns_) return;
  if (sent_ && world_.random.one_in(2)) return reconnect_later("no answer");
  sent_ = true;
  ask_again_ns_ = now_ns + 50'000'000 + static_cast<int64_t>(world_.random.below(1'000'000'000));
  write_raw(message_);
}

void SimLedgerClient::compose() {
  message_events_.clear();
  if (!last_message_.empty() && world_.random.one_in(8)) {
    message_ = last_message_;
    sent_ = false;
    return;
  }
  ++request_;
  if (!std::exchange(has_accounts_, true)) return ask(kMakeAccounts, body_of<Account>({LedgerEvents::accounts()}));
  if (!watch_.known().empty() && world_.random.one_in(6)) return compose_lookup();
  if (world_.random.one_in(20))
    if (const std::vector<Account> batch = events_.imported_accounts(past()); !batch.empty())
      return ask(kMakeAccounts, body_of<Account>({batch}));
  const std::vector<std::vector<Transfer>> batches = events_.transfers(past());
  for (const std::vector<Transfer>& batch : batches)
    message_events_.insert(message_events_.end(), batch.begin(), batch.end());
  ask(kMakeTransfers, body_of(batches));
}

// Of imported events: a moment ago, or right behind what was last acknowledged, which may be the newest there is.
uint64_t SimLedgerClient::past() const {
  if (watch_.known().empty() || world_.random.one_in(3))
    return static_cast<uint64_t>(world_.clock.utc_ns()) - 1'000'000;
  return watch_.known().back().timestamp;
}

void SimLedgerClient::compose_lookup() {
  looked_up_.clear();
  std::vector<Uint128> ids;
  for (size_t i = 0; i < kLookupMax; ++i) {
    looked_up_.push_back(watch_.known()[world_.random.below(watch_.known().size())]);
    ids.push_back(looked_up_.back().id);
  }
  ask(kLookupTransfers, body_of<Uint128>({ids}));
}

bool SimLedgerClient::wrong(const char* what) {
  world_.checker.fail(state() + " was sent " + what);
  return false;
}

// False: the connection is gone.
bool SimLedgerClient::take_frames() {
  size_t at = 0;
  while (connected() && input_.size() - at >= kHeader) {
    const Bytes rest = Bytes(input_).subspan(at);
    const auto size = load_le<uint32_t>(rest.data() + kSize);
    if (size < kHeader || size > kMessageMax) return wrong("a message of a size that none has");
    if (rest.size() < size) break;
    at += size;
    if (!on_message(rest.first(size))) return false;
  }
  if (!connected()) return false;
  input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(at));
  return true;
}

bool SimLedgerClient::on_message(Bytes message) {
  if (name_of(message) != header_sum(message)) return wrong("a header with a wrong checksum");
  if (load_le<Uint128>(message.data() + kBodySum) != sum_of(message.subspan(kHeader)))
    return wrong("a body with a wrong checksum");
  const auto kind = static_cast<uint8_t>(message[kCommand]);
  const size_t client_at = kind == kReply ? kAnsweredClient : kEvictedClient;
  if (kind != kReply && kind != kEviction) return wrong("a message that servers do not send");
  if (load_le<Uint128>(message.data() + client_at) != id_) return wrong("another client's message");
  if (kind == kEviction)
    on_evicted(static_cast<int>(message[kEvictedWhy]));
  else
    on_reply(message);
  return !world_.checker.failed();
}

// Where acknowledged data was damaged on purpose, sessions may be gone with it.
void SimLedgerClient::on_evicted(int reason) {
  if (!world_.checker.lost_tail_allowed())
    return world_.checker.fail(state() + " was evicted, reason " + std::to_string(reason));
  enter();
  reconnect_later("evicted");
}

void SimLedgerClient::on_reply(Bytes message) {
  const auto answered = load_le<Uint128>(message.data() + kAnsweredSum);
  if (!last_message_.empty() && answered == name_of(last_message_)) {
    if (!std::equal(message.begin(), message.end(), last_answer_.begin(), last_answer_.end()))
      return world_.checker.fail(state() + " asked its last request again and was answered otherwise");
    ++repeats_total_;
    if (!message_.empty() && answered == name_of(message_)) message_.clear();
    return;
  }
  if (message_.empty() || answered != name_of(message_)) {
    if (!asked_.contains(answered)) (void)wrong("an answer to what it did not ask");
    return;
  }
  const uint8_t operation = operation_of(message_);
  if (static_cast<uint8_t>(message[kAnsweredOperation]) != operation) return (void)wrong("another operation's answer");
  const Bytes body = message.subspan(kHeader);
  if (operation == kRegistration) {
    session_ = load_le<uint64_t>(message.data() + kAnsweredCommit);
  } else if (operation == kLookupTransfers) {
    on_found(body);
  } else {
    watch_.acknowledged({id_, answered}, message_events_, {body.begin(), body.end()});
    last_message_ = message_;
    last_answer_.assign(message.begin(), message.end());
  }
  world_.trace(state() + ": answered, commit " + std::to_string(load_le<uint64_t>(message.data() + kAnsweredCommit)));
  message_.clear();
}

void SimLedgerClient::on_found(Bytes body) {
  if (world_.checker.lost_tail_allowed()) return;
  const std::optional<MultiBatch> batches = MultiBatch::parse(body, sizeof(Transfer));
  if (!batches || batches->elements() != looked_up_.size())
    return world_.checker.fail(state() + " does not find transfers that were acknowledged");
  batches->visit([&](Bytes batch) {
    for (const LedgerWatch::Known& known : looked_up_) {
      Transfer found;
      std::memcpy(&found, batch.data(), sizeof found);
      batch = batch.subspan(sizeof found);
      if (found.id != known.id || found.timestamp != known.timestamp)
        return world_.checker.fail(state() + " finds another transfer than the one that was acknowledged");
    }
  });
}

}  // namespace heptane::sim
