#include "modules/data/machine/consumer_offsets/api.h"

#include <cstring>
#include <limits>

#include "kernel/base/assert.h"

namespace heptane::data::offsets {

namespace {

constexpr size_t kOffsetBytesMin = 2 + 16 + 4 + 8 + 4 + 2;

Error malformed() { return Error{Errc::invalid_argument, "malformed command or query of consumer offsets"}; }

void put_text(ByteWriter& out, std::string_view text) {
  HEPTANE_ASSERT(text.size() <= std::numeric_limits<uint16_t>::max(), "names are checked before they become a command");
  out.le(static_cast<uint16_t>(text.size()));
  out.append(text);
}

std::string_view get_text(ByteReader& reader) { return as_text(reader.take(reader.le<uint16_t>())); }

void put_offsets(ByteWriter& out, const std::vector<CommittedOffset>& offsets) {
  out.le(static_cast<uint32_t>(offsets.size()));
  for (const CommittedOffset& offset : offsets) {
    put_text(out, offset.topic);
    out.append(offset.uuid);
    out.le(offset.partition);
    out.le(offset.offset);
    out.le(offset.leader_epoch);
    put_text(out, offset.metadata);
  }
}

bool get_offsets(ByteReader& reader, std::vector<CommittedOffset>& offsets) {
  const auto count = reader.le<uint32_t>();
  if (reader.failed() || !reader.fits(count, kOffsetBytesMin)) return false;
  offsets.resize(count);
  for (CommittedOffset& offset : offsets) {
    offset.topic = get_text(reader);
    const Bytes uuid = reader.take(offset.uuid.size());
    if (!reader.failed()) std::memcpy(offset.uuid.data(), uuid.data(), uuid.size());
    offset.partition = reader.le<uint32_t>();
    offset.offset = reader.le<int64_t>();
    offset.leader_epoch = reader.le<int32_t>();
    offset.metadata = get_text(reader);
  }
  return reader.complete();
}

Buffer encode_one(std::string_view text) {
  ByteWriter out;
  put_text(out, text);
  return Buffer::take(out.release());
}

}  // namespace

Buffer encode(const Commit& commit) {
  ByteWriter out;
  put_text(out, commit.group);
  put_offsets(out, commit.offsets);
  return Buffer::take(out.release());
}

Buffer encode(const DeleteGroup& target) { return encode_one(target.group); }
Buffer encode(const ListGroupsQuery& query) { return encode_one(query.after); }

Buffer encode(const FetchQuery& query) {
  ByteWriter out;
  put_text(out, query.group);
  put_text(out, query.after_topic);
  out.le(query.after_partition);
  return Buffer::take(out.release());
}

Buffer encode(const std::vector<CommittedOffset>& offsets) {
  ByteWriter out;
  put_offsets(out, offsets);
  return Buffer::take(out.release());
}

Buffer encode(const std::vector<std::string_view>& groups) {
  ByteWriter out;
  out.le(static_cast<uint32_t>(groups.size()));
  for (const std::string_view group : groups) put_text(out, group);
  return Buffer::take(out.release());
}

Result<Commit> decode_commit(Bytes payload) {
  ByteReader reader(payload);
  Commit commit;
  commit.group = get_text(reader);
  if (!get_offsets(reader, commit.offsets)) return malformed();
  return commit;
}

Result<DeleteGroup> decode_delete_group(Bytes payload) {
  ByteReader reader(payload);
  DeleteGroup target{get_text(reader)};
  if (!reader.complete()) return malformed();
  return target;
}

Result<ListGroupsQuery> decode_list_groups_query(Bytes payload) {
  ByteReader reader(payload);
  ListGroupsQuery query{get_text(reader)};
  if (!reader.complete()) return malformed();
  return query;
}

Result<FetchQuery> decode_fetch_query(Bytes payload) {
  ByteReader reader(payload);
  FetchQuery query;
  query.group = get_text(reader);
  query.after_topic = get_text(reader);
  query.after_partition = reader.le<uint32_t>();
  if (!reader.complete()) return malformed();
  return query;
}

Result<std::vector<CommittedOffset>> decode_offsets(Bytes payload) {
  ByteReader reader(payload);
  std::vector<CommittedOffset> offsets;
  if (!get_offsets(reader, offsets)) return malformed();
  return offsets;
}

Result<std::vector<std::string_view>> decode_groups(Bytes payload) {
  ByteReader reader(payload);
  const auto count = reader.le<uint32_t>();
  if (reader.failed() || !reader.fits(count, 2)) return malformed();
  std::vector<std::string_view> groups(count);
  for (std::string_view& group : groups) group = get_text(reader);
  if (!reader.complete()) return malformed();
  return groups;
}

}  // namespace heptane::data::offsets
