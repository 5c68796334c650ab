// Rules over orders as commands, queries and rows, as those of exchange_api.h, and the record of a verdict. Any thread.
//
// While rules are set each new order, and each replace that leaves something open, is judged by them behind everything else that is
// judged. One that is not let through is answered as refused, but its command is kept (one that waits for a review is entered later, reviews_api.h): numbers are 0 and the version, the payload is RiskRefused.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "modules/fintech/domain/risk_rules/rule_book.h"
#include "modules/fintech/machine/exchange/exchange_api.h"

namespace heptane::fintech::exchange {

enum RiskCommand : CommandType {
  kPutRiskRules = 60,  // RiskRulesPut. Reply numbers: the version. Refused: invalid_argument with the path in the JSON
  kPutRiskList = 61,   // RiskListPut. Likewise; not_found, refused (rules name it), overloaded
};
enum RiskQuery : uint16_t {
  kQueryRiskRules = 60,  // Reply payload RiskRow
  kQueryRiskLists = 61,  // Rows of RiskListRow
  kQueryRiskList = 62,   // text: its name. Reply payload risk_rules::List; not_found
};

constexpr uint32_t kRiskVersion = 3;       // of the machine's logic: from then on there are rules
constexpr size_t kRiskSourceMax = 60'000;  // bytes of a rule set's JSON

struct RiskRulesPut {
  bool off = false;  // no order is judged
  risk_rules::RuleSetSpec spec;
  std::string source;  // the JSON, as it is shown
};
struct RiskListPut {
  risk_rules::List list;
  bool remove = false;
};
struct RiskRefused {
  std::string text;
  uint32_t detail = 0;  // as of a refusal
};
struct RiskWindowRow {
  std::string name;
  uint32_t keys = 0;  // that are counted now
  uint32_t keys_max = 0;
};
struct RiskRow {
  bool on = false;
  uint64_t version = 0;
  std::string source;
  std::vector<RiskWindowRow> windows;
  uint64_t memory_bytes = 0;
};
struct RiskListRow {
  std::string name;
  bool numbers = false;
  uint64_t items = 0;
};

// A record of fintech.risk: what rules said of an order.
struct RiskTold {
  risk_rules::Verdict verdict = risk_rules::Verdict::allow;
  bool replaces = false;
  uint64_t version = 0;
  uint64_t order_id = 0;  // 0: it was not entered
  std::string_view client_id;
  std::string_view firm;
  std::string_view account;
  std::string_view symbol;
  std::string_view session;  // empty: over HTTP
  book::Side side = book::Side::buy;
  book::OrderType type = book::OrderType::limit;
  int64_t price = 0;
  uint64_t quantity = 0;
  uint64_t more_quantity = 0;
  Int128 notional = 0;
  Uint128 more_notional = 0;
  uint8_t price_scale = 0;
  uint8_t quantity_scale = 0;
  uint8_t quote_scale = 0;
  std::string_view rule;  // of review and deny
  std::string_view why;
};
template <class A, Same<RiskTold> S>
void fields(A& a, S& t) {
  a(t.verdict, t.replaces, t.version, t.order_id, t.client_id, t.firm, t.account, t.symbol, t.session, t.side, t.type);
  a(t.price, t.quantity, t.more_quantity, t.notional, t.more_notional, t.price_scale, t.quantity_scale, t.quote_scale);
  if (t.verdict != risk_rules::Verdict::allow) a(t.rule, t.why);
}

// ---- their fields

template <>
inline constexpr uint8_t kLast<risk_rules::Verdict> = 2;
template <>
inline constexpr uint8_t kLast<risk_rules::Field> = risk_rules::kFields - 1;
template <>
inline constexpr uint8_t kLast<risk_rules::NodeKind> = risk_rules::kNodeKinds - 1;
template <>
inline constexpr uint8_t kLast<risk_rules::KeyPart> = 4;
template <>
inline constexpr uint8_t kLast<risk_rules::Adds> = 2;

template <class A, Same<RiskRulesPut> S>
void fields(A& a, S& t) {
  a(t.off, t.spec, t.source);
  if (a.goes_on(!t.spec.reviews.empty())) a(t.spec.reviews);
}
template <class A, Same<RiskListPut> S>
void fields(A& a, S& t) {
  a(t.list, t.remove);
}
template <class A, Same<RiskRefused> S>
void fields(A& a, S& t) {
  a(t.text, t.detail);
}
template <class A, Same<RiskWindowRow> S>
void fields(A& a, S& t) {
  a(t.name, t.keys, t.keys_max);
}
template <class A, Same<RiskRow> S>
void fields(A& a, S& t) {
  a(t.on, t.version, t.source, t.windows, t.memory_bytes);
}
template <class A, Same<RiskListRow> S>
void fields(A& a, S& t) {
  a(t.name, t.numbers, t.items);
}

}  // namespace heptane::fintech::exchange

// Found by argument-dependent lookup.
namespace heptane::fintech::risk_rules {

template <class A, exchange::Same<Node> S>
void fields(A& a, S& t) {
  a(t.kind, t.field, t.number, t.text, t.children);
}
template <class A, exchange::Same<WindowSpec> S>
void fields(A& a, S& t) {
  a(t.name, t.first, t.second, t.adds, t.seconds, t.exact, t.keys);
}
template <class A, exchange::Same<RuleSpec> S>
void fields(A& a, S& t) {
  a(t.name, t.when, t.then, t.on_error, t.fuel);
}
template <class A, exchange::Same<ReviewSpec> S>
void fields(A& a, S& t) {
  a(t.rule, t.seconds, t.allows);
}
template <class A, exchange::Same<RuleSetSpec> S>
void fields(A& a, S& t) {
  a(t.windows, t.rules);
}
template <class A, exchange::Same<List> S>
void fields(A& a, S& t) {
  a(t.name, t.numbers, t.texts, t.values);
}
template <class A, exchange::Same<Window::Event> S>
void fields(A& a, S& t) {
  a(t.at, t.low, t.high);
}
template <class A, exchange::Same<Window::Saved> S>
void fields(A& a, S& t) {
  a(t.key, t.last, t.made, t.coarse, t.events);
}

}  // namespace heptane::fintech::risk_rules
