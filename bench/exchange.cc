// The exchange's apply() alone: orders with everything that is judged, their holds, matches, all postings, records and digest, one
// command each; without log, network or client. Limit orders of 64 accounts around a price that stands, each with one cancel of an
// older one, so that some ten thousand stay open. There is no peer in this row.
#include <algorithm>
#include <deque>
#include <vector>

#include "bench/benches.h"
#include "bench/pipeline.h"
#include "bench/report.h"
#include "kernel/base/assert.h"
#include "kernel/base/random.h"
#include "modules/fintech/test/exchange_shard.h"

namespace heptane::bench {

namespace {

using namespace fintech;
namespace ex = fintech::exchange;

constexpr double kBarPerSecond = 400e3;
constexpr double kBarWorstMicros = 50;
constexpr uint32_t kBase = 1;
constexpr uint32_t kQuote = 2;
constexpr uint64_t kFirms = 8;
constexpr uint64_t kAccounts = 8;  // of each
constexpr size_t kOpen = 10'000;

class ExchangeBench {
 public:
  ExchangeBench() { open_market(); }

  // With what a shard puts into the entry.
  Reply apply(StateMachine& machine, CommandType type, const Buffer& payload) {
    const LogTime time = static_cast<LogTime>(shard_.sequence + 1) * 1'000;
    return shard_.apply(machine, type, payload, time, [this](const Command&) {
      extensions_.clear();
      if (!shard_.run.adds_to_entry()) return;
      shard_.run.append_additions(extensions_, 0, 0);
      noted_bytes_ += extensions_.size();
    });
  }

  // An order, in the room of one that is old.
  int64_t step() {
    const ex::NewOrder order = draw();
    const Buffer payload = ex::packed(order);
    const int64_t begin_ns = now_ns();
    const Reply reply = apply(shard_.exchange, ex::kNewOrder, payload);
    const int64_t spent_ns = now_ns() - begin_ns;
    HEPTANE_ASSERT(reply.ok(), "an order of the bench was refused");
    entered_.push_back({static_cast<uint64_t>(reply.numbers[0]), order.firm});
    if (entered_.size() > kOpen) {
      const auto [id, firm] = entered_.front();
      entered_.pop_front();
      apply(shard_.exchange, ex::kCancelOrder, ex::packed(ex::CancelOrder{firm, id, ""}));  // it may have been filled
    }
    return spent_ns;
  }
  uint64_t noted_bytes() const { return noted_bytes_; }  // beside commands, of all entries
  uint64_t trades() const { return shard_.exchange.trades_total(); }

 private:
  template <class Payload>
  void must(CommandType type, const Payload& payload) {
    const Reply reply = apply(shard_.exchange, type, ex::packed(payload));
    HEPTANE_ASSERT(reply.ok(), "the bench's market does not open");
  }
  void open_market() {
    apply(shard_.ledger, kPutAsset, encode(Asset{kBase, 8, "BTC"}));
    apply(shard_.ledger, kPutAsset, encode(Asset{kQuote, 2, "USD"}));
    ex::InstrumentSpec spec;
    ex::Instrument& i = spec.instrument;
    i.symbol = "BTC/USD";
    i.base_asset = kBase, i.quote_asset = kQuote;
    i.price_scale = 2, i.quantity_scale = 2;
    i.steps = {{0, 100}};
    i.quantity_max = 1'000'000, i.price_min = 100, i.price_max = 100'000'000;
    spec.fees = {{.maker_ppm = -50, .taker_ppm = 200, .minimum = 0}};
    spec.orders_max = 65'536;
    must(ex::kPutInstrument, spec);
    for (uint64_t firm = 0; firm < kFirms; ++firm) {
      must(ex::kPutFirm, ex::FirmSpec{firm_name(firm)});
      for (uint64_t account = 0; account < kAccounts; ++account) {
        must(ex::kPutAccount, ex::AccountSpec{firm_name(firm), account_name(account), 0});
        for (const uint32_t asset : {kBase, kQuote})
          must(ex::kDeposit, ex::CashMove{firm_name(firm), account_name(account), asset, Uint128{1} << 60, 2});
      }
    }
    must(ex::kSetPhase, ex::PhaseChange{"BTC/USD", book::Phase::continuous, false});
  }
  static std::string firm_name(uint64_t number) { return "firm" + std::to_string(number); }
  static std::string account_name(uint64_t number) { return "account" + std::to_string(number); }

  ex::NewOrder draw() {
    ex::NewOrder order;
    order.firm = firm_name(random_.below(kFirms));
    order.account = account_name(random_.below(kAccounts));
    order.client_id = "order-" + std::to_string(++clients_);
    order.symbol = "BTC/USD";
    order.side = random_.below(2) == 0 ? book::Side::buy : book::Side::sell;
    // Half of a hundred ticks on its own side of the price, a few beyond it.
    const auto away = static_cast<int64_t>(random_.below(50)) - 10;
    order.price = {40'000 + (order.side == book::Side::buy ? -away : away), 0};
    order.quantity = {static_cast<int64_t>(random_.below(100)) + 1, 2};
    order.tif = book::TimeInForce::gtc;
    return order;
  }

  SeededRandom random_{7};
  uint64_t clients_ = 0;
  std::deque<std::pair<uint64_t, std::string>> entered_;
  ex::test::ExchangeShard shard_;
  ByteWriter extensions_;
  uint64_t noted_bytes_ = 0;
};

}  // namespace

bool bench_exchange(const Scratch&) {
  const uint64_t orders = from_environment("BENCH_ORDERS", 300'000);
  ExchangeBench bench;
  for (size_t n = 0; n < 2 * kOpen; ++n) bench.step();
  const uint64_t trades = bench.trades();
  const uint64_t noted = bench.noted_bytes();
  std::vector<int64_t> spent(orders);
  int64_t sum = 0;
  for (int64_t& one : spent) sum += one = bench.step();
  std::sort(spent.begin(), spent.end());
  const double per_second = static_cast<double>(orders) / static_cast<double>(sum) * 1e9;
  const double slow_micros = static_cast<double>(spent[orders * 999 / 1'000]) / 1e3;
  Report report("exchange");
  report.setting("run",
                 std::to_string(orders) + " orders, " + std::to_string(bench.trades() - trades) + " trades, " +
                     std::to_string((bench.noted_bytes() - noted) / orders) +
                     " bytes noted for each with its cancel; apply(), records and digest; cancels are not timed");
  report.row({"orders", rate(per_second), "", "", ">= 400 k/s", per_second >= kBarPerSecond});
  report.row({"p99.9 of an order", micros(slow_micros), "", "", "<= 50 us", slow_micros <= kBarWorstMicros});
  return report.print();
}

}  // namespace heptane::bench
