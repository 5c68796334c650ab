#include "modules/iot/machine/devices/shadows.h"

#include <utility>

#include "kernel/base/assert.h"

namespace heptane::iot::devices {

namespace {

// Beyond what a shadow can be: its leaves' times come to its text.
constexpr size_t kStoredLimitBytes = size_t{256} << 10;
constexpr size_t kKeyLimitBytes = kNameLimitBytes + 1 + kShadowNameBytesMax;

Shadow shadow_of(std::string_view bytes) {
  ByteReader in(as_bytes(bytes));
  Shadow shadow = read_shadow(in);
  HEPTANE_ASSERT(in.complete(), "a shadow is kept as it was written");
  return shadow;
}

}  // namespace

std::string Shadows::key_of(std::string_view thing, std::string_view name) {
  std::string key(thing);
  key += '/';
  key += name;
  return key;
}

Shadow Shadows::find(std::string_view thing, std::string_view name) const {
  const auto found = shadows_.find(key_of(thing, name));
  return found == shadows_.end() ? Shadow() : shadow_of(found->second.bytes);
}

bool Shadows::has(std::string_view thing, std::string_view name) const {
  return shadows_.find(key_of(thing, name)) != shadows_.end();
}

size_t Shadows::count(std::string_view thing) const {
  const std::string prefix = key_of(thing, "");
  size_t count = 0;
  for (auto at = shadows_.lower_bound(prefix); at != shadows_.end() && at->first.starts_with(prefix); ++at) ++count;
  return count;
}

std::vector<std::string> Shadows::names(std::string_view thing) const {
  const std::string prefix = key_of(thing, "");
  std::vector<std::string> names;
  for (auto at = shadows_.lower_bound(prefix); at != shadows_.end() && at->first.starts_with(prefix); ++at)
    if (!shadow_of(at->second.bytes).deleted) names.push_back(at->first.substr(prefix.size()));
  return names;
}

TimerId Shadows::put(std::string_view thing, std::string_view name, const Shadow& shadow, TimerId timer) {
  const auto [at, made] = shadows_.try_emplace(key_of(thing, name));
  if (made)
    bytes_ += kEntryBytes + at->first.size();
  else
    bytes_ -= at->second.bytes.size();
  ByteWriter out;
  append_shadow(out, shadow);
  at->second.bytes = as_text(out.view());
  bytes_ += at->second.bytes.size();
  return std::exchange(at->second.timer, timer);
}

void Shadows::erase(Map::iterator at) {
  bytes_ -= kEntryBytes + at->first.size() + at->second.bytes.size();
  shadows_.erase(at);
}

void Shadows::forget(std::string_view thing, std::string_view name) {
  const auto found = shadows_.find(key_of(thing, name));
  if (found != shadows_.end()) erase(found);
}

std::vector<TimerId> Shadows::forget_all(std::string_view thing) {
  const std::string prefix = key_of(thing, "");
  std::vector<TimerId> timers;
  for (auto at = shadows_.lower_bound(prefix); at != shadows_.end() && at->first.starts_with(prefix);) {
    if (at->second.timer != 0) timers.push_back(at->second.timer);
    erase(at++);
  }
  return timers;
}

void Shadows::save(SnapshotWriter& writer) const {
  writer.le<uint64_t>(shadows_.size());
  for (const auto& [key, entry] : shadows_) {
    writer.text(key);
    writer.text(entry.bytes);
    writer.le<TimerId>(entry.timer);
  }
}

Result<void> Shadows::restore(SnapshotReader& reader) {
  *this = {};
  const auto count = reader.le<uint64_t>();
  for (uint64_t i = 0; i < count && !reader.failed(); ++i) {
    const std::string key = reader.text(kKeyLimitBytes);
    Entry entry;
    entry.bytes = reader.text(kStoredLimitBytes);
    entry.timer = reader.le<TimerId>();
    ByteReader in(as_bytes(entry.bytes));
    read_shadow(in);
    if (!in.complete()) reader.fail();
    bytes_ += kEntryBytes + key.size() + entry.bytes.size();
    shadows_.emplace_hint(shadows_.end(), key, std::move(entry));
  }
  if (reader.failed()) return Error{Errc::corrupt, "the shadows of things are cut off"};
  return {};
}

}  // namespace heptane::iot::devices
