// The streams that are declared over topic filters: which of them a message is a record of. Each partition of one is a view of
// its own, numbered from kFirstDeclaredView on: a command's note names for each message the views that it is in, because what
// was declared when is nothing that a rendering can know. Numbers are used again: an entry says itself whose it were.
// The machine's.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "modules/iot/domain/topics/topic_tree.h"
#include "modules/iot/machine/stream_api.h"

namespace heptane::iot {

// One partition that a message is a record of.
struct Target {
  uint16_t view = 0;
  PartitionId partition = kNoPartition;
  int64_t retention_ms = -1;  // as it is declared
  int64_t retention_bytes = -1;
};
using Targets = std::vector<Target>;  // empty: it is in iot.messages

// Of several records of a message the one that queues refer to: that of the stream which keeps it longest where kHomeBytesPerSecond come,
// the first one by name of equal ones.
constexpr int64_t kHomeBytesPerSecond = 1'024;
PartitionId home_of(const Targets& targets, const Effects& effects);

struct DeclaredStream {
  StreamDeclaration declaration;
  uint16_t first_view = 0;              // of its first partition
  std::vector<PartitionId> partitions;  // in their order
};

class DeclaredStreams {
 public:
  bool empty() const { return streams_.empty(); }
  size_t size() const { return streams_.size(); }
  uint32_t partitions() const { return partitions_; }
  const DeclaredStream* find(std::string_view name) const;
  // The first of so many numbers that no stream has.
  uint16_t free_views(uint32_t count) const;
  // There is none of that name.
  void add(DeclaredStream stream);
  // Another filter, retention or flags.
  void change(const StreamDeclaration& declaration);
  void remove(std::string_view name);

  // Where the message becomes a record, by the streams' names; empty: in no declared stream. At QoS 0 and not retained: of
  // streams that want those.
  Targets match(const MessageView& message) const;

  // All, as kQueryDeclared answers.
  Buffer list() const;
  uint64_t bytes() const { return bytes_; }

  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);

 private:
  void index(const DeclaredStream& stream);
  void unindex(const DeclaredStream& stream);

  std::map<std::string, DeclaredStream, std::less<>> streams_;
  TopicTree<const DeclaredStream*> tree_;
  uint32_t partitions_ = 0;  // of all
  uint64_t bytes_ = 0;
};

// How many records a command has made so far, by partition. Each is counted at the end by one call, so that the kernel's
// lists are as long as there are partitions.
class RecordCounts {
 public:
  explicit RecordCounts(Effects& effects) : effects_(effects) {}
  // The offset that the partition's next record gets.
  Offset next_offset(PartitionId partition) { return count_of(partition).next(); }
  void add(PartitionId partition) { ++count_of(partition).records; }
  void emit();

 private:
  struct Count {
    PartitionId partition = kNoPartition;
    Offset first = 0;
    uint32_t records = 0;
    Offset next() const { return first + records; }
  };
  Count& count_of(PartitionId partition);

  Effects& effects_;
  std::vector<Count> counts_;
};

}  // namespace heptane::iot
