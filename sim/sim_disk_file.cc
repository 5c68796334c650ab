// Contents: handles, locks, reads, writes, syncs.
#include <algorithm>

#include "sim/sim_disk.h"
#include "sim/sim_disk_state.h"

namespace heptane::sim {

namespace {

constexpr size_t kDirectAlignment = 4096;

Error injected(const char* what, const std::string& path) {
  return {Errc::io, std::string(what) + " " + path + ": input/output error (injected)"};
}

Error full(const std::string& path) { return {Errc::no_space, path + ": no space left on the simulated disk"}; }

uint64_t pages_bytes(uint64_t size) { return (size + kPageBytes - 1) / kPageBytes * kPageBytes; }

// The bits of the sectors that [within, within + length) of a page touches; length > 0.
uint8_t sectors_touched(size_t within, size_t length) {
  const size_t first = within / kSectorBytes;
  const size_t last = (within + length - 1) / kSectorBytes;
  return static_cast<uint8_t>((0xFFU << first) & (0xFFU >> (kSectorsPerPage - 1 - last)));
}

}  // namespace

class SimFile final : public File {
 public:
  SimFile(SimDisk& disk, SimDisk::InodeRef inode, std::string path, OpenMode mode, OpenHint hint)
      : disk_(disk),
        inode_(std::move(inode)),
        path_(std::move(path)),
        process_(disk.process_),
        writable_(mode != OpenMode::read),
        direct_(hint == OpenHint::direct) {
    ++inode_->handles;
  }
  ~SimFile() override {
    if (process_ != disk_.process_) return;
    --inode_->handles;
    disk_.release_if_unused(*inode_);
  }
  SimFile(const SimFile&) = delete;
  SimFile& operator=(const SimFile&) = delete;

  Result<size_t> read_at(uint64_t offset, MutableBytes into) override {
    HEPTANE_TRY(check(offset, into, false));
    return disk_.read(*inode_, path_, offset, into);
  }
  Result<std::optional<size_t>> try_read_at(uint64_t offset, MutableBytes into) override {
    HEPTANE_TRY(check(offset, into, false));
    if (disk_.random_.one_in(3)) return std::optional<size_t>();
    const Result<size_t> count = disk_.read(*inode_, path_, offset, into);
    if (!count) return count.error();
    return std::optional<size_t>(*count);
  }
  Result<void> write_at(uint64_t offset, Bytes bytes) override {
    HEPTANE_TRY(check(offset, bytes, true));
    return disk_.write(inode_, path_, offset, bytes);
  }
  Result<void> sync() override {
    HEPTANE_TRY(check(0, {}, false));
    return disk_.sync(*inode_, path_, disk_.last_order_);
  }
  void write_and_sync(uint64_t offset, Bytes bytes, Completion done) override {
    Result<void> checked = check(offset, bytes, true);
    if (!checked) return done(std::move(checked));
    disk_.write_and_sync(inode_, path_, offset, bytes, std::move(done));
  }
  Result<uint64_t> size() override {
    HEPTANE_TRY(check(0, {}, false));
    return inode_->view.size();
  }
  Result<void> allocate(uint64_t size) override {
    HEPTANE_TRY(check(size, {}, true));
    return disk_.allocate(*inode_, path_, size);
  }
  Result<void> truncate(uint64_t size) override {
    HEPTANE_TRY(check(size, {}, true));
    return disk_.truncate(*inode_, path_, size);
  }

 private:
  Result<void> check(uint64_t offset, Bytes bytes, bool writes) const {
    if (process_ != disk_.process_ || disk_.crashed_) return SimDisk::closed();
    if (writes && !writable_) return Error{Errc::io, path_ + ": open for reading only"};
    if (offset > kFileBytesMax || bytes.size() > kFileBytesMax - offset)
      return Error{Errc::io, path_ + ": beyond the largest file of the simulated disk"};
    const bool aligned = (offset | bytes.size() | reinterpret_cast<uintptr_t>(bytes.data())) % kDirectAlignment == 0;
    if (direct_ && !bytes.empty() && !aligned)
      return Error{Errc::io, path_ + ": direct access needs offset, size and address in 4096"};
    return {};
  }

