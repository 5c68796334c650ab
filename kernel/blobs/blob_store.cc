#include "kernel/blobs/blob_store.h"

#include <algorithm>

#include "kernel/log/quarantine.h"

namespace heptane::blobs {

namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr uint64_t kSyncBytes = uint64_t{64} << 20;  // at the end there is never more to wait for
constexpr std::string_view kBlobEnding = ".blob";
constexpr std::string_view kUploadEnding = ".tmp";
constexpr char kDigits[] = "0123456789abcdef";

std::optional<BlobDigest> digest_of_name(std::string_view name) {
  if (!name.ends_with(kBlobEnding)) return std::nullopt;
  return parse_digest(name.substr(0, name.size() - kBlobEnding.size()));
}

std::string file_name(const BlobDigest& digest) { return digest_text(digest) + std::string(kBlobEnding); }

}  // namespace

std::string digest_text(const BlobDigest& digest) {
  std::string text;
  for (const std::byte byte : digest) {
    text += kDigits[static_cast<size_t>(byte) >> 4];
    text += kDigits[static_cast<size_t>(byte) & 15];
  }
  return text;
}

std::optional<BlobDigest> parse_digest(std::string_view text) {
  BlobDigest digest{};
  if (text.size() != 2 * digest.size()) return std::nullopt;
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t value = std::string_view(kDigits).find(text[i]);
    if (value == std::string_view::npos) return std::nullopt;
    digest[i / 2] = static_cast<std::byte>((static_cast<size_t>(digest[i / 2]) << 4) | value);
  }
  return digest;
}

BlobHold::BlobHold(BlobStore& store, const BlobDigest& digest) : store_(&store), digest_(digest) {
  store_->hold(digest_);
}

BlobHold::~BlobHold() {
  if (store_ != nullptr) store_->release(digest_);
}

// Uploads.

BlobUpload::BlobUpload(BlobStore& store, std::string path, std::unique_ptr<File> file)
    : store_(store), path_(std::move(path)), file_(std::move(file)), buffer_(kBufferBytes) {}

BlobUpload::~BlobUpload() {
  if (file_) {
    file_.reset();
    (void)store_.disk_.unlink(path_).ok();  // else the next start does it
  }
  store_.upload_ended(reserved_);
}

Result<void> BlobUpload::write(Bytes bytes) {
  if (bytes.size() > store_.options_.blob_bytes_max - this->bytes())
    return Error{Errc::too_large,
                 "a blob is at most " + std::to_string(store_.options_.blob_bytes_max) + " bytes long"};
  const uint64_t after = this->bytes() + bytes.size();
  if (after > reserved_) {
    HEPTANE_TRY(store_.reserve(after - reserved_));
    reserved_ = after;
  }
  hash_.add(bytes);
  while (!bytes.empty()) {
    const size_t take = std::min(bytes.size(), buffer_.size() - filled_);
    std::copy_n(bytes.begin(), take, buffer_.begin() + static_cast<std::ptrdiff_t>(filled_));
    filled_ += take;
    bytes = bytes.subspan(take);
    if (filled_ == buffer_.size()) HEPTANE_TRY(flush());
  }
  return {};
}

Result<void> BlobUpload::flush() {
  HEPTANE_TRY(file_->write_at(written_, Bytes(buffer_).first(filled_)));
  written_ += filled_;
  filled_ = 0;
  return written_ - synced_ < kSyncBytes ? Result<void>() : sync();
}

Result<void> BlobUpload::sync() {
  synced_ = written_;
  return store_.sync_failed(file_->sync());
}

Result<StoredBlob> BlobUpload::finish(const std::optional<BlobDigest>& expected) {
  HEPTANE_TRY(flush());
  const Blob blob{hash_.finish(), written_};
  if (expected && *expected != blob.digest)
    return Error{Errc::invalid_argument,
                 "the bytes have SHA-256 " + digest_text(blob.digest) + ", not " + digest_text(*expected)};
  HEPTANE_TRY(sync());
  BlobHold hold(store_, blob.digest);
  HEPTANE_TRY(store_.keep(path_, blob));
  file_.reset();
  return StoredBlob{blob, std::move(hold)};
}

