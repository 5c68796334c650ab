// What accounts have traded and gained, and the prices that it is valued at: command, queries and rows, as those of exchange_api.h. Any
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "modules/fintech/domain/exchange/position.h"
#include "modules/fintech/machine/exchange/exchange_api.h"

namespace heptane::fintech::exchange {

constexpr uint32_t kPositionsVersion =
    3;  // of the machine's logic: from then on trades are counted for positions, and there are marks

enum PositionCommand : CommandType {
  kPutMark = 50,  // MarkChange. Refused: not_found, invalid_argument, unsupported (before kPositionsVersion)
};
enum PositionQuery : uint16_t {
  kQueryPositions =
      50,  // Page of a firm's accounts. Rows of AccountPositions; numbers: rows, 1 when there are more; not_found
  kQueryMark = 51,  // text: the symbol. Reply payload MarkRow; not_found
};

struct MarkChange {
  std::string symbol;
  std::optional<Said> price;  // at most with the instrument's decimals, not below 0; none: the last trade again
  std::string reason;
};
// A price from outside that positions are valued at in place of the last trade's.
struct Mark {
  int64_t price = 0;
  LogTime since = 0;
  uint32_t by = 0;  // principal
  std::string reason;
};
struct MarkRow {
  uint8_t price_scale = 0;
  std::optional<Mark> mark;
  std::optional<int64_t> last_price;
};

struct PositionRow {
  std::string symbol;
  uint32_t quote_asset = 0;
  uint8_t quote_scale = 0;
  uint8_t price_scale = 0;
  uint8_t quantity_scale = 0;
  Exposure exposure;  // its position: all that was ever traded
  TradedPosition traded;
  std::string average_cost;     // of what is open
  std::optional<int64_t> mark;  // none: there is neither a mark nor a last trade
  bool external = false;        // it is no trade's
  Uint128 open_for = 0;
  Int128 realised = 0;
  std::optional<Int128> unrealised;
  // At the mark; of the whole position, and if all buys that are open filled, or all sells.
  std::optional<Int128> value;
  std::optional<Int128> worst_long;
  std::optional<Int128> worst_short;
};
struct AccountPositions {
  std::string account;
  std::vector<PositionRow> positions;
};

template <class A, Same<TradedSums> S>
void fields(A& a, S& t) {
  a(t.quantity, t.value);
}
template <class A, Same<TradedPosition> S>
void fields(A& a, S& t) {
  a(t.bought, t.sold, t.fees, t.rebates, t.flat_quantity, t.flat_bought_for, t.flat_sold_for, t.round_since);
}
template <class A, Same<MarkChange> S>
void fields(A& a, S& t) {
  a(t.symbol, t.price, t.reason);
}
template <class A, Same<Mark> S>
void fields(A& a, S& t) {
  a(t.price, t.since, t.by, t.reason);
}
template <class A, Same<MarkRow> S>
void fields(A& a, S& t) {
  a(t.price_scale, t.mark, t.last_price);
}
template <class A, Same<PositionRow> S>
void fields(A& a, S& t) {
  a(t.symbol, t.quote_asset, t.quote_scale, t.price_scale, t.quantity_scale, t.exposure, t.traded, t.average_cost);
  a(t.mark, t.external, t.open_for, t.realised, t.unrealised, t.value, t.worst_long, t.worst_short);
}
template <class A, Same<AccountPositions> S>
void fields(A& a, S& t) {
  a(t.account, t.positions);
}

}  // namespace heptane::fintech::exchange
