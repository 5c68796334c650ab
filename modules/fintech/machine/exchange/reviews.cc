// Orders that wait for a review (reviews_api.h): held, decided by somebody or by their deadline, ended like any.
#include "kernel/base/assert.h"
#include "modules/fintech/machine/exchange/audit.h"
#include "modules/fintech/machine/exchange/exchange_machine.h"

namespace heptane::fintech::exchange {

namespace {

constexpr LogTime kSecondNs = 1'000'000'000;
constexpr LogTime kReviewAgainNs =
    kSecondNs;  // where the instrument takes no orders at the deadline: each try is an entry of the log
constexpr size_t kReviewBytesMax = size_t{8} << 10;
constexpr std::string_view kByDeadline = "the deadline has come";

void refuse_review(Effects& effects, const Error& error) { effects.refuse(error.code, error.detail, error.message); }

}  // namespace

// Judged and held for, and not in the book.
Result<uint64_t> ExchangeMachine::hold_for_review(const NewOrder& asked, Admitted& admitted, const RiskJudged& judged,
                                                  Now& now) {
  now.effects.open_scope();
  const Result<void> holds = hold(admitted, now);
  now.effects.close_scope(holds ? ScopeOutcome::keep : ScopeOutcome::roll_back);
  if (!holds) return holds.error();
  Listing& listing = *admitted.listing;
  listing.used = true;
  const Order& order = orders_.add(admitted.order, admitted.day);
  count_order(order, admitted);
  add_open(order, order.quantity, 0);
  Review review;
  review.order = order.id;
  review.deadline = now.time + LogTime{judged.review->seconds} * kSecondNs;
  review.allows = judged.review->allows;
  review.version = risk_.version();
  review.rule = risk_.rule_name(judged.outcome);
  review.why = judged.why;
  review.minimum = listing.units(admitted.entered.minimum_quantity);
  review.self_trade = asked.self_trade;
  review.post_only = asked.post_only;
  review.timer = now.effects.arm(review.deadline, kReviewDue, packed(order.id).view());
  reviews_.emplace(order.id, std::move(review));
  count_risk(judged, admitted);
  tell_order(order, OrderEvent::held);
  return order.id;
}

OrderStatus ExchangeMachine::shown_status(const Order& order) const {
  return in_review(order.id) ? OrderStatus::in_review : order.status;
}

// It waits no more. False: it did not.
bool ExchangeMachine::end_review(uint64_t order, Now& now) {
  const auto found = reviews_.find(order);
  if (found == reviews_.end()) return false;
  if (found->second.timer != 0) now.effects.cancel(found->second.timer);
  reviews_.erase(found);
  return true;
}

// An open order, wherever it is; its book is not frozen.
void ExchangeMachine::end_open(Listing& listing, uint64_t order, book::Reason reason, Now& now) {
  if (end_review(order, now)) return end_order(*orders_.find(order), reason, now);
  follow(listing, listing.book.cancel(order, room(), reason), now);
}

// Told as one that was never accepted.
void ExchangeMachine::deny(uint64_t id, std::string_view why, Now& now) {
  end_review(id, now);
  Order& order = *orders_.find(id);
  close_order(order, book::Reason::cancelled, now);
  report_denied(order, why);
}

void ExchangeMachine::tell_review(const Review& review, bool allowed, std::string_view reason) {
  JsonRecord record("reviewed");
  record.number("order_id", review.order).token("decision", allowed ? "allow" : "deny").text("rule", review.rule);
  record.text("reason", reason).number("by", origin_.by);
  notes_.add(kRiskView, std::to_string(review.order), record.end());
}

void ExchangeMachine::apply_decide_review(Now& now) {
  const auto asked = unpacked<ReviewDecision>(now.command.payload);
  if (!asked) return now.effects.refuse(Errc::invalid_argument, 0, "the command decides nothing");
  if (asked->reason.empty() || asked->reason.size() > kReasonMax)
    return refuse_review(now.effects, {Errc::invalid_argument, "a reason of 1 to 256 bytes is needed"});
  const auto found = reviews_.find(asked->order_id);
  if (found == reviews_.end())
    return refuse_review(now.effects,
                         {Errc::not_found, "no order " + std::to_string(asked->order_id) + " waits for a review"});
  const Review review = found->second;
  if (asked->allow) {
    if (const Result<void> done = release(review, now); !done) return refuse_review(now.effects, done.error());
  } else {
    deny(review.order, "denied by a review, " + review.rule + ": " + asked->reason, now);
  }
  tell_review(review, asked->allow, asked->reason);
  audit(now.command, asked->allow ? "exchange.review_allow" : "exchange.review_deny",
        "order " + std::to_string(review.order), asked->reason, now.effects);
  reply_order(review.order, now);
}

// What stands in the way of an order that is allowed by its deadline denies it, but for earlier work of its instrument, which ends.
void ExchangeMachine::apply_review_due(Now& now) {
  const auto id = unpacked<uint64_t>(now.command.payload);
  const auto found = id ? reviews_.find(*id) : reviews_.end();
  if (found == reviews_.end() || found->second.deadline > now.time)
    return now.effects.refuse(Errc::not_found, 0, "no deadline of a review has come");
  found->second.timer = 0;  // it has fired
  const Review review = found->second;
  const Result<void> done = review.allows ? release(review, now) : Result<void>();
  if (!done && done.error().code == Errc::overloaded) {
    found->second.timer = now.effects.arm(now.time + kReviewAgainNs, kReviewDue, now.command.payload);
    return now.effects.reply(0);
  }
  const std::string why = std::string(kByDeadline) + (done ? "" : ": " + done.error().message);
  if (!review.allows || !done) deny(review.order, "denied by rule " + review.rule + ": " + why, now);
  tell_review(review, review.allows && done, why);
  now.effects.reply(1);
}

void ExchangeMachine::query_reviews(const uint64_t& after, Reply& reply) const {
  Packer out;
  int64_t rows = 0;
  auto at = reviews_.upper_bound(after);
  for (; at != reviews_.end() && rows < static_cast<int64_t>(kPageRows); ++at, ++rows) {
    const Review& review = at->second;
    pack_row(*orders_.find(review.order), out);
    out(review.deadline, review.allows, review.version, review.rule, review.why);
  }
  reply.payload = Buffer::take(out.release());
  reply.numbers = {rows, at == reviews_.end() ? 0 : 1};
}

void ExchangeMachine::save_reviews(SnapshotWriter& writer) const {
  writer.le(static_cast<uint32_t>(reviews_.size()));
  for (const auto& [order, review] : reviews_) writer.blob(packed(review).view());
}

// Behind the orders that they are of.
void ExchangeMachine::restore_reviews(SnapshotReader& reader) {
  for (auto rows = reader.le<uint32_t>(); rows > 0 && !reader.failed(); --rows) {
    const std::string bytes = reader.text(kReviewBytesMax);
    const auto review = unpacked<Review>(as_bytes(bytes));
    const Order* order = review ? orders_.find(review->order) : nullptr;
    if (order == nullptr || order->status != OrderStatus::open || !reviews_.emplace(order->id, *review).second)
      return reader.fail();
  }
}

}  // namespace heptane::fintech::exchange