Result<size_t> BlobReader::read(uint64_t offset, MutableBytes into) {
  if (offset >= bytes_) return size_t{0};
  const MutableBytes wanted = into.first(static_cast<size_t>(std::min<uint64_t>(into.size(), bytes_ - offset)));
  Result<size_t> count = file_->read_at(offset, wanted);
  if (count && *count != wanted.size()) return Error{Errc::corrupt, "a blob is shorter than it was"};
  return count;
}

// The store.

std::string BlobStore::path_of(const BlobDigest& digest) const { return options_.directory + "/" + file_name(digest); }

Result<void> BlobStore::open() {
  HEPTANE_TRY(log::make_durable_directory(disk_, options_.directory));
  const Result<std::vector<std::string>> names = disk_.list(options_.directory);
  if (!names) return names.error();
  for (const std::string& name : *names) {
    const std::string path = options_.directory + "/" + name;
    if (name.ends_with(kUploadEnding)) {
      HEPTANE_TRY(disk_.unlink(path));
      continue;
    }
    const std::optional<BlobDigest> digest = digest_of_name(name);
    if (!digest) continue;
    const Result<std::unique_ptr<File>> file = disk_.open(path, OpenMode::read);
    if (!file) return file.error();
    const Result<uint64_t> bytes = (*file)->size();
    if (!bytes) return bytes.error();
    blobs_[*digest] = *bytes;
    stored_bytes_ += *bytes;
  }
  // A process that died between a rename and its sync has left a name that a power cut may take.
  return disk_.sync_directory(options_.directory);
}

Result<std::unique_ptr<BlobUpload>> BlobStore::begin_upload(uint64_t announced) {
  std::string path;
  HEPTANE_TRY(reserve(announced));
  {
    const std::lock_guard lock(mutex_);
    if (uploads_ == options_.uploads_max) {
      reserved_bytes_ -= announced;
      return Error{Errc::overloaded, std::to_string(uploads_) + " blobs are being uploaded: try again later"};
    }
    ++uploads_;
    path = options_.directory + "/upload-" + std::to_string(next_upload_++) + std::string(kUploadEnding);
  }
  Result<std::unique_ptr<File>> file = disk_.open(path, OpenMode::create);
  if (!file) {
    upload_ended(announced);
    return file.error();
  }
  std::unique_ptr<BlobUpload> upload(new BlobUpload(*this, std::move(path), std::move(*file)));
  upload->reserved_ = announced;
  return std::unique_ptr<BlobUpload>(std::move(upload));
}

void BlobStore::upload_ended(uint64_t reserved) {
  const std::lock_guard lock(mutex_);
  --uploads_;
  reserved_bytes_ -= reserved;
}

Result<void> BlobStore::reserve(uint64_t bytes) {
  if (disk_full_.load(std::memory_order_relaxed))
    return Error{Errc::no_space, "the disk is nearly full: delete streams or blobs, or make room"};
  const std::lock_guard lock(mutex_);
  const uint64_t used = stored_bytes_ + reserved_bytes_;
  if (used > options_.total_bytes_max || bytes > options_.total_bytes_max - used)
    return Error{Errc::no_space, "all blobs together are at most " + std::to_string(options_.total_bytes_max) +
                                     " bytes: delete some, or raise blobs.total_bytes"};
  reserved_bytes_ += bytes;
  return {};
}

Result<void> BlobStore::sync_failed(Result<void> result) const {
  if (!result && options_.on_sync_failed) options_.on_sync_failed(result.error());
  return result;
}

void BlobStore::discard(std::unique_ptr<BlobUpload> upload) {
  const std::lock_guard lock(mutex_);
  discarded_.push_back(std::move(upload));
}

void BlobStore::bury() {
  std::vector<std::unique_ptr<BlobUpload>> dead;
  const std::lock_guard names(names_mutex_);
  {
    const std::lock_guard lock(mutex_);
    dead.swap(discarded_);
  }
  dead.clear();
}

std::vector<BlobDigest> BlobStore::take_uploaded() {
  const std::lock_guard lock(mutex_);
  return std::exchange(uploaded_, {});
}

uint64_t BlobStore::stored_bytes() const {
  const std::lock_guard lock(mutex_);
  return stored_bytes_;
}

size_t BlobStore::stored() const {
  const std::lock_guard lock(mutex_);
  return blobs_.size();
}

size_t BlobStore::uploads() const {
  const std::lock_guard lock(mutex_);
  return uploads_;
}