  SimDisk& disk_;
  SimDisk::InodeRef inode_;
  std::string path_;
  uint64_t process_;
  bool writable_;
  bool direct_;
};

class SimLock final : public DirectoryLock {
 public:
  SimLock(SimDisk& disk, SimDisk::InodeRef inode) : disk_(disk), inode_(std::move(inode)), process_(disk.process_) {
    inode_->locked = true;
  }
  ~SimLock() override {
    if (process_ == disk_.process_) inode_->locked = false;
  }
  SimLock(const SimLock&) = delete;
  SimLock& operator=(const SimLock&) = delete;

 private:
  SimDisk& disk_;
  SimDisk::InodeRef inode_;
  uint64_t process_;
};

Result<std::unique_ptr<File>> SimDisk::open(const std::string& path, OpenMode mode, OpenHint hint) {
  if (crashed_) return closed();
  Result<InodeRef> inode = Error{};
  if (mode == OpenMode::create) {
    Result<Place> place = find(path);
    if (!place) return std::move(place.error());
    if (place->inode) return Error{Errc::exists, path + ": exists"};
    inode = change("create", path, 0, [&] { return create_file(*place); });
  } else {
    inode = find_file(path);
  }
  if (!inode) return std::move(inode.error());
  return std::unique_ptr<File>(new SimFile(*this, *inode, path, mode, hint));
}

Result<std::unique_ptr<DirectoryLock>> SimDisk::lock(const std::string& path) {
  if (crashed_) return closed();
  Result<Place> place = find(path);
  if (!place) return std::move(place.error());
  Result<InodeRef> inode =
      place->inode ? find_file(path) : change("create", path, 0, [&] { return create_file(*place); });
  if (!inode) return std::move(inode.error());
  if ((*inode)->locked) return Error{Errc::exists, path + " is held by another process: one writer per data directory"};
  return std::unique_ptr<DirectoryLock>(new SimLock(*this, *inode));
}

Result<size_t> SimDisk::read(Inode& file, const std::string& path, uint64_t offset, MutableBytes into) {
  ++counters_.reads;
  if (fires(SimFault::read_error)) return injected("read", path);
  if (offset >= file.view.size() || into.empty()) return size_t{0};
  const size_t count = std::min<uint64_t>(into.size(), file.view.size() - offset);
  const auto unreadable = file.unreadable_sectors.lower_bound(offset / kSectorBytes);
  if (unreadable != file.unreadable_sectors.end() && *unreadable <= (offset + count - 1) / kSectorBytes)
    return Error{Errc::io, "read " + path + ": unreadable sector at " + std::to_string(*unreadable * kSectorBytes)};
  file.view.read(offset, into.first(count));
  counters_.bytes_read += count;
  return count;
}

Result<void> SimDisk::write(const InodeRef& file, const std::string& path, uint64_t offset, Bytes bytes) {
  const Admission admission = admit("write", path, offset, bytes.size());
  if (admission == Admission::dead) return closed();
  ++counters_.writes;
  if (admission == Admission::run) return finish(write_with_faults(*file, path, offset, bytes));
  const uint64_t sectors = random_.below(bytes.size() / kSectorBytes + 1);
  if (reserve(*file, offset + sectors * kSectorBytes)) put(*file, offset, bytes.first(sectors * kSectorBytes));
  return finish(Result<void>(closed()));
}

Result<void> SimDisk::write_with_faults(Inode& file, const std::string& path, uint64_t offset, Bytes bytes) {
  if (fires(SimFault::write_error)) return injected("write", path);
  const bool torn = fires(SimFault::write_error_partial);
  const bool no_space = fires(SimFault::no_space) || !reserve(file, offset + bytes.size());
  if (torn || no_space) {
    Bytes part = bytes.first(random_.below(bytes.size() + 1));
    if (!reserve(file, offset + part.size())) part = {};
    put(file, offset, part);
    return no_space ? full(path) : injected("write", path);
  }
  put(file, offset, bytes);
  return {};
}

// Into the view, pending; nothing can fail any more.
void SimDisk::put(Inode& file, uint64_t offset, Bytes bytes) {
  if (bytes.empty()) return;
  counters_.bytes_written += bytes.size();
  const bool misdirected = fires(SimFault::misdirected_write);
  const bool lost = misdirected || fires(SimFault::lost_write);
  const uint64_t begin = offset;
  const uint64_t length = bytes.size();
  auto& unreadable = file.unreadable_sectors;
  if (!unreadable.empty())
    unreadable.erase(unreadable.lower_bound(offset / kSectorBytes),
                     unreadable.upper_bound((offset + length - 1) / kSectorBytes));
  while (!bytes.empty()) {
    const size_t within = offset % kPageBytes;
    const size_t count = std::min(bytes.size(), kPageBytes - within);
    PageRef page = file.view.write(offset / kPageBytes, within, bytes.first(count));
    PendingWrite write{.page_index = offset / kPageBytes, .page = std::move(page)};
    if (!lost) write.sectors = sectors_touched(within, count);
    if (offset + count > file.view.size()) write.size = offset + count;
    file.view.grow(offset + count);
    if (write.sectors != 0 || write.size != 0) add_pending(file, std::move(write));
    offset += count;
    bytes = bytes.subspan(count);
  }
  if (misdirected) put_elsewhere(file, begin, length);
}

// The sectors of the view of `file` land on a wrong place, on the platter and for later reads.
void SimDisk::put_elsewhere(const Inode& file, uint64_t offset, uint64_t length) {
  std::vector<InodeRef> targets;
  for (const std::string& path : files()) {
    Result<InodeRef> target = find_file(path);
    if (target.ok() && (*target)->platter.size() >= kSectorBytes) targets.push_back(*target);
  }
  if (targets.empty()) return;
  Inode& target = *targets[random_.below(targets.size())];
  const uint64_t first = offset / kSectorBytes;
  const uint64_t count = (offset + length - 1) / kSectorBytes - first + 1;
  const uint64_t room = target.platter.size() / kSectorBytes;
  uint64_t to = random_.below(room > count ? room - count + 1 : room);
  if (&target == &file && to == first) to = to == 0 ? std::min<uint64_t>(1, room - 1) : to - 1;
  for (uint64_t i = 0; i < count && to + i < room; ++i) {
    std::array<std::byte, kSectorBytes> sector;
    file.view.read((first + i) * kSectorBytes, sector);
    const uint64_t at = (to + i) * kSectorBytes;
    target.platter.write(at / kPageBytes, at % kPageBytes, sector);
    const bool own_view = &target == &file && to + i >= first && to + i < first + count;
    if (!own_view && at + kSectorBytes <= target.view.size())
      target.view.write(at / kPageBytes, at % kPageBytes, sector);
  }
}

void SimDisk::add_pending(Inode& file, PendingWrite write) {
  write.order = ++last_order_;
  file.pending_writes.push_back(std::move(write));
  if (file.pending_writes.size() > kPendingWritesMax)
    apply_upto(file, file.pending_writes[kPendingWritesMax / 2].order);
}

void SimDisk::apply(Inode& file, const PendingWrite& write, uint8_t sectors, bool with_size) {
  file.platter.merge(write.page_index, write.page, write.sectors & sectors);
  if (!with_size) return;
  if (write.truncates)
    file.platter.truncate(write.size);
  else
    file.platter.grow(write.size);
}

void SimDisk::apply_upto(Inode& file, uint64_t upto) {
  auto& pending = file.pending_writes;
  auto end = pending.begin();
  for (; end != pending.end() && end->order <= upto; ++end) apply(file, *end, 0xFF, true);
  pending.erase(pending.begin(), end);
}

Result<void> SimDisk::sync(Inode& file, const std::string& path, uint64_t upto) {
  const Admission admission = admit("sync", path, 0, 0);
  if (admission == Admission::dead) return closed();
  ++counters_.syncs;
  if (admission == Admission::cut_short) {
    if (random_.one_in(2)) (void)do_sync(file, upto);
    return finish(Result<void>(closed()));
  }
  const bool partial = fires(SimFault::sync_error_partial);
  if (!partial && !fires(SimFault::sync_error)) return finish(do_sync(file, upto));
  // The kernel marks the pages clean: a later sync has nothing to write and says ok.
  auto& pending = file.pending_writes;
  auto end = pending.begin();
  for (; end != pending.end() && end->order <= upto; ++end)
    if (partial) apply(file, *end, static_cast<uint8_t>(random_.next()), random_.one_in(2));
  pending.erase(pending.begin(), end);
  return finish(Result<void>(injected("sync", path)));
}

Result<void> SimDisk::do_sync(Inode& file, uint64_t upto) {
  if (!faults_.lying_sync) apply_upto(file, upto);
  return {};
}

void SimDisk::write_and_sync(const InodeRef& file, const std::string& path, uint64_t offset, Bytes bytes,
                             File::Completion done) {
  Result<void> written = write(file, path, offset, bytes);
  if (immediate_ || crashed_) {
    if (written) written = sync(*file, path, last_order_);
    return done(std::move(written));
  }
  pending_syncs_.push_back({file, path, last_order_, bytes, hash128(bytes), std::move(written), std::move(done)});
}

bool SimDisk::complete_one(size_t index) {
  if (index >= pending_operations()) return false;
  PendingSync one = std::move(pending_syncs_[index]);
  pending_syncs_.erase(pending_syncs_.begin() + static_cast<ptrdiff_t>(index));
  HEPTANE_ASSERT(hash128(one.bytes) == one.hash, "the bytes of write_and_sync changed before it was done");
  Result<void> result = std::move(one.written);
  if (result) result = sync(*one.inode, one.path, one.upto);
  if (crashed_) {
    pending_syncs_.push_back(std::move(one));  // its completion goes with the process
    return false;
  }
  one.done(std::move(result));
  return true;
}

bool SimDisk::reserve(Inode& file, uint64_t size) {
  const uint64_t wanted = pages_bytes(std::max(size, file.view.size()));
  if (wanted <= file.charged_bytes) return true;
  const uint64_t more = wanted - file.charged_bytes;
  if (used_bytes_ > capacity_bytes_ || more > capacity_bytes_ - used_bytes_) return false;
  used_bytes_ += more;
  file.charged_bytes = wanted;
  return true;
}

void SimDisk::release_if_unused(Inode& inode) {
  if (inode.linked || inode.handles != 0) return;
  used_bytes_ -= inode.charged_bytes;
  inode.charged_bytes = 0;
}

Result<void> SimDisk::allocate(Inode& file, const std::string& path, uint64_t size) {
  return change("allocate", path, size, [&]() -> Result<void> {
    if (fires(SimFault::no_space) || !reserve(file, size)) return full(path);
    if (size <= file.view.size()) return {};
    file.view.grow(size);
    add_pending(file, {.page = {}, .size = size});
    return {};
  });
}

Result<void> SimDisk::truncate(Inode& file, const std::string& path, uint64_t size) {
  return change("truncate", path, size, [&]() -> Result<void> {
    if (size > file.view.size() && !reserve(file, size)) return full(path);
    if (size < file.view.size()) {
      used_bytes_ -= file.charged_bytes - pages_bytes(size);
      file.charged_bytes = pages_bytes(size);
    }
    file.view.truncate(size);
    add_pending(file, {.page = {}, .size = size, .truncates = true});
    return {};
  });
}

}  // namespace heptane::sim
