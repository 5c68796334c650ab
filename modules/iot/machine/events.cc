#include "modules/iot/machine/events.h"

#include <algorithm>

#include "modules/iot/domain/topics/topics.h"
#include "modules/iot/machine/json_object.h"
#include "modules/iot/machine/session_api.h"
#include "modules/iot/machine/texts.h"

namespace heptane::iot {

namespace {

enum class EventKind : uint8_t { gap = 1, subscribed = 2, group_gap = 3 };

// What a reason is called stays for ever.
std::string_view name_of(Loss reason) {
  switch (reason) {
    case Loss::drop_oldest: return "drop_oldest";
    case Loss::drop_newest: return "drop_newest";
    case Loss::references_full: return "references_full";
    case Loss::numbers_full: return "numbers_full";
    case Loss::trimmed: return "trimmed";
    case Loss::message_expired: return "message_expired";
    case Loss::session_expired: return "session_expired";
    case Loss::session_discarded: return "session_discarded";
    case Loss::session_ended: return "session_ended";
    case Loss::not_allowed: return "not_allowed";
    case Loss::group_ended: return "group_ended";
    case Loss::member_gone: return "member_gone";
  }
  return "unknown";
}

// It never got a number: what is told is the one that the next message got.
bool never_queued(Loss reason) {
  return reason == Loss::drop_newest || reason == Loss::references_full || reason == Loss::numbers_full;
}

void put(std::string_view client, JsonObject& object, RecordWriter& out) {
  out.add({as_bytes(client), true, as_bytes(object.end())});
}

void name_session(JsonObject& object, uint64_t session, std::string_view client, bool group) {
  object.wide("session", session);
  const auto shared = group ? parse_shared(client) : std::nullopt;
  if (!shared) return object.text("client", client);
  object.text("group", shared->group);
  object.text("filter", shared->filter);
}

void render_gap(ByteReader& note, bool group, RecordWriter& out) {
  const auto reason = static_cast<Loss>(note.u8());
  const uint64_t session = note.varint();
  const uint64_t count = note.varint();
  const uint64_t first = note.varint();
  const uint64_t last = note.varint();
  const std::string_view client = get_text(note);
  if (note.failed()) return;
  if (!out.wants()) return out.skip();
  JsonObject object("gap");
  name_session(object, session, client, group);
  object.text("reason", name_of(reason));
  if (never_queued(reason)) {
    object.wide("before", first);
  } else {
    object.wide("first", first);
    object.wide("last", last);
  }
  object.number("count", static_cast<int64_t>(count));
  put(client, object, out);
}

// A record for each filter that was taken. Such commands are in no transaction.
void render_subscribed(ByteReader& note, const Command& command, RecordWriter& out) {
  const uint64_t session = note.varint();
  const std::string_view client = get_text(note);
  const auto change = decode_change_filters(command.payload);
  if (note.failed() || !change) return;
  for (uint64_t left = note.varint(); left > 0 && !note.failed(); --left) {
    const uint64_t place = note.varint();
    if (place >= change->wishes.size() || out.full()) return;
    const ChangeFilters::Wish& wish = change->wishes[place];
    if (!out.wants()) {
      out.skip();
      continue;
    }
    JsonObject object("subscribed");
    name_session(object, session, client, false);
    object.text("filter", wish.filter);
    object.number("qos", wish.subscription.qos);
    put(client, object, out);
  }
}

}  // namespace

bool is_note_of_events(Bytes note) { return !note.empty() && note[0] == std::byte{kNoteOfEvents}; }

void EventNote::begin(bool told) {
  told_ = told;
  limit_ = kBytesMax;
  bytes_ = 0;
  gaps_.clear();
  known_.clear();
  subscribed_.clear();
}

void EventNote::lost(const KeptSession& session, const LostReference& what) {
  lost(session, what.reason, what.number, what.number, 1);
}

void EventNote::lost(const KeptSession& session, Loss reason, uint64_t first, uint64_t last, uint64_t count) {
  if (!told_) return;
  const auto [at, fresh] = known_.emplace(std::pair(session.number, reason), gaps_.size());
  if (fresh) {
    gaps_.push_back({session.number, reason, session.group, first, last, 0, session.client});
    bytes_ += kGapBytesMax - kClientLimitBytes + session.client.size();
  }
  Gap& gap = gaps_[at->second];
  gap.first = std::min(gap.first, first);
  gap.last = std::max(gap.last, last);
  gap.count += count;
}

void EventNote::subscribed(const KeptSession& session, std::vector<uint32_t> taken) {
  if (told_) subscribed_.push_back({session.number, session.client, std::move(taken)});
}

uint32_t EventNote::records() const {
  size_t count = gaps_.size();
  for (const Subscribed& one : subscribed_) count += one.taken.size();
  return static_cast<uint32_t>(count);
}

std::vector<std::byte> EventNote::finish() const {
  ByteWriter out;
  out.u8(kNoteOfEvents);
  for (const Gap& gap : gaps_) {
    out.u8(static_cast<uint8_t>(gap.group ? EventKind::group_gap : EventKind::gap));
    out.u8(static_cast<uint8_t>(gap.reason));
    out.varint(gap.session);
    out.varint(gap.count);
    out.varint(gap.first);
    out.varint(gap.last);
    put_text(out, gap.client);
  }
  for (const Subscribed& one : subscribed_) {
    out.u8(static_cast<uint8_t>(EventKind::subscribed));
    out.varint(one.session);
    put_text(out, one.client);
    out.varint(one.taken.size());
    for (const uint32_t place : one.taken) out.varint(place);
  }
  return out.release();
}

void render_events(const LoggedCommand& logged, RecordWriter& out) {
  for (const Bytes whole : logged.results) {
    if (!is_note_of_events(whole)) continue;
    ByteReader note(whole);
    note.skip(1);
    while (note.remaining() > 0 && !note.failed() && !out.full()) {
      const auto kind = static_cast<EventKind>(note.u8());
      if (kind == EventKind::subscribed)
        render_subscribed(note, logged.command, out);
      else
        render_gap(note, kind == EventKind::group_gap, out);
    }
  }
}

}  // namespace heptane::iot
