#include "modules/fintech/machine/exchange/fix_sessions.h"

#include <algorithm>

#include "kernel/base/assert.h"
#include "kernel/shard/views.h"
#include "modules/fintech/domain/fix/encode.h"
#include "modules/fintech/domain/fix/tags.h"

namespace heptane::fintech::exchange {

namespace {

constexpr size_t kSessionRowBytesMax = size_t{8} << 10;
constexpr uint64_t kRouteBytes = 112;
constexpr uint64_t kSessionBytes = 1'024;

template <class Row>
bool read_row(SnapshotReader& reader, Row& row) {
  const std::string bytes = reader.text(kSessionRowBytesMax);
  auto read = unpacked<Row>(as_bytes(bytes));
  if (read) row = std::move(*read);
  return read.has_value();
}

}  // namespace

std::string_view fix_role_name(FixRole role) {
  static constexpr std::string_view kNames[] = {"orders", "drop_copy", "market_data"};
  return kNames[static_cast<size_t>(role)];
}

std::string_view fix_day_name(uint8_t day) {
  static constexpr std::string_view kNames[] = {"monday", "tuesday",  "wednesday", "thursday",
                                                "friday", "saturday", "sunday",    ""};
  return kNames[std::min(day, kFixEveryDay)];
}

std::string_view fix_cancel_name(FixCancel cancel) {
  if (cancel == FixCancel::never) return "never";
  return cancel == FixCancel::on_disconnect ? "on_disconnect" : "on_disconnect_and_logout";
}

FixSession* FixSessions::find(const std::string& name) {
  const auto found = names_.find(name);
  return found == names_.end() ? nullptr : &at(found->second);
}

FixSession& FixSessions::add(const FixSpec& spec, uint32_t firm) {
  FixSession& session = sessions_.emplace_back();
  session.number = static_cast<uint32_t>(sessions_.size());
  session.spec = spec;
  session.firm = firm;
  names_.emplace(spec.name, session.number);
  if (spec.role == FixRole::drop_copy) drops_[firm].push_back(session.number);
  return session;
}

void FixSessions::change(FixSession& session, const FixSpec& spec) { session.spec = spec; }

const std::vector<uint32_t>& FixSessions::drops(uint32_t firm) const {
  static const std::vector<uint32_t> kNone;
  const auto found = drops_.find(firm);
  return found == drops_.end() ? kNone : found->second;
}

void FixSessions::route(uint64_t order, uint32_t session) {
  routes_.insert_or_assign(order, session);
  orders_.emplace(session, order);
}

void FixSessions::unroute(uint64_t order) {
  const auto found = routes_.find(order);
  if (found == routes_.end()) return;
  orders_.erase({found->second, order});
  routes_.erase(found);
}

FixSession* FixSessions::session_of(uint64_t order) {
  const auto found = routes_.find(order);
  return found == routes_.end() ? nullptr : &at(found->second);
}

std::optional<FixMassCancel> FixSessions::take_mass(uint64_t sweep) {
  auto node = masses_.extract(sweep);
  if (node.empty()) return std::nullopt;
  return std::move(node.mapped());
}

void FixSessions::begin(LogTime now) {
  now_ = now;
  asked_.reset();
  requester_ = 0;
  set_cause({}, 0);
  said_.clear();
  notes_.clear();
}

void FixSessions::say(FixSession& session, std::string_view type, std::string_view header, std::string_view body) {
  std::string text;
  text.reserve(header.size() + body.size() + 64);
  fix::add_field(text, fix::kMsgType, type);
  fix::add_field(text, fix::kMsgSeqNum, static_cast<int64_t>(session.next_out));
  fix::add_timestamp(text, fix::kSendingTime, now_, session.spec.timestamp_precision);
  text += header;
  text += body;
  HEPTANE_ASSERT(text.size() <= UINT16_MAX, "a message of what was not judged");
  notes_.u8(0);
  notes_.u8(static_cast<uint8_t>(sizeof(uint16_t) + session.spec.name.size()));
  notes_.le(static_cast<uint16_t>(session.number));
  notes_.append(session.spec.name);
  notes_.le(static_cast<uint16_t>(text.size()));
  notes_.append(text);
  ++said_[session.number];
  ++session.next_out;
}

void FixSessions::reset(FixSession& session, uint64_t next_in, uint64_t next_out) {
  session.base = session.next_offset();
  session.first = session.next_out = next_out;
  session.next_in = next_in;
}

uint64_t FixSessions::memory_bytes() const { return routes_.size() * kRouteBytes + sessions_.size() * kSessionBytes; }

void FixSessions::save(SnapshotWriter& writer) const {
  writer.le(static_cast<uint32_t>(sessions_.size()));
  for (const FixSession& session : sessions_) writer.blob(packed(session).view());
  writer.le(static_cast<uint32_t>(masses_.size()));
  for (const auto& [sweep, asked] : masses_) {
    writer.le(sweep);
    writer.blob(packed(asked).view());
  }
  writer.le(static_cast<uint64_t>(routes_.size()));
  for (const auto& [order, session] : routes_) {
    writer.le(order);
    writer.le(session);
  }
}

Result<void> FixSessions::restore(SnapshotReader& reader) {
  *this = FixSessions();
  for (auto rows = reader.le<uint32_t>(); rows > 0 && !reader.failed(); --rows) {
    FixSession read;
    if (!read_row(reader, read) || names_.contains(read.spec.name)) {
      reader.fail();
      break;
    }
    FixSession& session = add(read.spec, read.firm);
    read.number = session.number;
    session = read;
  }
  for (auto rows = reader.le<uint32_t>(); rows > 0 && !reader.failed(); --rows) {
    const auto sweep = reader.le<uint64_t>();
    if (!read_row(reader, masses_[sweep])) reader.fail();
  }
  for (auto rows = reader.le<uint64_t>(); rows > 0 && !reader.failed(); --rows) {
    const auto order = reader.le<uint64_t>();
    const auto session = reader.le<uint32_t>();
    if (session == 0 || session > sessions_.size()) reader.fail();
    route(order, session);
  }
  if (reader.failed()) return Error{Errc::corrupt, "the exchange's FIX sessions do not read back"};
  return {};
}

void render_fix(const LoggedCommand& logged, uint16_t view, RecordWriter& out) {
  for (const Bytes& note : logged.results) {
    ByteReader in(note);
    while (in.remaining() > 0 && !in.failed() && !out.full()) {
      const uint8_t kind = in.u8();
      const Bytes key = in.take(in.u8());
      const Bytes value = in.take(in.le<uint16_t>());
      if (in.failed() || kind != 0 || key.size() < sizeof(uint16_t) ||
          kFixViews + load_le<uint16_t>(key.data()) != view)
        continue;
      if (out.wants())
        out.add({key.subspan(sizeof(uint16_t)), true, value});
      else
        out.skip();
    }
  }
}

}  // namespace heptane::fintech::exchange
