#include "modules/data/machine/consumer_offsets/consumer_offsets.h"

#include <algorithm>

namespace heptane::data::offsets {

namespace {

constexpr size_t kRemovalsLimit = 10'000;                      // in one command: apply() is bounded
constexpr LogTime kExpiryIntervalNs = 3600LL * 1'000'000'000;  // at most one timer an hour
constexpr LogTime kExpiryAgainNs = 1'000'000;                  // after a full command
constexpr size_t kPageBytes = size_t{256} << 10;               // of a query's answer
constexpr uint64_t kBytesPerEntry = 256;

void refuse(Reply& reply, Errc code, const char* why) {
  reply.error = code;
  reply.message = why;
}

}  // namespace

void ConsumerOffsets::apply(const Command& command, Effects& effects) {
  switch (command.type) {
    case kCommit: return commit(command, effects);
    case kDeleteGroup: return delete_group(command, effects);
    case kExpire: return expire(command, effects);
    default: return effects.refuse(Errc::unsupported, 0, "consumer offsets have no such command");
  }
}

// Why not, or null.
const char* ConsumerOffsets::check(const Commit& commit) const {
  if (commit.group.empty() || commit.group.size() > kGroupLimitBytes) return "a group's name has 1 to 255 bytes";
  if (commit.offsets.size() > kCommitLimit) return "one command commits at most 10,000 offsets";
  for (const CommittedOffset& offset : commit.offsets) {
    if (offset.topic.empty() || offset.topic.size() > kTopicLimitBytes) return "a topic's name has 1 to 249 bytes";
    if (offset.metadata.size() > kMetadataLimitBytes) return "metadata has at most 4096 bytes";
    if (offset.offset < 0) return "an offset is not negative";
  }
  return nullptr;
}

// Counts what would be new; keys named twice count twice.
bool ConsumerOffsets::has_room_for(const Commit& commit) const {
  const auto group = groups_.find(commit.group);
  size_t fresh = 0;
  uint64_t bytes = 0;
  for (const CommittedOffset& offset : commit.offsets) {
    bytes += offset.metadata.size();
    if (group != groups_.end() && group->second.contains({std::string(offset.topic), offset.partition})) continue;
    ++fresh;
    bytes += commit.group.size() + offset.topic.size();
  }
  return size() + fresh <= kEntriesLimit && text_bytes_ + bytes <= kTextLimitBytes;
}

void ConsumerOffsets::commit(const Command& command, Effects& effects) {
  const Result<Commit> commit = decode_commit(command.payload);
  if (!commit) return effects.refuse(commit.error().code, 0, commit.error().message);
  if (const char* why = check(*commit)) return effects.refuse(Errc::invalid_argument, 0, why);
  if (!has_room_for(*commit)) return effects.refuse(Errc::overloaded, 0, "there are too many committed offsets");
  undoable([this, age = next_age_, timer = timer_] {
    next_age_ = age;
    timer_ = timer;
  });
  const std::string group(commit->group);
  for (const CommittedOffset& offset : commit->offsets)
    put_undoable(
        group, {std::string(offset.topic), offset.partition},
        {offset.uuid, offset.offset, offset.leader_epoch, command.time, next_age_++, std::string(offset.metadata)});
  if (timer_ == 0 && size() > 0) arm(command.time + kRetentionNs, effects);
  effects.reply(static_cast<int64_t>(commit->offsets.size()));
}

void ConsumerOffsets::delete_group(const Command& command, Effects& effects) {
  const Result<DeleteGroup> target = decode_delete_group(command.payload);
  if (!target) return effects.refuse(target.error().code, 0, target.error().message);
  const auto found = groups_.find(target->group);
  if (found == groups_.end()) return effects.refuse(Errc::not_found, 0, "there is no such group");
  const std::string group = found->first;
  size_t left = found->second.size();
  int64_t deleted = 0;
  while (left > 0 && deleted < static_cast<int64_t>(kRemovalsLimit)) {
    erase_undoable(group, groups_.find(group)->second.begin()->first);
    --left;
    ++deleted;
  }
  effects.reply(deleted, static_cast<int64_t>(left));
}

void ConsumerOffsets::expire(const Command& command, Effects& effects) {
  undoable([this, timer = timer_] { timer_ = timer; });
  if (timer_ != 0) effects.cancel(timer_);  // it has fired, unless somebody else sent the command
  timer_ = 0;
  int64_t forgotten = 0;
  const auto oldest = [&] {
    return groups_.find(*by_age_.begin()->second.group)->second.at(*by_age_.begin()->second.key).committed;
  };
  while (!by_age_.empty() && forgotten < static_cast<int64_t>(kRemovalsLimit) &&
         oldest() + kRetentionNs <= command.time) {
    const Place place = by_age_.begin()->second;
    erase_undoable(std::string(*place.group), Key(*place.key));
    ++forgotten;
  }
  if (!by_age_.empty()) {
    const LogTime due = oldest() + kRetentionNs;
    arm(due <= command.time ? command.time + kExpiryAgainNs : std::max(due, command.time + kExpiryIntervalNs), effects);
  }
  effects.reply(forgotten);
}

void ConsumerOffsets::arm(LogTime due, Effects& effects) { timer_ = effects.arm(due, kExpire, {}); }

// Changes, by two functions that are each other's undoing.

void ConsumerOffsets::put(const std::string& group, const Key& key, Entry entry) {
  const auto in = groups_.try_emplace(group).first;
  const auto [at, fresh] = in->second.try_emplace(key);
  if (fresh) {
    text_bytes_ += group.size() + key.first.size();
  } else {
    by_age_.erase(at->second.age);
    text_bytes_ -= at->second.metadata.size();
  }
  text_bytes_ += entry.metadata.size();
  by_age_[entry.age] = {&in->first, &at->first};
  at->second = std::move(entry);
}

void ConsumerOffsets::erase(const std::string& group, const Key& key) {
  const auto in = groups_.find(group);
  const auto at = in->second.find(key);
  by_age_.erase(at->second.age);
  text_bytes_ -= group.size() + key.first.size() + at->second.metadata.size();
  in->second.erase(at);
  if (in->second.empty()) groups_.erase(in);
}

void ConsumerOffsets::undoable(std::function<void()> undo) {
  if (!scopes_.empty()) undo_.push_back(std::move(undo));
}

void ConsumerOffsets::put_undoable(const std::string& group, const Key& key, Entry entry) {
  if (!scopes_.empty()) {
    const auto in = groups_.find(group);
    const bool known = in != groups_.end() && in->second.contains(key);
    if (known)
      undoable([this, group, key, before = in->second.at(key)] { put(group, key, before); });
    else
      undoable([this, group, key] { erase(group, key); });
  }
  put(group, key, std::move(entry));
}

void ConsumerOffsets::erase_undoable(const std::string& group, const Key& key) {
  if (!scopes_.empty())
    undoable([this, group, key, before = groups_.find(group)->second.at(key)] { put(group, key, before); });
  erase(group, key);
}

void ConsumerOffsets::close_scope(ScopeOutcome outcome) {
  const size_t mark = scopes_.back();
  scopes_.pop_back();
  if (outcome == ScopeOutcome::roll_back)
    for (; undo_.size() > mark; undo_.pop_back()) undo_.back()();
  if (scopes_.empty()) undo_.clear();
}

// Queries.

void ConsumerOffsets::query(const Query& query, Reply& reply) const {
  switch (query.type) {
    case kFetch: return query_fetch(query, reply);
    case kListGroups: return query_groups(query, reply);
    case kGroupSize: return query_size(query, reply);
    default: return refuse(reply, Errc::unsupported, "consumer offsets have no such query");
  }
}

void ConsumerOffsets::query_fetch(const Query& query, Reply& reply) const {
  const Result<FetchQuery> asked = decode_fetch_query(query.payload);
  if (!asked) return refuse(reply, asked.error().code, "malformed query");
  std::vector<CommittedOffset> offsets;
  size_t bytes = 0;
  if (const auto group = groups_.find(asked->group); group != groups_.end()) {
    auto at = asked->after_topic.empty()
                  ? group->second.begin()
                  : group->second.upper_bound({std::string(asked->after_topic), asked->after_partition});
    for (; at != group->second.end() && bytes < kPageBytes; ++at) {
      const auto& [key, entry] = *at;
      offsets.push_back({key.first, entry.uuid, key.second, entry.offset, entry.leader_epoch, entry.metadata});
      bytes += 64 + key.first.size() + entry.metadata.size();
    }
    reply.numbers[0] = at != group->second.end() ? 1 : 0;
  }
  reply.payload = encode(offsets);
}

void ConsumerOffsets::query_groups(const Query& query, Reply& reply) const {
  const Result<ListGroupsQuery> asked = decode_list_groups_query(query.payload);
  if (!asked) return refuse(reply, asked.error().code, "malformed query");
  std::vector<std::string_view> names;
  size_t bytes = 0;
  auto at = groups_.upper_bound(asked->after);
  for (; at != groups_.end() && bytes < kPageBytes; ++at) {
    names.push_back(at->first);
    bytes += 16 + at->first.size();
  }
  reply.numbers[0] = at != groups_.end() ? 1 : 0;
  reply.payload = encode(names);
}

void ConsumerOffsets::query_size(const Query& query, Reply& reply) const {
  const Result<DeleteGroup> asked = decode_delete_group(query.payload);
  if (!asked) return refuse(reply, asked.error().code, "malformed query");
  const auto group = groups_.find(asked->group);
  reply.numbers[0] = group == groups_.end() ? 0 : static_cast<int64_t>(group->second.size());
}

// Memory, snapshots.

uint64_t ConsumerOffsets::memory_bytes() const { return size() * kBytesPerEntry + text_bytes_; }

void ConsumerOffsets::save(SnapshotWriter& writer) const {
  writer.le<uint64_t>(next_age_);
  writer.le<uint64_t>(timer_);
  writer.le<uint64_t>(groups_.size());
  for (const auto& [name, group] : groups_) {
    writer.text(name);
    writer.le<uint64_t>(group.size());
    for (const auto& [key, entry] : group) {
      writer.text(key.first);
      writer.le<uint32_t>(key.second);
      writer.write(entry.uuid);
      writer.le<int64_t>(entry.offset);
      writer.le<int32_t>(entry.leader_epoch);
      writer.le<int64_t>(entry.committed);
      writer.le<uint64_t>(entry.age);
      writer.text(entry.metadata);
    }
  }
}

Result<void> ConsumerOffsets::restore(SnapshotReader& reader) {
  groups_.clear();
  by_age_.clear();
  text_bytes_ = 0;
  next_age_ = reader.le<uint64_t>();
  timer_ = reader.le<uint64_t>();
  for (auto groups = reader.le<uint64_t>(); groups > 0 && !reader.failed(); --groups) {
    const std::string name = reader.text(kGroupLimitBytes);
    for (auto entries = reader.le<uint64_t>(); entries > 0 && !reader.failed(); --entries) {
      Key key;
      key.first = reader.text(kTopicLimitBytes);
      key.second = reader.le<uint32_t>();
      Entry entry;
      if (!reader.read(entry.uuid)) reader.fail();
      entry.offset = reader.le<int64_t>();
      entry.leader_epoch = reader.le<int32_t>();
      entry.committed = reader.le<int64_t>();
      entry.age = reader.le<uint64_t>();
      entry.metadata = reader.text(kMetadataLimitBytes);
      if (!reader.failed()) put(name, key, std::move(entry));
    }
  }
  if (reader.failed()) return Error{Errc::corrupt, "the snapshot's consumer offsets do not read back"};
  return {};
}

}  // namespace heptane::data::offsets
