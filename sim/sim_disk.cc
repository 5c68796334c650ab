#include "sim/sim_disk.h"

#include <algorithm>

#include "sim/sim_disk_state.h"

namespace heptane::sim {

namespace {

Error not_found(const std::string& path) { return {Errc::not_found, path + ": no such file or directory"}; }
Error not_a_directory(const std::string& path) { return {Errc::io, path + ": not a directory"}; }

// The names of a path; `.` is left out. Relative paths begin at the root.
Result<std::vector<std::string_view>> names_of(std::string_view path) {
  std::vector<std::string_view> names;
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, end);
    if (name == "..") return Error{Errc::unsupported, "the simulated disk takes no path with .."};
    if (!name.empty() && name != ".") names.push_back(name);
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return names;
}

std::string joined(const std::vector<std::string_view>& names, size_t count) {
  std::string path;
  for (size_t i = 0; i < count; ++i) path.append("/").append(names[i]);
  return path;
}

}  // namespace

SimDisk::SimDisk(SimDiskOptions options)
    : random_(options.seed),
      root_(std::make_shared<Inode>()),
      trace_(options.trace_length),
      trace_length_(options.trace_length),
      capacity_bytes_(options.capacity_bytes),
      immediate_(options.immediate) {
  root_->directory = true;
  root_->linked = true;
}

SimDisk::~SimDisk() = default;

Error SimDisk::closed() { return {Errc::closed, "the simulated machine is down"}; }

SimDisk::Admission SimDisk::admit(const char* what, const std::string& path, uint64_t offset, uint64_t length) {
  if (crashed_) return Admission::dead;
  ++counters_.operations;
  if (!trace_.empty()) {
    TraceLine& line = trace_[traced_++ % trace_.size()];
    line.operation = counters_.operations;
    line.what = what;
    line.path = path;
    line.offset = offset;
    line.length = length;
    line.outcome = "";
  }
  if (counters_.operations != crash_at_operation_) return Admission::run;
  crashed_ = true;
  return Admission::cut_short;
}

bool SimDisk::fires(SimFault fault) {
  const auto armed = std::find_if(armed_.begin(), armed_.end(), [&](const ArmedFault& one) {
    return one.fault == fault && one.from_operation <= counters_.operations;
  });
  const uint32_t one_in = faults_[fault];
  const bool fires = armed != armed_.end() || (one_in != 0 && random_.one_in(one_in));
  if (armed != armed_.end()) armed_.erase(armed);
  if (fires) ++counters_.faults;
  return fires;
}

void SimDisk::clear_faults() {
  faults_ = SimDiskFaults();
  armed_.clear();
}

Result<SimDisk::Place> SimDisk::find(const std::string& path) const {
  Result<std::vector<std::string_view>> names = names_of(path);
  if (!names) return std::move(names.error());
  Place place{nullptr, "", root_};
  for (const std::string_view name : *names) {
    if (!place.inode) return not_found(path);
    if (!place.inode->directory) return not_a_directory(path);
    place.directory = std::move(place.inode);
    place.name = name;
    const auto found = place.directory->view_entries.find(place.name);
    place.inode = found == place.directory->view_entries.end() ? nullptr : found->second;
  }
  return place;
}

Result<SimDisk::InodeRef> SimDisk::find_directory(const std::string& path) const {
  Result<Place> place = find(path);
  if (!place) return std::move(place.error());
  if (!place->inode) return not_found(path);
  if (!place->inode->directory) return not_a_directory(path);
  return place->inode;
}

Result<SimDisk::InodeRef> SimDisk::find_file(const std::string& path) const {
  Result<Place> place = find(path);
  if (!place) return std::move(place.error());
  if (!place->inode) return not_found(path);
  if (place->inode->directory) return Error{Errc::io, path + ": is a directory"};
  return place->inode;
}

void SimDisk::add_pending(const InodeRef& directory, PendingEntry entry) {
  entry.order = ++last_order_;
  directory->pending_entries.push_back(std::move(entry));
}

void SimDisk::apply(Inode& directory, const PendingEntry& entry) {
  if (!entry.removed.empty()) directory.platter_entries.erase(entry.removed);
  if (!entry.added.empty()) directory.platter_entries[entry.added] = entry.inode;
  const InodeRef other = entry.other_directory.lock();
  if (!other) return;
  for (const PendingEntry& counterpart : other->pending_entries)
    if (counterpart.order == entry.order) apply(*other, counterpart);
}

Result<SimDisk::InodeRef> SimDisk::create_file(const Place& place) {
  auto inode = std::make_shared<Inode>();
  inode->linked = true;
  place.directory->view_entries[place.name] = inode;
  add_pending(place.directory, {.removed = {}, .added = place.name, .inode = inode, .other_directory = {}});
  return inode;
}

Result<void> SimDisk::create_directory(const Place& place) {
  Result<InodeRef> inode = create_file(place);
  (*inode)->directory = true;
  return {};
}

