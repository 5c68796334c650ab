// What a command of the exchange tells in its views: whole records, noted beside the command in its entry and read from there by
// whoever reads the stream. The texts of records never change.
//
// Note: until its end view u8, key (u8 and bytes), value (u16 and bytes: one JSON object). Numbers of more than 53 bits, prices and
// quantities are texts. The shard thread's; render_exchange any thread's.
#pragma once

#include <array>
#include <cstring>
#include <string>
#include <string_view>

#include "kernel/base/assert.h"
#include "kernel/base/bytes.h"
#include "modules/fintech/machine/exchange/exchange_api.h"

namespace heptane::fintech::exchange {

// One JSON object, of at most 4,096 bytes. What is no printable ASCII becomes `?`. Names are literals.
class JsonRecord {
 public:
  explicit JsonRecord(std::string_view event) { token("event", event); }
  JsonRecord& text(std::string_view name, std::string_view value);
  // Of a value that is printable ASCII without " and backslash: names, numbers, ClOrdIDs.
  JsonRecord& token(std::string_view name, std::string_view value) {
    char* const to = begin(name, value.size());
    std::memcpy(to, value.data(), value.size());
    finish(to + value.size());
    return *this;
  }
  JsonRecord& number(std::string_view name, uint64_t value) { return amount(name, value, 0); }
  // Whole units of 10^-scale.
  JsonRecord& price(std::string_view name, int64_t value, uint8_t scale);
  JsonRecord& amount(std::string_view name, Uint128 value, uint8_t scale);
  // What stands there as it is.
  std::string_view end();

 private:
  static constexpr size_t kBytesMax = 4'096;

  // Where the value goes.
  char* begin(std::string_view name, size_t value_bytes) {
    constexpr size_t kAround = 8;  // the brace at the end too
    HEPTANE_ASSERT(size_ + name.size() + value_bytes + kAround <= kBytesMax, "a record of what was not judged");
    char* to = text_.data() + size_;
    *to++ = size_ == 0 ? '{' : ',';
    *to++ = '"';
    std::memcpy(to, name.data(), name.size());
    to += name.size();
    std::memcpy(to, "\":\"", 3);
    return to + 3;
  }
  void finish(char* behind) {
    *behind++ = '"';
    size_ = static_cast<size_t>(behind - text_.data());
  }

  std::array<char, kBytesMax> text_;  // the first size_ of them
  size_t size_ = 0;
};

class Notes {
 public:
  void clear();
  void add(ViewId view, std::string_view key, std::string_view value);
  uint32_t count(size_t view) const { return counts_[view]; }  // from 0, as kStreams
  bool empty() const { return out_.empty(); }
  Bytes view() const { return as_bytes(out_); }

 private:
  std::array<uint32_t, kViews> counts_{};
  std::string out_;
};

// The average price of what an order has traded, with four more decimals than the instrument's, rounded down; 0: nothing.
std::string average_text(const Order& order, uint8_t price_scale);

// The machine's renderer.
void render_exchange(const LoggedCommand& logged, uint16_t number, RecordWriter& out);

}  // namespace heptane::fintech::exchange
