// The book alone: one thread, every event a record of 64 bytes into a ring of the same thread. Beside it the same commands through
// std::map + std::list + std::unordered_map; that both emit the same events is checked before anything is measured. Commands are
// drawn beforehand; the book they are drawn for stays as full as its row says: as many enter as leave, one in ten takes what
// rests, one in ten is replaced. Sides take turns; processor time of this thread.
#include "modules/fintech/domain/book/book.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "bench/benches.h"
#include "bench/book_peer.h"
#include "bench/report.h"
#include "kernel/base/huge_allocator.h"
#include "kernel/base/random.h"

namespace heptane::bench {

namespace {

using namespace book;

struct Command {
  enum class Kind : uint8_t { enter, cancel, replace } kind;
  Side side;
  TimeInForce tif;
  uint32_t quantity;
  uint64_t id;
  int64_t price;
};

struct Scenario {
  const char* what;
  uint32_t live;
  int64_t ticks;
  double bar;
  bool sweeps;
};

constexpr Scenario kScenarios[] = {
    {"1 k live orders, 100 ticks", 1'000, 100, 1.1, false},
    {"100 k live orders, 1 k ticks", 100'000, 1'000, 1.8, false},
    {"1 M live orders, 1 k ticks", 1'000'000, 1'000, 1.5, false},
    {"300 k live orders, 1 M ticks", 300'000, 1'000'000, 2.0, false},
    {"sweep of 100 levels of 10 orders", 1'000, 100, 1.5, true},
};

int64_t thread_cpu_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

NewOrder order_of(const Command& c) {
  NewOrder order;
  order.order_id = c.id;
  order.price = c.price;
  order.quantity = c.quantity;
  order.side = c.side;
  order.tif = c.tif;
  order.owner = 1 + static_cast<uint32_t>(c.id % 1'000);
  return order;
}

class OurBook {
 public:
  explicit OurBook(uint32_t orders) : memory_(Book::bytes_for({orders})), book_({orders}, memory_) {
    Event events[kEventsMin];
    book_.set_phase(Phase::continuous, {events});
  }
  Book& book() { return book_; }

  size_t apply(const Command& c, Event* out) {
    const Room room{{out, EventRing::kPiece}, EventRing::kPiece};
    switch (c.kind) {
      case Command::Kind::enter: return book_.enter(order_of(c), room).events;
      case Command::Kind::cancel: return book_.cancel(c.id, room).events;
      case Command::Kind::replace: return book_.replace({c.id, c.price, 0, c.quantity}, room).events;
    }
    return 0;
  }

 private:
  // The caller gives the memory, and may ask for huge pages; the other side's comes from malloc.
  std::vector<std::byte, HugeAllocator<std::byte>> memory_;
  Book book_;
};

class TheirBook {
 public:
  explicit TheirBook(uint32_t orders) : book_(orders) {}
  size_t apply(const Command& c, Event* out) {
    switch (c.kind) {
      case Command::Kind::enter: return book_.enter(order_of(c), out);
      case Command::Kind::cancel: return book_.cancel(c.id, out);
      case Command::Kind::replace: return book_.replace({c.id, c.price, 0, c.quantity}, out);
    }
    return 0;
  }

 private:
  PeerBook book_;
};

// Draws the commands by sending them to a book of its own, so that whom it cancels is there.
class Draw {
 public:
  explicit Draw(const Scenario& scenario) : scenario_(scenario), random_(7), book_(room_for(scenario)) {}

  static uint32_t room_for(const Scenario& scenario) { return scenario.live + scenario.live / 4 + 1'000; }

  // To the number of orders that the scenario wants.
  std::vector<Command> fill() {
    std::vector<Command> commands;
    while (ids_.size() < scenario_.live) send(passive(), commands);
    return commands;
  }
  std::vector<Command> draw(uint64_t count) {
    std::vector<Command> commands;
    while (commands.size() < count) {
      const uint64_t what = random_.below(10);
      if (what == 0) {
        send(aggressive(), commands);
      } else if (what == 1 && !ids_.empty()) {
        send(replaced(), commands);
      } else if (ids_.size() < scenario_.live || ids_.empty()) {
        send(passive(), commands);
      } else {
        send({Command::Kind::cancel, Side::buy, TimeInForce::day, 0, ids_[random_.below(ids_.size())], 0}, commands);
      }
    }
    return commands;
  }

 private:
  int64_t price_on(Side side) {
    const int64_t half = scenario_.ticks / 2;
    const auto away = static_cast<int64_t>(random_.below(static_cast<uint64_t>(half)));
    return side == Side::buy ? half - 1 - away : half + away;
  }
  Command passive() {
    const Side side = random_.one_in(2) ? Side::buy : Side::sell;
    return {Command::Kind::enter, side, TimeInForce::day, quantity(), next_id_++, price_on(side)};
  }
  Command aggressive() {
    const Side side = random_.one_in(2) ? Side::buy : Side::sell;
    LevelView best[1];
    const Side other = side == Side::buy ? Side::sell : Side::buy;
    const int64_t touch = book_.book().depth(other, best) == 1 ? best[0].price : price_on(other);
    return {Command::Kind::enter, side, TimeInForce::ioc, quantity() * 3, next_id_++, touch};
  }
  Command replaced() {
    const uint64_t id = ids_[random_.below(ids_.size())];
    OrderView order;
    book_.book().find(id, order);
    if (random_.one_in(2) && order.leaves > 1)
      return {
          Command::Kind::replace, order.side, order.tif, static_cast<uint32_t>(order.quantity - 1), id, order.price};
    return {Command::Kind::replace, order.side, order.tif, static_cast<uint32_t>(order.quantity), id,
            price_on(order.side)};
  }
  uint32_t quantity() { return 1 + static_cast<uint32_t>(random_.below(100)); }

  void send(const Command& command, std::vector<Command>& commands) {
    const size_t count = book_.apply(command, events_);
    commands.push_back(command);
    for (size_t i = 0; i < count; ++i) note(events_[i]);
  }
  void note(const Event& e) {
    if (e.type == EventType::accepted) {
      place_of_[e.order_id] = ids_.size();
      ids_.push_back(e.order_id);
    }
    if (e.type == EventType::ended || (e.type == EventType::trade && e.leaves == 0)) gone(e.order_id);
    if (e.type == EventType::trade && e.other_leaves == 0) gone(e.other_id);
  }
  void gone(uint64_t id) {
    const size_t place = place_of_[id];
    ids_[place] = ids_.back();
    place_of_[ids_[place]] = place;
    ids_.pop_back();
    place_of_.erase(id);
  }

  const Scenario& scenario_;
  SeededRandom random_;
  OurBook book_;
  Event events_[EventRing::kPiece];
  uint64_t next_id_ = 1;
  std::vector<uint64_t> ids_;
  std::unordered_map<uint64_t, size_t> place_of_;
};

struct Workload {
  std::vector<Command> before;  // not measured
  std::vector<std::vector<Command>>
      rounds;  // first not measured (for sweeps: what they sweep), then measured, and so on
};

Workload steady(const Scenario& scenario, uint64_t commands) {
  Draw draw(scenario);
  Workload workload;
  workload.before = draw.fill();
  workload.rounds.push_back(draw.draw(commands / 10));
  workload.rounds.push_back(draw.draw(commands));
  return workload;
}

Workload sweeps(uint64_t count) {
  Workload workload;
  uint64_t id = 0;
  for (uint64_t sweep = 0; sweep < count; ++sweep) {
    std::vector<Command> levels;
    for (int64_t i = 0; i < 1'000; ++i)
      levels.push_back({Command::Kind::enter, Side::sell, TimeInForce::day, 10, ++id, i * 37 % 100});
    workload.rounds.push_back(std::move(levels));
    workload.rounds.push_back({{Command::Kind::enter, Side::buy, TimeInForce::ioc, 10'000, ++id, 99}});
  }
  return workload;
}

uint64_t digest_of(const Event* events, size_t count, uint64_t digest) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(events);
  for (size_t i = 0; i < count * sizeof(Event); ++i) digest = (digest ^ bytes[i]) * 0x100000001B3u;
  return digest;
}

struct Measured {
  double seconds = 0;
  uint64_t commands = 0;
  uint64_t events = 0;
  uint64_t digest = 0xCBF29CE484222325u;
};

// `check`: makes a digest of all events, which takes longer than the book.
template <class AnyBook>
Measured run(const Workload& workload, uint32_t orders, bool check) {
  AnyBook any(orders);
  const auto ring = std::make_unique<EventRing>();
  Measured measured;
  const auto send = [&](const std::vector<Command>& commands) {
    for (const Command& command : commands) {
      const size_t count = any.apply(command, ring->piece());
      if (check) measured.digest = digest_of(ring->piece(), count, measured.digest);
      ring->advance(count);
    }
  };
  send(workload.before);
  for (size_t i = 0; i < workload.rounds.size(); ++i) {
    const uint64_t events = ring->written();
    const int64_t begin = thread_cpu_ns();
    send(workload.rounds[i]);
    if (i % 2 == 0) continue;
    measured.seconds += static_cast<double>(thread_cpu_ns() - begin) / 1e9;
    measured.commands += workload.rounds[i].size();
    measured.events += ring->written() - events;
  }
  return measured;
}

std::string spread(std::vector<double> values, std::string (*words)(double)) {
  std::sort(values.begin(), values.end());
  return words(median(values)) + " (" + words(values.front()) + " to " + words(values.back()) + ")";
}

std::string million(double per_second) { return rate(per_second); }
std::string times(double value) { return ratio(value); }

Row measure(const Scenario& scenario, uint64_t pairs, uint64_t commands) {
  const Workload workload =
      scenario.sweeps ? sweeps(std::max<uint64_t>(commands / 2'000, 10)) : steady(scenario, commands);
  const uint32_t orders = Draw::room_for(scenario);
  if (run<OurBook>(workload, orders, true).digest != run<TheirBook>(workload, orders, true).digest) {
    std::fprintf(stderr, "book: %s: the events differ\n", scenario.what);
    std::exit(1);
  }
  std::vector<double> ours, theirs, ratios;
  std::string unit = scenario.sweeps ? ": trades" : ": commands";
  for (uint64_t pair = 0; pair < pairs; ++pair) {
    const Measured a = run<OurBook>(workload, orders, false);
    const Measured b = run<TheirBook>(workload, orders, false);
    const auto counted = [&](const Measured& m) {
      return static_cast<double>(scenario.sweeps ? m.events : m.commands) / m.seconds;
    };
    ours.push_back(counted(a));
    theirs.push_back(counted(b));
    ratios.push_back(ours.back() / theirs.back());
  }
  char bar[16];
  std::snprintf(bar, sizeof bar, ">= %.1f", scenario.bar);
  return {scenario.what + unit,
          spread(ours, million),
          "std::map, list, unordered_map " + spread(theirs, million),
          spread(ratios, times),
          bar,
          median(ratios) >= scenario.bar};
}

}  // namespace

bool bench_book(const Scratch&) {
  const uint64_t pairs = from_environment("BENCH_BOOK_PAIRS", 5);
  const uint64_t commands = from_environment("BENCH_BOOK_COMMANDS", 2'000'000);
  Report report("the book alone, one thread");
  report.setting("pairs", std::to_string(pairs) + " of each, in turn; " + std::to_string(commands) + " commands");
  const uint64_t only = from_environment("BENCH_BOOK_ROW", 0);
  for (size_t i = 0; i < std::size(kScenarios); ++i)
    if (only == 0 || only == i + 1) report.row(measure(kScenarios[i], pairs, commands));
  return report.print();
}

}  // namespace heptane::bench
