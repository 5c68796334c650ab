#include "modules/fintech/domain/fix/outbound.h"

#include <algorithm>

#include "modules/fintech/domain/fix/tags.h"

namespace heptane::fix {

namespace {

Envelope envelope_of(const Peers& peers, uint64_t number, int64_t now_ns) {
  Envelope envelope;
  envelope.begin_string = peers.begin_string;
  envelope.sender_comp_id = peers.sender_comp_id;
  envelope.target_comp_id = peers.target_comp_id;
  envelope.number = number;
  envelope.sending_time_ns = now_ns;
  envelope.timestamp_digits = peers.timestamp_digits;
  return envelope;
}

// In place of `number` and what follows it, up to `next`.
void fill_gap(const Peers& peers, uint64_t number, uint64_t next, int64_t now_ns, std::string& out) {
  std::string body;
  add_field(body, kNewSeqNo, static_cast<int64_t>(next));
  add_field(body, kGapFillFlag, "Y");
  Envelope envelope = envelope_of(peers, number, now_ns);
  envelope.original_time_ns = now_ns;
  encode(out, envelope, {"4", {}, body});
}

}  // namespace

bool is_administrative(std::string_view type) {
  return type.size() == 1 && ((type[0] >= '0' && type[0] <= '5') || type[0] == 'A');
}

void send_next(const Peers& peers, MessageStore& store, const Draft& draft, int64_t now_ns, std::string& out) {
  encode(out, envelope_of(peers, store.next_number(), now_ns), draft);
  store.append(draft, is_administrative(draft.type), now_ns);
}

void Resend::add(const MessageStore& store, uint64_t begin, uint64_t end) {
  const uint64_t behind = end == 0 ? store.next_number() : std::min(end, store.next_number() - 1) + 1;
  begin = std::max<uint64_t>(begin, 1);
  if (begin >= behind) return;
  next_ = is_pending() ? std::min(next_, begin) : begin;
  behind_ = std::max(behind_, behind);
}

void Resend::send(const Peers& peers, const MessageStore& store, int64_t now_ns, size_t bytes_max, std::string& out) {
  for (; is_pending() && out.size() < bytes_max; ++next_) {
    const uint64_t kept = std::min(store.first_kept(next_), behind_);
    if (kept > next_) fill_gap(peers, next_, kept, now_ns, out);
    next_ = kept;
    if (next_ == behind_) break;
    const Sent sent = store.read(next_);
    Envelope envelope = envelope_of(peers, next_, now_ns);
    envelope.original_time_ns = sent.sending_time_ns;
    encode(out, envelope, sent.draft);
  }
  if (!is_pending()) clear();
}

}  // namespace heptane::fix
