// The streams machine: names, partitions, offsets and producers, and the index behind every read. The machine behind Kafka,
// HTTP streams and every event another machine emits. State is small; the records lie in the log.
// The shard thread's.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernel/shard/state_machine.h"
#include "kernel/shard/stream_store.h"
#include "kernel/streams/api.h"
#include "kernel/streams/event_packer.h"
#include "kernel/streams/partition_list.h"
#include "kernel/streams/producer_table.h"
#include "kernel/streams/stream_index.h"

namespace heptane::streams {

class StreamsMachine final : public StateMachine, public StreamStore {
 public:
  static constexpr size_t kStreamsLimit = 100'000;

  // For other machines, as a port: the stream's first partition, created when it is not there.
  PartitionId ensure_stream(std::string_view name, Sequence sequence);
  std::optional<PartitionId> find_partition(std::string_view name, uint32_t index) const;
  // The view's partition. Its stream is created when it is not there, and one without records becomes it; nullopt: there is
  // a stream of that name that is something else.
  // `config`: of a stream that this makes.
  std::optional<PartitionId> ensure_view(std::string_view name, ViewId view, Sequence sequence,
                                         StreamConfig config = {});
  // The same of a view with several partitions, which have numbers of their own from `first` on (view_streams.cc).
  std::optional<std::vector<PartitionId>> ensure_views(std::string_view name, ViewId first, uint32_t partitions,
                                                       Sequence sequence, StreamConfig config);
  // The view's retention; nothing where it is not there.
  void configure_view(std::string_view name, ViewId first, StreamConfig config);
  // Its records are kept for ever from now on: it has no retention, and is not given one. Nothing where it is not there.
  void keep_view(std::string_view name, ViewId first);
  // Deletes the view with its records, in no scope. False: it is not there.
  bool drop_view(std::string_view name, ViewId first, Sequence sequence);
  // Of what a numbered producer appends to a view, as of any append: false: refused, or answered as a repeat. A producer id of
  // -1 is none.
  bool judge_producer(PartitionId partition, const RecordBatchInfo& batch, Effects& effects) const;
  void record_producer(PartitionId partition, const RecordBatchInfo& batch, Offset first, Sequence sequence);
  // What is not said as logged configuration has it.
  static StreamConfig with_defaults(StreamConfig config, const Effects& effects);

  MachineId id() const override { return machine_ids::kStreams; }
  std::string_view name() const override { return "streams"; }
  void apply(const Command& command, Effects& effects) override;
  void query(const Query& query, Reply& reply) const override;
  void open_scope() override;
  void close_scope(ScopeOutcome outcome) override;
  uint64_t memory_bytes() const override;
  void save(SnapshotWriter& writer) const override;
  Result<void> restore(SnapshotReader& reader) override;
  // 2: the expected offset of an append, and the guard, see what the same transaction has appended before them.
  uint32_t newest_version() const override { return 2; }
  bool relieves(CommandType type) const override { return type == kDeleteStream || type == kSetLogStart; }

  PartitionHead* head(PartitionId partition) override {
    return partition < partitions_.size() && partitions_[partition].alive ? &partitions_[partition] : nullptr;
  }
  using StreamStore::head;
  Offset next_offset(PartitionId partition) const { return partitions_[partition].next_offset; }
  // As applied: the first one that is kept.
  Offset log_start(PartitionId partition) const { return partitions_[partition].log_start; }
  void pack(const Event& event, LogTime time, uint32_t command_delta, Ordinal ordinal) override;
  uint64_t packed_bytes() const override { return packer_.packed_bytes(); }
  void flush(PartitionId partition, BatchWriter& out) override { packer_.flush(partition, out); }
  void flush_all(BatchWriter& out) override { packer_.flush_all(out); }
  ViewId view_of(PartitionId partition) const { return partitions_[partition].view; }
  EntryRun place_batch(PartitionId partition, Offset base_offset, std::byte* batch, Epoch epoch) override;
  EntryRun read_run(PartitionId partition, Bytes batch, uint32_t begin, uint32_t finish) const override;
  void for_each_packed(Bytes batch, const std::function<void(Offset, Bytes)>& each) const override;
  void add_durable(const EntryRun& run, const log::BatchPlace& place) override;
  bool settle(Sequence upto) override;
  ReadReply locate(const ReadRequest& request) const override;
  Offset durable_end(PartitionId partition) const override { return index_.durable_end(partition); }
  void save_index(SnapshotWriter& writer) const override { index_.save(writer); }
  Result<void> restore_index(SnapshotReader& reader) override { return index_.restore(reader); }

  // Records up to this log segment are found in the archive from now on.
  void forget_segments(uint32_t upto) { index_.forget_segments(upto); }
  // First offset kept of every partition, by PartitionId, as synced; INT64_MAX for one that is gone.
  std::vector<Offset> log_starts() const;
  // Partitions whose streams have a retention.
  struct Retained {
    PartitionId partition = kNoPartition;
    StreamConfig config;
    Offset log_start = 0;
    Offset indexed = 0;  // what lies below is in the archive
    uint64_t indexed_bytes = 0;
    Offset time_start = 0;   // where what is young enough begins; `indexed` when older records may be too
    Offset bytes_start = 0;  // where the newest retention_bytes begin; `indexed` when older records belong to them
  };
  std::vector<Retained> retained(int64_t now_ms) const;
  uint32_t oldest_live_segment() const { return index_.oldest_segment(); }
  size_t stream_count() const { return streams_.size(); }

 private:
  struct Partition : PartitionHead {
    bool alive = false;
    Offset log_start = 0;
  };
  struct Stream {
    StreamConfig config;
    ViewId view{};      // none: whoever may appends to it
    bool kept = false;  // a view without a retention for ever
    std::array<std::byte, 16> uuid{};
    PartitionList partitions;
  };

  void append(const Command& command, Effects& effects);
  void append_events(const Command& command, Effects& effects);
  void create(const Command& command, Effects& effects);
  void alter(const Command& command, Effects& effects);
  void grow(const Command& command, Effects& effects);
  void set_log_start(const Command& command, Effects& effects);
  void remove(const Command& command, Effects& effects);
  void init_producer(const Command& command, Effects& effects);
  void make_view(Stream& stream, ViewId first);
  Stream* ensure_view_stream(std::string_view name, ViewId first, uint32_t partitions, Sequence sequence,
                             StreamConfig config);
  Stream* find_view(std::string_view name, ViewId first);
  void drop_partitions(const Stream& stream, Sequence sequence);
  Stream& add_stream(std::string_view name, uint32_t partitions, Sequence sequence);
  void undoable(std::function<void()> undo);
  void query_epoch_end(const Query& query, Reply& reply) const;
  void query_locate(const Query& query, Reply& reply) const;
  StreamInfo describe(const std::string& name, const Stream& stream) const;

  std::map<std::string, Stream, std::less<>> streams_;
  std::deque<Partition> partitions_ = std::deque<Partition>(1);  // by PartitionId; 0 is none
  ProducerTable producers_;
  EventPacker packer_;
  StreamIndex index_;
  // Applied, not yet synced: what reads may not see before it is (invariant 1). Oldest first.
  struct Unsettled {
    Sequence sequence = 0;
    PartitionId partition = kNoPartition;
    bool deleted = false;
    Offset log_start = 0;
  };
  std::deque<Unsettled> unsettled_;
  std::vector<std::function<void()>> undo_;
  std::vector<size_t> scopes_;  // undo_ sizes at their opening
};

}  // namespace heptane::streams
