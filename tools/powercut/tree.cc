#include "tools/powercut/tree.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

namespace powercut {
namespace {

namespace fs = std::filesystem;

bool fail(std::string* error, const std::string& what, const std::string& path) {
  *error = what + " " + path + ": " + strerror(errno);
  return false;
}

// Records what exists already, everything synced.
class Recorder {
 public:
  explicit Recorder(Journal* journal) : journal_(journal) {}

  bool directory(const std::string& path, uint64_t inode, std::string* error) {
    std::error_code code;
    std::map<std::string, std::string> entries;  // by name: one directory gives one journal
    for (const auto& entry : fs::directory_iterator(path, code)) entries[entry.path().filename()] = entry.path();
    if (code) return fail(error, "cannot list", path);
    for (const auto& [name, entry] : entries) {
      if (!entry_of(inode, name, entry, error)) return false;
    }
    sync(inode);
    return true;
  }

 private:
  bool entry_of(uint64_t parent, const std::string& name, const std::string& path, std::string* error) {
    struct stat status;
    if (lstat(path.c_str(), &status) != 0) return fail(error, "cannot stat", path);
    Record record{};
    record.op = Op::kCreate;
    record.inode = status.st_ino;
    record.a = parent;
    record.b = static_cast<uint64_t>(status.st_uid) << 32 | status.st_gid;
    record.mode = status.st_mode;
    if (!S_ISDIR(status.st_mode) && !seen_.insert(status.st_ino).second) {
      record.op = Op::kLink;
      journal_->append(record, name.data(), name.size());
      return true;
    }
    std::string target = S_ISLNK(status.st_mode) ? fs::read_symlink(path).string() : std::string();
    journal_->append(record, name.data(), name.size(), target.data(), target.size());
    if (S_ISDIR(status.st_mode)) return directory(path, status.st_ino, error);
    return !S_ISREG(status.st_mode) || content(path, status, error);
  }

  bool content(const std::string& path, const struct stat& status, std::string* error) {
    int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(error, "cannot open", path);
    Record record{};
    record.op = Op::kTruncate;
    record.inode = status.st_ino;
    record.a = static_cast<uint64_t>(status.st_size);
    journal_->append(record);
    std::vector<std::byte> buffer(kPayloadBytesMax);
    ssize_t got = 0;
    for (off_t at = 0; (got = pread(fd, buffer.data(), buffer.size(), at)) > 0; at += got) {
      iovec data{buffer.data(), static_cast<size_t>(got)};
      journal_->append_write(status.st_ino, static_cast<uint64_t>(at), &data, 1, data.iov_len);
    }
    close(fd);
    if (got < 0) return fail(error, "cannot read", path);
    sync(status.st_ino);
    return true;
  }

  void sync(uint64_t inode) {
    Record record{};
    record.op = Op::kSync;
    record.inode = inode;
    record.a = journal_->end();
    journal_->append(record);
  }

  Journal* journal_;
  std::set<uint64_t> seen_;
};

class Writer {
 public:
  explicit Writer(std::string* error) : error_(error) {}

  bool directory(const Platter::Node& node, const std::string& path) {
    paths_[&node] = path;
    for (const auto& [name, child] : node.entries) {
      if (!entry(*child, path + "/" + name)) return false;
    }
    return attributes(node, path);
  }

 private:
  bool entry(const Platter::Node& node, const std::string& path) {
    auto known = paths_.find(&node);
    if (known != paths_.end()) {
      if (S_ISDIR(node.mode)) return true;  // survived under two names: the first one it is
      return link(known->second.c_str(), path.c_str()) == 0 || fail(error_, "cannot link", path);
    }
    if (S_ISDIR(node.mode)) {
      if (mkdir(path.c_str(), 0700) != 0) return fail(error_, "cannot make", path);
      return directory(node, path);
    }
    paths_[&node] = path;
    if (S_ISLNK(node.mode)) {
      return symlink(node.link_target.c_str(), path.c_str()) == 0 || fail(error_, "cannot link", path);
    }
    if (!S_ISREG(node.mode)) return true;  // sockets and pipes do not outlive their process
    return file(node, path) && attributes(node, path);
  }

