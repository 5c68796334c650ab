// Orders that a risk rule wants looked at before they are entered, as commands, queries and rows, as those of exchange_api.h. Any thread.
//
// Such an order is judged and held for like any, and waits outside of its book: no report is made of it and it meets nobody. Who may
// decides, else its deadline does, by what the rule says; a cancel, a mass cancel, a kill switch, the end of its time end it as they end
// any open order. When it is allowed it is entered as of then, behind those that are in the book.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "modules/fintech/machine/exchange/exchange_api.h"

namespace heptane::fintech::exchange {

enum ReviewCommand : CommandType {
  kDecideReview =
      62,  // ReviewDecision. Reply as of kNewOrder. Refused: not_found (no such order waits), invalid_argument,
  // refused (what stands in its way now; it waits on), overloaded (earlier work of the instrument goes on)
  kReviewDue = 63,  // u64: the order whose deadline has come; the machine's own timer
};
enum ReviewQuery : uint16_t {
  kQueryReviews = 63,  // u64: orders behind this one. Rows of ReviewRow; numbers: rows, 1 when there are more
};

constexpr uint32_t kReviewVersion = 4;  // of the machine's logic: from then on orders wait for reviews
constexpr size_t kReviewsMax = 1'000;   // orders that wait at a time
constexpr uint32_t kReviewSecondsMax = 31 * 86'400;

struct ReviewDecision {
  uint64_t order_id = 0;
  bool allow = false;
  std::string reason;
};

// Of an order that waits.
struct Review {
  uint64_t order = 0;
  LogTime deadline = 0;
  bool allows = false;   // what is decided then
  uint64_t version = 0;  // of the rules that said so
  std::string rule;
  std::string why;
  // What its book gets beside what the order says.
  uint64_t minimum = 0;
  book::SelfTrade self_trade = book::SelfTrade::cancel_newest;
  bool post_only = false;
  uint64_t timer = 0;  // for the deadline
};
template <class A, Same<Review> S>
void fields(A& a, S& t) {
  a(t.order, t.deadline, t.allows, t.version, t.rule, t.why, t.minimum, t.self_trade, t.post_only, t.timer);
}

struct ReviewRow {
  OrderRow order;
  LogTime deadline = 0;
  bool allows = false;
  uint64_t version = 0;
  std::string rule;
  std::string why;
};
template <class A, Same<ReviewRow> S>
void fields(A& a, S& t) {
  a(t.order, t.deadline, t.allows, t.version, t.rule, t.why);
}
template <class A, Same<ReviewDecision> S>
void fields(A& a, S& t) {
  a(t.order_id, t.allow, t.reason);
}

}  // namespace heptane::fintech::exchange
