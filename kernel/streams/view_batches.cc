#include "kernel/streams/view_batches.h"

#include <algorithm>

namespace heptane::streams {

namespace {

constexpr int64_t kNsPerMs = 1'000'000;
constexpr size_t kRecordOverheadBytes = 64;  // lengths, deltas and the position's header, at most
constexpr size_t kHeaderOverheadBytes = 10;  // lengths, at most

size_t bytes_of(std::span<const ViewHeader> headers) {
  size_t bytes = 0;
  for (const ViewHeader& header : headers) bytes += header.key.size() + header.value.size() + kHeaderOverheadBytes;
  return bytes;
}

void put_header(ByteWriter& out, std::string_view key, Bytes value) {
  out.zigzag(static_cast<int64_t>(key.size()));
  out.append(key);
  out.zigzag(static_cast<int64_t>(value.size()));
  out.append(value);
}

// Length and bytes.
std::byte* put_part(std::byte* at, Bytes part) {
  uint64_t length = zigzag_encoded(static_cast<int64_t>(part.size()));
  for (; length >= 0x80; length >>= 7) *at++ = static_cast<std::byte>(length | 0x80);
  *at++ = static_cast<std::byte>(length);
  return std::copy(part.begin(), part.end(), at);
}

}  // namespace

class ViewBatches::Writer final : public RecordWriter {
 public:
  Writer(ViewBatches& owner, const log::EntryViews& views, const log::ViewRun& run, Offset from)
      : owner_(owner), views_(views), from_(std::max(from, run.first)), end_(run.end()), next_(run.first) {}

  bool wants() const override { return !full_ && next_ >= from_ && next_ < end_; }
  bool full() const override { return full_; }
  void skip() override {
    if (full_) return;
    missed_ = missed_ || wants();
    ++next_;
  }
  void add(const ViewRecord& record) override {
    if (full_) return;
    if (wants() && !owner_.put(views_, next_, record))
      full_ = true;
    else
      ++next_;
  }
  bool as_counted() const { return full_ || (next_ == end_ && !missed_); }
  int64_t count(Offset first) const { return next_ - first; }

 private:
  ViewBatches& owner_;
  const log::EntryViews& views_;
  const Offset from_;
  const Offset end_;
  Offset next_;
  bool full_ = false;
  bool missed_ = false;  // one was skipped that is asked for
};

Result<bool> ViewBatches::add(const log::EntryView& entry, const log::EntryViews& views, const log::ViewRun& run,
                              Offset from) {
  const RenderView render = renderers_.find(run.machine);
  const std::string position = position_text(views.shard, views.sequence);
  if (render == nullptr)
    return Error{Errc::unsupported, "command " + position + " made records of a view of machine " +
                                        std::to_string(run.machine) +
                                        ", which is switched off or unknown to this program: switch its module on"};
  Writer writer(*this, views, run, from);
  render(logged_command(entry, views, run), run.view, writer);
  if (!writer.as_counted())
    return Error{Errc::internal, "command " + position + " made " + std::to_string(run.count) +
                                     " records of a view; this program renders " +
                                     std::to_string(writer.count(run.first)) + ": use the one that wrote the log"};
  return !writer.full();
}

bool ViewBatches::put(const log::EntryViews& views, Offset offset, const ViewRecord& record) {
  const size_t own_bytes = bytes_of(record.headers);
  const size_t bytes = record.key.size() + record.value.size() + own_bytes + kRecordOverheadBytes;
  const size_t open_bytes = open_.count() == 0 ? kRecordBatchHeaderBytes : open_.size_bytes();
  const bool any = open_.count() > 0 || !batches_.empty();
  if (any && bytes_ + open_bytes + bytes > limits_.total_bytes) return false;
  const bool follows = open_first_ + open_.count() == offset && open_epoch_ == views.epoch;
  if (open_.count() > 0 && (!follows || open_bytes + bytes > limits_.batch_bytes)) close_batch();
  const int64_t timestamp_ms = views.time / kNsPerMs;
  if (open_.count() == 0) {
    open_.begin(timestamp_ms);
    open_first_ = offset;
    open_epoch_ = views.epoch;
  }
  if (position_of_ != views.sequence) {
    const std::string position = position_text(views.shard, views.sequence);
    headers_.clear();
    put_header(headers_, kPositionHeader, as_bytes(position));
    position_of_ = views.sequence;
  }
  Bytes headers = headers_.view();
  if (!record.headers.empty()) headers = with_position(record.headers, own_bytes);
  const auto count = static_cast<uint32_t>(1 + record.headers.size());
  open_.add(timestamp_ms, record.has_key, record.key, true, record.value, headers, count);
  return true;
}

// The position's header, then these. There are many: room for all of them is made once.
Bytes ViewBatches::with_position(std::span<const ViewHeader> headers, size_t bytes_most) {
  own_headers_.clear();
  own_headers_.zeros(headers_.size() + bytes_most);
  std::byte* const begin = own_headers_.at(0);
  std::byte* end = std::copy(headers_.view().begin(), headers_.view().end(), begin);
  for (const ViewHeader& header : headers) end = put_part(put_part(end, as_bytes(header.key)), header.value);
  return {begin, end};
}

void ViewBatches::close_batch() {
  batches_.push_back(Buffer::copy_of(open_.finish(open_first_, static_cast<int32_t>(open_epoch_), true)));
  bytes_ += batches_.back().size();
  open_.begin(0);
}

std::vector<Buffer> ViewBatches::take() {
  if (open_.count() > 0) close_batch();
  bytes_ = 0;
  return std::exchange(batches_, {});
}

}  // namespace heptane::streams
