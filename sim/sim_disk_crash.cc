// Power cuts, kill -9, rot, copies and what a failure report prints.
#include <algorithm>
#include <limits>
#include <unordered_map>

#include "sim/sim_disk.h"
#include "sim/sim_disk_state.h"

namespace heptane::sim {

namespace {

// Each of the eight sectors with a chance of `in_8` eighths.
uint8_t some_sectors(SeededRandom& chance, uint64_t in_8) {
  const uint64_t word = chance.next();
  unsigned sectors = 0;
  for (unsigned i = 0; i < kSectorsPerPage; ++i)
    if ((word >> (8 * i) & 7) < in_8) sectors |= 1U << i;
  return static_cast<uint8_t>(sectors);
}

// A file that grows may be caught half grown.
uint64_t some_size(SeededRandom& chance, uint64_t from, uint64_t to) {
  if (to <= from || chance.one_in(2)) return to;
  const uint64_t sectors = (to - from) / kSectorBytes;
  return sectors == 0 ? to : std::min(to, (from / kSectorBytes + 1 + chance.below(sectors)) * kSectorBytes);
}

}  // namespace

void SimDisk::end_process() {
  ++process_;
  ++counters_.crashes;
  crashed_ = false;
  crash_at_operation_ = 0;
  pending_syncs_.clear();
}

void SimDisk::process_kill() {
  end_process();
  recount();
}

void SimDisk::crash(CrashMode mode, uint64_t seed) {
  end_process();
  SeededRandom chance(seed);
  uint64_t cut = 0;
  if (mode == CrashMode::prefix) {
    const uint64_t oldest = oldest_pending(*root_, last_order_ + 1);
    cut = oldest + chance.below(last_order_ + 2 - oldest);
  }
  survive_entries(*root_, mode, chance, cut);
  survive_writes(*root_, mode, chance, cut);
  adopt_platter(*root_);
  lost_names_ = false;
  recount();
}

// In the prefix mode: what the seed cuts, from the first pending change to after the last.
uint64_t SimDisk::oldest_pending(const Inode& inode, uint64_t oldest) {
  if (!inode.pending_writes.empty()) oldest = std::min(oldest, inode.pending_writes.front().order);
  for (const PendingEntry& entry : inode.pending_entries) {
    oldest = std::min(oldest, entry.order);
    if (entry.inode && !entry.inode->directory) oldest = oldest_pending(*entry.inode, oldest);
  }
  for (const auto& [name, child] : inode.platter_entries)
    if (!child->directory) oldest = oldest_pending(*child, oldest);
  for (const auto& [name, child] : inode.view_entries) oldest = oldest_pending(*child, oldest);
  return oldest;
}

// Directories never go and never move to another parent, so the view has all of them.
void SimDisk::survive_entries(Inode& directory, CrashMode mode, SeededRandom& chance, uint64_t cut) {
  auto& pending = directory.pending_entries;
  const uint64_t first = mode == CrashMode::random ? chance.below(pending.size() + 1) : 0;
  for (size_t i = 0; i < pending.size(); ++i) {
    const PendingEntry& entry = pending[i];
    const bool survives = mode == CrashMode::keep_all || (mode == CrashMode::prefix && entry.order < cut) ||
                          (mode == CrashMode::random && i < first) || (mode == CrashMode::hostile && chance.one_in(2));
    if (!survives) continue;
    // A rename whose predecessor got lost: a file still has one name.
    if (!entry.removed.empty() && !entry.added.empty())
      std::erase_if(directory.platter_entries, [&](const auto& old) { return old.second == entry.inode; });
    apply(directory, entry);
  }
  for (const auto& [name, child] : directory.view_entries)
    if (child->directory) survive_entries(*child, mode, chance, cut);
}

void SimDisk::survive_writes(Inode& inode, CrashMode mode, SeededRandom& chance, uint64_t cut) {
  for (const auto& [name, child] : inode.platter_entries) survive_writes(*child, mode, chance, cut);
  if (inode.pending_writes.empty()) return;
  const uint64_t in_8 = 1 + chance.below(7);
  for (PendingWrite& write : inode.pending_writes) {
    if (mode == CrashMode::keep_all || (mode == CrashMode::prefix && write.order < cut)) {
      apply(inode, write, 0xFF, true);
    } else if (mode == CrashMode::prefix && write.order == cut) {
      apply(inode, write, static_cast<uint8_t>((1U << chance.below(kSectorsPerPage)) - 1), chance.one_in(2));
    } else if (mode == CrashMode::random || mode == CrashMode::hostile) {
      const bool with_size = chance.below(8) < in_8;
      if (!write.truncates) write.size = some_size(chance, inode.platter.size(), write.size);
      apply(inode, write, some_sectors(chance, in_8), with_size);
    }
  }
}

void SimDisk::adopt_platter(Inode& inode) {
  inode.pending_writes.clear();
  inode.pending_entries.clear();
  inode.platter.truncate(inode.platter.size());  // sectors that survived beyond a size that did not
  inode.view = inode.platter;
  inode.view_entries = inode.platter_entries;
  for (const auto& [name, child] : inode.view_entries) adopt_platter(*child);
}

// After the end of a process: every handle and lock is gone, and only names keep files.
void SimDisk::recount() {
  used_bytes_ = 0;
  std::vector<Inode*> directories{root_.get()};
  while (!directories.empty()) {
    const Inode& directory = *directories.back();
    directories.pop_back();
    for (const auto& [name, child] : directory.view_entries) {
      child->linked = true;
      child->locked = false;
      child->handles = 0;
      if (child->directory) directories.push_back(child.get());
      child->charged_bytes = (child->view.size() + kPageBytes - 1) / kPageBytes * kPageBytes;
      used_bytes_ += child->charged_bytes;
    }
  }
}

void SimDisk::xor_at_rest(Inode& file, uint64_t offset, std::byte mask) {
  const uint64_t page = offset / kPageBytes;
  const unsigned bit = 1U << (offset % kPageBytes / kSectorBytes);
  const bool pending =
      std::any_of(file.pending_writes.begin(), file.pending_writes.end(),
                  [&](const PendingWrite& write) { return write.page_index == page && (write.sectors & bit) != 0; });
  file.platter.xor_byte(offset, mask);
  if (!pending && offset < file.view.size()) file.view.xor_byte(offset, mask);
}

Result<void> SimDisk::corrupt(const std::string& path, uint64_t offset, std::byte xor_mask) {
  Result<InodeRef> file = find_file(path);
  if (!file) return std::move(file.error());
  if (offset >= (*file)->platter.size())
    return Error{Errc::invalid_argument, path + ": nothing durable at " + std::to_string(offset)};
  xor_at_rest(**file, offset, xor_mask);
  return {};
}

Result<uint64_t> SimDisk::flip_bit(const std::string& path) {
  Result<InodeRef> file = find_file(path);
  if (!file) return std::move(file.error());
  const SparseImage& platter = (*file)->platter;
  if (platter.size() == 0) return Error{Errc::invalid_argument, path + ": nothing durable"};
  std::vector<uint64_t> stored;
  platter.for_each_page([&](uint64_t index, const PageRef&) {
    if (index * kPageBytes < platter.size()) stored.push_back(index);
  });
  uint64_t offset = random_.below(platter.size());
  if (!stored.empty()) {
    const uint64_t begin = stored[random_.below(stored.size())] * kPageBytes;
    offset = begin + random_.below(std::min<uint64_t>(kPageBytes, platter.size() - begin));
  }
  xor_at_rest(**file, offset, static_cast<std::byte>(1U << random_.below(8)));
  return offset;
}

Result<void> SimDisk::make_unreadable(const std::string& path, uint64_t offset) {
  Result<InodeRef> file = find_file(path);
  if (!file) return std::move(file.error());
  (*file)->unreadable_sectors.insert(offset / kSectorBytes);
  return {};
}

std::vector<std::string> SimDisk::files() const {
  std::vector<std::string> paths;
  const std::function<void(const Inode&, const std::string&)> visit = [&](const Inode& directory,
                                                                          const std::string& at) {
    for (const auto& [name, child] : directory.view_entries) {
      const std::string path = at + "/" + name;
      if (child->directory)
        visit(*child, path);
      else
        paths.push_back(path);
    }
  };
  visit(*root_, "");
  std::sort(paths.begin(), paths.end());
  return paths;
}

Result<std::vector<std::byte>> SimDisk::durable_content(const std::string& path) const {
  const Inode* inode = root_.get();
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    begin = end + 1;
    if (name.empty() || name == ".") continue;
    const auto found = inode->platter_entries.find(name);
    if (found == inode->platter_entries.end()) return Error{Errc::not_found, path + ": no durable name"};
    inode = found->second.get();
  }
  if (inode->directory) return Error{Errc::io, path + ": is a directory"};
  std::vector<std::byte> content(inode->platter.size());
  inode->platter.read(0, content);
  return content;
}

