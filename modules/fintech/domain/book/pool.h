// Records of one kind in a piece of memory, named by 32-bit numbers. A record that was given back is the next one given out.
// Memory is touched when a record is first given out. Not for more records than `capacity`.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace heptane::book {

inline constexpr uint32_t kNone = UINT32_MAX;

// What cannot happen: ends the program, in every build.
inline void must(bool holds) noexcept {
  if (!holds) [[unlikely]]
    std::abort();
}

template <class Record>
class Pool {
 public:
  Pool() = default;
  Pool(Record* records, uint32_t capacity) : records_(records), capacity_(capacity) {}

  Record& operator[](uint32_t number) { return records_[number]; }
  const Record& operator[](uint32_t number) const { return records_[number]; }
  uint32_t capacity() const { return capacity_; }
  uint32_t used() const { return used_; }

  uint32_t take() {
    ++used_;
    if (free_ == kNone) {
      must(fresh_ < capacity_);
      return fresh_++;
    }
    const uint32_t number = free_;
    std::memcpy(&free_, static_cast<const void*>(&records_[number]), sizeof free_);
    return number;
  }
  void give_back(uint32_t number) {
    std::memcpy(static_cast<void*>(&records_[number]), &free_, sizeof free_);
    free_ = number;
    --used_;
  }
  void clear() { fresh_ = used_ = 0, free_ = kNone; }

 private:
  Record* records_ = nullptr;
  uint32_t capacity_ = 0;
  uint32_t fresh_ = 0;  // from here on never given out
  uint32_t free_ = kNone;
  uint32_t used_ = 0;
};

}  // namespace heptane::book
