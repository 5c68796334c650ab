#include "kernel/rows/run_store.h"

#include <algorithm>
#include <array>

namespace heptane::rows {

RunStore::RunStore(const RowShape& rows, uint32_t fields, Keys keys)
    : rows_(rows), shape_{rows.name, rows.rows_per_file, fields}, keys_(keys), block_(kBlockBytes) {}

void RunStore::settle(const RowStore& rows) {
  for (Made* made = made_.front(); made != nullptr; made = made_.front()) {
    if (heads_.size() <= made->number) heads_.resize(made->number + 1);
    if (made->head != nullptr) ++files_with_runs_;
    heads_[made->number] = std::move(made->head);
    --under_way_;
    made_.pop();
  }
  if (!place_.writable) return;
  while (handed_over_ < rows.files() && hand_over(rows, handed_over_, false)) ++handed_over_;
  while (!lost_.empty() && hand_over(rows, lost_.back(), true)) lost_.pop_back();
}

bool RunStore::hand_over(const RowStore& rows, uint32_t number, bool again) {
  if (under_way_ == kUnderWayMost || !to_make_.try_push({number, rows.hash_of(number), again})) return false;
  ++under_way_;
  return true;
}

Result<bool> RunStore::write_next() {
  Job* job = to_make_.front();
  if (job == nullptr) return false;
  Made made{job->number, job->again ? nullptr : head_in_file(*job)};
  if (made.head == nullptr) {
    const Result<std::vector<std::byte>> file = make(job->number, job->rows_hash);
    if (file) {
      const Result<void> written = write_run_file(*place_.disk, place_.directory, shape_, job->number, *file);
      if (!written && written.error().code == Errc::no_space) return false;
      if (!written) return written.error();
      made.head = RunHead::read(Bytes(*file).first(kBlockBytes), shape_, job->number, job->rows_hash);
    }
  }
  to_make_.pop();
  const bool pushed = made_.try_push(std::move(made));
  HEPTANE_ASSERT(pushed, "more runs were made than were asked for");
  return true;
}

// Null: there is none, or not of these rows.
std::unique_ptr<RunHead> RunStore::head_in_file(const Job& job) const {
  Result<std::unique_ptr<File>> file =
      place_.disk->open(run_file_path(place_.directory, shape_, job.number), OpenMode::read);
  if (!file) return nullptr;
  std::vector<std::byte> block(kBlockBytes);
  const Result<size_t> count = (*file)->read_at(0, block);
  if (!count || *count != kBlockBytes) return nullptr;
  std::unique_ptr<RunHead> head = RunHead::read(block, shape_, job.number, job.rows_hash);
  const Result<uint64_t> bytes = (*file)->size();
  return head != nullptr && bytes && *bytes == head->file_bytes() ? std::move(head) : nullptr;
}

Result<std::vector<std::byte>> RunStore::make(uint32_t number, const Hash128& rows_hash) const {
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
  handed_over_ = under_way_ = files_with_runs_ = 0;
  heads_.clear();
  lost_.clear();
  for (OpenFile& open : files_) open = {};
}

std::optional<uint32_t> RunStore::blocks_of(uint32_t file, uint32_t field, uint32_t key) const {
  if (file >= heads_.size() || heads_[file] == nullptr) return std::nullopt;
  const std::optional<RunHead::Blocks> blocks = heads_[file]->find(field, key);
  return blocks ? std::optional(blocks->count()) : std::nullopt;
}

RunStore::Found RunStore::find(uint32_t file, uint32_t field, uint32_t key, bool may_wait,
                               std::vector<uint32_t>& rows) const {
  if (!blocks_of(file, field, key)) return Found::no_runs;
  const size_t before = rows.size();
  const RunHead& head = *heads_[file];
  const RunHead::Blocks blocks = *head.find(field, key);
  File* from = blocks.count() == 0 ? nullptr : file_of(file);
  for (uint32_t block = blocks.first; block < blocks.last; ++block) {
    const uint64_t offset = (uint64_t{block} + 1) * kBlockBytes;
    Result<std::optional<size_t>> count = std::optional<size_t>();
    if (from != nullptr && !may_wait) count = from->try_read_at(offset, block_);
    if (from != nullptr && count && !count->has_value()) {
      if (!may_wait && !patience_.ends()) {
        rows.resize(before);
        return Found::not_yet;
      }
      const Result<size_t> read = from->read_at(offset, block_);
      if (read) count = std::optional(*read);
    } else {
      patience_.answered();
    }
    ++blocks_read_;
    const bool whole = count && *count == kBlockBytes;
    if (whole && head.collect(block, block_, key, rows)) continue;
    rows.resize(before);
    lose(file);
    return Found::no_runs;
  }
  return Found::yes;
}

void RunStore::expect(uint32_t file, uint32_t field, uint32_t key) const {
  if (!blocks_of(file, field, key)) return;
  const RunHead::Blocks blocks = *heads_[file]->find(field, key);
  if (blocks.count() == 0) return;
  if (File* from = file_of(file))
    from->expect((uint64_t{blocks.first} + 1) * kBlockBytes, uint64_t{blocks.count()} * kBlockBytes);
}

// Null: it is not there.
File* RunStore::file_of(uint32_t number) const {
  OpenFile& open = files_[number % kOpenFiles];
  if (open.file != nullptr && open.number == number) return open.file.get();
  Result<std::unique_ptr<File>> file =
      place_.disk->open(run_file_path(place_.directory, shape_, number), OpenMode::read);
  open = {number, file ? std::move(*file) : nullptr};
  return open.file.get();
}

// It is made again.
void RunStore::lose(uint32_t number) const {
  heads_[number].reset();
  --files_with_runs_;
  lost_.push_back(number);
  files_[number % kOpenFiles] = {};
}

void RunStore::verify(const RowStore& rows, std::vector<std::string>& problems) const {
  for (uint32_t number = 0; number < rows.files(); ++number) {
    const std::string path = run_file_path(place_.directory, shape_, number);
    Result<std::unique_ptr<File>> file = place_.disk->open(path, OpenMode::read);
    if (!file && file.error().code == Errc::not_found) continue;
    const Result<std::vector<std::byte>> wanted = make(number, rows.hash_of(number));
    if (!wanted) continue;  // the rows themselves are the problem
    std::vector<std::byte> found(wanted->size());
    const Result<uint64_t> bytes = file ? (*file)->size() : Result<uint64_t>(file.error());
    const bool same = bytes && *bytes == wanted->size() && (*file)->read_at(0, found) && found == *wanted;
    if (!same) problems.push_back(path + " is damaged or of other rows: remove it, the server makes it again");
  }
}

}  // namespace heptane::rows
