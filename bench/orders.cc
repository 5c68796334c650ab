// Orders over FIX through the whole server, synced: beside libquickfix's acceptor, which answers and matches nothing, once as it is and once
// with an fdatasync for each message; and, to a settled trade, beside PostgreSQL 15 with the book in tables and one prepared function.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/benches.h"
#include "bench/fix_wire.h"
#include "bench/heptane_process.h"
#include "bench/peer_process.h"
#include "bench/postgres_peer.h"
#include "bench/quickfix_acceptor.h"
#include "bench/raw_writer.h"
#include "bench/report.h"
#include "kernel/base/random.h"
#include "modules/fintech/domain/fix/encode.h"

namespace heptane::bench {

namespace {

constexpr size_t kAckSessions = 16;
constexpr size_t kAckWindow = 64;
constexpr size_t kTradeSessions = 64;
constexpr double kPacedPerSecond = 10'000;
constexpr double kPacedSlackMicros = 500;
constexpr size_t kPrepared = 20'000;  // orders of a session, at the most

std::vector<std::string> names_of(size_t sessions) {
  std::vector<std::string> names;
  for (size_t i = 0; i < sessions; ++i) names.push_back("T" + std::to_string(i));
  return names;
}

uint16_t port_of(const std::string& endpoint) {
  return static_cast<uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1)));
}

// Limit orders of one lot; each has an id that was never used.
class Orders {
 public:
  enum class Kind : uint8_t {
    rest,
    trade
  };  // buys below all sells; buys of even and sells of odd sessions at one price
  Orders(Kind kind, uint64_t instruments) : kind_(kind), instruments_(instruments) {}

  std::string operator()(size_t session) {
    std::string body;
    fix::add_field(body, 11, "c" + std::to_string(++count_));
    fix::add_field(body, 1, "main");
    fix::add_field(body, 55, "I" + std::to_string(random_.below(instruments_)));
    fix::add_field(body, 54, kind_ == Kind::rest || session % 2 == 0 ? "1" : "2");
    fix::add_timestamp(body, 60, 1'796'011'506'123'000'000, 3);
    fix::add_field(body, 38, "1");
    fix::add_field(body, 40, "2");
    const auto below = kind_ == Kind::rest ? static_cast<int64_t>(random_.below(100)) * 100 : 0;
    fix::add_decimal(body, 44, 10'000 - below, 2);
    fix::add_field(body, 59, "1");
    return body;
  }

 private:
  Kind kind_;
  uint64_t instruments_;
  uint64_t count_ = 0;
  SeededRandom random_{23};
};

// A firm with money for each session, and open instruments.
class Venue {
 public:
  Venue(const std::string& directory, size_t sessions, uint64_t instruments) : server_(directory) {
    post("ledger/assets", R"({"code":"USD","ledger":840,"scale":2})");
    post("ledger/assets", R"({"code":"BTC","ledger":8001,"scale":2})");
    for (uint64_t i = 0; i < instruments; ++i) {
      const std::string symbol = "I" + std::to_string(i);
      post("exchange/instruments",
           R"({"symbol":")" + symbol +
               R"(","base":"BTC","quote":"USD","price_scale":2,"quantity_scale":0,"tick":"1.00",)" +
               R"("lot":"1","quantity_max":"1000","price_max":"1000000","fees":[{"maker_ppm":100,"taker_ppm":250}],)" +
               R"("orders_max":)" + std::to_string(instruments == 1 ? 4'000'000 : 65'536) + "}");
      post("exchange/instruments/" + symbol + "/phase", R"({"phase":"continuous"})");
    }
    for (const std::string& name : names_of(sessions)) {
      post("exchange/firms", R"({"name":")" + name + R"("})");
      post("exchange/firms/" + name + "/accounts", R"({"name":"main"})");
      for (const char* asset : {"USD", "BTC"})
        post("exchange/deposits",
             R"({"firm":")" + name + R"(","account":"main","asset":")" + asset + R"(","amount":"1000000000000.00"})");
      post("exchange/fix-sessions", R"({"name":")" + name + R"(","firm":")" + name + R"("})");
    }
  }
  uint16_t port() const { return port_of(server_.endpoint("fix")); }
  pid_t pid() const { return server_.pid(); }
  double metric(const std::string& name) const { return server_.metric(name); }

