// What a ledger is made of: accounts, transfers, filters, results, laid out in memory as they travel (little-endian, no
// padding). The layouts, flags and meanings are TigerBeetle's, release 0.17: docs/reference/{account,transfer,
// account-balance,account-filter,query-filter}.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace heptane::fintech {

__extension__ typedef unsigned __int128 Uint128;  // NOLINT(modernize-use-using)

constexpr Uint128 kUint128Max = ~Uint128{0};

// Timestamps are nanoseconds since 1970, UTC.
constexpr uint64_t kTimestampMin = 1;
constexpr uint64_t kTimestampMax = std::numeric_limits<int64_t>::max();
constexpr bool timestamp_valid(uint64_t timestamp) { return timestamp >= kTimestampMin && timestamp <= kTimestampMax; }

namespace account_flags {
constexpr uint16_t kLinked = 1 << 0;
constexpr uint16_t kDebitsMustNotExceedCredits = 1 << 1;
constexpr uint16_t kCreditsMustNotExceedDebits = 1 << 2;
constexpr uint16_t kHistory = 1 << 3;
constexpr uint16_t kImported = 1 << 4;
constexpr uint16_t kClosed = 1 << 5;
constexpr uint16_t kReserved = 0xFFFF & ~0x3F;
}  // namespace account_flags

namespace transfer_flags {
constexpr uint16_t kLinked = 1 << 0;
constexpr uint16_t kPending = 1 << 1;
constexpr uint16_t kPost = 1 << 2;
constexpr uint16_t kVoid = 1 << 3;
constexpr uint16_t kBalancingDebit = 1 << 4;
constexpr uint16_t kBalancingCredit = 1 << 5;
constexpr uint16_t kClosingDebit = 1 << 6;
constexpr uint16_t kClosingCredit = 1 << 7;
constexpr uint16_t kImported = 1 << 8;
constexpr uint16_t kReserved = 0xFFFF & ~0x1FF;
}  // namespace transfer_flags

namespace filter_flags {
constexpr uint32_t kDebits = 1 << 0;  // of an account filter
constexpr uint32_t kCredits = 1 << 1;
constexpr uint32_t kReversed = 1 << 2;
constexpr uint32_t kQueryReversed = 1 << 0;  // of a query filter
}  // namespace filter_flags

struct Account {
  Uint128 id;
  Uint128 debits_pending;
  Uint128 debits_posted;
  Uint128 credits_pending;
  Uint128 credits_posted;
  Uint128 user_data_128;
  uint64_t user_data_64;
  uint32_t user_data_32;
  uint32_t reserved;
  uint32_t ledger;
  uint16_t code;
  uint16_t flags;
  uint64_t timestamp;

  bool has(uint16_t flag) const { return (flags & flag) != 0; }
};

struct Transfer {
  Uint128 id;
  Uint128 debit_account_id;
  Uint128 credit_account_id;
  Uint128 amount;
  Uint128 pending_id;  // of the pending transfer that this one posts or voids
  Uint128 user_data_128;
  uint64_t user_data_64;
  uint32_t user_data_32;
  uint32_t timeout;  // seconds; 0 = none
  uint32_t ledger;
  uint16_t code;
  uint16_t flags;
  uint64_t timestamp;

  bool has(uint16_t flag) const { return (flags & flag) != 0; }
  bool resolves() const { return has(transfer_flags::kPost | transfer_flags::kVoid); }
  uint64_t timeout_ns() const { return uint64_t{timeout} * 1'000'000'000; }
  uint64_t expires_at() const { return timeout == 0 ? 0 : timestamp + timeout_ns(); }  // 0 = never
};

struct AccountBalance {
  Uint128 debits_pending;
  Uint128 debits_posted;
  Uint128 credits_pending;
  Uint128 credits_posted;
  uint64_t timestamp;
  std::array<std::byte, 56> reserved;
};

// The answer to one event: dense, one for each in its order.
struct CreateResult {
  uint64_t timestamp;
  uint32_t status;
  uint32_t reserved;
};

struct AccountFilter {
  Uint128 account_id;
  Uint128 user_data_128;  // 0 = any, as in all fields down to code
  uint64_t user_data_64;
  uint32_t user_data_32;
  uint16_t code;
  std::array<std::byte, 58> reserved;
  uint64_t timestamp_min;  // inclusive; 0 = no bound
  uint64_t timestamp_max;
  uint32_t limit;
  uint32_t flags;
};

struct QueryFilter {
  Uint128 user_data_128;
  uint64_t user_data_64;
  uint32_t user_data_32;
  uint32_t ledger;
  uint16_t code;
  std::array<std::byte, 6> reserved;
  uint64_t timestamp_min;
  uint64_t timestamp_max;
  uint32_t limit;
  uint32_t flags;
};

template <class T, size_t kSize>
constexpr bool kWireLayout = std::is_trivially_copyable_v<T>&& std::is_standard_layout_v<T> && sizeof(T) == kSize;

static_assert(kWireLayout<Account, 128> && offsetof(Account, timestamp) == 120 && offsetof(Account, flags) == 118);
static_assert(kWireLayout<Transfer, 128> && offsetof(Transfer, timestamp) == 120 && offsetof(Transfer, flags) == 118);
static_assert(kWireLayout<AccountBalance, 128> && offsetof(AccountBalance, timestamp) == 64);
static_assert(kWireLayout<CreateResult, 16>);
static_assert(kWireLayout<AccountFilter, 128> && offsetof(AccountFilter, timestamp_min) == 104);
static_assert(kWireLayout<QueryFilter, 64> && offsetof(QueryFilter, timestamp_min) == 40);

enum class PendingStatus : uint8_t { none = 0, pending = 1, posted = 2, voided = 3, expired = 4 };

}  // namespace heptane::fintech
