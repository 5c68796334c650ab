#include "modules/fintech/domain/book/book_c.h"

#include <bit>

#include "modules/fintech/domain/book/book.h"

using namespace heptane::book;

namespace {

static_assert(sizeof(heptane_book_config) == sizeof(Config) && sizeof(heptane_book_order) == sizeof(NewOrder));
static_assert(sizeof(heptane_book_change) == sizeof(Replace) && sizeof(heptane_book_event) == sizeof(Event));
static_assert(sizeof(heptane_book_level) == sizeof(LevelView) && sizeof(heptane_book_outcome) == sizeof(Outcome));
static_assert(sizeof(heptane_book_view) == sizeof(OrderView) &&
              offsetof(heptane_book_view, tif) == offsetof(OrderView, tif));
static_assert(offsetof(heptane_book_order, owner) == offsetof(NewOrder, owner));
static_assert(offsetof(heptane_book_order, post_only) == offsetof(NewOrder, post_only));
static_assert(offsetof(heptane_book_event, order_id) == offsetof(Event, order_id));
static_assert(offsetof(heptane_book_event, number) == offsetof(Event, number));
static_assert(offsetof(heptane_book_outcome, events) == offsetof(Outcome, events));
static_assert(HEPTANE_BOOK_AT_CLOSE + 1 == kTimesInForce && HEPTANE_BOOK_STOP_LIMIT + 1 == kTypes);
static_assert(HEPTANE_BOOK_HALTED + 1 == kPhases);
static_assert(HEPTANE_BOOK_OUTSIDE_BAND == static_cast<int>(EventType::outside_band));
static_assert(HEPTANE_BOOK_CALL_ENDED == static_cast<int>(Reason::call_ended));

Book book_of(const heptane_book* book) { return Book(reinterpret_cast<BookState*>(const_cast<heptane_book*>(book))); }

// Events are written where C reads them: both are the same 64 bytes.
Room room_of(heptane_book_room room) {
  return {{reinterpret_cast<Event*>(room.events), room.events_count}, room.orders};
}

heptane_book_outcome outcome_of(Outcome outcome) {
  return {static_cast<uint8_t>(outcome.reject), outcome.more, 0, outcome.events};
}

Side side_of(uint8_t side) { return side == HEPTANE_BOOK_BUY ? Side::buy : Side::sell; }

struct Functions {
  int (*write)(void* context, const void* bytes, size_t size);
  int (*read)(void* context, void* bytes, size_t size);
  void* context;
};

}  // namespace

size_t heptane_book_bytes(const heptane_book_config* config) { return Book::bytes_for(std::bit_cast<Config>(*config)); }

heptane_book* heptane_book_open(const heptane_book_config* config, void* memory, size_t bytes) {
  const Book book(std::bit_cast<Config>(*config), {static_cast<std::byte*>(memory), bytes});
  return reinterpret_cast<heptane_book*>(book.state());
}

heptane_book_outcome heptane_book_enter(heptane_book* book, const heptane_book_order* order, heptane_book_room room) {
  heptane_book_order copy = *order;
  copy.post_only = order->post_only != 0;
  return outcome_of(book_of(book).enter(std::bit_cast<NewOrder>(copy), room_of(room)));
}

heptane_book_outcome heptane_book_replace(heptane_book* book, const heptane_book_change* change,
                                          heptane_book_room room) {
  return outcome_of(book_of(book).replace(std::bit_cast<Replace>(*change), room_of(room)));
}

heptane_book_outcome heptane_book_cancel(heptane_book* book, uint64_t order_id, int expired, heptane_book_room room) {
  return outcome_of(book_of(book).cancel(order_id, room_of(room), expired != 0 ? Reason::expired : Reason::cancelled));
}

heptane_book_outcome heptane_book_mass_cancel(heptane_book* book, uint64_t account, uint32_t owner, int buys, int sells,
                                              heptane_book_room room) {
  return outcome_of(book_of(book).mass_cancel({account, owner, buys != 0, sells != 0}, room_of(room)));
}

heptane_book_outcome heptane_book_expire(heptane_book* book, int day, uint64_t until, heptane_book_room room) {
  return outcome_of(book_of(book).expire({day != 0, until}, room_of(room)));
}

heptane_book_outcome heptane_book_set_phase(heptane_book* book, uint8_t phase, heptane_book_room room) {
  return outcome_of(book_of(book).set_phase(static_cast<Phase>(phase), room_of(room)));
}

heptane_book_outcome heptane_book_uncross(heptane_book* book, int64_t reference, int64_t price_low, int64_t price_high,
                                          heptane_book_room room) {
  return outcome_of(book_of(book).uncross({reference, price_low, price_high}, room_of(room)));
}

heptane_book_outcome heptane_book_proceed(heptane_book* book, heptane_book_room room) {
  return outcome_of(book_of(book).proceed(room_of(room)));
}

heptane_book_outcome heptane_book_set_last_trade(heptane_book* book, int64_t price) {
  return outcome_of(book_of(book).set_last_trade(price));
}

heptane_book_outcome heptane_book_clear_last_trade(heptane_book* book) {
  return outcome_of(book_of(book).clear_last_trade());
}

uint8_t heptane_book_phase(const heptane_book* book) { return static_cast<uint8_t>(book_of(book).phase()); }
int heptane_book_frozen(const heptane_book* book) { return book_of(book).frozen() ? 1 : 0; }
uint32_t heptane_book_size(const heptane_book* book) { return book_of(book).size(); }
uint64_t heptane_book_quantity_max(const heptane_book* book) { return book_of(book).quantity_max(); }
int heptane_book_last_trade(const heptane_book* book, int64_t* price) {
  return book_of(book).last_trade(*price) ? 1 : 0;
}

int heptane_book_find(const heptane_book* book, uint64_t order_id, heptane_book_view* found) {
  OrderView view;
  if (!book_of(book).find(order_id, view)) return 0;
  *found = std::bit_cast<heptane_book_view>(view);
  found->unused = 0;
  return 1;
}

size_t heptane_book_depth(const heptane_book* book, uint8_t side, heptane_book_level* rows, size_t count) {
  return book_of(book).depth(side_of(side), {reinterpret_cast<LevelView*>(rows), count});
}

heptane_book_indication heptane_book_indicate(const heptane_book* book, int64_t reference, uint32_t levels_max) {
  const Indication found = book_of(book).indication(reference, levels_max);
  return {found.crosses, found.complete, static_cast<uint8_t>(found.surplus_side), {}, found.price,
          found.volume,  found.surplus};
}

const char* heptane_book_text(uint8_t reject) { return text(static_cast<Reject>(reject)); }

int heptane_book_save(const heptane_book* book, int (*write)(void* context, const void* bytes, size_t size),
                      void* context) {
  Functions functions = {write, nullptr, context};
  const auto forward = [](void* to, const void* bytes, size_t size) {
    const auto& f = *static_cast<Functions*>(to);
    return f.write(f.context, bytes, size) != 0;
  };
  return book_of(book).save({forward, &functions}) ? 1 : 0;
}

uint64_t heptane_book_hash(const heptane_book* book) { return book_of(book).hash(); }

int heptane_book_restore(heptane_book* book, int (*read)(void* context, void* bytes, size_t size), void* context) {
  Functions functions = {nullptr, read, context};
  const auto forward = [](void* from, void* bytes, size_t size) {
    const auto& f = *static_cast<Functions*>(from);
    return f.read(f.context, bytes, size) != 0;
  };
  return static_cast<int>(book_of(book).restore({forward, &functions}));
}
