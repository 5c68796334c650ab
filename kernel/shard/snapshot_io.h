// What save() writes to and restore() reads from. Canonical little-endian bytes; the state hash is the hash of them.
#pragma once

#include "kernel/base/bytes.h"
#include "kernel/base/hash128.h"
#include "kernel/base/result.h"

namespace heptane {

class SnapshotWriter {
 public:
  virtual ~SnapshotWriter() = default;
  virtual void write(Bytes bytes) = 0;

  template <class T>
  void le(T value) {
    std::byte bytes[sizeof(T)];
    store_le(bytes, value);
    write(bytes);
  }
  // Length u32 and bytes.
  void text(std::string_view text) { blob(as_bytes(text)); }
  void blob(Bytes bytes) {
    le<uint32_t>(static_cast<uint32_t>(bytes.size()));
    write(bytes);
  }
};

// Only hashes: the state hash without a file.
class HashingSnapshotWriter final : public SnapshotWriter {
 public:
  void write(Bytes bytes) override { hash_.add(bytes); }
  Hash128 value() const { return hash_.value(); }

 private:
  StreamingHash128 hash_;
};

class SnapshotReader {
 public:
  virtual ~SnapshotReader() = default;
  // Fills `into` or fails for good; a failed reader yields zeros and empty strings.
  virtual bool read(MutableBytes into) = 0;
  bool failed() const { return failed_; }
  void fail() { failed_ = true; }

  template <class T>
  T le() {
    std::byte bytes[sizeof(T)] = {};
    if (failed_ || !read(bytes)) failed_ = true;
    return failed_ ? T{} : load_le<T>(bytes);
  }
  // Fails when longer than `limit`.
  std::string text(size_t limit) {
    const auto length = le<uint32_t>();
    if (failed_ || length > limit) {
      failed_ = true;
      return {};
    }
    std::string out(length, '\0');
    if (!read({reinterpret_cast<std::byte*>(out.data()), out.size()})) failed_ = true;
    return out;
  }

 private:
  bool failed_ = false;
};

}  // namespace heptane
