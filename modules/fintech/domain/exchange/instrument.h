// What is traded: assets, scales, ticks, lots, bounds. All of an instrument that an order can be wrong about before any book is looked at.
//
// Invariants of one that check_instrument() has let through: price times quantity is a whole number of the quote asset's smallest units
// for every price on a tick and every quantity in lots, so that no principal is ever rounded; the largest price times the largest
// quantity is below 2^127 of these units. Only with settlement `net` prices may be 0 or negative. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/result.h"
#include "modules/fintech/domain/book/book.h"
#include "modules/fintech/domain/ledger/types.h"

namespace heptane::fintech::exchange {

__extension__ typedef __int128 Int128;  // NOLINT(modernize-use-using)

enum class Settlement : uint8_t { prefunded, net };

// From this price on, up to the next step's.
struct PriceStep {
  int64_t from = 0;
  int64_t tick = 1;
  friend bool operator==(const PriceStep&, const PriceStep&) = default;
};

constexpr uint8_t kDecimalsMax = 18;
constexpr size_t kPriceStepsMax = 64;
constexpr size_t kSymbolMax = 32;
constexpr uint32_t kMillion = 1'000'000;

// Prices are whole numbers of 10^-price_scale of the quote asset for one of the base asset, quantities of 10^-quantity_scale of the
// base asset.
struct Instrument {
  std::string symbol;
  uint32_t base_asset = 0;  // ledgers
  uint32_t quote_asset = 0;
  uint8_t base_scale = 0;  // decimals of the assets' smallest units
  uint8_t quote_scale = 0;
  uint8_t price_scale = 0;
  uint8_t quantity_scale = 0;
  Settlement settlement = Settlement::prefunded;
  std::vector<PriceStep> steps;  // ascending; the first one is at or below price_min
  uint64_t lot = 1;
  uint64_t quantity_min = 1;
  uint64_t quantity_max = 1;
  int64_t price_min = 1;
  int64_t price_max = 1;
  Uint128 notional_min = 0;           // in the quote asset's smallest units
  uint32_t collar_ppm = kMillion;     // how far a market order may reach from the best price
  uint32_t call_band_ppm = kMillion;  // how far a call's price may be from the reference
};

// What is wrong with it, and for scales, ticks and lots what would be right.
Result<bool> check_instrument(const Instrument& instrument);
// True when they differ in what may change only while the book is closed and empty: assets, scales, settlement, ticks, lot.
bool differ_in_kind(const Instrument& a, const Instrument& b);

// In the quote asset's smallest units, exact; negative with the price.
Int128 notional(const Instrument& instrument, int64_t price, uint64_t quantity);
// In the base asset's smallest units.
Uint128 base_units(const Instrument& instrument, uint64_t quantity);

bool on_tick(const Instrument& instrument, int64_t price);
// The nearest price on a tick that is not above (below) this one, within price_min and price_max.
int64_t tick_at_most(const Instrument& instrument, int64_t price);
int64_t tick_at_least(const Instrument& instrument, int64_t price);

// Why an order is wrong, with the limit, its value and the order's; none: it is not. `price` is its limit or protection price.
std::optional<Error> check_order(const Instrument& instrument, int64_t price, uint64_t quantity);

// The limit of a market order: the collar around `best`, the best price on the other side, else around the reference. None: there
// is neither.
std::optional<int64_t> protection_price(const Instrument& instrument, book::Side side, std::optional<int64_t> best,
                                        std::optional<int64_t> reference);

struct PriceRange {
  int64_t low = 0;
  int64_t high = 0;
};
// Where a call's price may lie.
PriceRange call_band(const Instrument& instrument, int64_t reference);

// `-12.50`, with all decimals of the scale.
std::string price_text(int64_t price, uint8_t scale);

}  // namespace heptane::fintech::exchange
