#include "kernel/rows/run_store.h"

#include <algorithm>

namespace heptane::rows {

namespace {

bool same_place(RunPlace a, RunPlace b) { return a.level == b.level && a.number == b.number; }

}  // namespace

RunStore::RunStore(const RowShape& rows, uint32_t fields, Keys keys)
    : rows_(rows), shape_{rows.name, rows.rows_per_file, fields}, keys_(keys), block_(kBlockBytes) {}

// What is made.

void RunStore::settle(const RowStore& rows) {
  for (Made* made = made_.front(); made != nullptr; made = made_.front()) {
    take(std::move(*made));
    made_.pop();
  }
  if (!place_.writable) return;
  ++turns_;
  while (levels_[0].handed_over < rows.files() && hand_over(rows, {0, levels_[0].handed_over}, false))
    ++levels_[0].handed_over;
  for (uint32_t level = 1; level < RunPlace::kLevels; ++level) hand_over_level(rows, level);
  while (!lost_.empty() && hand_over(rows, lost_.back(), true)) lost_.pop_back();
  retry(rows);
}

void RunStore::take(Made made) {
  Level& level = levels_[made.place.level];
  if (level.heads.size() <= made.place.number) level.heads.resize(made.place.number + 1);
  const bool there = made.head != nullptr;
  if (there) {
    ++level.with_runs;
    memory_bytes_ += made.head->memory_bytes();
  }
  level.heads[made.place.number] = std::move(made.head);
  level.answered = std::max(level.answered, made.place.number + 1);
  --under_way_;
  if (there)
    came(made.place);
  else if (made.place.level > 0)
    give_up(made.place);
  if (made.damaged && head_of(*made.damaged) != nullptr) lose(*made.damaged);
}

// The smaller ones serve until it is tried again.
void RunStore::give_up(RunPlace place) {
  const auto known =
      std::ranges::find_if(given_up_, [&](const GivenUp& given_up) { return same_place(given_up.place, place); });
  GivenUp& given_up = known == given_up_.end() ? given_up_.emplace_back(GivenUp{place}) : *known;
  given_up.due = turns_ + (kRetryTurns << 2 * std::min(given_up.tries, kRetriesRarer));
}

// What was waited for, and what others may have waited for.
void RunStore::came(RunPlace place) {
  std::erase_if(given_up_, [&](const GivenUp& given_up) { return same_place(given_up.place, place); });
  const RunPlace above{place.level + 1, place.number >> RunPlace::kShift};
  for (GivenUp& given_up : given_up_)
    if (same_place(given_up.place, above) && given_up.tries <= kRetriesRarer) given_up.due = turns_;
}

// Whatever is there: that of a damaged one was found out by a search alone.
void RunStore::retry(const RowStore& rows) {
  for (GivenUp& given_up : given_up_) {
    if (given_up.due > turns_) continue;
    if (!whole(given_up.place)) {  // that is no try
      give_up(given_up.place);
      continue;
    }
    if (!hand_over(rows, given_up.place, true)) return;
    ++given_up.tries;
    given_up.due = UINT64_MAX;  // until it is answered
  }
}

// Of which files all runs of the level below were made, or were tried to.
void RunStore::hand_over_level(const RowStore& rows, uint32_t level) {
  uint32_t& next = levels_[level].handed_over;
  for (; (next + 1) * RunPlace::kMerged <= levels_[level - 1].answered; ++next) {
    const RunPlace place{level, next};
    if (whole(place)) {
      if (!hand_over(rows, place, false)) return;
      continue;
    }
    levels_[level].answered = next + 1;
    levels_[level].heads.resize(next + 1);
    give_up(place);
  }
}

bool RunStore::whole(RunPlace place) const {
  for (uint32_t part = 0; part < RunPlace::kMerged; ++part)
    if (head_of(place.part(part)) == nullptr) return false;
  return true;
}

std::vector<Hash128> RunStore::hashes_for(const RowStore& rows, RunPlace place) const {
  if (place.level == 0) return {rows.hash_of(place.number)};
  std::vector<Hash128> hashes;
  for (uint32_t part = 0; part < RunPlace::kMerged; ++part) {
    const std::vector<Hash128> below = hashes_for(rows, place.part(part));
    hashes.push_back(place.level == 1 ? below[0] : hash_of_parts(below));
  }
  return hashes;
}

bool RunStore::hand_over(const RowStore& rows, RunPlace place, bool again) {
  if (under_way_ == kUnderWayMost || !to_make_.try_push({place, hashes_for(rows, place), again})) return false;
  ++under_way_;
  return true;
}

// The helper's.

Result<bool> RunStore::write_next() {
  Job* job = to_make_.front();
  if (job == nullptr) return false;
  Made made{job->place, nullptr};
  const Result<bool> more = make(*job, made);
  if (!more && more.error().code == Errc::no_space) {
    merge_.reset();
    return false;
  }
  if (!more || *more) return more;
  to_make_.pop();
  const bool pushed = made_.try_push(std::move(made));
  HEPTANE_ASSERT(pushed, "more runs were made than were asked for");
  return true;
}

// True: there is more to do for it.
Result<bool> RunStore::make(const Job& job, Made& made) {
  if (merge_ != nullptr) return merge(job, made);
  if (!job.again)
    if (const std::unique_ptr<File> file = open_run(job.place))
      made.head = head_in_file(*file, job.place, hash_of(job));
  if (made.head != nullptr) return false;
  if (job.place.level > 0) return merge(job, made);
  HEPTANE_TRY(make_rows(job, made));
  return false;
}

Result<void> RunStore::make_rows(const Job& job, Made& made) const {
  const uint32_t number = job.place.number;
  const Result<std::vector<std::byte>> file = run_of_rows(number, job.hashes[0]);
  if (!file) return {};
  HEPTANE_TRY(write_run_file(*place_.disk, place_.directory, shape_, number, *file));
  made.head = RunHead::read(Bytes(*file).first(kBlockBytes), shape_, number, job.hashes[0]);
  return {};
}

bool RunStore::room_for(uint64_t bytes) const {
  const Result<uint64_t> free_bytes = place_.disk->free_bytes(place_.directory);
  return free_bytes && *free_bytes >= kFreeBytesMin + bytes;
}

// A piece of it.
Result<bool> RunStore::merge(const Job& job, Made& made) {
  if (merge_ == nullptr) {
    std::vector<RunMerge::Part> parts;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < RunPlace::kMerged; ++i) {
      RunMerge::Part part{open_run(job.place.part(i)), nullptr};
      if (part.file != nullptr) part.head = head_in_file(*part.file, job.place.part(i), job.hashes[i]);
      if (part.head == nullptr) {
        made.damaged = job.place.part(i);
        return false;
      }
      bytes += part.head->file_bytes();
      parts.push_back(std::move(part));
    }
    if (!room_for(2 * bytes)) return false;
    merge_ =
        std::make_unique<RunMerge>(*place_.disk, place_.directory, shape_, job.place, hash_of(job), std::move(parts));
  }
  const Result<bool> more = merge_->step();
  if (more && *more) return true;
  if (more)
    made.head = merge_->take_head();
  else if (more.error().code == Errc::corrupt)
    made.damaged = job.place.part(static_cast<uint32_t>(merge_->damaged_part()));
  merge_.reset();
  if (!more && more.error().code != Errc::corrupt) return more.error();
  return false;
}

