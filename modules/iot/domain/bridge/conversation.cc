#include "modules/iot/domain/bridge/conversation.h"

#include <algorithm>
#include <utility>

#include "kernel/base/crc32c.h"
#include "modules/iot/domain/topics/topics.h"

namespace heptane::iot::bridge {

namespace {

using mqtt::Ack;
using mqtt::Fault;
using mqtt::Frame;
using mqtt::PacketId;
using mqtt::PacketType;
using mqtt::Properties;
using mqtt::Publish;
using mqtt::Reason;
using mqtt::Version;

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr PacketId kQueueIds = 49'151;       // those of the session's queue; others are the connection's
constexpr PacketId kSubscribeId = 65'535;    // no message of the session here is as high
constexpr PacketId kUnsubscribeId = 65'534;  // to the broker here
constexpr PacketId kLetterId = 65'533;       // likewise; answers come in order
constexpr uint8_t kPrivateBit = 0x80;
constexpr uint8_t kDup = 8;

bool is_error(Reason reason) { return static_cast<uint8_t>(reason) >= 0x80; }

std::string hex(uint8_t code) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  return {'0', 'x', kDigits[code >> 4], kDigits[code & 15]};
}
std::string hex(Reason reason) { return hex(static_cast<uint8_t>(reason)); }

// Of a refusal or a DISCONNECT: it is because of a message, and would be the next time.
bool is_about_message(Reason reason) {
  switch (static_cast<uint8_t>(reason)) {
    case 0x81:  // malformed packet
    case 0x82:  // protocol error
    case 0x87:  // not authorised
    case 0x90:  // topic name invalid
    case 0x93:  // receive maximum exceeded
    case 0x94:  // topic alias invalid
    case 0x95:  // packet too large
    case 0x99:  // payload format invalid
    case 0x9A:  // retain not supported
    case 0x9B:  // QoS not supported
      return true;
    default: return false;
  }
}

// What a message says of itself, without what is the connection's.
Properties own_properties(const Properties& of) {
  Properties own;
  own.payload_format = of.payload_format;
  own.message_expiry_s = of.message_expiry_s;
  own.content_type = of.content_type;
  own.response_topic = of.response_topic;
  own.correlation_data = of.correlation_data;
  own.user = of.user;
  return own;
}

// Of a packet: what it may be here, so that it is not too large behind its way.
uint32_t less_growth(uint32_t bytes) {
  constexpr auto kGrowth = static_cast<uint32_t>(Conversation::kGrowthBytes);
  return bytes > 2 * kGrowth ? bytes - kGrowth : bytes;
}

template <class Encode>
std::string encoded(const Encode& encode) {
  ByteWriter out;
  encode(out);
  return std::string(as_text(out.view()));
}

}  // namespace

std::string local_client_id(std::string_view name) { return std::string(kClients) + std::string(name); }
std::string dead_letter_topic(std::string_view name) { return "$bridge/" + std::string(name) + "/dead_letter"; }

Conversation::Conversation(const Terms& terms, Memory& memory, Kind kind)
    : terms_(terms), memory_(memory), kind_(kind) {}

void Conversation::note(Happening what, std::string_view subject, std::string_view why) {
  events_.push_back({what, std::string(subject), std::string(why)});
}

void Conversation::fail(const char* who, const Fault& fault) {
  end(std::string(who) + ": " + fault.why + " (" + hex(fault.reason) + ")");
}

// Both sides are told; what is unacknowledged stays so.
void Conversation::end(std::string_view why) {
  if (std::exchange(stage_, Stage::ended) == Stage::ended) return;
  why_ = why;
  const std::string goodbye =
      encoded([](ByteWriter& out) { encode(PacketType::disconnect, mqtt::Farewell{}, Version::v5, out); });
  const std::string plain =
      encoded([](ByteWriter& out) { encode(PacketType::disconnect, mqtt::Farewell{}, Version::v311, out); });
  if (wants_local_) to_local_ += goodbye;
  if (kind_ == Kind::relay) to_remote_ += five() ? goodbye : plain;
}