Hash128 SimDisk::fingerprint() const {
  DigestAccumulator digest;
  const std::function<void(const Inode&)> visit = [&](const Inode& inode) {
    digest.add(inode.directory ? 1 : 0, inode.platter.size());
    inode.platter.for_each_page([&](uint64_t index, const PageRef& page) {
      if (index * kPageBytes >= inode.platter.size() || all_zeros(page->bytes)) return;
      digest.add(index, kPageBytes);
      digest.add(page->bytes);
    });
    digest.add(inode.platter_entries.size(), 0);
    for (const auto& [name, child] : inode.platter_entries) {
      digest.add(as_bytes(name));
      visit(*child);
    }
  };
  visit(*root_);
  return digest.value();
}

std::unique_ptr<SimDisk> SimDisk::clone() const {
  auto copy = std::make_unique<SimDisk>(SimDiskOptions{.trace_length = trace_length_});
  copy->random_ = random_;
  copy->faults_ = faults_;
  copy->counters_ = counters_;
  copy->armed_ = armed_;
  copy->trace_ = trace_;
  copy->traced_ = traced_;
  copy->last_order_ = last_order_;
  copy->capacity_bytes_ = capacity_bytes_;
  copy->immediate_ = immediate_;

  std::unordered_map<const Inode*, InodeRef> copies;
  const std::function<InodeRef(const InodeRef&)> copy_of = [&](const InodeRef& old) -> InodeRef {
    if (!old) return nullptr;
    const auto [known, fresh] = copies.try_emplace(old.get());
    if (!fresh) return known->second;
    const InodeRef inode = known->second = std::make_shared<Inode>(*old);
    for (auto& [name, child] : inode->view_entries) child = copy_of(child);
    for (auto& [name, child] : inode->platter_entries) child = copy_of(child);
    for (PendingEntry& entry : inode->pending_entries) {
      entry.inode = copy_of(entry.inode);
      entry.other_directory = copy_of(entry.other_directory.lock());
    }
    return inode;
  };
  copy->root_ = copy_of(root_);
  copy->recount();
  return copy;
}

std::string SimDisk::trace() const {
  std::string text;
  const uint64_t kept = std::min<uint64_t>(traced_, trace_.size());
  for (uint64_t i = traced_ - kept; i < traced_; ++i) {
    const TraceLine& line = trace_[i % trace_.size()];
    text += "#" + std::to_string(line.operation) + " " + line.what + " " + line.path;
    if (line.length != 0) text += " @" + std::to_string(line.offset) + " +" + std::to_string(line.length);
    text.append(" ").append(line.outcome).append("\n");
  }
  return text;
}

}  // namespace heptane::sim
