// Numbered producers: for every (partition, producer id) the last five record batches, so that a repeat is answered with
// its first offset and a gap or an older one is refused (KIP-98, Kafka's ProducerStateManager). Bounded; the least recently
// used window goes first, decided by sequences alone. Part of the streams machine.
#pragma once

#include <array>
#include <map>

#include "kernel/base/ids.h"
#include "kernel/shard/snapshot_io.h"
#include "kernel/streams/api.h"
#include "kernel/streams/record_batch.h"

namespace heptane::streams {

class ProducerTable {
 public:
  static constexpr size_t kWindowsLimit = 65'536;
  static constexpr size_t kBatchesKept = 5;
  static constexpr size_t kProducersLimit = 1'000'000;

  struct Verdict {
    AppendRefusal refusal = AppendRefusal::none;
    bool repeated = false;
    Offset first_base_offset = 0;
  };

  // Judges a batch that carries a producer id; changes nothing.
  Verdict judge(PartitionId partition, const RecordBatchInfo& batch) const;
  // The judged batch was appended at `base_offset` by command `sequence`.
  void record(PartitionId partition, const RecordBatchInfo& batch, Offset base_offset, Sequence sequence);

  // A new producer id, epoch 0.
  int64_t issue();
  // The next epoch of a known producer; -1 when it is not known with this epoch, or its epochs are used up.
  int16_t bump_epoch(int64_t producer_id, int16_t epoch);
  void forget_partition(PartitionId partition);
  size_t windows() const { return windows_.size(); }

  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);

 private:
  struct KeptBatch {
    int32_t first_sequence = 0;
    int32_t last_sequence = 0;
    Offset base_offset = 0;
  };
  struct Window {
    int16_t epoch = 0;
    uint8_t count = 0;  // batches kept, oldest first
    std::array<KeptBatch, kBatchesKept> batches{};
    Sequence last_used = 0;
  };
  using Key = std::pair<PartitionId, int64_t>;
  void evict_oldest();

  std::map<Key, Window> windows_;
  std::map<Sequence, Key> by_use_;     // last_used -> window
  std::map<int64_t, int16_t> epochs_;  // producers whose epoch is not 0
  int64_t next_producer_id_ = 1000;
};

}  // namespace heptane::streams
