// A book in memory of its own, driven by tests: every call is made with as little or as much room as the test wants and carried on
// until it is done; on the way the book is saved, restored elsewhere and compared, as often as asked for.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "kernel/base/random.h"
#include "modules/fintech/domain/book/book.h"

namespace heptane::book::test {

inline bool operator==(const Event& a, const Event& b) {
  return a.type == b.type && a.reason == b.reason && a.side == b.side && a.in_call == b.in_call && a.owner == b.owner &&
         a.order_id == b.order_id && a.other_id == b.other_id && a.price == b.price && a.quantity == b.quantity &&
         a.leaves == b.leaves && a.other_leaves == b.other_leaves && a.number == b.number;
}

inline std::vector<std::byte> saved(const Book& book) {
  std::vector<std::byte> bytes;
  const auto write = [](void* context, const void* data, size_t size) {
    auto& out = *static_cast<std::vector<std::byte>*>(context);
    const auto* begin = static_cast<const std::byte*>(data);
    out.insert(out.end(), begin, begin + size);
    return true;
  };
  EXPECT_TRUE(book.save({write, &bytes}));
  return bytes;
}

inline RestoreResult restored(Book& book, std::span<const std::byte> bytes) {
  const auto read = [](void* context, void* data, size_t size) {
    auto& left = *static_cast<std::span<const std::byte>*>(context);
    if (left.size() < size) return false;
    std::memcpy(data, left.data(), size);
    left = left.subspan(size);
    return true;
  };
  return book.restore({read, &bytes});
}

class Driver {
 public:
  explicit Driver(const Config& config) : config_(config), memory_(Book::bytes_for(config)), book_(config, memory_) {}

  Book& book() { return book_; }
  const std::vector<Event>& events() const { return events_; }

  // Of the next calls. 0: the most.
  void set_room(size_t events, uint32_t orders) { room_events_ = events, room_orders_ = orders; }
  void move_between_turns() { always_moves_ = true; }
  // Then each turn's room is drawn, and between turns the book is saved and restored once in `one_in` times.
  void set_random(SeededRandom* random, uint64_t one_in) { random_ = random, restore_one_in_ = one_in; }

  // The call, and proceed() until there is no more; events() are all of it.
  Reject run(const std::function<Outcome(Book&, Room)>& call) {
    events_.clear();
    Outcome outcome = turn(call);
    while (outcome.more) {
      EXPECT_TRUE(book_.frozen());
      const uint64_t before = book_.hash();
      EXPECT_EQ(book_.cancel(1, {buffer_, 1}).reject, Reject::frozen);
      EXPECT_EQ(book_.hash(), before);
      if (always_moves_ || (random_ != nullptr && random_->one_in(restore_one_in_))) move();
      outcome = turn([](Book& book, Room room) { return book.proceed(room); });
      EXPECT_EQ(outcome.reject, Reject::none);
    }
    EXPECT_FALSE(book_.frozen());
    return outcome.reject;
  }
  Reject enter(const NewOrder& order) {
    return run([&](Book& book, Room room) { return book.enter(order, room); });
  }
  Reject replace(const Replace& change) {
    return run([&](Book& book, Room room) { return book.replace(change, room); });
  }
  Reject cancel(uint64_t id, Reason reason = Reason::cancelled) {
    return run([&](Book& book, Room room) { return book.cancel(id, room, reason); });
  }
  Reject mass_cancel(const MassCancel& which) {
    return run([&](Book& book, Room room) { return book.mass_cancel(which, room); });
  }
  Reject expire(const Expire& which) {
    return run([&](Book& book, Room room) { return book.expire(which, room); });
  }
  Reject set_phase(Phase phase) {
    return run([&](Book& book, Room room) { return book.set_phase(phase, room); });
  }
  Reject uncross(const Uncross& command) {
    return run([&](Book& book, Room room) { return book.uncross(command, room); });
  }

  // The book goes on in other memory, under another index key, from its saved bytes.
  void move() {
    const std::vector<std::byte> bytes = saved(book_);
    Config config = config_;
    config.index_key = config_.index_key = config_.index_key * 31 + 7;
    std::vector<std::byte> memory(Book::bytes_for(config) + 8);
    Book book(config, std::span(memory).subspan(8));
    ASSERT_EQ(restored(book, bytes), RestoreResult::ok);
    ASSERT_TRUE(book.consistent());
    EXPECT_EQ(book.hash(), book_.hash());
    EXPECT_EQ(saved(book), bytes);
    memory_ = std::move(memory);
    book_ = book;
  }

 private:
  Outcome turn(const std::function<Outcome(Book&, Room)>& call) {
    size_t events = room_events_ == 0 ? kBuffer : room_events_;
    uint32_t orders = room_orders_ == 0 ? kOrdersPerTurn : room_orders_;
    if (random_ != nullptr) {
      events = random_->one_in(2) ? kBuffer : kEventsMin + random_->below(6);
      orders = random_->one_in(2) ? kOrdersPerTurn : static_cast<uint32_t>(1 + random_->below(4));
    }
    const Outcome outcome = call(book_, {std::span(buffer_, events), orders});
    EXPECT_LE(outcome.events, events);
    events_.insert(events_.end(), buffer_, buffer_ + outcome.events);
    return outcome;
  }

  static constexpr size_t kBuffer = 4096;
  Config config_;
  std::vector<std::byte> memory_;
  Book book_;
  Event buffer_[kBuffer];
  std::vector<Event> events_;
  size_t room_events_ = 0;
  uint32_t room_orders_ = 0;
  SeededRandom* random_ = nullptr;
  uint64_t restore_one_in_ = 1;
  bool always_moves_ = false;
};

}  // namespace heptane::book::test
