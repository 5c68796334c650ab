// Trades that are busted or corrected, what firms owe because of it, and the house's fees: commands, queries and rows, as those of
// exchange_api.h. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "modules/fintech/machine/exchange/exchange_api.h"

namespace heptane::fintech::exchange {

enum CorrectionCommand : CommandType {
  kBustTrade =
      30,  // BustTrade. Reply numbers: the trade in its place (0: none), 1 when somebody owes money now. Refused:
           // not_found, exists (it was busted), refused, invalid_argument, overloaded (the instrument's work goes on)
  kClearReceivable =
      31,              // ClearReceivable. Reply numbers: its number, as that of a deposit. Refused: not_found, refused
  kWithdrawFees = 32,  // WithdrawFees: fees -> omnibus. Likewise
};

enum CorrectionQuery : uint16_t {
  kQueryTrade = 30,  // u64. Reply payload TradeRow; not_found
  kQueryReceivables =
      31,  // text: the firm. Rows of ReceivableRow, at most kReceivableRows. Reply numbers: so many, 1 when there
           // are more; not_found
};

constexpr size_t kReceivableRows = 1'000;

// What was agreed in place of what was traded.
struct AgreedTrade {
  Said price;
  Said quantity;  // not above the trade's
};
struct BustTrade {
  uint64_t trade = 0;
  std::string reason;
  std::optional<AgreedTrade> agreed;  // a correction
};
// Of what an account has available, to what its firm owes.
struct ClearReceivable {
  CashMove move;
  std::string reason;
};
struct WithdrawFees {
  uint32_t asset = 0;  // ledger
  Uint128 digits = 0;
  uint8_t decimals = 0;
  std::string reason;
};

struct TradeSideRow {
  uint64_t order = 0;
  std::string firm;
  std::string account;
  uint64_t exec = 0;  // ExecID of its report
  Uint128 fee = 0;
  Uint128 rebate = 0;
};
struct TradeRow {
  uint64_t trade = 0;
  std::string symbol;
  int64_t price = 0;
  uint64_t quantity = 0;
  Uint128 notional = 0;
  uint8_t price_scale = 0;
  uint8_t quantity_scale = 0;
  uint8_t quote_scale = 0;
  uint64_t timestamp = 0;  // of its postings, ns
  TradeSideRow buyer;
  TradeSideRow seller;
  bool busted = false;
  uint64_t corrected_by = 0;  // the trade in its place; 0: none
};
struct ReceivableRow {
  uint32_t asset = 0;
  Uint128 amount = 0;
};

template <class A, Same<AgreedTrade> S>
void fields(A& a, S& t) {
  a(t.price, t.quantity);
}
template <class A, Same<BustTrade> S>
void fields(A& a, S& t) {
  a(t.trade, t.reason, t.agreed);
}
template <class A, Same<ClearReceivable> S>
void fields(A& a, S& t) {
  a(t.move, t.reason);
}
template <class A, Same<WithdrawFees> S>
void fields(A& a, S& t) {
  a(t.asset, t.digits, t.decimals, t.reason);
}
template <class A, Same<TradeSideRow> S>
void fields(A& a, S& t) {
  a(t.order, t.firm, t.account, t.exec, t.fee, t.rebate);
}
template <class A, Same<TradeRow> S>
void fields(A& a, S& t) {
  a(t.trade, t.symbol, t.price, t.quantity, t.notional, t.price_scale, t.quantity_scale, t.quote_scale, t.timestamp);
  a(t.buyer, t.seller, t.busted, t.corrected_by);
}
template <class A, Same<ReceivableRow> S>
void fields(A& a, S& t) {
  a(t.asset, t.amount);
}

}  // namespace heptane::fintech::exchange