// Null: it is not there.
std::unique_ptr<File> RunStore::open_run(RunPlace place) const {
  Result<std::unique_ptr<File>> file =
      place_.disk->open(run_file_path(place_.directory, shape_, place), OpenMode::read);
  return file ? std::move(*file) : nullptr;
}

// Null: there is none, or not of these rows.
std::unique_ptr<RunHead> RunStore::head_in_file(File& file, RunPlace place, const Hash128& hash) const {
  std::vector<std::byte> bytes(kBlockBytes);
  const Result<size_t> count = file.read_at(0, bytes);
  if (!count || *count != kBlockBytes) return nullptr;
  const Result<uint64_t> size = file.size();
  if (!size) return nullptr;
  std::unique_ptr<RunHead> head;
  if (place.level == 0) {
    head = RunHead::read(bytes, shape_, place.number, hash);
  } else {
    bytes.resize(size_t{RunHead::merged_blocks(bytes)} * kBlockBytes);
    if (bytes.size() > *size) return nullptr;
    const Result<size_t> whole = file.read_at(0, bytes);
    if (!whole || *whole != bytes.size()) return nullptr;
    head = RunHead::read_merged(bytes, shape_, place, hash);
  }
  return head != nullptr && *size == head->file_bytes() ? std::move(head) : nullptr;
}

