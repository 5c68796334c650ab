/* The book for C, and for every language that can call C. book.h says what everything does; numbers of enums are its order of
 * values. One owner at a time; nothing allocates, a book is freed with the memory that it was opened in. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { HEPTANE_BOOK_BUY, HEPTANE_BOOK_SELL };
enum { HEPTANE_BOOK_LIMIT, HEPTANE_BOOK_MARKET, HEPTANE_BOOK_STOP, HEPTANE_BOOK_STOP_LIMIT };
enum {
  HEPTANE_BOOK_DAY,
  HEPTANE_BOOK_GTC,
  HEPTANE_BOOK_GTD,
  HEPTANE_BOOK_IOC,
  HEPTANE_BOOK_FOK,
  HEPTANE_BOOK_AT_OPEN,
  HEPTANE_BOOK_AT_CLOSE
};
enum {
  HEPTANE_BOOK_SELF_TRADE_ALLOW,
  HEPTANE_BOOK_SELF_TRADE_CANCEL_NEWEST,
  HEPTANE_BOOK_SELF_TRADE_CANCEL_OLDEST,
  HEPTANE_BOOK_SELF_TRADE_CANCEL_BOTH
};
enum {
  HEPTANE_BOOK_CLOSED,
  HEPTANE_BOOK_OPENING_CALL,
  HEPTANE_BOOK_CONTINUOUS,
  HEPTANE_BOOK_AUCTION_CALL,
  HEPTANE_BOOK_CLOSING_CALL,
  HEPTANE_BOOK_HALTED
};
enum {
  HEPTANE_BOOK_ACCEPTED,
  HEPTANE_BOOK_REPLACED,
  HEPTANE_BOOK_TRIGGERED,
  HEPTANE_BOOK_TRADE,
  HEPTANE_BOOK_ENDED,
  HEPTANE_BOOK_MASS_DONE,
  HEPTANE_BOOK_UNCROSSED,
  HEPTANE_BOOK_OUTSIDE_BAND
};
enum {
  HEPTANE_BOOK_NO_REASON,
  HEPTANE_BOOK_CANCELLED,
  HEPTANE_BOOK_MASS,
  HEPTANE_BOOK_EXPIRED,
  HEPTANE_BOOK_REDUCED,
  HEPTANE_BOOK_UNFILLED,
  HEPTANE_BOOK_FOK_NOT_FILLED,
  HEPTANE_BOOK_MINIMUM,
  HEPTANE_BOOK_SELF_TRADE,
  HEPTANE_BOOK_CALL_ENDED
};

typedef struct heptane_book heptane_book;

typedef struct {
  uint32_t orders_max;
  uint32_t iceberg_slices_max; /* 100 is usual; not 0 */
  uint64_t index_key;
} heptane_book_config;

typedef struct {
  uint64_t order_id;
  int64_t price;
  int64_t stop_price;
  uint64_t quantity;
  uint64_t display_quantity;
  uint64_t minimum_quantity;
  uint64_t expires_at;
  uint64_t account;
  uint32_t owner;
  uint8_t side;
  uint8_t type;
  uint8_t tif;
  uint8_t self_trade;
  uint8_t post_only;
  uint8_t unused[7];
} heptane_book_order;

typedef struct {
  uint64_t order_id;
  int64_t price;
  int64_t stop_price;
  uint64_t quantity;
  uint64_t display_quantity;
} heptane_book_change;

typedef struct {
  uint8_t type;
  uint8_t reason;
  uint8_t side;
  uint8_t in_call;
  uint32_t owner;
  uint64_t order_id;
  uint64_t other_id;
  int64_t price;
  uint64_t quantity;
  uint64_t leaves;
  uint64_t other_leaves;
  uint64_t number;
} heptane_book_event;

typedef struct {
  heptane_book_event* events;
  size_t events_count;
  uint32_t orders;
} heptane_book_room;

typedef struct {
  uint8_t reject; /* 0: taken; heptane_book_text() says it in words */
  uint8_t more;   /* call heptane_book_proceed() */
  uint16_t unused;
  uint32_t events;
} heptane_book_outcome;

typedef struct {
  int64_t price;
  uint64_t visible;
  uint64_t total;
  uint32_t orders;
  uint32_t unused;
} heptane_book_level;

typedef struct {
  uint64_t order_id;
  int64_t price;
  int64_t stop_price;
  uint64_t quantity;
  uint64_t leaves;
  uint64_t visible;
  uint64_t account;
  uint64_t number;
  uint32_t owner;
  uint8_t side;
  uint8_t type;
  uint8_t tif;
  uint8_t unused;
} heptane_book_view;

typedef struct {
  uint8_t crosses;
  uint8_t complete;
  uint8_t surplus_side;
  uint8_t unused[5];
  int64_t price;
  uint64_t volume;
  uint64_t surplus;
} heptane_book_indication;

size_t heptane_book_bytes(const heptane_book_config* config);
/* NULL: the memory is too small or the configuration cannot be. The book lives in `memory`. */
heptane_book* heptane_book_open(const heptane_book_config* config, void* memory, size_t bytes);

heptane_book_outcome heptane_book_enter(heptane_book* book, const heptane_book_order* order, heptane_book_room room);
heptane_book_outcome heptane_book_replace(heptane_book* book, const heptane_book_change* change,
                                          heptane_book_room room);
/* expired: 0 cancelled, otherwise expired. */
heptane_book_outcome heptane_book_cancel(heptane_book* book, uint64_t order_id, int expired, heptane_book_room room);
/* account, owner: 0 = any. */
heptane_book_outcome heptane_book_mass_cancel(heptane_book* book, uint64_t account, uint32_t owner, int buys, int sells,
                                              heptane_book_room room);
heptane_book_outcome heptane_book_expire(heptane_book* book, int day, uint64_t until, heptane_book_room room);
heptane_book_outcome heptane_book_set_phase(heptane_book* book, uint8_t phase, heptane_book_room room);
heptane_book_outcome heptane_book_uncross(heptane_book* book, int64_t reference, int64_t price_low, int64_t price_high,
                                          heptane_book_room room);
heptane_book_outcome heptane_book_proceed(heptane_book* book, heptane_book_room room);
heptane_book_outcome heptane_book_set_last_trade(heptane_book* book, int64_t price);
heptane_book_outcome heptane_book_clear_last_trade(heptane_book* book);

uint8_t heptane_book_phase(const heptane_book* book);
int heptane_book_frozen(const heptane_book* book);
uint32_t heptane_book_size(const heptane_book* book);
uint64_t heptane_book_quantity_max(const heptane_book* book);
/* 0: there was none. */
int heptane_book_last_trade(const heptane_book* book, int64_t* price);
/* 0: it is not in the book. */
int heptane_book_find(const heptane_book* book, uint64_t order_id, heptane_book_view* found);
size_t heptane_book_depth(const heptane_book* book, uint8_t side, heptane_book_level* rows, size_t count);
heptane_book_indication heptane_book_indicate(const heptane_book* book, int64_t reference, uint32_t levels_max);
const char* heptane_book_text(uint8_t reject);

/* write, read: 0 ends it. */
int heptane_book_save(const heptane_book* book, int (*write)(void* context, const void* bytes, size_t size),
                      void* context);
uint64_t heptane_book_hash(const heptane_book* book);
/* 0: ok; otherwise RestoreResult's number, and the book is empty. */
int heptane_book_restore(heptane_book* book, int (*read)(void* context, void* bytes, size_t size), void* context);

#ifdef __cplusplus
}
#endif
