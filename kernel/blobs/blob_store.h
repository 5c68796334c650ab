// Payloads above the limit of an entry (firmware, models, images): files named by the SHA-256 of what is in them, which a
// gateway streams in while commands carry only digest and length (log.md, Blobs).
//
// Invariants: a file with a final name is whole and synced, and so is its name; its content never changes; the same content
// is kept once. Uploads under way are bounded, and so is what all blobs take; one that is given up leaves nothing, also when
// the process dies. A blob goes only when it is doomed and nobody has held it since: who uploads holds it until its command is
// in the log.
// Threads: open() first; then any. A BlobUpload, a BlobReader and a BlobHold are their owner's.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kernel/base/disk.h"
#include "kernel/crypto/sha256.h"

namespace heptane::blobs {

using BlobDigest = crypto::Sha256Digest;

// 64 lower-case hexadecimal digits; nullopt for anything else.
std::string digest_text(const BlobDigest& digest);
std::optional<BlobDigest> parse_digest(std::string_view text);

struct Blob {
  BlobDigest digest{};
  uint64_t bytes = 0;
};

struct BlobStoreOptions {
  std::string directory;  // DATA/blobs
  size_t uploads_max = 16;
  uint64_t blob_bytes_max = uint64_t{16} << 30;
  uint64_t total_bytes_max = UINT64_MAX;  // of all blobs and uploads
  // A sync that failed: what is on the disk is not known any more, and the process must end. May be absent.
  std::function<void(const Error&)> on_sync_failed{};
};

// Reads all of a blob's file in the directory of a store, which needs no store and changes nothing. Errc::not_found: it is
// missing; corrupt: it is not what its name says.
Result<void> verify_file(Disk& disk, const std::string& directory, const Blob& blob);

class BlobStore;

// Keeps collect() from taking the blob.
class BlobHold {
 public:
  BlobHold(BlobStore& store, const BlobDigest& digest);
  ~BlobHold();
  BlobHold(BlobHold&& other) noexcept : store_(std::exchange(other.store_, nullptr)), digest_(other.digest_) {}
  BlobHold& operator=(BlobHold&&) = delete;

 private:
  BlobStore* store_;
  BlobDigest digest_;
};

struct StoredBlob {
  Blob blob;
  BlobHold hold;
};

// Gone with its bytes unless finish() was ok. Outlived by the store.
class BlobUpload {
 public:
  ~BlobUpload();
  BlobUpload(const BlobUpload&) = delete;
  BlobUpload& operator=(const BlobUpload&) = delete;

  // Errc::too_large beyond the limit, no_space (the disk, or the budget of all blobs), io; after an error only the
  // destructor makes sense.
  Result<void> write(Bytes bytes);
  uint64_t bytes() const { return written_ + filled_; }
  // Once: the blob is kept when this is ok. Errc::invalid_argument when it is not what `expected` says.
  Result<StoredBlob> finish(const std::optional<BlobDigest>& expected);

 private:
  friend class BlobStore;
  BlobUpload(BlobStore& store, std::string path, std::unique_ptr<File> file);
  Result<void> flush();
  Result<void> sync();

  BlobStore& store_;
  const std::string path_;
  std::unique_ptr<File> file_;  // none: finished
  crypto::Sha256 hash_;
  std::vector<std::byte> buffer_;
  size_t filled_ = 0;
  uint64_t written_ = 0;
  uint64_t synced_ = 0;
  uint64_t reserved_ = 0;  // of the store's budget
};

// Ranges of one blob; goes on reading when the blob is collected meanwhile.
class BlobReader {
 public:
  BlobReader(std::unique_ptr<File> file, uint64_t bytes) : file_(std::move(file)), bytes_(bytes) {}
  uint64_t bytes() const { return bytes_; }
  // As many bytes as there are from `offset` on, up to into.size().
  Result<size_t> read(uint64_t offset, MutableBytes into);

 private:
  std::unique_ptr<File> file_;
  uint64_t bytes_;
};

class BlobStore {
 public:
  BlobStore(Disk& disk, BlobStoreOptions options) : disk_(disk), options_(std::move(options)) {}

  // Makes the directory, removes uploads of a dead process, learns the names.
  Result<void> open();

  // `announced`: how long it will be, as far as is known. Errc::overloaded: too many uploads are under way; no_space.
  Result<std::unique_ptr<BlobUpload>> begin_upload(uint64_t announced = 0);
  // Given up by somebody who must not wait for the disk; ends with bury().
  void discard(std::unique_ptr<BlobUpload> upload);
  void bury();
  std::optional<Blob> find(const BlobDigest& digest) const;
  std::vector<Blob> list() const;  // in order of digest
  Result<BlobReader> read(const BlobDigest& digest) const;
  // Reads all of it. Errc::corrupt: it is not what its name says.
  Result<void> verify(const BlobDigest& digest) const;
  // Nothing names it now: the next collect() takes it, unless somebody holds it then or held it meanwhile.
  void doom(const BlobDigest& digest);
  // Removes what is doomed; how many.
  Result<size_t> collect();
  // Digests of the uploads that were finished since the last call.
  std::vector<BlobDigest> take_uploaded();
  // No more is taken. Any thread.
  void set_disk_full(bool full) { disk_full_.store(full, std::memory_order_relaxed); }
  size_t uploads() const;
  uint64_t stored_bytes() const;
  size_t stored() const;
  const BlobStoreOptions& options() const { return options_; }

 private:
  friend class BlobUpload;
  friend class BlobHold;
  std::string path_of(const BlobDigest& digest) const;
  Result<void> keep(const std::string& path, const Blob& blob);
  void upload_ended(uint64_t reserved);
  Result<void> reserve(uint64_t bytes);
  Result<void> sync_failed(Result<void> result) const;
  void hold(const BlobDigest& digest);
  void release(const BlobDigest& digest);

  Disk& disk_;
  const BlobStoreOptions options_;
  std::mutex names_mutex_;  // while a name comes or goes: a disk may take its time
  mutable std::mutex mutex_;
  std::map<BlobDigest, uint64_t> blobs_;  // length
  std::map<BlobDigest, size_t> held_;
  std::set<BlobDigest> doomed_;
  std::vector<BlobDigest> uploaded_;
  uint64_t stored_bytes_ = 0;
  uint64_t reserved_bytes_ = 0;  // of uploads under way
  size_t uploads_ = 0;
  uint64_t next_upload_ = 1;
  std::atomic<bool> disk_full_{false};
  std::vector<std::unique_ptr<BlobUpload>> discarded_;  // the last member: they end in the store
};

}  // namespace heptane::blobs
