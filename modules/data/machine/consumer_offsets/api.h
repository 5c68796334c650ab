// Commands and queries of the consumer offsets machine: how far groups of consumers have read. Payloads are little-endian;
// encoders and decoders live beside the structs, so that gateways never see bytes.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/shard/state_machine.h"

namespace heptane::data::offsets {

constexpr MachineId kMachineId = machine_ids::kFirstModule + 0;

constexpr size_t kGroupLimitBytes = 255;
constexpr size_t kTopicLimitBytes = 249;
constexpr size_t kMetadataLimitBytes = 4096;
constexpr size_t kCommitLimit = 10'000;             // offsets in one command
constexpr size_t kCommitLimitBytes = 1 << 20;       // of one command's metadata
constexpr size_t kEntriesLimit = 500'000;           // offsets kept
constexpr uint64_t kTextLimitBytes = 128ULL << 20;  // of their keys and metadata
constexpr int64_t kRetentionNs = 7LL * 24 * 3600 * 1'000'000'000;

enum OffsetsCommand : CommandType {
  kCommit = 1,  // payload Commit; reply numbers: offsets kept. Refused: invalid_argument, overloaded (too many)
  kDeleteGroup =
      2,        // payload DeleteGroup; reply numbers: offsets deleted, offsets left (the command is then repeated).
                // Refused: not_found
  kExpire = 3,  // the machine's own timer: forgets what was committed 7 days ago
};

// A topic is its name and its uuid: offsets of a deleted topic are not those of a new one of that name.
struct CommittedOffset {
  std::string_view topic;
  std::array<std::byte, 16> uuid{};
  uint32_t partition = 0;
  Offset offset = 0;
  int32_t leader_epoch = -1;
  std::string_view metadata;
};
struct Commit {
  std::string_view group;
  std::vector<CommittedOffset> offsets;
};
struct DeleteGroup {
  std::string_view group;
};

enum OffsetsQuery : uint16_t {
  kFetch = 1,  // payload FetchQuery; reply payload: CommittedOffsets in order of topic and partition; numbers: 1 when
               // there are more, which are asked for with the last one
  kListGroups = 2,  // payload ListGroupsQuery; reply payload: names in order; numbers: 1 when there are more
  kGroupSize = 3,   // payload DeleteGroup; reply numbers: offsets of the group
};
struct FetchQuery {
  std::string_view group;
  std::string_view after_topic;  // empty: from the beginning
  uint32_t after_partition = 0;
};
struct ListGroupsQuery {
  std::string_view after;
};

Buffer encode(const Commit& commit);
Buffer encode(const DeleteGroup& target);
Buffer encode(const FetchQuery& query);
Buffer encode(const ListGroupsQuery& query);
Buffer encode(const std::vector<CommittedOffset>& offsets);
Buffer encode(const std::vector<std::string_view>& groups);
Result<Commit> decode_commit(Bytes payload);
Result<DeleteGroup> decode_delete_group(Bytes payload);
Result<FetchQuery> decode_fetch_query(Bytes payload);
Result<ListGroupsQuery> decode_list_groups_query(Bytes payload);
Result<std::vector<CommittedOffset>> decode_offsets(Bytes payload);  // views into the payload
Result<std::vector<std::string_view>> decode_groups(Bytes payload);

}  // namespace heptane::data::offsets
