#include "sim/remote_broker.h"

#include <algorithm>
#include <utility>

namespace heptane::sim {

namespace {

enum Packet : uint8_t {
  kConnect = 0x10,
  kConnack = 0x20,
  kPublish = 0x30,
  kPuback = 0x40,
  kPubrec = 0x50,
  kPubrel = 0x62,
  kPubcomp = 0x70,
  kSubscribe = 0x82,
  kSuback = 0x90,
  kUnsubscribe = 0xA2,
  kUnsuback = 0xB0,
  kPingreq = 0xC0,
  kPingresp = 0xD0,
  kDisconnect = 0xE0,
};
constexpr uint8_t kSuccess = 0;
constexpr uint8_t kServerBusy = 0x89;
constexpr uint8_t kNotFound = 0x92;
constexpr uint8_t kQuotaExceeded = 0x97;
constexpr uint8_t kPayloadInvalid = 0x99;
constexpr uint8_t kUnavailable311 = 3;
constexpr uint8_t kCleanFlag = 2;
constexpr uint8_t kNoLocal = 4;
constexpr uint16_t kIds = 24;    // so few that they come again soon
constexpr size_t kInFlight = 6;  // where the bridge takes more
constexpr int64_t kDownMostNs = 4'000'000'000;
constexpr int64_t kHourNs = int64_t{3'600} * 1'000'000'000;
constexpr int64_t kHourStepNs = int64_t{20} * 1'000'000'000;
constexpr size_t kReadBytes = 4096;
constexpr const char* kEchoFilter = "site/up/#";
constexpr const char* kInFilter = "down/#";
constexpr const char* kVia = "heptane-via";

void put_text(ByteWriter& out, std::string_view text) {
  out.be<uint16_t>(static_cast<uint16_t>(text.size()));
  out.append(text);
}

std::string_view take_text(ByteReader& in) { return as_text(in.take(in.be<uint16_t>())); }

}  // namespace

SimRemoteBroker::SimRemoteBroker(ClientWorld& world, BridgeWatch& watch, uint32_t publishers)
    : SimClient(world), watch_(watch) {
  for (uint32_t i = 0; i < publishers; ++i) {
    (void)watch_.add_remote_publisher();
    sent_.push_back(0);
  }
  listen();
}

std::string SimRemoteBroker::state() const {
  return "the remote broker (" + std::to_string(queue_.size()) + " to send, " + std::to_string(received_.size()) +
         " not released" + (stream_ ? ", connected)" : ")");
}

bool SimRemoteBroker::finished() const {
  return world_.checker.lost_tail_allowed() || (queue_.empty() && answers_.empty() && rests());
}

bool SimRemoteBroker::wrong(const std::string& what) {
  if (!world_.checker.lost_tail_allowed()) world_.checker.fail("the bridge " + what);
  return false;
}

// Its life.

void SimRemoteBroker::listen() {
  world_.net.name(BridgeWatch::kHost, {"127.0.0.1"});
  auto listener = world_.net.listen({"127.0.0.1", BridgeWatch::kPort},
                                    [this](std::unique_ptr<net::Stream> stream) { accepted_ = std::move(stream); });
  if (listener) listener_ = std::move(*listener);
}

void SimRemoteBroker::finish() {
  SimClient::finish();
  in_hour_ = false;
  if (!listener_) listen();
}

void SimRemoteBroker::serve() {
  ++idle_turns_;
  if (in_hour_) pass_hour();
  if (!listener_ && world_.clock.monotonic_ns() >= down_until_ns_) listen();
  if (accepted_) {
    drop("taken over");
    stream_ = std::move(accepted_);
    idle_turns_ = 0;
  }
  publish();
  if (!finishing_) maybe_fault();
  if (!stream_ || (!finishing_ && world_.random.one_in(3))) return;
  read();
  if (!stream_) return;
  send_next();
  answer();
  write();
}

void SimRemoteBroker::maybe_fault() {
  if (!world_.random.one_in(watch_.setting().fault_each)) return;
  switch (world_.random.below(8)) {
    case 0: return drop("closes");
    case 1: return disconnect();
    case 2:
    case 3: return crash();
    default: return cut();
  }
}

// For a reason that is about no message.
void SimRemoteBroker::disconnect() {
  if (!stream_ || !greeted_ || !watch_.setting().five) return;
  const std::byte body[] = {std::byte{world_.random.one_in(2) ? kServerBusy : kQuotaExceeded}, std::byte{0}};
  send(kDisconnect, body);
  write();
  drop("says DISCONNECT");
}

// Both find it reset.
void SimRemoteBroker::cut() {
  if (!stream_) return;
  static_cast<SimStream&>(*stream_).reset();
  drop("reset");
}

// What is published here meanwhile waits, as long as it is kept.
void SimRemoteBroker::pass_hour() {
  world_.clock.advance(static_cast<int64_t>(world_.random.below(kHourStepNs)));
  in_hour_ = world_.clock.monotonic_ns() < down_until_ns_;
  if (!in_hour_) ++watch_.counts.hours;
}

void SimRemoteBroker::crash() {
  if (!listener_) return;
  const bool forgets = world_.random.one_in(3);
  ++watch_.counts.crashes;
  cut();
  listener_.reset();
  accepted_.reset();
  in_hour_ = watch_.setting().hour && !std::exchange(had_hour_, true);
  const int64_t away_ns = in_hour_ ? kHourNs : static_cast<int64_t>(world_.random.below(kDownMostNs));
  down_until_ns_ = world_.clock.monotonic_ns() + away_ns;
  if (world_.random.one_in(2)) world_.net.name(BridgeWatch::kHost, {});
  world_.trace(std::string("the remote crashes") + (forgets ? " and forgets" : "") + (in_hour_ ? ", for an hour" : ""));
  if (forgets) lose_session();
}

void SimRemoteBroker::lose_session() {
  if (has_session_) ++watch_.counts.forgotten;
  has_session_ = false;
  filters_.clear();
  for (const auto& [id, message] : received_) watch_.forgot(message);
  received_.clear();
  for (const Item& item : queue_)
    if (item.via.empty() && !item.received) watch_.sender_lost(item.name);
  queue_.clear();
  last_id_ = 0;
}

void SimRemoteBroker::drop(const char* why) {
  if (stream_) {
    ++watch_.counts.cuts;
    world_.trace(std::string("the remote's connection: ") + why);
  }
  stream_.reset();
  input_bytes_.clear();
  output_.clear();
  answers_.clear();
  unanswered_.clear();
  greeted_ = false;
}

// The connection.

void SimRemoteBroker::read() {
  std::byte chunk[kReadBytes];
  const net::IoResult result = stream_->read_some(MutableBytes(chunk));
  if (result.status == net::IoStatus::would_block) return;
  if (result.status != net::IoStatus::ok) return drop("ended by the server");
  idle_turns_ = 0;
  input_bytes_.insert(input_bytes_.end(), chunk, chunk + result.bytes);
  if (!take_frames_of(input_bytes_)) drop("not understood");
}

bool SimRemoteBroker::take_frames_of(std::vector<std::byte>& input) {
  size_t at = 0;
  while (stream_) {
    ByteReader in{Bytes(input).subspan(at)};
    const uint8_t first = in.u8();
    const uint64_t length = in.varint();
    const Bytes body = in.failed() ? Bytes() : in.take(length);
    if (in.failed()) break;
    at += in.position();
    if (!take(first, body)) return wrong("sent packet " + std::to_string(first) + ", which is wrong");
  }
  if (stream_) input.erase(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(at));
  return true;
}

void SimRemoteBroker::write() {
  while (stream_ && !output_.empty()) {
    const Bytes piece(output_);
    const net::IoResult result = stream_->write_some({&piece, 1});
    if (result.status == net::IoStatus::would_block) return;
    if (result.status != net::IoStatus::ok) return drop("reset while writing");
    idle_turns_ = 0;
    output_.erase(output_.begin(), output_.begin() + static_cast<std::ptrdiff_t>(result.bytes));
    if (world_.random.one_in(4)) return;
  }
}

void SimRemoteBroker::send(uint8_t first, Bytes body) {
  ByteWriter out;
  out.u8(first);
  out.varint(body.size());
  out.append(body);
  output_.insert(output_.end(), out.view().begin(), out.view().end());
}

// False: it should not have come.
bool SimRemoteBroker::take(uint8_t first, Bytes body) {
  ByteReader in(body);
  if (!greeted_) return first == kConnect && take_connect(in);
  if ((first & 0xF0) == kPublish) return take_publish(first & 0x0F, in);
  switch (first) {
    case kPuback:
    case kPubrec:
    case kPubcomp: return take_answer(first, in);
    case kPubrel: return take_release(in.be<uint16_t>()) && !in.failed();
    case kSubscribe: return take_subscribe(in);
    case kUnsubscribe: return take_unsubscribe(in);
    case kPingreq: send(kPingresp, {}); return in.complete();
    case kDisconnect: drop("told good-bye"); return true;
    default: return false;
  }
}

bool SimRemoteBroker::take_connect(ByteReader& in) {
  const bool five = watch_.setting().five;
  if (take_text(in) != "MQTT" || in.u8() != (five ? 5 : 4) || (in.u8() & kCleanFlag) != 0) return false;
  in.skip(sizeof(uint16_t));
  Properties properties;
  if (five && !read_properties(in, properties)) return false;
  if (!take_text(in).ends_with("-sim") || !in.complete()) return false;
  window_ = properties.receive_maximum;
  if (!finishing_ && world_.random.one_in(12)) {
    const std::byte refused[] = {std::byte{0}, std::byte{five ? kServerBusy : kUnavailable311}, std::byte{0}};
    send(kConnack, Bytes(refused).first(five ? 3 : 2));
    write();
    drop("refuses");
    return true;
  }
  accept_connect();
  return true;
}

void SimRemoteBroker::accept_connect() {
  const BridgeWatch::Setting& setting = watch_.setting();
  ++watch_.counts.connects;
  watch_.may_begin = true;
  greeted_ = true;
  ByteWriter body;
  body.u8(has_session_ ? 1 : 0);
  body.u8(kSuccess);
  if (setting.five) {
    body.u8(setting.receive_maximum > 0 ? 3 : 0);
    if (setting.receive_maximum > 0) {
      body.u8(0x21);
      body.be<uint16_t>(setting.receive_maximum);
    }
  }
  send(kConnack, body.view());
  has_session_ = true;
  for (const Item& item : queue_)
    if (item.id != 0) send_item(item, true);
}

bool SimRemoteBroker::take_subscribe(ByteReader& in) {
  const bool five = watch_.setting().five;
  const auto id = in.be<uint16_t>();
  Properties properties;
  if (five && !read_properties(in, properties)) return false;
  ByteWriter body;
  body.be<uint16_t>(id);
  if (five) body.u8(0);
  while (in.remaining() > 0 && !in.failed()) {
    const std::string filter(take_text(in));
    const uint8_t options = in.u8();
    if (five && (options & kNoLocal) == 0) return wrong("subscribes without no local");
    filters_.insert(filter);
    body.u8(options & 3);
  }
  send(kSuback, body.view());
  return id != 0 && in.complete();
}

bool SimRemoteBroker::take_unsubscribe(ByteReader&) { return wrong("unsubscribes from what it wants"); }

bool SimRemoteBroker::read_properties(ByteReader& in, Properties& properties) {
  ByteReader rest(in.take(in.varint()));
  while (!in.failed() && rest.remaining() > 0 && !rest.failed()) {
    switch (rest.u8()) {
      case 0x11:  // session expiry
      case 0x27:  // maximum packet size
      case 0x02: rest.skip(4); break;
      case 0x21: properties.receive_maximum = rest.be<uint16_t>(); break;
      case 0x22: rest.skip(2); break;
      case 0x01:
      case 0x17:
      case 0x19: rest.skip(1); break;
      case 0x03:
      case 0x08:
      case 0x09: (void)take_text(rest); break;
      case 0x23:
        properties.alias = true;
        rest.skip(2);
        break;
      case 0x26: {
        const std::string_view key = take_text(rest);
        const std::string_view value = take_text(rest);
        if (key == kVia) properties.via += std::string(value) + ";";
        break;
      }
      default: return false;
    }
  }
  return !in.failed() && !rest.failed();
}

// Out of the server.

bool SimRemoteBroker::take_publish(uint8_t flags, ByteReader& in) {
  const auto qos = static_cast<uint8_t>(flags >> 1 & 3);
  SimMessage message;
  message.topic = take_text(in);
  const auto id = qos > 0 ? in.be<uint16_t>() : uint16_t{0};
  Properties properties;
  if (watch_.setting().five && !read_properties(in, properties)) return false;
  message.payload = as_text(in.rest());
  if (in.failed() || id == 0 || qos > watch_.setting().out_qos || properties.alias || (flags & 1) != 0) return false;
  if (watch_.setting().five && properties.via.empty()) return wrong("sends a message without its mark");
  // One may be sent again over a connection only behind an answer that refused it.
  if (!unanswered_.insert(id).second) return wrong("uses an identifier again that has no answer");
  const uint32_t most = watch_.setting().receive_maximum;
  if (watch_.setting().five && most > 0 && unanswered_.size() > most) return wrong("sends more than the remote takes");
  take_message(std::move(message), qos, id, std::move(properties.via));
  return true;
}

// What is answered.
uint8_t SimRemoteBroker::judge(const SimMessage& message) {
  if (!watch_.setting().five) return kSuccess;
  if (watch_.is_refused(message)) {
    watch_.refused(message);
    return kPayloadInvalid;
  }
  if (finishing_ || !world_.random.one_in(30)) return kSuccess;
  watch_.put_off(message);
  return kQuotaExceeded;
}

void SimRemoteBroker::take_message(SimMessage message, uint8_t qos, uint16_t id, std::string via) {
  const uint8_t first = qos == 2 ? kPubrec : kPuback;
  const auto had = received_.find(id);
  if (qos == 2 && had != received_.end()) {
    if (had->second.payload != message.payload)
      (void)wrong("uses an identifier for another message that it has not released: " + message.payload.substr(0, 12));
    answers_.push_back({first, id, kSuccess});
    return;
  }
  const uint8_t reason = judge(message);
  answers_.push_back({first, id, reason});
  if (reason != kSuccess) return;
  watch_.reached(message, world_.checker);
  if (is_subscribed(kEchoFilter) && !finishing_ && world_.random.one_in(5)) {
    ++watch_.counts.echoes;
    queue_.push_back({message, 1, std::move(via)});
  }
  if (qos == 2) received_.emplace(id, std::move(message));
  const uint32_t close_each = watch_.setting().close_each;
  if (close_each > 0 && !finishing_ && world_.random.one_in(close_each)) drop("closes at a message");
}

bool SimRemoteBroker::take_release(uint16_t id) {
  const bool known = received_.erase(id) > 0;
  answers_.push_back({kPubcomp, id, known || !watch_.setting().five ? kSuccess : kNotFound});
  return id != 0;
}

// In the order of what they answer.
void SimRemoteBroker::answer() {
  while (!answers_.empty() && !world_.random.one_in(3)) {
    const Answer answer = answers_.front();
    answers_.pop_front();
    ByteWriter body;
    body.be<uint16_t>(answer.id);
    if (answer.reason != kSuccess) body.u8(answer.reason);
    if (answer.first != kPubrec || answer.reason != kSuccess) unanswered_.erase(answer.id);
    send(answer.first, body.view());
  }
}

// Into the server.

void SimRemoteBroker::publish() {
  if (finishing_ || !is_subscribed(kInFilter) || !world_.random.one_in(8)) return;
  const auto from = static_cast<uint32_t>(world_.random.below(sent_.size()));
  if (sent_[from] >= BridgeWatch::kNumbersMax) return;
  Item item;
  item.name = {from, ++sent_[from]};
  item.message = BridgeWatch::in_message(item.name);
  item.qos = std::min(BridgeWatch::qos_of(from), watch_.setting().in_qos);
  queue_.push_back(std::move(item));
}

void SimRemoteBroker::send_next() {
  if (!greeted_) return;
  const size_t most = std::min<size_t>(window_, kInFlight);
  for (size_t i = 0; i < std::min(most, queue_.size()); ++i) {
    if (queue_[i].id != 0) continue;
    queue_[i].id = free_id();
    send_item(queue_[i], false);
    if (world_.random.one_in(2)) return;
  }
}

uint16_t SimRemoteBroker::free_id() {
  const auto used = [&] {
    return std::any_of(queue_.begin(), queue_.end(), [&](const Item& item) { return item.id == last_id_; });
  };
  do last_id_ = static_cast<uint16_t>(1 + last_id_ % kIds);
  while (used());
  return last_id_;
}

void SimRemoteBroker::send_item(const Item& item, bool again) {
  ByteWriter body;
  if (item.received) {
    body.be<uint16_t>(item.id);
    return send(kPubrel, body.view());
  }
  put_text(body, item.message.topic);
  body.be<uint16_t>(item.id);
  if (watch_.setting().five) {
    ByteWriter properties;
    for (std::string_view rest = item.via; !rest.empty(); rest.remove_prefix(rest.find(';') + 1)) {
      properties.u8(0x26);
      put_text(properties, kVia);
      put_text(properties, rest.substr(0, rest.find(';')));
    }
    body.varint(properties.size());
    body.append(properties.view());
  }
  body.append(item.message.payload);
  send(static_cast<uint8_t>(kPublish | item.qos << 1 | (again ? 8 : 0)), body.view());
}

bool SimRemoteBroker::take_answer(uint8_t first, ByteReader& in) {
  const auto id = in.be<uint16_t>();
  const uint8_t reason = in.remaining() > 0 ? in.u8() : kSuccess;
  const auto item = std::find_if(queue_.begin(), queue_.end(), [&](const Item& one) { return one.id == id; });
  if (in.failed() || id == 0 || item == queue_.end()) return false;
  if (reason != kSuccess && (first != kPubcomp || reason != kNotFound))
    return wrong("refuses a message of the remote's");
  if ((first == kPuback) != (item->qos == 1) || (first == kPubcomp && !item->received)) return false;
  if (first != kPubcomp && item->via.empty()) watch_.sender_acknowledged(item->name);
  if (first == kPubrec) {
    item->received = true;
    send_item(*item, false);
    return true;
  }
  queue_.erase(item);
  return true;
}

}  // namespace heptane::sim
