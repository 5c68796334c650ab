#include "modules/iot/machine/operator_api.h"

#include "modules/iot/machine/texts.h"

namespace heptane::iot {

namespace {

constexpr uint8_t kConnected = 1;
constexpr uint8_t kHasWill = 2;

}  // namespace

Buffer encode(const PurgeSession& purge) {
  ByteWriter out;
  out.u8(purge.with_will ? 1 : 0);
  put_text(out, purge.client);
  return Buffer::take(out.release());
}

std::optional<PurgeSession> decode_purge_session(Bytes payload) {
  ByteReader in(payload);
  PurgeSession purge;
  purge.with_will = in.u8() != 0;
  purge.client = get_text(in);
  if (!in.complete()) return std::nullopt;
  return purge;
}

void append_row(ByteWriter& out, const SessionRow& row) {
  out.le<uint64_t>(row.number);
  put_text(out, row.client);
  put_text(out, row.owner);
  out.u8(static_cast<uint8_t>((row.connected ? kConnected : 0) | (row.will ? kHasWill : 0)));
  out.le<uint32_t>(row.expiry_s);
  out.le<LogTime>(row.ended);
  out.le<uint32_t>(row.subscriptions);
  out.le<uint64_t>(row.queued);
  out.le<uint32_t>(row.queue_max);
  out.le<uint64_t>(row.lost);
}

SessionRow read_row(ByteReader& in) {
  SessionRow row;
  row.number = in.le<uint64_t>();
  row.client = get_text(in);
  row.owner = get_text(in);
  const uint8_t flags = in.u8();
  row.connected = (flags & kConnected) != 0;
  row.will = (flags & kHasWill) != 0;
  row.expiry_s = in.le<uint32_t>();
  row.ended = in.le<LogTime>();
  row.subscriptions = in.le<uint32_t>();
  row.queued = in.le<uint64_t>();
  row.queue_max = in.le<uint32_t>();
  row.lost = in.le<uint64_t>();
  return row;
}

Result<std::vector<SessionRow>> decode_rows(Bytes payload) {
  ByteReader in(payload);
  std::vector<SessionRow> rows;
  while (in.remaining() > 0 && !in.failed()) rows.push_back(read_row(in));
  if (!in.complete()) return Error{Errc::corrupt, "a page of sessions is cut off"};
  return rows;
}

Buffer encode_sessions_query(uint64_t after, uint16_t max) {
  ByteWriter out;
  out.le<uint64_t>(after);
  out.le<uint16_t>(max);
  return Buffer::take(out.release());
}

Buffer encode_sessions_of(const std::vector<uint64_t>& numbers) {
  ByteWriter out;
  for (const uint64_t number : numbers) out.le<uint64_t>(number);
  return Buffer::take(out.release());
}

void append_subscription(ByteWriter& out, std::string_view filter, const KeptSubscription& subscription) {
  put_text(out, filter);
  out.le<uint32_t>(subscription.id);
  out.u8(subscription.qos);
  out.u8(subscription.no_local ? 1 : 0);
  out.u8(subscription.retain_as_published ? 1 : 0);
}

Result<SessionDetails> decode_session_details(Bytes payload) {
  ByteReader in(payload);
  SessionDetails details;
  details.row = read_row(in);
  while (in.remaining() > 0 && !in.failed()) {
    SessionSubscription one;
    one.filter = get_text(in);
    one.subscription.id = in.le<uint32_t>();
    one.subscription.qos = in.u8();
    one.subscription.no_local = in.u8() != 0;
    one.subscription.retain_as_published = in.u8() != 0;
    details.subscriptions.push_back(one);
  }
  if (!in.complete()) return Error{Errc::corrupt, "what is known of a session is cut off"};
  return details;
}

}  // namespace heptane::iot