 private:
  void post(const std::string& path, const std::string& body) { server_.ask("POST /api/v1/" + path, {}, body); }

  HeptaneProcess server_;
};

struct Side {
  std::vector<double> rates;
  std::vector<double> load_shares;  // of one processor
  std::vector<double> server_shares;
  std::vector<double> p50s;  // microseconds, paced
  std::vector<double> p99s;
};

int64_t turn_ns() { return static_cast<int64_t>(from_environment("BENCH_ORDERS_MS", 2000)) * 1'000'000; }
uint64_t pairs() { return from_environment("BENCH_ORDERS_PAIRS", 5); }

// Of a warm connection: what `counted` says grew by, a second.
template <class Counted>
void measure_rate(FixLoad& load, pid_t server, size_t window, Side& side, const Counted& counted) {
  load.prepare(std::min<size_t>(kPrepared, from_environment("BENCH_ORDERS_PREPARED", kPrepared)));
  const double load_before = own_cpu_seconds();
  const double server_before = cpu_seconds(server);
  const uint64_t before = counted();
  const int64_t begin_ns = now_ns();
  load.run(turn_ns(), window);
  const double seconds = static_cast<double>(now_ns() - begin_ns) / 1e9;
  side.rates.push_back(static_cast<double>(counted() - before) / seconds);
  side.load_shares.push_back((own_cpu_seconds() - load_before) / seconds);
  side.server_shares.push_back((cpu_seconds(server) - server_before) / seconds);
  load.drain();
}

void measure_paced(FixLoad& load, Side& side) {
  load.latencies().clear();
  load.prepare(static_cast<size_t>(kPacedPerSecond * static_cast<double>(turn_ns()) / 1e9) / kAckSessions + 1);
  load.run_paced(turn_ns(), kPacedPerSecond);
  load.drain();
  side.p50s.push_back(quantile(load.latencies(), 0.5));
  side.p99s.push_back(quantile(load.latencies(), 0.99));
}

class Acceptor {
 public:
  Acceptor(const std::string& directory, bool synced)
      : port_(free_port()),
        process_(made(directory),
                 {std::filesystem::read_symlink("/proc/self/exe").string(), kQuickfixAcceptor, std::to_string(port_),
                  std::filesystem::absolute(directory).string(), std::to_string(kAckSessions), synced ? "1" : "0"},
                 port_) {}
  uint16_t port() const { return port_; }
  pid_t pid() const { return process_.pid(); }

