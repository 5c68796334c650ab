#include "modules/iot/machine/record_notes.h"

#include <algorithm>
#include <map>

namespace heptane::iot {

namespace {

constexpr uint8_t kAllInMessages = 0;
constexpr uint8_t kStatuses = 1;
constexpr uint8_t kWillInMessages = 2;
constexpr uint8_t kSets = 16;
constexpr uint8_t kWillInViews = 17;

constexpr uint64_t kNowhere = 0;
constexpr uint64_t kInMessages = 1;
constexpr uint64_t kFirstSet = 2;

constexpr size_t kVarintBytes = 3;  // of the numbers here, at most
constexpr size_t kMarginBytes = 64;

using Views = std::vector<uint16_t>;

Views views_of(const Targets& targets) {
  Views views;
  for (const Target& target : targets) views.push_back(target.view);
  return views;
}

void write_views(ByteWriter& out, const Views& views) {
  out.varint(views.size());
  for (const uint16_t view : views) out.varint(view);
}

Views read_views(ByteReader& in) {
  const uint64_t count = in.varint();
  Views views;
  if (!in.fits(count, 1)) in.fail();
  for (uint64_t i = 0; i < count && !in.failed(); ++i) views.push_back(static_cast<uint16_t>(in.varint()));
  return views;
}

bool has_view(const Views& views, uint16_t view) { return std::find(views.begin(), views.end(), view) != views.end(); }

std::vector<std::byte> note_of_statuses(const std::vector<PublishStatus>& statuses) {
  std::vector<std::byte> note{std::byte{kAllInMessages}};
  if (std::all_of(statuses.begin(), statuses.end(), became_a_record)) return note;
  note[0] = std::byte{kStatuses};
  for (const PublishStatus status : statuses)
    note.push_back(static_cast<std::byte>(became_a_record(status) ? PublishStatus::kept : status));
  return note;
}

}  // namespace

std::vector<std::byte> note_of(const std::vector<PublishStatus>& statuses, const std::vector<Targets>& targets) {
  std::vector<Views> sets;
  std::map<Views, uint64_t> known;
  std::vector<uint64_t> placed;
  for (size_t i = 0; i < targets.size(); ++i) {
    const bool kept = became_a_record(statuses[i]);
    placed.push_back(kept ? kInMessages : kNowhere);
    if (!kept || targets[i].empty()) continue;
    Views views = views_of(targets[i]);
    const auto [at, made] = known.emplace(views, kFirstSet + sets.size());
    if (made) sets.push_back(std::move(views));
    placed.back() = at->second;
  }
  if (sets.empty()) return note_of_statuses(statuses);
  ByteWriter out;
  out.u8(kSets);
  out.varint(sets.size());
  for (const Views& views : sets) write_views(out, views);
  for (const uint64_t place : placed) out.varint(place);
  return out.release();
}

size_t note_bytes_max(size_t messages, const std::vector<Targets>& targets) {
  if (targets.empty()) return messages + kMarginBytes;  // for ever: a command is refused above it
  size_t bytes = kMarginBytes + messages * kVarintBytes;
  for (const Targets& one : targets) bytes += one.empty() ? 0 : (1 + one.size()) * kVarintBytes;
  return bytes;
}

void append_note_of_will(ByteWriter& out, const Targets& targets, Bytes message) {
  out.u8(targets.empty() ? kWillInMessages : kWillInViews);
  if (!targets.empty()) write_views(out, views_of(targets));
  out.append(message);
}

PublishNote::PublishNote(Bytes note) {
  ByteReader in(note);
  const uint8_t form = note.empty() ? kAllInMessages : in.u8();
  all_ = form == kAllInMessages;
  if (form == kSets) read_sets(in);
  if (form != kStatuses) return;
  while (in.remaining() > 0)
    placed_.push_back(in.u8() == static_cast<uint8_t>(PublishStatus::kept) ? kInMessages : kNowhere);
}

void PublishNote::read_sets(ByteReader& in) {
  const uint64_t count = in.varint();
  if (!in.fits(count, 1)) return;
  for (uint64_t i = 0; i < count && !in.failed(); ++i) sets_.push_back(read_views(in));
  while (in.remaining() > 0 && !in.failed()) placed_.push_back(in.varint());
}

bool PublishNote::has(size_t message, uint16_t view) const {
  const bool is_messages = view == kMessagesView.number;
  if (all_) return is_messages;
  const uint64_t place = message < placed_.size() ? placed_[message] : kNowhere;
  if (place < kFirstSet) return is_messages && place == kInMessages;
  return place - kFirstSet < sets_.size() && has_view(sets_[place - kFirstSet], view);
}

std::optional<WillNote> read_note_of_will(Bytes note) {
  ByteReader in(note);
  WillNote read;
  const uint8_t form = in.u8();
  if (form != kWillInMessages && form != kWillInViews) return std::nullopt;
  read.views = form == kWillInViews ? read_views(in) : Views{kMessagesView.number};
  read.message = read_message(in);
  return in.complete() ? std::optional(std::move(read)) : std::nullopt;
}

}  // namespace heptane::iot