Result<std::vector<std::byte>> RunStore::run_of_rows(uint32_t number, const Hash128& rows_hash) const {
  const Result<std::unique_ptr<RowFile>> file = RowFile::open(*place_.disk, place_.directory, rows_, number, rows_hash);
  if (!file) return file.error();
  std::vector<std::vector<RunEntry>> runs(shape_.fields);
  std::vector<std::byte> block(kBlockBytes);
  std::array<std::optional<uint32_t>, kRunFieldsMost> keys;
  for (uint32_t row = 0; row < rows_.rows_per_file; ++row) {
    const uint32_t at = row % rows_.rows_per_block();
    if (at == 0) HEPTANE_TRY((*file)->read_block(row / rows_.rows_per_block(), block));
    keys.fill(std::nullopt);
    keys_(block.data() + RowShape::kBlockHeadBytes + size_t{at} * rows_.row_bytes, keys.data());
    for (uint32_t field = 0; field < shape_.fields; ++field)
      if (keys[field]) runs[field].push_back({*keys[field], row});
  }
  return make_run_file(shape_, number, rows_hash, std::move(runs));
}

void RunStore::clear() {
  HEPTANE_ASSERT(to_make_.empty(), "runs are cleared while they are being made");
  while (made_.front() != nullptr) made_.pop();
  levels_ = {};
  under_way_ = 0;
  memory_bytes_ = 0;
  lost_.clear();
  given_up_.clear();
  for (OpenFile& open : files_) open = {};
}

// Searches.

const RunHead* RunStore::head_of(RunPlace place) const {
  const auto& heads = levels_[place.level].heads;
  return place.number < heads.size() ? heads[place.number].get() : nullptr;
}

std::optional<RunStore::Choice> RunStore::choose(uint32_t file, std::span<const std::optional<uint32_t>> keys) const {
  for (uint32_t level = RunPlace::kLevels; level-- > 0;) {
    const RunPlace place{level, file >> (RunPlace::kShift * level)};
    std::optional<Choice> best;
    uint32_t fewest = 0;
    for (uint32_t field = 0; field < keys.size(); ++field) {
      const std::optional<uint32_t> blocks = keys[field] ? blocks_of(place, field, *keys[field]) : std::nullopt;
      if (!blocks || (best && *blocks >= fewest)) continue;
      best = Choice{place, field};
      fewest = *blocks;
    }
    if (best) return best;
  }
  return std::nullopt;
}

std::optional<uint32_t> RunStore::blocks_of(RunPlace place, uint32_t field, uint32_t key) const {
  const RunHead* head = head_of(place);
  const std::optional<RunHead::Blocks> blocks = head == nullptr ? std::nullopt : head->find(field, key);
  return blocks ? std::optional(blocks->count()) : std::nullopt;
}