// What was sent first and had no answer may be why the remote closed: it says so, or the message went alone and it closed soon. (Where
// others went with it, or the connection broke, those go one at a time from then on.)
void Conversation::suspect_first(Gone how, int64_t now_ns) {
  if (how == Gone::otherwise || flying_.empty()) return;
  const auto first = std::min_element(flying_.begin(), flying_.end(), [](const auto& one, const auto& other) {
    return one.second.order < other.second.order;
  });
  memory_.careful = std::max<size_t>(memory_.careful, flying_.size());
  const bool alone = flying_.size() == 1 && now_ns - first->second.sent_ns <= kCloseWithinNs;
  if (how != Gone::refused && !(how == Gone::closed && alone)) return;
  const uint64_t key = first->second.key;
  memory_.closes = memory_.suspect == key ? memory_.closes + 1 : 1;
  memory_.suspect = key;
}

void Conversation::remote_gone(Gone how, std::string_view why, int64_t now_ns) {
  if (stage_ == Stage::ended) return;
  suspect_first(how, now_ns);
  stage_ = Stage::ended;
  why_ = why;
  if (wants_local_)
    to_local_ += encoded([](ByteWriter& out) { encode(PacketType::disconnect, mqtt::Farewell{}, Version::v5, out); });
}

// Time.

int64_t Conversation::due_ns() const {
  if (stage_ == Stage::ended) return INT64_MAX;
  int64_t due_ns = std::min({deadline_ns_, ping_due_ns_, local_ping_due_ns_});
  if (!refused_.empty() && flying_.empty()) due_ns = std::min(due_ns, hold_until_ns_);
  if (!queue_.empty() && may_send()) due_ns = std::min(due_ns, memory_.bucket.free_at_ns());
  return due_ns;
}

void Conversation::pass_time(int64_t now_ns) {
  if (stage_ == Stage::ended) return;
  if (now_ns >= deadline_ns_) return end("the remote did not answer CONNECT in time");
  if (now_ns >= ping_due_ns_) {
    if (awaits_pong_) return end("the remote does not answer PINGREQ");
    to_remote(encoded([](ByteWriter& out) { mqtt::encode_empty(PacketType::pingreq, out); }), now_ns);
    awaits_pong_ = true;
    ping_due_ns_ = now_ns + std::min(keep_alive_ns_, kAnswerWithinNs);
  }
  if (now_ns >= local_ping_due_ns_) {
    to_local_ += encoded([](ByteWriter& out) { mqtt::encode_empty(PacketType::pingreq, out); });
    local_ping_due_ns_ = now_ns + local_keep_alive_ns_;
  }
  pump(now_ns);
}

void Conversation::set_writable(bool writable, int64_t now_ns) {
  writable_ = writable;
  if (writable && stage_ != Stage::ended) pump(now_ns);
}

void Conversation::to_remote(std::string_view packet, int64_t now_ns) {
  to_remote_ += packet;
  if (keep_alive_ns_ > 0 && !awaits_pong_) ping_due_ns_ = now_ns + keep_alive_ns_;
}

void Conversation::local_ack(PacketType type, PacketId id, Reason reason) {
  to_local_ += encoded([&](ByteWriter& out) { encode(type, Ack{id, reason, {}}, Version::v5, out); });
}

void Conversation::remote_ack(PacketType type, PacketId id, Reason reason) {
  to_remote_ += encoded([&](ByteWriter& out) { encode(type, Ack{id, reason, {}}, terms_.version, out); });
}

// Connecting.

void Conversation::start(int64_t now_ns) {
  stage_ = Stage::greeting;
  if (kind_ == Kind::prepare) return greet_local();
  deadline_ns_ = now_ns + kAnswerWithinNs;
  greet_remote(now_ns);
}

