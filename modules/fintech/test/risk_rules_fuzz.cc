// What reads rules and lists of anybody's JSON, and judges orders by what lets through. Input: rules; behind a line of `---` the
// list `l`; behind another one bytes, two an order. However they are judged, they are judged alike before and after saving.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "modules/fintech/domain/risk_rules/rule_book.h"
#include "modules/fintech/gateway/http/risk_json.h"

namespace {

using namespace heptane;
using namespace heptane::fintech::risk_rules;

constexpr size_t kOrdersMax = 512;
constexpr LogTime kStepNs = 50'000'000;

std::string cut(std::string& rest) {
  const size_t at = rest.find("\n---\n");
  std::string first = rest.substr(0, at);
  rest = at == std::string::npos ? "" : rest.substr(at + 5);
  return first;
}

void same_or_die(const Outcome& a, const Outcome& b, const char* what) {
  if (a.verdict == b.verdict && a.cause == b.cause && a.rule == b.rule && a.value == b.value) return;
  std::fprintf(stderr, "judged otherwise: %s\n", what);
  std::abort();
}

Facts facts_of(uint8_t who, uint8_t how, LogTime time) {
  Facts facts;
  facts.texts = {"alpha/main", "alpha", who % 2 == 0 ? "BTC/USD" : "ETH/USD", how % 2 == 0 ? "buy" : "sell", "limit",
                 "new",        ""};
  facts.ids = {0, who % 7U, who % 3U, who % 2U, 1};
  facts.quantity = how;
  facts.more_quantity = how;
  facts.price = static_cast<Int128>(how) << who % 100;
  facts.notional = facts.price;
  facts.more_notional = static_cast<heptane::fintech::Uint128>(facts.price);
  facts.time = time;
  return facts;
}

RuleBook copy_of(const RuleBook& book) {
  RuleBook copy(1);
  for (const auto& [name, list] : book.lists())
    if (!copy.put_list(list)) std::abort();
  if (!copy.put(book.spec())) std::abort();
  for (size_t n = 0; n < book.windows().size(); ++n) {
    copy.restore_left_out(n, book.windows()[n].left_out());
    book.windows()[n].each([&](const Window::Saved& row) {
      if (!copy.restore_key(n, row)) std::abort();
    });
  }
  return copy;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string rest(reinterpret_cast<const char*>(data), size);
  auto spec = fintech::exchange_http::rules_of_json(cut(rest));
  auto list = fintech::exchange_http::list_of_json(cut(rest), "l");
  RuleBook book;
  if (list) (void)book.put_list(*list);
  if (!spec || !book.put(*spec)) return 0;
  LogTime time = 1'700'000'000'000'000'000;
  for (size_t n = 0; n + 1 < rest.size() && n / 2 < kOrdersMax; n += 2) {
    const auto who = static_cast<uint8_t>(rest[n]);
    const auto how = static_cast<uint8_t>(rest[n + 1]);
    time += who % 16 * kStepNs;
    const Facts facts = facts_of(who, how, time);
    const Outcome outcome = book.judge(facts);
    if (outcome.verdict != Verdict::allow && book.why(outcome, facts).empty()) std::abort();
    if (outcome.verdict != Verdict::deny) book.count(facts);
    if (n % 64 == 0) same_or_die(copy_of(book).judge(facts), book.judge(facts), "from what was saved");
  }
  return 0;
}
