// A buy meets two sells, of which the better one goes first; then the book is saved and goes on elsewhere.
#include <heptane/book.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

using namespace heptane::book;

namespace {

void print(std::span<const Event> events) {
  for (const Event& e : events)
    if (e.type == EventType::trade)
      std::printf("trade %" PRIu64 ": %" PRIu64 " lots at %" PRId64 ", order %" PRIu64 " against %" PRIu64 "\n",
                  e.number, e.quantity, e.price, e.order_id, e.other_id);
}

bool append(void* context, const void* bytes, size_t size) {
  static_cast<std::string*>(context)->append(static_cast<const char*>(bytes), size);
  return true;
}

bool take(void* context, void* bytes, size_t size) {
  auto& left = *static_cast<std::string*>(context);
  if (left.size() < size) return false;
  std::memcpy(bytes, left.data(), size);
  left.erase(0, size);
  return true;
}

}  // namespace

int main() {
  const Config config{.orders_max = 1'000};
  const size_t bytes = Book::bytes_for(config);
  const auto memory = std::make_unique<std::byte[]>(bytes);
  Book book(config, {memory.get(), bytes});
  Event events[64];
  const Room room{events};
  book.set_phase(Phase::continuous, room);
  book.enter({.order_id = 1, .price = 103, .quantity = 5, .side = Side::sell}, room);
  book.enter({.order_id = 2, .price = 101, .quantity = 5, .side = Side::sell}, room);

  Outcome outcome = book.enter({.order_id = 3, .price = 103, .quantity = 8, .side = Side::buy}, room);
  print({events, outcome.events});
  while (outcome.more) {
    outcome = book.proceed(room);
    print({events, outcome.events});
  }
  const Outcome no = book.enter({.order_id = 1, .price = 90, .quantity = 1}, room);
  std::printf("order 1 again: %s\n", text(no.reject));

  std::string saved;
  book.save({append, &saved});
  const auto other_memory = std::make_unique<std::byte[]>(bytes);
  Book other(config, {other_memory.get(), bytes});
  const bool same = other.restore({take, &saved}) == RestoreResult::ok && other.hash() == book.hash();
  std::printf("restored: %s\n", same ? "the same book" : "another book");
  return same ? 0 : 1;
}