RunStore::Found RunStore::find(RunPlace place, uint32_t field, uint32_t key, bool may_wait,
                               std::vector<uint32_t>& rows) const {
  if (!blocks_of(place, field, key)) return Found::no_runs;
  const size_t before = rows.size();
  const RunHead& head = *head_of(place);
  const RunHead::Blocks blocks = *head.find(field, key);
  File* from = blocks.count() == 0 ? nullptr : file_of(place);
  for (uint32_t block = blocks.first; block < blocks.last; ++block) {
    const uint64_t offset = head.offset_of(block);
    Result<std::optional<size_t>> count = std::optional<size_t>();
    if (from != nullptr && !may_wait) count = from->try_read_at(offset, block_);
    if (from != nullptr && count && !count->has_value()) {
      may_wait = may_wait || patience_.ends();  // then for those behind it, too: they may never come either
      if (!may_wait) {
        rows.resize(before);
        return Found::not_yet;
      }
      const Result<size_t> read = from->read_at(offset, block_);
      if (read) count = std::optional(*read);
    }
    ++blocks_read_;
    const bool whole = count && *count == kBlockBytes;
    if (whole && head.collect(block, block_, key, rows)) continue;
    rows.resize(before);
    lose(place);
    return Found::no_runs;
  }
  patience_.answered();  // all of it: the first block alone may come again and again
  return Found::yes;
}

void RunStore::expect(RunPlace place, uint32_t field, uint32_t key) const {
  if (!blocks_of(place, field, key)) return;
  const RunHead& head = *head_of(place);
  const RunHead::Blocks blocks = *head.find(field, key);
  if (blocks.count() == 0) return;
  if (File* from = file_of(place)) from->expect(head.offset_of(blocks.first), uint64_t{blocks.count()} * kBlockBytes);
}

// Null: it is not there.
File* RunStore::file_of(RunPlace place) const {
  OpenFile& open = slot_of(place);
  if (open.file != nullptr && same_place(open.place, place)) return open.file.get();
  open = {place, open_run(place)};
  return open.file.get();
}

// It is made again.
void RunStore::lose(RunPlace place) const {
  Level& level = levels_[place.level];
  memory_bytes_ -= level.heads[place.number]->memory_bytes();
  level.heads[place.number].reset();
  --level.with_runs;
  lost_.push_back(place);
  slot_of(place) = {};
}

// Verifying.

void RunStore::verify(const RowStore& rows, std::vector<std::string>& problems) const {
  for (uint32_t number = 0; number < rows.files(); ++number) {
    const std::string path = run_file_path(place_.directory, shape_, {0, number});
    Result<std::unique_ptr<File>> file = place_.disk->open(path, OpenMode::read);
    if (!file && file.error().code == Errc::not_found) continue;
    const Result<std::vector<std::byte>> wanted = run_of_rows(number, rows.hash_of(number));
    if (!wanted) continue;  // the rows themselves are the problem
    std::vector<std::byte> found(wanted->size());
    const Result<uint64_t> bytes = file ? (*file)->size() : Result<uint64_t>(file.error());
    const bool same = bytes && *bytes == wanted->size() && (*file)->read_at(0, found) && found == *wanted;
    if (!same) problems.push_back(path + " is damaged or of other rows: remove it, the server makes it again");
  }
  for (uint32_t level = 1; level < RunPlace::kLevels; ++level)
    for (RunPlace place{level, 0}; place.first_file() + place.files() <= rows.files(); ++place.number)
      verify_merged(rows, place, problems);
}

void RunStore::verify_merged(const RowStore& rows, RunPlace place, std::vector<std::string>& problems) const {
  const std::unique_ptr<File> file = open_run(place);
  if (file == nullptr) return;
  const std::unique_ptr<RunHead> head = head_in_file(*file, place, hash_of_parts(hashes_for(rows, place)));
  bool sound = head != nullptr;
  std::vector<std::byte> block(kBlockBytes);
  for (uint32_t number = 0; sound && number < head->blocks(); ++number) {
    const Result<size_t> count = file->read_at(head->offset_of(number), block);
    sound = count && *count == kBlockBytes && head->sound(number, block);
  }
  if (!sound)
    problems.push_back(run_file_path(place_.directory, shape_, place) +
                       " is damaged or of other rows: remove it, the server makes it again");
}

}  // namespace heptane::rows
