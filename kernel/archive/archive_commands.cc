// Commands out of an archive segment in the order in which they were applied: group 0 has the plain ones in order, places lead
// to the record batches in between.
#include <algorithm>

#include "kernel/archive/archive_store.h"

namespace heptane::archive {

namespace {

constexpr size_t kItemLimitBytes = kFrameBytes + log::kEntryHeaderBytes + 2 * log::kPayloadLimitBytes;
constexpr uint64_t kSmallItemBytes = 64 << 10;
constexpr size_t kPlacesStep = 4096;

// A row of items read from its beginning to its end, through one window.
class ItemWalk {
 public:
  using Read = std::function<Result<void>(uint64_t at, MutableBytes into)>;

  ItemWalk(Read read, uint64_t begin, uint64_t end) : read_(std::move(read)), at_(begin), end_(end) {}

  // nullopt: the end. Valid until the next call.
  Result<std::optional<Item>> next() {
    if (at_ >= end_) return std::optional<Item>();
    const uint64_t wanted = std::min<uint64_t>(kItemLimitBytes, end_ - at_);
    if (at_ < window_at_ || at_ + wanted > window_at_ + window_.size()) {
      window_.resize(static_cast<size_t>(std::min<uint64_t>(2 * kItemLimitBytes, end_ - at_)));
      window_at_ = at_;
      HEPTANE_TRY(read_(at_, window_));
    }
    Result<Item> item =
        decode_item(Bytes(window_).subspan(static_cast<size_t>(at_ - window_at_), static_cast<size_t>(wanted)));
    if (!item) return std::move(item.error());
    at_ += item->bytes;
    return std::optional<Item>(*item);
  }

 private:
  Read read_;
  uint64_t at_;
  uint64_t end_;
  std::vector<std::byte> window_;
  uint64_t window_at_ = 0;
};

}  // namespace

Result<std::vector<Place>> ArchiveReader::places(const ArchiveSegment& segment, Sequence from) {
  std::vector<Place> all;
  std::vector<std::byte> step;
  for (uint64_t i = 0; i < segment.footer.places; i += kPlacesStep) {
    const auto count = static_cast<size_t>(std::min<uint64_t>(kPlacesStep, segment.footer.places - i));
    step.resize(count * kPlaceBytes);
    HEPTANE_TRY(read_exactly(segment, segment.footer.places_at + i * kPlaceBytes, step));
    for (size_t k = 0; k < count; ++k) {
      const Place place = decode_place(step.data() + k * kPlaceBytes);
      if (place.at >= segment.footer.rows_at) return Error{Errc::corrupt, segment.path + ": a place outside the file"};
      if (place.sequence >= from) all.push_back(place);
    }
  }
  return all;
}

// Most items are far below the limit.
Result<ArchiveReader::FoundCommand> ArchiveReader::small_command_at(const ArchiveSegment& segment, uint64_t at) {
  const uint64_t end = segment.footer.rows_at;
  Result<FoundCommand> found = command_at(segment, at, std::min(end, at + kSmallItemBytes));
  if (found || found.error().code != Errc::corrupt) return found;
  return command_at(segment, at, end);
}

Result<void> ArchiveReader::for_each_command(const ArchiveSegment& segment, Sequence from, const EachCommand& each) {
  const Result<File*> readable = open(segment);
  if (!readable) return readable.error();
  const Result<std::vector<Place>> places = this->places(segment, from);
  if (!places) return places.error();
  const Result<std::optional<Row>> row = this->row(segment, kCommandsGroup);
  if (!row) return row.error();
  const bool plain = *row && (*row)->runs > 0;
  ItemWalk walk([&](uint64_t at, MutableBytes into) { return read_exactly(segment, at, into); },
                plain ? (*row)->begin_at : 0, plain ? (*row)->end_at : 0);
  auto place = places->begin();
  // The record batches before a plain command.
  const auto batches_below = [&](Sequence sequence) -> Result<bool> {
    for (; place != places->end() && place->sequence < sequence; ++place) {
      const Result<FoundCommand> found = small_command_at(segment, place->at);
      if (!found) return found.error();
      if (found->item.frame.sequence != place->sequence)
        return Error{Errc::corrupt, segment.path + ": a place of another command"};
      const Result<bool> more = each(found->item);
      if (!more || !*more) return more;
    }
    return true;
  };
  for (;;) {
    const Result<std::optional<Item>> item = walk.next();
    if (!item) return Error{item.error().code, segment.path + ": " + item.error().message};
    const Result<bool> more = batches_below(*item ? (*item)->frame.sequence : UINT64_MAX);
    if (!more) return more.error();
    if (!*item || !*more) return {};
    if ((*item)->frame.sequence < from) continue;
    const Result<bool> next = each(**item);
    if (!next) return next.error();
    if (!*next) return {};
  }
}

}  // namespace heptane::archive