void Conversation::greet_remote(int64_t now_ns) {
  mqtt::Connect packet;
  packet.version = terms_.version;
  packet.clean_start = false;
  packet.keep_alive_s = terms_.keep_alive_s;
  packet.client_id = terms_.client_id;
  if (terms_.user) packet.user = *terms_.user;
  if (terms_.password) packet.password = *terms_.password;
  packet.properties.session_expiry_s = terms_.remote_expiry_s;
  packet.properties.receive_maximum = static_cast<uint16_t>(open_max());
  packet.properties.maximum_packet_size = less_growth(terms_.packet_bytes_max);
  std::string bytes = encoded([&](ByteWriter& out) { encode(packet, out); });
  constexpr size_t kNameBytes = 6;  // of the protocol, before its level
  const size_t at = 1 + mqtt::variable_size(static_cast<uint32_t>(bytes.size() - 2)) + kNameBytes;
  if (terms_.private_bit) bytes[at] = static_cast<char>(static_cast<uint8_t>(bytes[at]) | kPrivateBit);
  keep_alive_ns_ = terms_.keep_alive_s * kNsPerSecond;
  to_remote(bytes, now_ns);
}

void Conversation::take_connack(const Frame& frame, int64_t now_ns) {
  mqtt::Connack packet;
  if (const Fault fault = decode_connack(frame, terms_.version, packet)) return fail("the remote's CONNACK", fault);
  if (packet.code != 0) {
    if (!five() && packet.code == 1 && terms_.private_bit)
      return end("the remote does not take protocol = \"3.1.1-bridge\": say \"3.1.1\"");
    return end("the remote refuses the connection: " + hex(packet.code));
  }
  if (!agrees(packet)) return;
  deadline_ns_ = INT64_MAX;
  stage_ = Stage::relaying;
  if (packet.properties.server_keep_alive_s) {
    keep_alive_ns_ = *packet.properties.server_keep_alive_s * kNsPerSecond;
    ping_due_ns_ = keep_alive_ns_ > 0 ? now_ns + keep_alive_ns_ : INT64_MAX;
  }
  if (memory_.remote_known && !packet.session_present) note(Happening::session_lost);
  memory_.remote_known = true;
  resumed_ = packet.session_present;
  window_ = std::min<size_t>(packet.properties.receive_maximum.value_or(UINT16_MAX), kWindowMax);
  remote_packet_max_ = packet.properties.maximum_packet_size.value_or(UINT32_MAX);
  retains_ = packet.properties.retain_available.value_or(1) != 0;
  note(Happening::connected, "", packet.session_present ? "resumed" : "new");
  greet_local();
}

// False: it ended.
bool Conversation::agrees(const mqtt::Connack& packet) {
  const uint8_t most = packet.properties.maximum_qos.value_or(2);
  for (const Mapping& mapping : terms_.mappings)
    if (mapping.direction == Direction::out && mapping.qos > most) {
      end("the remote takes QoS " + std::to_string(most) + " at most: say so in the out mappings");
      return false;
    }
  return true;
}

void Conversation::greet_local() {
  wants_local_ = true;
  stage_ = Stage::relaying;
  const std::string id = local_client_id(terms_.name);
  mqtt::Connect packet;
  packet.clean_start = false;
  packet.client_id = id;
  packet.properties.session_expiry_s = UINT32_MAX;
  packet.properties.receive_maximum = static_cast<uint16_t>(kind_ == Kind::prepare ? 1 : window_);
  // Not the remote's Maximum Packet Size: what is larger is to come, and to be a dead letter, not to be dropped without a word.
  to_local_ += encoded([&](ByteWriter& out) { encode(packet, out); });
}

void Conversation::take_local_connack(const Frame& frame) {
  mqtt::Connack packet;
  if (const Fault fault = decode_connack(frame, Version::v5, packet)) return fail("the broker here", fault);
  if (packet.code != 0) return end("the broker here has no session for it: " + hex(packet.code));
  local_connected_ = true;
  if (packet.session_present && kind_ == Kind::prepare) memory_.remote_known = true;
  if (!packet.session_present) {  // what was known is of messages that are gone
    memory_.condemned.clear();
    memory_.suspect = 0;
    memory_.closes = 0;
    memory_.careful = 0;
  }
  if (packet.properties.server_keep_alive_s) {
    local_keep_alive_ns_ = *packet.properties.server_keep_alive_s * kNsPerSecond / 2;
    local_ping_due_ns_ = 0;
  }
  subscribe_here();
  if (kind_ == Kind::relay) subscribe_there();
}

