/* A call, from C: orders gather, the price that trades most is found, everybody trades at it. */
#include <heptane/book_c.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void gather(heptane_book* book, uint64_t id, uint8_t side, int64_t price, uint64_t quantity, heptane_book_room room) {
  heptane_book_order order = {0};
  order.order_id = id;
  order.side = side;
  order.price = price;
  order.quantity = quantity;
  const heptane_book_outcome outcome = heptane_book_enter(book, &order, room);
  if (outcome.reject != 0) printf("order %" PRIu64 ": %s\n", id, heptane_book_text(outcome.reject));
}

int main(void) {
  const heptane_book_config config = {1000, 100, 0};
  const size_t bytes = heptane_book_bytes(&config);
  void* memory = malloc(bytes);
  heptane_book* book = memory == NULL ? NULL : heptane_book_open(&config, memory, bytes);
  if (book == NULL) return 1;
  heptane_book_event events[64];
  const heptane_book_room room = {events, 64, 1000};
  heptane_book_set_phase(book, HEPTANE_BOOK_OPENING_CALL, room);
  gather(book, 1, HEPTANE_BOOK_BUY, 102, 10, room);
  gather(book, 2, HEPTANE_BOOK_BUY, 100, 10, room);
  gather(book, 3, HEPTANE_BOOK_SELL, 99, 5, room);
  gather(book, 4, HEPTANE_BOOK_SELL, 101, 10, room);
  const heptane_book_indication would = heptane_book_indicate(book, 100, 1000);
  printf("would trade %" PRIu64 " at %" PRId64 "\n", would.volume, would.price);
  const heptane_book_outcome outcome = heptane_book_uncross(book, 100, INT64_MIN, INT64_MAX, room);
  for (uint32_t i = 0; i < outcome.events; ++i)
    if (events[i].type == HEPTANE_BOOK_TRADE)
      printf("order %" PRIu64 " bought %" PRIu64 " at %" PRId64 " from order %" PRIu64 "\n", events[i].order_id,
             events[i].quantity, events[i].price, events[i].other_id);
  heptane_book_set_phase(book, HEPTANE_BOOK_CONTINUOUS, room);
  printf("%" PRIu32 " orders are left\n", heptane_book_size(book));
  free(memory);
  return 0;
}
