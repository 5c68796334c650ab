// The exchange with the ledger and the streams, and what a shard does for them; says after every command whether the exchange's
// invariants hold. Test support.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "kernel/shard/memory_snapshot.h"
#include "modules/fintech/domain/ledger/amount.h"
#include "modules/fintech/test/exchange_shard.h"

namespace heptane::fintech::exchange::test {

constexpr LogTime kSecond = 1'000'000'000;
constexpr uint32_t kBtc = 1;
constexpr uint32_t kUsd = 840;

// `12.50`, as somebody says it.
inline Said said(std::string_view text) {
  const bool negative = text.starts_with('-');
  const auto decimal = parse_decimal(negative ? text.substr(1) : text);
  HEPTANE_ASSERT(decimal.has_value(), "the test says no number");
  const auto digits = static_cast<int64_t>(decimal->digits);
  return {negative ? -digits : digits, decimal->decimals};
}

inline uint32_t fix(Rejected why) { return kFixReason + static_cast<uint32_t>(why); }
inline uint32_t fix(CancelRejected why) { return kFixReason + static_cast<uint32_t>(why); }

inline bool mentions(const std::vector<std::string>& records, std::string_view text) {
  for (const std::string& record : records)
    if (record.find(text) != std::string::npos) return true;
  return false;
}

// Bitcoin against dollars: prices in cents, quantities in thousandths, in lots of a tenth.
inline InstrumentSpec bitcoin() {
  InstrumentSpec spec;
  Instrument& i = spec.instrument;
  i.symbol = "BTC/USD";
  i.base_asset = kBtc, i.quote_asset = kUsd;
  i.price_scale = 2, i.quantity_scale = 3;
  i.steps = {{0, 10}};
  i.lot = 100, i.quantity_min = 100, i.quantity_max = 1'000'000;
  i.price_min = 10, i.price_max = 10'000'000;
  i.collar_ppm = 100'000, i.call_band_ppm = 200'000;
  spec.fees = {{.maker_ppm = -500, .taker_ppm = 2'000, .minimum = 3},
               {.maker_ppm = 1'000, .taker_ppm = 3'000, .minimum = 0}};
  spec.orders_max = 4'096;
  return spec;
}

class ExchangeRig : public ExchangeShard {
 public:
  using ExchangeShard::ExchangeShard;

  Reply apply(StateMachine& machine, CommandType type, const Buffer& payload) {
    Reply reply =
        ExchangeShard::apply(machine, type, payload, now, [this](const Command& made) { take_records(made); });
    outcome = run.outcome();
    return reply;
  }
  template <class Payload>
  Reply ask(CommandType type, const Payload& payload) {
    return ask_payload(type, packed(payload));
  }
  Reply ask_payload(CommandType type, const Buffer& payload) {
    const std::string before = state();
    Reply reply = apply(exchange, type, payload);
    EXPECT_TRUE(reply.ok() || state() == before) << "what was refused left something: " << reply.message;
    check();
    return reply;
  }

  // One timer that is due; false: there is none.
  bool fire_one() {
    LogTime due = 0;
    const TimerId id = kernel.first_due(due);
    if (id == 0 || due > now) return false;
    const Timer timer = kernel.timers.at(id);
    kernel.disarm(id);
    StateMachine& machine = timer.machine == kExchangeMachineId ? static_cast<StateMachine&>(exchange) : ledger;
    const Reply reply = apply(machine, timer.type, Buffer::copy_of(timer.payload));
    EXPECT_TRUE(reply.ok()) << reply.message;
    check();
    return true;
  }
  void fire() {
    while (fire_one()) continue;
  }

  // A market of one instrument with two firms and an account each, funded.
  void open_market(const InstrumentSpec& spec = bitcoin(), book::Phase phase = book::Phase::continuous) {
    asset({kBtc, 8, "BTC"});
    asset({kUsd, 2, "USD"});
    EXPECT_TRUE(ask(kPutInstrument, spec).ok());
    for (const char* firm : {"alpha", "beta"}) {
      EXPECT_TRUE(ask(kPutFirm, FirmSpec{firm}).ok());
      EXPECT_TRUE(ask(kPutAccount, AccountSpec{firm, "main", static_cast<uint8_t>(firm[0] == 'a' ? 0 : 1)}).ok());
    }
    if (phase == book::Phase::closed) return;
    EXPECT_TRUE(ask(kSetPhase, PhaseChange{spec.instrument.symbol, phase, false}).ok());
  }
  void asset(const Asset& asset) { EXPECT_TRUE(apply(ledger, kPutAsset, encode(asset)).ok()); }
  Reply cash(CommandType type, const std::string& firm, uint32_t asset, std::string_view amount,
             const std::string& account = "main") {
    const auto decimal = parse_decimal(amount);
    return ask(type, CashMove{firm, account, asset, decimal->digits, decimal->decimals});
  }
  void fund(const std::string& firm, std::string_view btc, std::string_view usd, const std::string& account = "main") {
    EXPECT_TRUE(btc == "0" || cash(kDeposit, firm, kBtc, btc, account).ok());
    EXPECT_TRUE(usd == "0" || cash(kDeposit, firm, kUsd, usd, account).ok());
  }

  NewOrder order(const std::string& firm, book::Side side, std::string_view quantity, std::string_view price) {
    NewOrder order;
    order.firm = firm;
    order.account = "main";
    order.client_id = "c" + std::to_string(++clients_);
    order.symbol = "BTC/USD";
    order.side = side;
    order.quantity = said(quantity);
    order.price = said(price);
    order.tif = book::TimeInForce::gtc;
    return order;
  }
  NewOrder buy(std::string_view quantity, std::string_view price, const std::string& firm = "alpha") {
    return order(firm, book::Side::buy, quantity, price);
  }
  NewOrder sell(std::string_view quantity, std::string_view price, const std::string& firm = "beta") {
    return order(firm, book::Side::sell, quantity, price);
  }
  // Its number; 0: refused.
  uint64_t enter(const NewOrder& order) {
    last = ask(kNewOrder, order);
    return last.ok() ? static_cast<uint64_t>(last.numbers[0]) : 0;
  }
  Reply cancel(const std::string& firm, uint64_t id) { return ask(kCancelOrder, CancelOrder{firm, id, "x"}); }
  ReplaceOrder change(const std::string& firm, uint64_t id, std::string_view quantity, std::string_view price) {
    ReplaceOrder change;
    change.firm = firm;
    change.order_id = id;
    change.client_id = "r" + std::to_string(++clients_);
    change.quantity = said(quantity);
    if (!price.empty()) change.price = said(price);
    return change;
  }
  const Order* find(uint64_t id) const { return exchange.orders().find(id); }

  template <class Row, class Asked>
  std::optional<Row> query(uint16_t type, const Asked& asked) const {
    Reply reply;
    exchange.query({type, packed(asked).view(), {}}, reply);
    return reply.ok() ? unpacked<Row>(reply.payload.view()) : std::nullopt;
  }
  std::string available(const std::string& firm, uint32_t asset) const { return purse(firm, asset, Purse::available); }
  std::string held_of(const std::string& firm, uint32_t asset) const { return purse(firm, asset, Purse::held); }
  std::string house(uint32_t asset, Purse which) const {
    return amount_text(balance(ledger, kHouse, asset, which), asset == kUsd ? 2 : 8);
  }

  std::string state() const {
    MemorySnapshot snapshot;
    exchange.save(snapshot);
    ledger.save(snapshot);
    return std::string(as_text(snapshot.bytes()));
  }
  // As from a snapshot.
  void restore() {
    const std::string before = state();
    MemorySnapshot of_exchange;
    MemorySnapshot of_ledger;
    exchange.save(of_exchange);
    ledger.save(of_ledger);
    ASSERT_TRUE(exchange.restore(of_exchange).ok());
    ASSERT_TRUE(ledger.restore(of_ledger).ok());
    ASSERT_TRUE(of_exchange.at_end());
    ASSERT_EQ(state(), before);
    check();
  }

  // held(account, asset) is what open orders hold; they are those of the books; nothing comes of nothing.
  void check() const {
    std::map<std::pair<uint32_t, uint32_t>, Uint128> holds;
    std::map<uint32_t, uint32_t> open;
    for (auto place = exchange.orders().next_open({0, 0}); place; place = exchange.orders().next_open(*place)) {
      const auto [account, id] = *place;
      const Order& order = *find(id);
      const Listing& listing = exchange.directory().listing(order.instrument);
      const Instrument& i = listing.instrument();
      holds[{account, order.funds.side == book::Side::buy ? i.quote_asset : i.base_asset}] += held(i, order.funds);
      if (exchange.reviews().contains(id)) {
        ASSERT_EQ(order.filled, 0U) << id;
        continue;
      }
      ++open[order.instrument];
      book::OrderView view;
      ASSERT_TRUE(listing.book.find(id, view)) << id;
      ASSERT_EQ(listing.units(view.leaves), order.funds.leaves) << id;
      ASSERT_EQ(order.quantity - order.filled, order.funds.leaves) << id;
    }
    for (const Listing& listing : exchange.directory().listings()) ASSERT_EQ(listing.book.size(), open[listing.number]);
    for (const uint32_t asset : {kBtc, kUsd}) {
      Uint128 all = balance(ledger, kHouse, asset, Purse::fees);
      // Below zero.
      for (uint32_t firm = 1; firm <= exchange.directory().firms(); ++firm)
        all += balance(ledger, firm, asset, Purse::receivable);
      for (uint32_t account = 1; account <= exchange.directory().accounts(); ++account) {
        const Uint128 held_now = balance(ledger, account, asset, Purse::held);
        ASSERT_TRUE((held_now == holds[{account, asset}])) << account << " of " << asset;
        all += balance(ledger, account, asset, Purse::available) + held_now;
      }
      ASSERT_TRUE(static_cast<Int128>(all) == supply(ledger, asset)) << asset;
    }
  }

  LogTime now = 1'700'000'000 * kSecond;
  CommandOutcome outcome = CommandOutcome::kept;
  Reply last;
  size_t note_bytes_max = 0;                          // that a command added to its entry
  std::map<uint16_t, std::vector<std::string>> told;  // by view

 private:
  class Records final : public RecordWriter {
   public:
    explicit Records(std::vector<std::string>& out) : out_(out) {}
    bool wants() const override { return true; }
    bool full() const override { return false; }
    void skip() override { FAIL(); }
    void add(const ViewRecord& record) override { out_.emplace_back(as_text(record.value)); }

   private:
    std::vector<std::string>& out_;
  };

  std::string purse(const std::string& firm, uint32_t asset, Purse which) const {
    const Firm* of = exchange.directory().firm(firm);
    const TradingAccount* account = exchange.directory().account(of->number, "main");
    return amount_text(balance(ledger, account->number, asset, which), asset == kUsd ? 2 : 8);
  }
  void take_records(const Command& command) {
    ByteWriter extensions;
    if (run.adds_to_entry()) run.append_additions(extensions, 0, 0);
    note_bytes_max = std::max(note_bytes_max, extensions.size());
    for (const log::ViewRun& made : run.view_runs()) {
      if (made.machine != kExchangeMachineId) continue;
      LoggedCommand logged;
      logged.command = command;
      logged.results = log::results_of(extensions.view(), made.machine);
      const size_t before = told[made.view].size();
      Records out(told[made.view]);
      exchange.renderer()(logged, made.view, out);
      EXPECT_EQ(told[made.view].size() - before, made.count);
    }
  }

  uint64_t clients_ = 0;
};

}  // namespace heptane::fintech::exchange::test