void Conversation::subscribe_here() {
  mqtt::Unsubscribe stale;
  stale.id = kUnsubscribeId;
  const auto wanted = [&](std::string_view filter) {
    return std::any_of(terms_.mappings.begin(), terms_.mappings.end(), [&](const Mapping& mapping) {
      return mapping.direction == Direction::out && mapping.local_filter() == filter;
    });
  };
  for (const std::string& filter : known_filters_)
    if (!wanted(filter)) stale.filters.push_back(filter);
  if (!stale.filters.empty()) to_local_ += encoded([&](ByteWriter& out) { encode(stale, Version::v5, out); });
  mqtt::Subscribe packet;
  packet.id = kSubscribeId;
  std::deque<std::string> texts;  // that the packet views
  for (const Mapping& mapping : terms_.mappings)
    if (mapping.direction == Direction::out)
      packet.filters.push_back({texts.emplace_back(mapping.local_filter()), mapping.qos, true, true, 1});
  if (packet.filters.empty()) {
    prepared_ = true;
    if (kind_ == Kind::prepare) end("prepared");
    return;
  }
  to_local_ += encoded([&](ByteWriter& out) { encode(packet, Version::v5, out); });
}

void Conversation::take_local_suback(const Frame& frame) {
  mqtt::FilterAck packet;
  if (const Fault fault = decode_suback(frame, Version::v5, packet)) return fail("the broker here", fault);
  for (const uint8_t code : packet.codes)
    if (code >= 0x80) return end("the broker here refuses an out filter: " + hex(code));
  prepared_ = true;
  if (kind_ == Kind::prepare) end("prepared");
}

// No local: what went out does not come back. Retained ones come with a subscription that is new to the session (MQTT 5).
void Conversation::subscribe_there() {
  mqtt::Subscribe packet;
  packet.id = kSubscribeId;
  std::deque<std::string> texts;
  for (const Mapping& mapping : terms_.mappings) {
    if (mapping.direction != Direction::in) continue;
    mqtt::Filter filter;
    filter.filter = texts.emplace_back(mapping.remote_filter());
    filter.qos = mapping.qos;
    if (five()) {
      filter.no_local = true;
      filter.retain_as_published = true;
      filter.retain_handling = 1;
    }
    packet.filters.push_back(filter);
  }
  if (packet.filters.empty()) return;
  to_remote_ += encoded([&](ByteWriter& out) { encode(packet, terms_.version, out); });
}

void Conversation::take_suback(const Frame& frame) {
  mqtt::FilterAck packet;
  if (const Fault fault = decode_suback(frame, terms_.version, packet)) return fail("the remote's SUBACK", fault);
  size_t at = 0;
  for (const Mapping& mapping : terms_.mappings) {
    if (mapping.direction != Direction::in) continue;
    if (at < packet.codes.size() && packet.codes[at] >= 0x80)
      note(Happening::filter_refused, mapping.remote_filter(), hex(packet.codes[at]));
    ++at;
  }
}

// Packets.

void Conversation::from_remote(const Frame& frame, int64_t now_ns) {
  if (stage_ == Stage::ended) return;
  if (std::exchange(awaits_pong_, false)) ping_due_ns_ = now_ns + keep_alive_ns_;
  if (stage_ == Stage::greeting) {
    if (frame.type != PacketType::connack) return end("the remote answers CONNECT with something else");
    return take_connack(frame, now_ns);
  }
  switch (frame.type) {
    case PacketType::publish: return carry_in(frame);
    case PacketType::pubrel: {
      Ack packet;
      if (const Fault fault = decode_ack(frame, terms_.version, packet)) return fail("the remote's PUBREL", fault);
      if (absorbed_in_.erase(packet.id) > 0) return remote_ack(PacketType::pubcomp, packet.id);
      return local_ack(PacketType::pubrel, packet.id);
    }
    case PacketType::puback:
    case PacketType::pubrec:
    case PacketType::pubcomp: return take_remote_answer(frame, now_ns);
    case PacketType::suback: return take_suback(frame);
    case PacketType::pingresp: return;
    case PacketType::disconnect: {
      mqtt::Farewell packet;
      if (const Fault fault = decode_disconnect(frame, terms_.version, packet))
        return fail("the remote's DISCONNECT", fault);
      const Gone how = is_about_message(packet.reason) ? Gone::refused : Gone::otherwise;
      return remote_gone(how, "the remote disconnected: " + hex(packet.reason), now_ns);
    }
    default: return end("the remote sends what a server does not send");
  }
}