  bool file(const Platter::Node& node, const std::string& path) {
    int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return fail(error_, "cannot create", path);
    bool ok = ftruncate(fd, static_cast<off_t>(node.durable.size())) == 0;
    for (const auto& [offset, extent] : node.durable.extents()) {
      for (uint64_t done = 0; ok && done < extent.bytes;) {
        ssize_t put = pwrite(fd, extent.data + done, extent.bytes - done, static_cast<off_t>(offset + done));
        ok = put > 0;
        done += ok ? static_cast<uint64_t>(put) : 0;
      }
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return ok || fail(error_, "cannot write", path);
  }

  bool attributes(const Platter::Node& node, const std::string& path) {
    if (geteuid() == 0 && chown(path.c_str(), node.owner, node.group) != 0) return fail(error_, "cannot own", path);
    return chmod(path.c_str(), node.mode & 07777) == 0 || fail(error_, "cannot set the mode of", path);
  }

  std::string* error_;
  std::map<const Platter::Node*, std::string> paths_;
};

bool equal_content(const Platter::Node& node, const std::string& path, uint64_t size) {
  if (node.durable.size() != size) return false;
  if (size == 0) return true;
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const void* start = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (start == MAP_FAILED) return false;
  const auto* data = static_cast<const std::byte*>(start);
  bool equal = true;
  auto zero = [&](uint64_t from, uint64_t to) {
    for (uint64_t at = from; equal && at < to; ++at) equal = data[at] == std::byte{0};
  };
  uint64_t at = 0;
  for (const auto& [offset, extent] : node.durable.extents()) {
    zero(at, offset);
    equal = equal && memcmp(data + offset, extent.data, extent.bytes) == 0;
    at = offset + extent.bytes;
  }
  zero(at, size);
  munmap(const_cast<void*>(start), size);
  return equal;
}

void compare(const Platter::Node& node, const std::string& path, std::vector<std::string>* found) {
  std::set<std::string> names;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(path, code)) names.insert(entry.path().filename());
  for (const std::string& name : names) {
    struct stat status;
    std::string child = path + "/" + name;
    auto known = node.entries.find(name);
    if (lstat(child.c_str(), &status) != 0) continue;
    if (known == node.entries.end()) {
      if (!S_ISSOCK(status.st_mode) && !S_ISFIFO(status.st_mode)) found->push_back("never recorded: " + child);
    } else if ((known->second->mode & S_IFMT) != (status.st_mode & S_IFMT)) {
      found->push_back("of another kind: " + child);
    } else if (S_ISDIR(status.st_mode)) {
      compare(*known->second, child, found);
    } else if (S_ISREG(status.st_mode) &&
               !equal_content(*known->second, child, static_cast<uint64_t>(status.st_size))) {
      found->push_back("other content: " + child);
    }
  }
  for (const auto& [name, child] : node.entries) {
    if (!names.contains(name) && (S_ISREG(child->mode) || S_ISDIR(child->mode))) {
      found->push_back("removed unseen: " + path + "/" + name);
    }
  }
}

bool empty_directory(const std::string& path, std::string* error) {
  std::error_code code;
  fs::create_directories(path, code);
  if (code || !fs::is_empty(path, code) || code) {
    *error = path + " must be absent or an empty directory";
    return false;
  }
  return true;
}

}  // namespace

bool prepare(const std::string& root, const std::string& state_path, bool fsync_persists_name, std::string* error) {
  std::error_code code;
  fs::create_directories(root, code);
  if (!empty_directory(state_path, error)) return false;
  std::string real_root = fs::canonical(root, code), real_state = fs::canonical(state_path, code);
  struct stat status;
  if (code || stat(real_root.c_str(), &status) != 0) return fail(error, "cannot use", root);
  if ((real_state + "/").starts_with(real_root + "/")) {
    *error = "the state must not lie below the root";
    return false;
  }
  chmod(real_state.c_str(), 0777);  // a server that changes its user goes on writing here
  Journal journal;
  if (!journal.create(real_state.c_str(), real_root.c_str(), status.st_dev, status.st_ino)) {
    return fail(error, "cannot create the journal in", state_path);
  }
  journal.control()->fsync_persists_name = fsync_persists_name ? 1 : 0;
  Record attributes{};
  attributes.op = Op::kAttributes;
  attributes.inode = status.st_ino;
  attributes.mode = status.st_mode;
  attributes.b = static_cast<uint64_t>(status.st_uid) << 32 | status.st_gid;
  journal.append(attributes);
  if (!Recorder(&journal).directory(real_root, status.st_ino, error)) return false;
  memcpy(journal.control()->magic, kControlMagic, sizeof kControlMagic);  // last: a half-made journal does not attach
  return true;
}

bool write_tree(const Platter::Node& root, const std::string& out_path, std::string* error) {
  return empty_directory(out_path, error) && Writer(error).directory(root, out_path);
}

std::vector<std::string> compare_tree(const Platter::Node& root, const std::string& path) {
  std::vector<std::string> found;
  compare(root, path, &found);
  return found;
}

}  // namespace powercut