Result<void> SimDisk::make_directory(const std::string& path) {
  if (crashed_) return closed();
  Result<std::vector<std::string_view>> names = names_of(path);
  if (!names) return std::move(names.error());
  for (size_t count = 1; count <= names->size(); ++count) {
    const std::string part = joined(*names, count);
    Result<Place> place = find(part);
    if (!place) return std::move(place.error());
    if (place->inode) {
      if (!place->inode->directory) return not_a_directory(part);
      continue;
    }
    HEPTANE_TRY(change("mkdir", part, 0, [&] { return create_directory(*place); }));
  }
  return {};
}

Result<std::vector<std::string>> SimDisk::list(const std::string& directory) {
  if (crashed_) return closed();
  Result<InodeRef> inode = find_directory(directory);
  if (!inode) return std::move(inode.error());
  std::vector<std::string> names;
  for (const auto& [name, entry] : (*inode)->view_entries) names.push_back(name);
  return names;
}

Result<bool> SimDisk::exists(const std::string& path) {
  if (crashed_) return closed();
  const Result<Place> place = find(path);
  if (!place && place.error().code == Errc::unsupported) return place.error();
  return place.ok() && place->inode != nullptr;
}

Result<void> SimDisk::rename(const std::string& from, const std::string& to) {
  if (crashed_) return closed();
  Result<Place> source = find(from);
  if (!source) return std::move(source.error());
  Result<Place> target = find(to);
  if (!target) return std::move(target.error());
  if (!source->inode || !source->directory) return not_found(from);
  if (!target->directory) return Error{Errc::io, to + ": is the root"};
  if (source->inode->directory && source->directory != target->directory)
    return Error{Errc::unsupported, "the simulated disk moves no directory into another: " + from};
  if (target->inode && (target->inode->directory != source->inode->directory || !target->inode->view_entries.empty()) &&
      target->inode != source->inode)
    return Error{Errc::io, to + ": is in the way"};
  return change("rename", from + " to " + to, 0, [&] { return rename_entry(*source, *target); });
}

Result<void> SimDisk::rename_entry(const Place& from, const Place& to) {
  if (from.inode == to.inode) return {};
  from.directory->view_entries.erase(from.name);
  to.directory->view_entries[to.name] = from.inode;
  if (to.inode) {
    to.inode->linked = false;
    release_if_unused(*to.inode);
  }
  if (from.directory == to.directory) {
    add_pending(from.directory, {.removed = from.name, .added = to.name, .inode = from.inode, .other_directory = {}});
    return {};
  }
  add_pending(to.directory, {.removed = {}, .added = to.name, .inode = from.inode, .other_directory = {}});
  PendingEntry removal{
      .order = last_order_, .removed = from.name, .added = {}, .inode = {}, .other_directory = to.directory};
  from.directory->pending_entries.push_back(std::move(removal));
  return {};
}

Result<void> SimDisk::unlink(const std::string& path) {
  if (crashed_) return closed();
  Result<Place> place = find(path);
  if (!place) return std::move(place.error());
  if (!place->inode) return not_found(path);
  if (place->inode->directory) return Error{Errc::io, path + ": is a directory"};
  return change("unlink", path, 0, [&] { return unlink_entry(*place); });
}

Result<void> SimDisk::unlink_entry(const Place& place) {
  place.directory->view_entries.erase(place.name);
  place.inode->linked = false;
  release_if_unused(*place.inode);
  add_pending(place.directory, {.removed = place.name, .added = {}, .inode = {}, .other_directory = {}});
  return {};
}

Result<void> SimDisk::sync_directory(const std::string& path) {
  if (crashed_) return closed();
  Result<InodeRef> directory = find_directory(path);
  if (!directory) return std::move(directory.error());
  const Admission admission = admit("sync directory", path, 0, 0);
  ++counters_.directory_syncs;
  if (admission == Admission::cut_short) {
    if (random_.one_in(2)) (void)do_sync_directory(**directory);
    return finish(Result<void>(closed()));
  }
  if (fires(SimFault::directory_sync_error)) {
    lost_names_ = lost_names_ || !(*directory)->pending_entries.empty();
    (*directory)->pending_entries.clear();
    return finish(Result<void>(Error{Errc::io, "sync directory " + path + ": input/output error (injected)"}));
  }
  return finish(do_sync_directory(**directory));
}

Result<void> SimDisk::do_sync_directory(Inode& directory) {
  if (faults_.lying_directory_sync) return {};
  for (const PendingEntry& entry : directory.pending_entries) apply(directory, entry);
  directory.pending_entries.clear();
  return {};
}

Result<uint64_t> SimDisk::free_bytes(const std::string& path) {
  if (crashed_) return closed();
  Result<Place> place = find(path);
  if (!place) return std::move(place.error());
  if (!place->inode) return not_found(path);
  return capacity_bytes_ > used_bytes_ ? capacity_bytes_ - used_bytes_ : 0;
}

size_t SimDisk::pending_operations() const { return crashed_ ? 0 : pending_syncs_.size(); }

bool SimDisk::step() {
  const size_t count = pending_operations();
  return count != 0 && complete_one(random_.below(count));
}

}  // namespace heptane::sim
