// The records of one batch as it is kept, one at a time, inflated where it is compressed: a reader may stop in the midst and go on
// later. Offsets are those that the log gave: the batch's first one and the record's place in it. A batch whose records say
// otherwise, or cannot be read, has none but a fault. One lane's; holds up to kInflatedBytesMax of records.
#pragma once

#include <string>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/streams/record_batch.h"

namespace heptane::iot::rules {

class BatchWalk {
 public:
  static constexpr size_t kInflatedBytesMax = size_t{32} << 20;

  // `at`: where the reader is, for a batch that does not even say which offsets it has.
  BatchWalk(Buffer stored, Offset at);

  // Why it cannot be read, and which offsets those are; empty: it can.
  const std::string& fault() const { return fault_; }
  Offset first() const { return first_; }
  Offset upto() const { return upto_; }
  // The next record; valid as long as this. False: there is none.
  bool next(streams::RecordView& record);

 private:
  Bytes batch() const { return plain_.empty() ? stored_.view() : Bytes(plain_); }
  std::string wrong_batch(const streams::RecordBatchInfo& info);

  Buffer stored_;
  std::vector<std::byte> plain_;  // where it was compressed
  std::string fault_;
  Offset first_ = 0;
  Offset upto_ = 0;
  int64_t base_timestamp_ms_ = 0;
  Offset next_ = 0;
  size_t place_ = streams::kRecordBatchHeaderBytes;
};

}  // namespace heptane::iot::rules
