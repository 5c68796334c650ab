// Two decoders of what anybody may have written: saved books, and commands against a small book with little room a turn. The first byte
// says which. Saved bytes get the digest that belongs to them, so that what is behind it is reached.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "modules/fintech/domain/book/book.h"
#include "modules/fintech/domain/book/saved.h"

namespace {

using namespace heptane::book;

constexpr Config kConfig{.orders_max = 24, .iceberg_slices_max = 20};

class Input {
 public:
  Input(const uint8_t* data, size_t size) : left_(data, size) {}
  bool empty() const { return left_.empty(); }
  size_t take(void* out, size_t size) {
    const size_t taken = std::min(size, left_.size());
    std::memcpy(out, left_.data(), taken);
    left_ = left_.subspan(taken);
    return taken;
  }
  uint8_t byte() {
    uint8_t value = 0;
    take(&value, 1);
    return value;
  }

 private:
  std::span<const uint8_t> left_;
};

void must_hold(bool holds) {
  if (!holds) std::abort();
}

bool read_from(void* context, void* bytes, size_t size) {
  return static_cast<Input*>(context)->take(bytes, size) == size;
}

bool append_to(void* context, const void* bytes, size_t size) {
  auto& out = *static_cast<std::vector<uint8_t>*>(context);
  const auto* begin = static_cast<const uint8_t*>(bytes);
  out.insert(out.end(), begin, begin + size);
  return true;
}

class Fuzzed {
 public:
  Fuzzed() : memory_(Book::bytes_for(kConfig)), book_(kConfig, memory_) {}

  void commands(Input input) {
    while (!input.empty()) command(input);
    finish();
  }

  void restored(const uint8_t* data, size_t size) {
    std::vector<uint8_t> bytes(data, data + size / 8 * 8);
    SavedDigest digest;
    digest.add(bytes.data(), bytes.size());
    const uint64_t value = digest.value();
    append_to(&bytes, &value, sizeof value);
    Input input(bytes.data(), bytes.size());
    if (book_.restore({read_from, &input}) != RestoreResult::ok) {
      must_hold(book_.size() == 0 && !book_.frozen());
      return;
    }
    must_hold(book_.consistent());
    std::vector<uint8_t> again;
    must_hold(book_.save({append_to, &again}) && std::equal(again.begin(), again.end(), bytes.begin()));
    finish();
  }

 private:
  void finish() {
    Outcome outcome{Reject::none, book_.frozen(), 0};
    for (int turns = 0; outcome.more; ++turns) {
      must_hold(turns < 10'000);
      outcome = book_.proceed(room());
    }
    must_hold(book_.consistent());
  }
  Room room() { return {std::span(events_, kEventsMin + 2), 3}; }

  void command(Input& input) {
    const uint8_t what = input.byte();
    switch (what % 8) {
      case 0: {
        Expire expire{(what & 8) != 0, input.byte()};
        book_.expire(expire, room());
        break;
      }
      case 1: book_.cancel(input.byte(), room()); break;
      case 2:
        book_.replace({input.byte(), price(input), price(input), input.byte(), static_cast<uint64_t>(input.byte() % 8)},
                      room());
        break;
      case 3: book_.set_phase(static_cast<Phase>(input.byte()), room()); break;
      case 4: book_.uncross({price(input), price(input), price(input)}, room()); break;
      case 5:
        book_.mass_cancel({input.byte() % 4u, input.byte() % 4u, (what & 8) != 0, (what & 16) != 0}, room());
        break;
      default: enter(input); break;
    }
    if ((what & 32) == 0) finish();
  }

  void enter(Input& input) {
    NewOrder o;
    o.order_id = input.byte();
    o.price = price(input);
    o.stop_price = price(input);
    o.quantity = input.byte();
    const uint8_t kind = input.byte();
    o.side = static_cast<Side>(kind % 2);
    o.type = static_cast<OrderType>(kind / 2 % 5);
    o.tif = static_cast<TimeInForce>(kind / 10 % 8);
    const uint8_t more = input.byte();
    o.self_trade = static_cast<SelfTrade>(more % 5);
    o.owner = more / 8 % 3;
    o.post_only = (more & 64) != 0;
    if ((more & 128) != 0)
      o.display_quantity = input.byte(), o.minimum_quantity = input.byte(), o.expires_at = input.byte();
    book_.enter(o, room());
  }
  static int64_t price(Input& input) {
    const auto byte = static_cast<int8_t>(input.byte());
    return byte == INT8_MIN ? INT64_MIN : byte == INT8_MAX ? INT64_MAX : byte / 8;
  }

  std::vector<std::byte> memory_;
  Book book_;
  Event events_[kEventsMin + 2];
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  Fuzzed fuzzed;
  if (data[0] % 2 == 0) {
    fuzzed.restored(data + 1, size - 1);
  } else {
    fuzzed.commands(Input(data + 1, size - 1));
  }
  return 0;
}
