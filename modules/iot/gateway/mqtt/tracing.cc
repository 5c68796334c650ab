#include "modules/iot/gateway/mqtt/tracing.h"

#include <algorithm>

#include "modules/iot/domain/topics/topics.h"

namespace heptane::iot::mqtt {

namespace {

// Cut where a character begins.
std::string get_text(ByteReader& in, PacketFacts& facts) {
  const std::string_view text = as_text(in.take(in.be<uint16_t>()));
  if (text.size() <= kTopicLimitBytes) return std::string(text);
  facts.cut = true;
  size_t end = kTopicLimitBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return std::string(text.substr(0, end));
}

void skip_properties(ByteReader& in, Version version) {
  if (version != Version::v5) return;
  uint32_t bytes = 0;
  if (!read_variable(in, bytes)) return in.fail();
  in.take(bytes);
}

void look_at_publish(ByteReader& in, Version version, size_t body_bytes, PacketFacts& facts) {
  const size_t before = in.remaining();
  facts.topics.push_back(get_text(in, facts));
  if ((facts.flags & 6) != 0) facts.id = in.be<uint16_t>();
  skip_properties(in, version);
  const size_t head_bytes = before - in.remaining();
  if (!in.failed() && head_bytes <= body_bytes) facts.payload_bytes = body_bytes - head_bytes;
}

void look_at_filters(ByteReader& in, Version version, PacketFacts& facts) {
  facts.id = in.be<uint16_t>();
  skip_properties(in, version);
  while (in.remaining() > 0 && !in.failed() && facts.topics.size() < PacketFacts::kTopicsMax) {
    facts.topics.push_back(get_text(in, facts));
    if (facts.type == PacketType::subscribe) in.u8();
  }
}

void look_at_ack(ByteReader& in, PacketFacts& facts) {
  facts.id = in.be<uint16_t>();
  if (in.remaining() > 0) facts.reason = in.u8();
}

void look_at_body(ByteReader& in, Version version, size_t body_bytes, PacketFacts& facts) {
  switch (facts.type) {
    case PacketType::publish: return look_at_publish(in, version, body_bytes, facts);
    case PacketType::puback:
    case PacketType::pubrec:
    case PacketType::pubrel:
    case PacketType::pubcomp: return look_at_ack(in, facts);
    case PacketType::subscribe:
    case PacketType::unsubscribe: return look_at_filters(in, version, facts);
    case PacketType::suback:
      facts.id = in.be<uint16_t>();
      skip_properties(in, version);
      if (in.remaining() > 0) facts.reason = in.u8();  // of the first filter
      return;
    case PacketType::unsuback: facts.id = in.be<uint16_t>(); return;
    case PacketType::connack:
      in.u8();
      facts.reason = in.u8();
      return;
    case PacketType::disconnect:
    case PacketType::auth:
      if (in.remaining() > 0) facts.reason = in.u8();
      return;
    default: return;
  }
}

}  // namespace

std::optional<PacketFacts> look_at(Bytes input, Version version) {
  ByteReader in(input);
  PacketFacts facts;
  const uint8_t first = in.u8();
  facts.type = static_cast<PacketType>(first >> 4);
  facts.flags = first & 15;
  uint32_t body_bytes = 0;
  if (in.failed() || !read_variable(in, body_bytes)) return std::nullopt;
  facts.bytes = input.size() - in.remaining() + body_bytes;
  ByteReader body(in.take(std::min<size_t>(body_bytes, in.remaining())));
  look_at_body(body, version, body_bytes, facts);
  return facts;
}

std::string_view name_of(PacketType type) {
  static constexpr std::string_view kNames[] = {
      "RESERVED",  "CONNECT", "CONNACK",     "PUBLISH",  "PUBACK",  "PUBREC",   "PUBREL",     "PUBCOMP",
      "SUBSCRIBE", "SUBACK",  "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"};
  return kNames[static_cast<size_t>(type)];
}

// One client's trace.

std::vector<Trace::Row> Trace::take(uint64_t& missed) {
  missed = std::exchange(missed_, 0);
  bytes_ = 0;
  return std::exchange(rows_, {});
}

void Trace::add(Row row) {
  size_t bytes = sizeof(Row) + row.closed.size();
  for (const std::string& topic : row.packet.topics) bytes += sizeof(std::string) + topic.size();
  if (rows_.size() >= kRowsMax || bytes_ + bytes > kBytesMax) {
    ++missed_;
    return;
  }
  bytes_ += bytes;
  rows_.push_back(std::move(row));
}

bool Trace::watches(SessionId session) const {
  return session == entered_ || std::find(connecting_.begin(), connecting_.end(), session) != connecting_.end();
}

std::shared_ptr<Trace> Traces::begin(std::string client, SessionId session) {
  forget_done();
  if (traces_.size() >= kTracesMax) return nullptr;
  auto trace = std::make_shared<Trace>(std::move(client));
  trace->entered_ = session;
  traces_.push_back(trace);
  return trace;
}

void Traces::forget_done() {
  std::erase_if(traces_, [](const std::weak_ptr<Trace>& trace) { return trace.expired(); });
}

void Traces::connecting(std::string_view client, SessionId session) {
  for (const std::weak_ptr<Trace>& weak : traces_) {
    const std::shared_ptr<Trace> trace = weak.lock();
    if (trace == nullptr || trace->client() != client) continue;
    if (trace->connecting_.size() >= Trace::kConnectingMax) trace->connecting_.erase(trace->connecting_.begin());
    trace->connecting_.push_back(session);
  }
}

void Traces::entered(std::string_view client, SessionId session) {
  for (const std::weak_ptr<Trace>& weak : traces_) {
    const std::shared_ptr<Trace> trace = weak.lock();
    if (trace == nullptr || trace->client() != client) continue;
    std::erase(trace->connecting_, session);
    trace->entered_ = session;
  }
}

void Traces::packets(SessionId session, bool out, Bytes bytes, Version version, int64_t utc_ns) {
  forget_done();
  for (const std::weak_ptr<Trace>& weak : traces_) {
    const std::shared_ptr<Trace> trace = weak.lock();
    if (!trace->watches(session)) continue;
    for (Bytes rest = bytes; !rest.empty();) {
      auto facts = look_at(rest, version);
      if (!facts) break;
      rest = rest.subspan(std::min(rest.size(), facts->bytes));
      trace->add({utc_ns, out, std::move(*facts), {}});
    }
  }
}

void Traces::closed(SessionId session, std::string_view why, int64_t utc_ns) {
  for (const std::weak_ptr<Trace>& weak : traces_) {
    const std::shared_ptr<Trace> trace = weak.lock();
    if (trace == nullptr || !trace->watches(session)) continue;
    trace->add({utc_ns, true, {}, std::string(why)});
    std::erase(trace->connecting_, session);
    if (trace->entered_ == session) trace->entered_ = 0;
  }
}

// Errors.

void LastErrors::note(std::string_view client, std::string_view text, int64_t utc_ns) {
  auto found = entries_.find(client);
  if (found == entries_.end()) {
    if (entries_.size() >= kErrorsMax) {
      entries_.erase(order_.front());
      order_.pop_front();
    }
    found = entries_.emplace(std::string(client), Entry{}).first;
    order_.emplace_back(client);
  }
  found->second = {utc_ns, std::string(text)};
}

const LastErrors::Entry* LastErrors::find(std::string_view client) const {
  const auto found = entries_.find(client);
  return found == entries_.end() ? nullptr : &found->second;
}

}  // namespace heptane::iot::mqtt