void Conversation::from_local(const Frame& frame, int64_t now_ns) {
  if (stage_ == Stage::ended) return;
  switch (frame.type) {
    case PacketType::connack: return take_local_connack(frame);
    case PacketType::suback: return take_local_suback(frame);
    case PacketType::publish: return kind_ == Kind::relay ? carry_out(frame, now_ns) : void();
    case PacketType::pubrel: {
      Ack packet;
      if (const Fault fault = decode_ack(frame, Version::v5, packet)) return fail("the broker here", fault);
      if (kind_ == Kind::relay) remote_ack(PacketType::pubrel, packet.id);
      return;
    }
    case PacketType::puback:
    case PacketType::pubrec:
    case PacketType::pubcomp: return take_local_answer(frame);
    case PacketType::disconnect: {
      mqtt::Farewell packet;
      const Fault fault = decode_disconnect(frame, Version::v5, packet);
      return end("the broker here disconnected: " + hex(fault ? fault.reason : packet.reason));
    }
    default: return;  // PINGRESP, UNSUBACK
  }
}

// Out.

bool Conversation::loops(const Properties& properties, size_t most) const {
  size_t count = 0;
  for (const mqtt::UserProperty& one : properties.user) {
    if (one.key != kVia) continue;
    if (one.value == terms_.via) return true;
    ++count;
  }
  return count > most;
}

// One of the queue's keeps its identifier; what is retained comes under another one with each connection.
uint64_t Conversation::key_of(const Publish& packet) {
  constexpr uint64_t kByContent = uint64_t{1} << 63;
  const uint64_t content = uint64_t{crc32c(as_bytes(packet.topic))} << 32 | crc32c(as_bytes(packet.payload));
  constexpr uint64_t kFolded = (uint64_t{1} << 47) - 1;
  return packet.id <= kQueueIds ? content % kFolded << 16 | packet.id : content | kByContent;
}

// The queue here may have it at a higher QoS than its mapping says: that was lowered, or another one has the topic, too.
std::string Conversation::packet_for_remote(const Publish& packet, const Mapped& as) const {
  Publish out;
  out.qos = std::min(packet.qos, as.qos);
  out.dup = packet.dup && out.qos > 0;
  out.retain = packet.retain && retains_;
  out.id = out.qos > 0 ? packet.id : 0;
  out.topic = as.topic;
  out.payload = packet.payload;
  out.properties = own_properties(packet.properties);
  out.properties.user.push_back({kVia, terms_.via});
  return encoded([&](ByteWriter& bytes) { encode(out, terms_.version, bytes); });
}

void Conversation::carry_out(const Frame& frame, int64_t now_ns) {
  Publish packet;
  if (const Fault fault = decode_publish(frame, Version::v5, packet)) return fail("the broker here", fault);
  Out out;
  out.order = ++last_order_;
  out.id = packet.id;
  out.qos = packet.qos;
  out.key = packet.qos > 0 ? key_of(packet) : 0;
  out.topic = packet.topic;
  if (loops(packet.properties, kViaMax - 1)) {
    ++memory_.tally.looped;
    return settle_here(out, Reason::success);
  }
  const auto as = mapped(terms_.mappings, Direction::out, packet.topic);
  if (!as) {
    unmapped(packet.topic);
    return settle_here(out, Reason::success);
  }
  out.remote_qos = std::min(packet.qos, as->qos);
  out.remote_topic = as->topic;
  out.packet = packet_for_remote(packet, *as);
  out.payload_bytes = packet.payload.size();
  waiting_bytes_ += out.packet.size();
  if (std::string why = why_not(out, packet); !why.empty()) return bury(std::move(out), std::move(why));
  queue_.push_back(std::move(out));
  pump(now_ns);
}

