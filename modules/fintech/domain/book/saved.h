// The bytes of a saved book: one SavedBook, `orders` SavedOrders, one digest of all of them. Little-endian. FORMAT.md says what
// each field means. Not installed.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "modules/fintech/domain/book/order_index.h"

namespace heptane::book {

static_assert(std::endian::native == std::endian::little);

inline constexpr uint64_t kSavedMagic = 0x4B4F4F4254504548;  // "HEPTBOOK"
inline constexpr uint32_t kSavedVersion = 1;

struct SavedSide {
  int64_t price;
  int64_t matched;
  uint64_t rest;
  uint64_t ended;
};

struct SavedBook {
  uint64_t magic;
  uint32_t version;
  uint32_t orders;
  uint64_t next_number;
  uint64_t next_trade;
  int64_t last_price;
  uint8_t phase;
  uint8_t has_last;
  uint8_t stage;
  uint8_t judge_stops;
  uint8_t removed;
  uint8_t expiring;
  uint8_t expire_day;
  uint8_t sides;  // of a mass cancel: 1 buys, 2 sells
  int64_t active_price;
  uint64_t cursor;  // an order's id
  uint64_t need;
  uint64_t found;
  uint64_t visible;
  uint64_t hidden;
  uint64_t filter_account;
  uint64_t filter_owner;
  uint64_t expire_until;
  uint64_t count;
  int64_t reference;
  int64_t price_low;
  int64_t price_high;
  int64_t call_price;
  uint64_t volume;
  SavedSide buys;
  SavedSide sells;
};
static_assert(sizeof(SavedBook) == 6 * 8 + 15 * 8 + 2 * 32);

inline constexpr uint8_t kSavedIceberg = 1, kSavedPostOnly = 2, kSavedActive = 4;

struct SavedOrder {
  uint64_t id;
  int64_t price;
  int64_t stop_price;
  uint64_t quantity;
  uint64_t leaves;
  uint64_t visible;
  uint64_t display;
  uint64_t expires_at;
  uint64_t account;
  uint64_t number;
  uint32_t owner;
  uint8_t side;
  uint8_t type;
  uint8_t tif;
  uint8_t self_trade;
  uint8_t ladder;
  uint8_t flags;
  uint8_t zeros[6];
};
static_assert(sizeof(SavedOrder) == 96);

// Of whole words, in their order.
class SavedDigest {
 public:
  void add(const void* bytes, size_t size) {
    for (size_t at = 0; at + 8 <= size; at += 8) {
      uint64_t word = 0;
      std::memcpy(&word, static_cast<const char*>(bytes) + at, 8);
      value_ = mixed(value_ + word) + 0x9E3779B97F4A7C15u;
    }
  }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0x243F6A8885A308D3u;
};

}  // namespace heptane::book