// The written and synced upload gets its final name, or goes because its content is there already.
Result<void> BlobStore::keep(const std::string& path, const Blob& blob) {
  const std::lock_guard names(names_mutex_);
  const bool known = find(blob.digest).has_value();
  if (known) {
    HEPTANE_TRY(disk_.unlink(path));
  } else {
    HEPTANE_TRY(disk_.rename(path, path_of(blob.digest)));
    HEPTANE_TRY(sync_failed(disk_.sync_directory(options_.directory)));
  }
  const std::lock_guard lock(mutex_);
  blobs_[blob.digest] = blob.bytes;
  if (!known) stored_bytes_ += blob.bytes;
  uploaded_.push_back(blob.digest);
  return {};
}

std::optional<Blob> BlobStore::find(const BlobDigest& digest) const {
  const std::lock_guard lock(mutex_);
  const auto found = blobs_.find(digest);
  if (found == blobs_.end()) return std::nullopt;
  return Blob{digest, found->second};
}

std::vector<Blob> BlobStore::list() const {
  const std::lock_guard lock(mutex_);
  std::vector<Blob> out;
  for (const auto& [digest, bytes] : blobs_) out.push_back({digest, bytes});
  return out;
}

Result<BlobReader> BlobStore::read(const BlobDigest& digest) const {
  const std::optional<Blob> blob = find(digest);
  if (!blob) return Error{Errc::not_found, "there is no blob " + digest_text(digest)};
  Result<std::unique_ptr<File>> file = disk_.open(path_of(digest), OpenMode::read);
  if (!file) return file.error();
  return BlobReader(std::move(*file), blob->bytes);
}

Result<void> BlobStore::verify(const BlobDigest& digest) const {
  const std::optional<Blob> blob = find(digest);
  if (!blob) return Error{Errc::not_found, "there is no blob " + digest_text(digest)};
  return verify_file(disk_, options_.directory, *blob);
}

Result<void> verify_file(Disk& disk, const std::string& directory, const Blob& blob) {
  const std::string path = directory + "/" + file_name(blob.digest);
  Result<std::unique_ptr<File>> file = disk.open(path, OpenMode::read);
  if (!file && file.error().code == Errc::not_found)
    return Error{Errc::not_found, path + " is missing: put it back from a backup"};
  if (!file) return file.error();
  const Result<uint64_t> bytes = (*file)->size();
  if (!bytes) return bytes.error();
  if (*bytes != blob.bytes)
    return Error{Errc::corrupt, path + " is " + std::to_string(*bytes) + " bytes long, not " +
                                    std::to_string(blob.bytes) + ": put it back from a backup"};
  BlobReader reader(std::move(*file), *bytes);
  crypto::Sha256 hash;
  std::vector<std::byte> buffer(kBufferBytes);
  for (uint64_t at = 0; at < reader.bytes();) {
    const Result<size_t> count = reader.read(at, buffer);
    if (!count) return count.error();
    hash.add(Bytes(buffer).first(*count));
    at += *count;
  }
  const BlobDigest found = hash.finish();
  if (found == blob.digest) return {};
  return Error{Errc::corrupt, path + " holds bytes with SHA-256 " + digest_text(found) + ": put it back from a backup"};
}

void BlobStore::doom(const BlobDigest& digest) {
  const std::lock_guard lock(mutex_);
  if (blobs_.contains(digest) && !held_.contains(digest)) doomed_.insert(digest);
}

Result<size_t> BlobStore::collect() {
  size_t removed = 0;
  const std::lock_guard names(names_mutex_);
  for (;; ++removed) {
    BlobDigest digest{};
    {
      const std::lock_guard lock(mutex_);
      if (doomed_.empty()) break;
      digest = *doomed_.begin();
      doomed_.erase(doomed_.begin());
      stored_bytes_ -= blobs_.at(digest);
      blobs_.erase(digest);
    }
    HEPTANE_TRY(disk_.unlink(path_of(digest)));
  }
  if (removed > 0) HEPTANE_TRY(disk_.sync_directory(options_.directory));
  return removed;
}

void BlobStore::hold(const BlobDigest& digest) {
  const std::lock_guard lock(mutex_);
  doomed_.erase(digest);
  ++held_[digest];
}

void BlobStore::release(const BlobDigest& digest) {
  const std::lock_guard lock(mutex_);
  const auto found = held_.find(digest);
  if (--found->second == 0) held_.erase(found);
}

}  // namespace heptane::blobs
