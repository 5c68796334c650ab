// Work that looks at every order: mass cancels and expiry.
#include "modules/fintech/domain/book/book_state.h"

namespace heptane::book {

namespace {

bool wanted(const MassCancel& which, const Order& order) {
  return (which.account == 0 || which.account == order.account) && (which.owner == 0 || which.owner == order.owner) &&
         (order.side == Side::buy ? which.buys : which.sells);
}

bool expires(const Expire& which, const Order& order, const Extra& extra) {
  return order.tif == TimeInForce::day ? which.day : order.tif == TimeInForce::gtd && extra.expires_at <= which.until;
}

}  // namespace

Outcome BookState::mass_cancel(const MassCancel& which, Room room) {
  if (const Reject no = begin(room); no != Reject::none) return refused(no);
  work.filter = which;
  work.expiring = false;
  work.count = 0;
  work.cursor = first_from(0);
  work.stage = Stage::mass;
  return run();
}

Outcome BookState::expire(const Expire& which, Room room) {
  if (const Reject no = begin(room); no != Reject::none) return refused(no);
  work.expire = which;
  work.expiring = true;
  work.count = 0;
  work.cursor = first_from(0);
  work.stage = Stage::mass;
  return run();
}

void BookState::mass_step() {
  while (work.cursor != kNone && has_room()) {
    const uint32_t number = work.cursor;
    --orders_left;
    work.cursor = after(number);
    const bool goes =
        work.expiring ? expires(work.expire, orders[number], extras[number]) : wanted(work.filter, orders[number]);
    if (!goes) continue;
    end(number, work.expiring ? Reason::expired : Reason::mass);
    ++work.count;
  }
  if (work.cursor != kNone) return;
  Event& e = *event++;
  e = {};
  e.type = EventType::mass_done;
  e.reason = work.expiring ? Reason::expired : Reason::mass;
  e.quantity = work.count;
  work.stage = Stage::idle;
}

}  // namespace heptane::book
