#include "modules/iot/gateway/rules/batch_walk.h"

#include <utility>

#include "kernel/streams/inflate.h"

namespace heptane::iot::rules {

BatchWalk::BatchWalk(Buffer stored, Offset at) : stored_(std::move(stored)), first_(at), upto_(at + 1), next_(at) {
  const auto info = streams::decode_record_batch_header(stored_.view());
  std::string wrong = info ? std::string() : info.error().message;
  if (info) {
    first_ = next_ = info->base_offset;
    upto_ = first_ + info->last_offset_delta + 1;
    base_timestamp_ms_ = info->base_timestamp_ms;
    wrong = wrong_batch(*info);
  }
  if (wrong.empty()) return;
  plain_ = {};
  fault_ = "the " + std::to_string(upto_ - first_) + " records from " + std::to_string(first_) + " to " +
           std::to_string(upto_ - 1) + " are one batch, which cannot be read: " + wrong;
}

// The codec's work is a producer's, and was looked at by nobody.
std::string BatchWalk::wrong_batch(const streams::RecordBatchInfo& info) {
  if (info.compressed()) {
    auto plain = streams::inflate_batch(stored_.view(), kInflatedBytesMax);
    if (!plain) return plain.error().message;
    plain_ = std::move(*plain);
  }
  Offset wanted = first_;
  bool numbered = true;
  const auto walked = streams::for_each_record(
      batch(), [&](const streams::RecordView& record) { numbered = numbered && record.offset == wanted++; });
  if (!walked) return walked.error().message;
  return numbered && wanted == upto_ ? "" : "its records do not have the offsets one behind the other";
}

bool BatchWalk::next(streams::RecordView& record) {
  if (next_ == upto_ || !fault_.empty()) return false;
  ByteReader reader(batch().subspan(place_));
  if (!streams::decode_record(reader, first_, base_timestamp_ms_, record)) return false;
  place_ += reader.position();
  ++next_;
  return true;
}

}  // namespace heptane::iot::rules
