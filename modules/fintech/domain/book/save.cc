#include <algorithm>

#include "modules/fintech/domain/book/book_state.h"
#include "modules/fintech/domain/book/saved.h"

namespace heptane::book {

namespace {

class Writer {
 public:
  explicit Writer(Sink sink) : sink_(sink) {}
  void put(const void* bytes, size_t size) {
    digest_.add(bytes, size);
    if (sink_.write != nullptr && ok_) ok_ = sink_.write(sink_.context, bytes, size);
  }
  // Ends it with the digest.
  bool finish(uint64_t& digest) {
    digest = digest_.value();
    return ok_ && (sink_.write == nullptr || sink_.write(sink_.context, &digest, sizeof digest));
  }

 private:
  Sink sink_;
  SavedDigest digest_;
  bool ok_ = true;
};

SavedSide saved(const CallSide& side) { return {side.price, side.matched, side.rest, side.ended}; }

SavedOrder saved(const BookState& state, uint32_t number) {
  const Order& o = state.orders[number];
  const Extra& extra = state.extras[number];
  const bool stop = state.is_stop(o);
  const bool active = o.level == kNone;
  SavedOrder out = {};
  out.id = o.id;
  out.price = state.price_of(number);
  out.stop_price = stop ? extra.stop_price : 0;
  out.quantity = o.quantity;
  out.leaves = o.leaves;
  // Of one that is being matched it is settled when it rests.
  out.visible = active && o.iceberg ? std::min(extra.display, o.leaves) : state.visible_of(number);
  out.display = o.iceberg ? extra.display : 0;
  out.expires_at = o.tif == TimeInForce::gtd ? extra.expires_at : 0;
  out.account = o.account;
  out.number = o.number;
  out.owner = o.owner;
  out.side = static_cast<uint8_t>(o.side);
  out.type = static_cast<uint8_t>(o.type);
  out.tif = static_cast<uint8_t>(o.tif);
  out.self_trade = static_cast<uint8_t>(o.self_trade);
  out.ladder = active ? kBids : o.ladder;
  out.flags = static_cast<uint8_t>((o.iceberg ? kSavedIceberg : 0) | (o.post_only ? kSavedPostOnly : 0) |
                                   (active ? kSavedActive : 0));
  return out;
}

// Only what the stage needs: what earlier work left there is no state.
void add_work(const BookState& state, SavedBook& out) {
  const Work& work = state.work;
  const bool walks = work.stage == Stage::check || work.stage == Stage::mass;
  if (walks && work.cursor != kNone) out.cursor = state.orders[work.cursor].id;
  if (work.active != kNone) out.active_price = work.active_price;
  if (work.stage == Stage::check) {
    out.need = work.need, out.found = work.found;
    out.visible = work.visible, out.hidden = work.hidden;
  }
  if (work.stage == Stage::mass) {
    out.expiring = work.expiring;
    out.count = work.count;
    if (work.expiring) {
      out.expire_day = work.expire.day;
      out.expire_until = work.expire.until;
    } else {
      out.filter_account = work.filter.account;
      out.filter_owner = work.filter.owner;
      out.sides = static_cast<uint8_t>((work.filter.buys ? 1 : 0) | (work.filter.sells ? 2 : 0));
    }
  }
  if (work.stage == Stage::price || work.stage == Stage::pairs) {
    out.reference = work.uncross.reference;
    out.price_low = work.uncross.price_low, out.price_high = work.uncross.price_high;
    out.count = work.count;
    out.removed = work.removed;
  }
  if (work.stage == Stage::pairs) out.call_price = work.call_price;
  if (work.stage == Stage::price) {
    out.volume = work.walk.volume;
    out.buys = saved(work.walk.buys);
    out.sells = saved(work.walk.sells);
  }
}

}  // namespace

// Without a function to write with it only makes the digest.
bool BookState::save(Sink sink, uint64_t& digest) const {
  Writer writer(sink);
  SavedBook book = {};
  book.magic = kSavedMagic;
  book.version = kSavedVersion;
  book.orders = orders.used();
  book.next_number = next_number;
  book.next_trade = next_trade;
  book.last_price = last_price;
  book.phase = static_cast<uint8_t>(phase);
  book.has_last = has_last;
  book.stage = static_cast<uint8_t>(work.stage);
  book.judge_stops = work.judge_stops;
  add_work(*this, book);
  writer.put(&book, sizeof book);
  for (uint32_t i = first_from(0); i != kNone; i = after(i)) {
    const SavedOrder order = saved(*this, i);
    writer.put(&order, sizeof order);
  }
  if (work.active != kNone) {
    const SavedOrder order = saved(*this, work.active);
    writer.put(&order, sizeof order);
  }
  return writer.finish(digest);
}

}  // namespace heptane::book
