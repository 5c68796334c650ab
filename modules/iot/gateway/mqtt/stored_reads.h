// Messages that were read out of the log for a queue, kept for those who want them next: when many sessions come back at once, their
// messages lie between one another, and what one of them reads is what the others are about to ask for. One read at a time goes
// over a stretch of the log; whoever wants something of the stretch waits for it and looks again.
//
// Bounds: kMessagesMax and kBytesMax, the oldest go first. The I/O thread's.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "modules/iot/machine/session_api.h"

namespace heptane::iot::mqtt {

class QueueReader;
struct Message;
using MessagePtr = std::shared_ptr<const Message>;

class StoredReads {
 public:
  static constexpr size_t kMessagesMax = 16'384;
  static constexpr size_t kBytesMax = size_t{8} << 20;
  static constexpr size_t kCrowd = 32;       // who wait for one read: so many get several messages each of a longer one
  static constexpr Offset kStretch = 8'192;  // what a read may bring, in records, at most

  // Null: it is not at hand.
  MessagePtr find(const RecordPlace& place) const;
  void put(const RecordPlace& place, const MessagePtr& message);

  // True: a read is under way that may bring it; then the reader hears of its end.
  bool wait(QueueReader& reader, const RecordPlace& place);
  // The reader has asked for this and what lies behind it.
  void begin(QueueReader& reader, const RecordPlace& place);
  // Nobody but this one reads, or waits for who does.
  bool alone(const QueueReader& reader) const;
  // Many waited for the read that ended last.
  bool crowded() const { return crowd_ >= kCrowd; }
  // What it asked for has come, and was put here, or failed: those who waited look again.
  void end(const QueueReader& reader);
  // A long read brought so many records.
  void brought(Offset records);
  // The reader is no more.
  void forget(const QueueReader& reader);

 private:
  struct Read {
    QueueReader* reader = nullptr;
    RecordPlace place{};
    std::vector<QueueReader*> waiting;
  };
  using Key = std::pair<PartitionId, Offset>;

  std::map<Key, MessagePtr> messages_;
  std::deque<Key> order_;  // the oldest first
  size_t bytes_ = 0;
  Offset stretch_ = kStretch;         // as the last long read
  size_t crowd_ = 0;                  // who waited for the read that ended last
  std::vector<Read> reads_;           // under way: one for each stretch
  std::deque<QueueReader*> to_pump_;  // they waited for what has ended
};

}  // namespace heptane::iot::mqtt
