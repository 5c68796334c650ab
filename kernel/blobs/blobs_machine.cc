#include "kernel/blobs/blobs_machine.h"

#include <algorithm>
#include <limits>

#include "kernel/base/assert.h"

namespace heptane::blobs {

namespace {

constexpr uint64_t kBytesPerEntry = 128;

void refuse(Reply& reply, Errc code, std::string why) {
  reply.error = code;
  reply.message = std::move(why);
}

std::string no_blob(const BlobDigest& digest) { return "there is no blob " + digest_text(digest); }

}  // namespace

void BlobsMachine::apply(const Command& command, Effects& effects) {
  switch (command.type) {
    case kPutBlob: return put(command, effects);
    case kDropBlob: return drop(command, effects);
    default: return effects.refuse(Errc::unsupported, 0, "blobs have no such command");
  }
}

void BlobsMachine::put(const Command& command, Effects& effects) {
  const Result<Blob> blob = decode_blob(command.payload);
  if (!blob) return effects.refuse(blob.error().code, 0, blob.error().message);
  const auto found = entries_.find(blob->digest);
  Entry entry{blob->bytes, 0, false, command.time};
  if (found != entries_.end()) {
    entry = found->second;
    if (entry.bytes != blob->bytes)
      return effects.refuse(Errc::invalid_argument, 0, "this blob is " + std::to_string(entry.bytes) + " bytes long");
    if (entry.kept) return effects.unchanged(static_cast<int64_t>(info(blob->digest, entry).references), entry.created);
  } else if (entries_.size() >= kBlobsLimit) {
    return effects.refuse(Errc::overloaded, 0, "there are 1048576 blobs already: delete some");
  }
  entry.kept = true;
  set(blob->digest, entry);
  effects.reply(static_cast<int64_t>(info(blob->digest, entry).references), entry.created);
}

void BlobsMachine::drop(const Command& command, Effects& effects) {
  const Result<BlobDigest> digest = decode_digest(command.payload);
  if (!digest) return effects.refuse(digest.error().code, 0, digest.error().message);
  const auto found = entries_.find(*digest);
  if (found == entries_.end()) return effects.refuse(Errc::not_found, 0, no_blob(*digest));
  if (!found->second.kept)
    return effects.refuse(Errc::refused, 0, "machines still refer to this blob: it goes when they do not");
  Entry entry = found->second;
  entry.kept = false;
  set(*digest, entry);
  effects.reply(entry.machines);
}

bool BlobsMachine::reference(const BlobDigest& digest) {
  const auto found = entries_.find(digest);
  if (found == entries_.end() || found->second.machines == std::numeric_limits<uint32_t>::max()) return false;
  Entry entry = found->second;
  ++entry.machines;
  set(digest, entry);
  return true;
}

void BlobsMachine::release(const BlobDigest& digest) {
  const auto found = entries_.find(digest);
  HEPTANE_ASSERT(found != entries_.end() && found->second.machines > 0, "a machine releases what it refers to");
  Entry entry = found->second;
  --entry.machines;
  set(digest, entry);
}

void BlobsMachine::set(const BlobDigest& digest, const Entry& entry) {
  if (!scopes_.empty()) {
    const auto before = entries_.find(digest);
    undo_.emplace_back(digest, before == entries_.end() ? Entry{} : before->second);
  }
  if (entry.kept || entry.machines > 0) {
    entries_[digest] = entry;
    return;
  }
  entries_.erase(digest);
  if (watching_) unnamed_.push_back(digest);
}

void BlobsMachine::close_scope(ScopeOutcome outcome) {
  const size_t mark = scopes_.back();
  scopes_.pop_back();
  if (outcome == ScopeOutcome::roll_back) {
    std::vector<size_t> outer = std::exchange(scopes_, {});  // what is undone is not to be undone again
    for (; undo_.size() > mark; undo_.pop_back()) set(undo_.back().first, undo_.back().second);
    scopes_ = std::move(outer);
  }
  if (scopes_.empty()) undo_.clear();
}

// Queries.

void BlobsMachine::query(const Query& query, Reply& reply) const {
  switch (query.type) {
    case kFindBlob: return query_find(query, reply);
    case kListBlobs: return query_list(query, reply);
    default: return refuse(reply, Errc::unsupported, "blobs have no such query");
  }
}

BlobInfo BlobsMachine::info(const BlobDigest& digest, const Entry& entry) {
  return {digest, entry.bytes, uint64_t{entry.machines} + (entry.kept ? 1 : 0), entry.created};
}

void BlobsMachine::query_find(const Query& query, Reply& reply) const {
  const Result<BlobDigest> digest = decode_digest(query.payload);
  if (!digest) return refuse(reply, digest.error().code, digest.error().message);
  const auto found = entries_.find(*digest);
  if (found == entries_.end()) return refuse(reply, Errc::not_found, no_blob(*digest));
  reply.payload = encode(std::vector<BlobInfo>{info(*digest, found->second)});
}

void BlobsMachine::query_list(const Query& query, Reply& reply) const {
  const Result<ListBlobs> list = decode_list_blobs(query.payload);
  if (!list) return refuse(reply, list.error().code, list.error().message);
  std::vector<BlobInfo> infos;
  auto at = list->after ? entries_.upper_bound(*list->after) : entries_.begin();
  for (; at != entries_.end() && infos.size() < list->limit; ++at) infos.push_back(info(at->first, at->second));
  reply.numbers[0] = static_cast<int64_t>(entries_.size());
  reply.payload = encode(infos);
}

std::vector<BlobInfo> BlobsMachine::all() const {
  std::vector<BlobInfo> infos;
  for (const auto& [digest, entry] : entries_) infos.push_back(info(digest, entry));
  return infos;
}

// Memory, snapshots.

uint64_t BlobsMachine::memory_bytes() const { return entries_.size() * kBytesPerEntry; }

void BlobsMachine::save(SnapshotWriter& writer) const {
  writer.le<uint64_t>(entries_.size());
  for (const auto& [digest, entry] : entries_) {
    writer.write(digest);
    writer.le<uint64_t>(entry.bytes);
    writer.le<uint32_t>(entry.machines);
    writer.le<uint8_t>(entry.kept ? 1 : 0);
    writer.le<int64_t>(entry.created);
  }
}

Result<void> BlobsMachine::restore(SnapshotReader& reader) {
  entries_.clear();
  for (auto count = reader.le<uint64_t>(); count > 0 && !reader.failed(); --count) {
    BlobDigest digest{};
    if (!reader.read(digest)) reader.fail();
    Entry entry;
    entry.bytes = reader.le<uint64_t>();
    entry.machines = reader.le<uint32_t>();
    entry.kept = reader.le<uint8_t>() != 0;
    entry.created = reader.le<int64_t>();
    if (!reader.failed()) entries_[digest] = entry;
  }
  if (reader.failed()) return Error{Errc::corrupt, "the snapshot's blobs do not read back"};
  return {};
}

}  // namespace heptane::blobs