 private:
  static std::string made(const std::string& directory) {
    std::filesystem::create_directories(directory);
    return directory;
  }
  uint16_t port_;
  PeerProcess process_;
};

double probe_p99(RawWriter& raw) {
  std::vector<double> took;
  for (int i = 0; i < 1'000; ++i) {
    const int64_t begin_ns = now_ns();
    raw.write(log::kBlockBytes);
    took.push_back(static_cast<double>(now_ns() - begin_ns) / 1e3);
  }
  return quantile(took, 0.99);
}

template <class Text>
std::string spread(std::vector<double> values, const Text& text) {
  std::sort(values.begin(), values.end());
  return text(median(values)) + " (" + text(values.front()) + " to " + text(values.back()) + ")";
}

std::string per_second(double value) { return rate(value); }

std::vector<double> ratios_of(const std::vector<double>& ours, const std::vector<double>& theirs) {
  std::vector<double> out;
  for (size_t i = 0; i < ours.size(); ++i) out.push_back(ours[i] / theirs[i]);
  return out;
}

std::string shares_of(const Side& side) {
  char text[64];
  std::snprintf(text, sizeof text, "; server %.0f %%, load %.0f %%", 100 * median(side.server_shares),
                100 * median(side.load_shares));
  return text;
}

Row rate_row(const std::string& what, const Side& ours, const std::string& peer, const Side& theirs, double bar) {
  const std::vector<double> ratios = ratios_of(ours.rates, theirs.rates);
  return {what,
          spread(ours.rates, per_second) + shares_of(ours),
          peer + " " + spread(theirs.rates, per_second) + shares_of(theirs),
          spread(ratios, ratio),
          bar == 0 ? std::string() : ">= " + ratio(bar),
          median(ratios) >= bar};
}

// The three servers, each with connections of its own in each of its turns; `turn` of all of them a pair.
template <class Turn>
void take_turns(const Scratch& scratch, const Turn& turn, std::vector<double>& probes) {
  {
    const Venue venue(scratch.below("venue"), kAckSessions, 1);
    const Acceptor plain(scratch.below("quickfix"), false);
    const Acceptor synced(scratch.below("quickfix-synced"), true);
    RawWriter raw(scratch.below("raw"));
    Orders orders[] = {{Orders::Kind::rest, 1}, {Orders::Kind::rest, 1}, {Orders::Kind::rest, 1}};
    for (uint64_t pair = 0; pair < pairs(); ++pair) {
      turn(venue.port(), venue.pid(), orders[0], 0);
      turn(plain.port(), plain.pid(), orders[1], 1);
      turn(synced.port(), synced.pid(), orders[2], 2);
      probes.push_back(probe_p99(raw));
    }
  }
  for (const char* name : {"venue", "quickfix", "quickfix-synced", "raw"}) scratch.remove(name);
}

void measure_acknowledgements(const Scratch& scratch, Report& report) {
  Side sides[3];
  std::vector<double> probes;
  take_turns(
      scratch,
      [&](uint16_t port, pid_t pid, Orders& orders, size_t which) {
        FixLoad load(port, names_of(kAckSessions), std::ref(orders));
        measure_rate(load, pid, kAckWindow, sides[which], [&] { return load.acknowledged(); });
      },
      probes);
  const std::string what = "order to acknowledgement, 16 sessions, 64 in flight each: orders";
  report.row(rate_row(what, sides[0], "libquickfix, never synced", sides[1], 5));
  report.row(rate_row("the same", sides[0], "libquickfix, each message synced", sides[2], 0));
}

void measure_latencies(const Scratch& scratch, Report& report) {
  Side sides[3];
  std::vector<double> probes;
  take_turns(
      scratch,
      [&](uint16_t port, pid_t, Orders& orders, size_t which) {
        FixLoad load(port, names_of(kAckSessions), std::ref(orders));
        measure_paced(load, sides[which]);
      },
      probes);
  const auto& [ours, plain, synced] = sides;
  const double limit = median(probes) + kPacedSlackMicros;
  report.row({"10 k orders/s, open loop, 16 sessions: p50", spread(ours.p50s, micros),
              "libquickfix, never synced " + spread(plain.p50s, micros), ratio(median(ours.p50s) / median(plain.p50s)),
              "", true});
  report.row({"the same: p99", spread(ours.p99s, micros), "raw fdatasync p99 " + spread(probes, micros), "",
              "<= raw + 500 us", median(ours.p99s) <= limit});
  report.row({"the same", spread(ours.p99s, micros), "libquickfix, each message synced " + spread(synced.p99s, micros),
              ratio(median(ours.p99s) / median(synced.p99s)), "below it", median(ours.p99s) < median(synced.p99s)});
  report.row({"the same", spread(ours.p99s, micros), "libquickfix, never synced " + spread(plain.p99s, micros),
              ratio(median(ours.p99s) / median(plain.p99s)), "", true});
}

// An account of a firm is one for each instrument there, so that two instruments share no row and nothing waits in a circle.
const char* const kSchema = R"(
create table instruments (id int primary key, last bigint);
create table accounts (firm int, instrument int, asset int, available numeric(39) not null, held numeric(39) not null default 0,
  primary key (firm, instrument, asset));
create table fees (instrument int primary key, amount numeric(39) not null default 0);
create table orders (id bigserial primary key, client_id text not null, instrument int not null, firm int not null, side int not null,
  price bigint not null, quantity bigint not null, leaves bigint not null, at timestamptz not null default clock_timestamp(),
  unique (firm, client_id));
create index book on orders (instrument, side, price, id) where leaves > 0;
create table trades (id bigserial primary key, instrument int not null, buyer bigint not null, seller bigint not null,
  price bigint not null, quantity bigint not null, fee_buyer bigint not null, fee_seller bigint not null,
  at timestamptz not null default clock_timestamp());
create table postings (id bigserial primary key, trade bigint, firm int, instrument int, asset int, amount numeric(39));
create function place(c text, i int, f int, s int, p bigint, q bigint) returns bigint language plpgsql as $$
declare
  me bigint; o orders; n bigint; left_over bigint := q; fee bigint; trade bigint; buyer int; seller int; need bigint;
begin
  perform from instruments where id = i for update;
  need := case when s = 0 then p * q + p * q * 250 / 1000000 + 1 else q end;
  update accounts set available = available - need, held = held + need
    where firm = f and instrument = i and asset = 1 - s and available >= need;
  if not found then return -1; end if;
  insert into postings (firm, instrument, asset, amount) values (f, i, 1 - s, need);
  insert into orders (client_id, instrument, firm, side, price, quantity, leaves) values (c, i, f, s, p, q, q) returning id into me;
  while left_over > 0 loop
    if s = 0 then
      select * into o from orders where instrument = i and side = 1 and leaves > 0 and price <= p
        order by price, id limit 1 for update;
    else
      select * into o from orders where instrument = i and side = 0 and leaves > 0 and price >= p
        order by price desc, id limit 1 for update;
    end if;
    exit when not found;
    n := least(left_over, o.leaves);
    left_over := left_over - n;
    fee := n * o.price * 250 / 1000000 + 1;
    buyer := case when s = 0 then f else o.firm end;
    seller := case when s = 0 then o.firm else f end;
    update orders set leaves = leaves - n where id = o.id;
    update accounts set held = held - n * o.price - fee where firm = buyer and instrument = i and asset = 1;
    update accounts set available = available + n where firm = buyer and instrument = i and asset = 0;
    update accounts set held = held - n where firm = seller and instrument = i and asset = 0;
    update accounts set available = available + n * o.price - fee where firm = seller and instrument = i and asset = 1;
    update fees set amount = amount + 2 * fee where instrument = i;
    insert into trades (instrument, buyer, seller, price, quantity, fee_buyer, fee_seller)
      values (i, case when s = 0 then me else o.id end, case when s = 0 then o.id else me end, o.price, n, fee, fee) returning id into trade;
    insert into postings (trade, firm, instrument, asset, amount)
      values (trade, seller, i, 1, n * o.price), (trade, buyer, i, 0, n), (trade, buyer, i, 1, -fee), (trade, seller, i, 1, -fee);
    update instruments set last = o.price where id = i;
  end loop;
  update orders set leaves = left_over where id = me;
  return me;
end $$;
)";