// Why it is a dead letter without being sent; empty: it is none.
std::string Conversation::why_not(const Out& out, const Publish& packet) const {
  if (out.packet.size() > remote_packet_max_) return hex(Reason::packet_too_large);
  if (five() && packet.properties.user.size() >= mqtt::kUserPropertiesLimit)
    return "there is no room for another user property";
  if (out.qos == 0) return {};
  // The connection ended before that was done: a remote may close it behind its refusal.
  const auto condemned = memory_.condemned.find(out.key);
  if (condemned != memory_.condemned.end()) return condemned->second;
  const bool closes = memory_.suspect == out.key && memory_.closes >= kClosesMax;
  return closes ? "the remote closed the connection at it three times" : "";
}

// The configuration was another one when it came into a queue, or the name is none on the other side.
void Conversation::unmapped(std::string_view topic) {
  ++memory_.tally.unmapped;
  note(Happening::refused, topic, "no mapping carries it");
}

// The session here need not send it again.
void Conversation::settle_here(const Out& out, Reason reason) {
  if (out.qos == 1) local_ack(PacketType::puback, out.id);
  // An error ends it without PUBREL.
  if (out.qos == 2) local_ack(PacketType::pubrec, out.id, is_error(reason) ? reason : Reason::unspecified);
}

void Conversation::pump(int64_t now_ns) {
  send_refused_again(now_ns);
  while (!queue_.empty() && may_send() && local_connected_) {
    const int64_t free_at_ns = memory_.bucket.free_at_ns();
    if (free_at_ns > now_ns) return;
    Out out = std::move(queue_.front());
    queue_.pop_front();
    out.sent_ns = now_ns;
    memory_.bucket.use(static_cast<int64_t>(out.packet.size()), terms_.messages_per_second, terms_.bytes_per_second,
                       now_ns);
    to_remote(out.packet, now_ns);
    ++memory_.tally.sent;
    if (out.remote_qos > 0) {
      flying_.insert_or_assign(out.id, std::move(out));
      continue;
    }
    done(out);
    settle_here(out, Reason::success);
  }
}

// Before anything newer, when all that was sent behind it has its answer.
void Conversation::send_refused_again(int64_t now_ns) {
  if (refused_.empty() || !flying_.empty() || now_ns < hold_until_ns_) return;
  for (auto at = refused_.rbegin(); at != refused_.rend(); ++at) {
    Out& out = at->second;
    out.packet[0] = static_cast<char>(static_cast<uint8_t>(out.packet[0]) & ~kDup);
    queue_.push_front(std::move(out));
  }
  refused_.clear();
}

void Conversation::take_remote_answer(const Frame& frame, int64_t now_ns) {
  Ack packet;
  if (const Fault fault = decode_ack(frame, terms_.version, packet)) return fail("the remote's acknowledgement", fault);
  if (frame.type == PacketType::pubcomp) return released(packet);
  const auto found = flying_.find(packet.id);
  if (found == flying_.end()) {
    // Of a message of an earlier conversation.
    if (frame.type == PacketType::pubrec) local_ack(PacketType::pubrec, packet.id, packet.reason);
    return;
  }
  const bool fits = (frame.type == PacketType::puback) == (found->second.remote_qos == 1);
  if (!fits) return end("the remote acknowledges what was not so sent");
  Out out = std::move(found->second);
  flying_.erase(found);
  answered(std::move(out), packet.reason, frame.type, now_ns);
  pump(now_ns);
}

// The remote does not know a message that it had in this conversation, or whose session it lost: nobody knows whether it went on. One of
// an earlier conversation may be released already.
void Conversation::released(const Ack& pubcomp) {
  const bool known = unreleased_.erase(pubcomp.id) > 0;
  if (is_error(pubcomp.reason) && (known || !resumed_)) {
    ++memory_.tally.unsure;
    note(Happening::session_lost, "", hex(pubcomp.reason) + " to PUBREL");
  }
  local_ack(PacketType::pubcomp, pubcomp.id);
}

// The remote did not close because of it.
void Conversation::acquit(uint64_t key) {
  if (key != memory_.suspect) return;
  memory_.suspect = 0;
  memory_.closes = 0;
}

void Conversation::answered(Out out, Reason reason, PacketType type, int64_t now_ns) {
  if (memory_.careful > 0) --memory_.careful;
  acquit(out.key);
  if (reason == Reason::quota_exceeded) {
    hold_until_ns_ = now_ns + hold_ns_;
    hold_ns_ = std::min(2 * hold_ns_, kHoldMostNs);
    const uint64_t order = out.order;
    refused_.emplace(order, std::move(out));
    return;
  }
  if (is_error(reason)) return bury(std::move(out), hex(reason));
  hold_ns_ = kHoldFirstNs;
  ++memory_.tally.acknowledged;
  done(out);
  if (out.remote_qos != out.qos) return settle_here(out, Reason::success);
  if (type == PacketType::pubrec) unreleased_.insert(out.id);
  local_ack(type, out.id);
}

// A message here says what became of it; when that is synced the session here is told that it is done.
void Conversation::bury(Out out, std::string why) {
  if (out.qos > 0) memory_.condemned[out.key] = why;
  note(Happening::dead_letter, out.topic, why);
  letters_.push_back({std::move(out), std::move(why)});
  send_letters();
}

// The broker here lets a client send so many ahead of their acknowledgements, those from the remote included.
void Conversation::send_letters() {
  const auto may = [&] {
    return letters_open_ < letters_max() && open_in_ + letters_open_ < terms_.receive_maximum && !ended();
  };
  while (!letters_.empty() && may()) {
    to_local_ += letter_of(letters_.front());
    expected_.push_back({kLetterId, 1, std::move(letters_.front().out)});
    letters_.pop_front();
    ++letters_open_;
  }
}

// What is too long for a packet here is cut: first the payload, then the topics.
std::string Conversation::letter_of(const Letter& letter) const {
  constexpr size_t kLengthGrowth = 3;
  const std::string topic = dead_letter_topic(terms_.name);
  Publish packet;
  packet.qos = 1;
  packet.id = kLetterId;
  packet.topic = topic;
  packet.payload = letter.out.payload();
  packet.properties.user = {
      {"topic", letter.out.topic}, {"remote_topic", letter.out.remote_topic}, {"reason", letter.why}};
  const auto bytes = [&] { return encoded([&](ByteWriter& out) { encode(packet, Version::v5, out); }); };
  const size_t most = terms_.packet_bytes_max;
  std::string whole = bytes();
  if (whole.size() <= most) return whole;
  packet.properties.user.push_back({"cut", "true"});
  packet.payload = {};
  const auto head = [&] { return bytes().size() + kLengthGrowth; };
  while (head() > most && packet.properties.user.size() > 2)
    packet.properties.user.erase(packet.properties.user.end() - 3);
  packet.payload = letter.out.payload().substr(0, most - std::min(most, head()));
  return bytes();
}

// A refusal that would come again does not hold up what is behind it.
void Conversation::buried(const Out& out, Reason reason) {
  --letters_open_;
  if (is_error(reason) && !is_about_message(reason))
    return end("the broker here does not take a dead letter: " + hex(reason));
  if (is_error(reason)) {
    ++memory_.tally.refused;
    note(Happening::refused, dead_letter_topic(terms_.name), hex(reason));
  } else {
    ++memory_.tally.dead_letters;
  }
  memory_.condemned.erase(out.key);
  acquit(out.key);
  done(out);
  settle_here(out, Reason::unspecified);
}

// In.

// Not carried: the remote is told that it is done.
void Conversation::absorb_in(const Publish& packet, Reason reason) {
  const Reason said = five() ? reason : Reason::success;
  if (packet.qos == 1) return remote_ack(PacketType::puback, packet.id, said);
  if (packet.qos != 2) return;
  remote_ack(PacketType::pubrec, packet.id, said);
  if (!is_error(said)) absorbed_in_.insert(packet.id);
}

// Not for here, for good: told on both sides. (PUBACK and PUBREC have few reasons.)
void Conversation::refuse_in(const Publish& packet, Reason reason, std::string_view why) {
  ++memory_.tally.refused;
  note(Happening::refused, packet.topic, why);
  absorb_in(packet, reason);
}

// Topic, QoS and identifier of a PUBLISH of which the rest may be missing or wrong.
std::optional<Publish> Conversation::head_of(const Frame& frame) {
  Publish packet;
  packet.qos = frame.flags >> 1 & 3;
  ByteReader in(frame.body);
  const auto topic_bytes = in.be<uint16_t>();
  const std::string_view topic = as_text(in.take(topic_bytes));
  if (packet.qos > 0) packet.id = in.be<uint16_t>();
  if (in.failed() || packet.qos > 2 || (packet.qos > 0 && packet.id == 0)) return std::nullopt;
  if (valid_text(topic)) packet.topic = topic;  // else it cannot be told
  return packet;
}