class Tables {
 public:
  Tables(const std::string& directory, uint64_t instruments) : instruments_(instruments), peer_(directory) {
    const std::string last = std::to_string(instruments - 1);
    (void)peer_.script(kSchema);
    (void)peer_.script("insert into instruments select i, 0 from generate_series(0, " + last +
                       ") i; insert into fees select i, 0 from generate_series(0, " + last +
                       ") i; insert into accounts select f, i, a, 1000000000000000, 0 from generate_series(0, 63) f, "
                       "generate_series(0, " +
                       last + ") i, generate_series(0, 1) a; vacuum analyze; checkpoint;");
  }
  // Even clients buy, odd ones sell, at one price, one order at a time each.
  void measure(Side& side) {
    const std::string script = "\\set c random(1, 9000000000000000)\n\\set i random(0, " +
                               std::to_string(instruments_ - 1) +
                               ")\nselect place(:c::text, :i, :client_id, :client_id % 2, 10000, 1);\n";
    const uint64_t seconds = std::max<uint64_t>(1, static_cast<uint64_t>(turn_ns() / 1'000'000'000));
    const uint64_t before = trades();
    (void)peer_.clients(script, kTradeSessions, seconds);
    side.rates.push_back(static_cast<double>(trades() - before) / static_cast<double>(seconds));
  }
  std::string settings() const { return peer_.settings(); }

 private:
  uint64_t trades() const { return std::stoull(peer_.query("select count(*) from trades")); }
  uint64_t instruments_;
  PostgresPeer peer_;
};

Row trade_row(const std::string& what, const Side& ours, const Side& theirs, double bar) {
  const std::vector<double> ratios = ratios_of(ours.rates, theirs.rates);
  return {what,
          spread(ours.rates, per_second) + shares_of(ours),
          "PostgreSQL, 64 clients " + spread(theirs.rates, per_second),
          spread(ratios, ratio),
          bar == 0 ? std::string() : ">= " + ratio(bar),
          median(ratios) >= bar};
}

void measure_trades(const Scratch& scratch, uint64_t instruments, double bar, Report& report) {
  constexpr size_t kWindow = 16;
  Side single, windowed, theirs;
  {
    const Venue venue(scratch.below("venue"), kTradeSessions, instruments);
    Tables tables(scratch.below("tables"), instruments);
    if (instruments == 1) report.setting("PostgreSQL", tables.settings());
    Orders orders(Orders::Kind::trade, instruments);
    for (uint64_t pair = 0; pair < pairs(); ++pair) {
      FixLoad load(venue.port(), names_of(kTradeSessions), std::ref(orders));
      for (const auto& [window, side] : {std::pair{size_t{1}, &single}, {kWindow, &windowed}})
        measure_rate(load, venue.pid(), window, *side, [&] { return load.fills() / 2; });
      tables.measure(theirs);
    }
  }
  scratch.remove("venue");
  scratch.remove("tables");
  const std::string on = instruments == 1 ? "one instrument" : std::to_string(instruments) + " instruments";
  report.row(trade_row(on + ", 64 sessions, an order at a time each: settled trades", single, theirs, 0));
  report.row(trade_row(on + ", 64 sessions, 16 orders in flight each", windowed, theirs, bar));
}

// BENCH_ORDERS_ROWS: `acknowledgements`, `latencies` or `trades`; not set: all.
bool wanted(const char* rows) {
  const char* text = std::getenv("BENCH_ORDERS_ROWS");
  return text == nullptr || std::string_view(text) == rows;
}

}  // namespace

bool bench_orders(const Scratch& scratch) {
  Report report("orders over FIX, synced");
  report.setting("load",
                 "one thread, epoll, orders of one lot encoded beforehand; a processor is 100 %; pairs in turn: " +
                     std::to_string(pairs()) + " of " + std::to_string(turn_ns() / 1'000'000) + " ms");
  report.setting("libquickfix",
                 "SocketAcceptor, FileStore, FIX44.xml; answers 150=0, and has no book, no risk and no money");
  if (wanted("acknowledgements")) measure_acknowledgements(scratch, report);
  if (wanted("latencies")) measure_latencies(scratch, report);
  if (!wanted("trades")) return report.print();
  if (const auto absent = PostgresPeer::why_absent()) {
    report.setting("settled trades not measured", *absent);
    return report.print();
  }
  constexpr double kBarOfOne = 50;
  constexpr double kBarOfMany = 20;
  constexpr uint64_t kMany = 100;
  measure_trades(scratch, 1, kBarOfOne, report);
  measure_trades(scratch, kMany, kBarOfMany, report);
  return report.print();
}

}  // namespace heptane::bench