Conversation::PassedOver Conversation::pass_over(Bytes beginning) {
  Frame frame;
  const bool large = mqtt::read_frame(beginning, 0, frame).reason == Reason::packet_too_large;
  if (stage_ != Stage::relaying || !large || frame.type != PacketType::publish) {
    end("the remote sends a packet that is too large");
    return {};
  }
  size_t head = 2;
  while ((static_cast<uint8_t>(beginning[head - 1]) & 0x80) != 0) ++head;
  frame.body = beginning.subspan(head);
  const auto packet = head_of(frame);
  if (packet) {
    refuse_in(*packet, Reason::unspecified, hex(Reason::packet_too_large));
    return {frame.needed, 0};
  }
  ByteReader in(frame.body);
  const auto topic_bytes = in.be<uint16_t>();
  const size_t needed = head + 2 * sizeof(uint16_t) + (in.failed() ? 0 : topic_bytes);
  if (needed > beginning.size() && needed <= std::min<size_t>(terms_.packet_bytes_max, frame.needed))
    return {0, needed};
  end("the remote sends a packet that is too large");
  return {};
}

void Conversation::carry_in(const Frame& frame) {
  Publish packet;
  if (const Fault fault = decode_publish(frame, terms_.version, packet)) {
    const auto head = head_of(frame);
    if (!head) return fail("the remote's PUBLISH", fault);
    return refuse_in(*head, Reason::unspecified, fault.why);
  }
  if (packet.properties.topic_alias) return end("the remote uses a topic alias, which it was not offered");
  if (loops(packet.properties, kViaMax)) {
    ++memory_.tally.looped;
    return absorb_in(packet, Reason::success);
  }
  const auto as = mapped(terms_.mappings, Direction::in, packet.topic);
  if (!as) {
    unmapped(packet.topic);
    return absorb_in(packet, Reason::success);
  }
  if (is_servers(as->topic)) return refuse_in(packet, Reason::not_authorised, "the topic is the server's own");
  Publish in = packet;
  in.topic = as->topic;
  in.properties = own_properties(packet.properties);
  const std::string bytes = encoded([&](ByteWriter& out) { encode(in, Version::v5, out); });
  // It grew on its way.
  if (bytes.size() > terms_.packet_bytes_max)
    return refuse_in(packet, Reason::unspecified, hex(Reason::packet_too_large));
  to_local_ += bytes;
  ++memory_.tally.received;
  if (packet.qos == 0) return;
  expected_.push_back({packet.id, packet.qos, std::nullopt});
  if (packet.qos == 1 || open_qos2_.insert(packet.id).second) ++open_in_;
}

void Conversation::take_local_answer(const Frame& frame) {
  Ack packet;
  if (const Fault fault = decode_ack(frame, Version::v5, packet)) return fail("the broker here", fault);
  if (frame.type == PacketType::pubcomp) {
    if (open_qos2_.erase(packet.id) > 0) --open_in_;
    send_letters();
    return remote_ack(PacketType::pubcomp, packet.id);
  }
  if (expected_.empty()) return end("the broker here acknowledges what it was not sent");
  const Expected first = std::move(expected_.front());
  expected_.pop_front();
  if (first.letter) {
    buried(*first.letter, packet.reason);
    return send_letters();
  }
  if (packet.reason == Reason::quota_exceeded) return end("the broker here has no room for a message now");
  const bool refused = is_error(packet.reason);
  if (first.qos == 1 || (refused && open_qos2_.erase(first.id) > 0)) --open_in_;
  if (refused) {
    ++memory_.tally.refused;
    note(Happening::refused, "", hex(packet.reason));
  }
  send_letters();
  const Reason said = refused && five() ? packet.reason : Reason::success;
  remote_ack(frame.type, first.id, said);
  if (refused && !five() && first.qos == 2) absorbed_in_.insert(first.id);
}

}  // namespace heptane::iot::bridge
