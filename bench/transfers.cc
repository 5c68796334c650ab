// Durable transfers through the server beside PostgreSQL 15 with synchronous_commit=on: batches of 8,189 from one client, and
// one at a time from 64 clients; between a million accounts and between eight. PostgreSQL draws its transfers inside the
// server, without a client's bytes: that is to its advantage. So is that its function knows seven statuses (an id that exists,
// both accounts the same, either missing, two ledgers, either limit), the ledger all of TigerBeetle's.
#include <poll.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "bench/benches.h"
#include "bench/heptane_process.h"
#include "bench/ledger_wire.h"
#include "bench/postgres_peer.h"
#include "bench/raw_writer.h"
#include "bench/report.h"
#include "bench/stored_ledger.h"
#include "kernel/base/random.h"

namespace heptane::bench {

namespace {

using namespace fintech;

constexpr uint8_t kTransfers = 147;
constexpr uint64_t kClients = 64;

// Every account and transfer of the same kind on both sides.
const char* const kSchema = R"(
create table accounts (id bigint primary key, ledger int not null, code int not null, flags int not null,
  debits_pending numeric(39) not null default 0, debits_posted numeric(39) not null default 0,
  credits_pending numeric(39) not null default 0, credits_posted numeric(39) not null default 0);
create table transfers (id bigint primary key, debit bigint not null, credit bigint not null, amount numeric(39) not null,
  ledger int not null, code int not null, flags int not null, at timestamptz not null default clock_timestamp());
create function create_transfer(i bigint, d bigint, c bigint, a numeric) returns int language plpgsql as $$
declare x accounts; y accounts;
begin
  if exists (select from transfers where id = i) then return 46; end if;
  if d = c then return 12; end if;
  if d < c then
    select * into x from accounts where id = d for update;
    select * into y from accounts where id = c for update;
  else
    select * into y from accounts where id = c for update;
    select * into x from accounts where id = d for update;
  end if;
  if x.id is null then return 21; end if;
  if y.id is null then return 22; end if;
  if x.ledger <> y.ledger then return 23; end if;
  if x.flags & 2 <> 0 and x.debits_pending + x.debits_posted + a > x.credits_posted then return 54; end if;
  if y.flags & 4 <> 0 and y.credits_pending + y.credits_posted + a > y.debits_posted then return 55; end if;
  update accounts set debits_posted = debits_posted + a where id = d;
  update accounts set credits_posted = credits_posted + a where id = c;
  insert into transfers values (i, d, c, a, x.ledger, 1, 0);
  return -1;
end $$;
create function create_batch(first bigint, count bigint, accounts bigint) returns bigint language plpgsql as $$
declare d bigint; n bigint := 0;
begin
  for i in first .. first + count - 1 loop
    d := 1 + floor(random() * accounts);
    if create_transfer(i, d, 1 + (d + floor(random() * (accounts - 1))::bigint) % accounts, 1) = -1 then n := n + 1; end if;
  end loop;
  return n;
end $$;
create function insert_batch(first bigint, count bigint, accounts bigint) returns bigint language sql as $$
  with drawn as materialized (
    select i, 1 + floor(random() * accounts)::bigint d, floor(random() * (accounts - 1))::bigint r
    from generate_series(first, first + count - 1) i),
  moved as (insert into transfers select i, d, 1 + (d + r) % accounts, 1, 1, 1, 0 from drawn returning debit, credit, amount),
  sums as (select id, sum(dr) dr, sum(cr) cr from (select debit id, amount dr, 0 cr from moved
    union all select credit, 0, amount from moved) m group by id),
  changed as (update accounts a set debits_posted = a.debits_posted + s.dr, credits_posted = a.credits_posted + s.cr
    from sums s where s.id = a.id returning 1)
  select count(*) from changed
$$;
)";

std::vector<Transfer> draw(SeededRandom& random, uint64_t accounts, uint64_t count, Uint128& id) {
  std::vector<Transfer> batch(count);
  for (Transfer& transfer : batch) {
    transfer = {};
    transfer.id = ++id;
    transfer.debit_account_id = 1 + random.below(accounts);
    transfer.credit_account_id =
        1 + (static_cast<uint64_t>(transfer.debit_account_id) + random.below(accounts - 1)) % accounts;
    transfer.amount = 1;
    transfer.ledger = transfer.code = 1;
  }
  return batch;
}

struct Measured {
  double rate = 0;        // transfers a second
  double client_cpu = 0;  // of the clients, in processors
  double bytes = 0;       // logged for each transfer
};

// What `work` did: how many transfers, in what time.
template <class Work>
Measured measured(Work work, double (*cpu_seconds)()) {
  const double cpu_before = cpu_seconds();
  const int64_t begin_ns = now_ns();
  const auto transfers = static_cast<double>(work());
  const double seconds = static_cast<double>(now_ns() - begin_ns) / 1e9;
  return {transfers / seconds, (cpu_seconds() - cpu_before) / seconds, 0};
}

// Its clients have their messages ready, checksums and all, before the clock runs.
class Ours {
 public:
  Ours(const std::string& directory, uint64_t accounts) : accounts_(accounts), server_(directory) {
    LedgerWire wire(server_.endpoint("tigerbeetle"), 1);
    store_accounts(wire, accounts);
  }
  Measured batches(uint64_t count) {
    LedgerWire wire(server_.endpoint("tigerbeetle"), 2);
    std::vector<std::string> messages;
    for (uint64_t i = 0; i < count; ++i) messages.push_back(next(wire, kLedgerBatch));
    return logged([&] {
      for (const std::string& message : messages) {
        wire.send_encoded(message);
        must(wire.take() == kLedgerBatch, "a transfer failed");
      }
      return count * kLedgerBatch;
    });
  }
  Measured singles(int64_t duration_ns) {
    std::vector<Single> clients(kClients);
    std::vector<pollfd> waiting;
    for (uint64_t i = 0; i < kClients; ++i) {
      clients[i].wire = std::make_unique<LedgerWire>(server_.endpoint("tigerbeetle"), 100 + i);
      for (uint64_t ahead = 0; ahead < kEncodedAhead; ++ahead) clients[i].messages.push_back(next(*clients[i].wire, 1));
      waiting.push_back({clients[i].wire->fd(), POLLIN, 0});
    }
    return logged([&] { return run(clients, waiting, now_ns() + duration_ns); });
  }

 private:
  static constexpr uint64_t kEncodedAhead = 4096;
  struct Single {
    std::unique_ptr<LedgerWire> wire;
    std::vector<std::string> messages;
    size_t sent = 0;
  };

  std::string next(LedgerWire& wire, uint64_t transfers) {
    return wire.encode(kTransfers, test::body_of<Transfer>({draw(random_, accounts_, transfers, id_)}));
  }
  // One that has sent all that it had ready makes more.
  void send(Single& client) {
    if (client.sent == client.messages.size()) client.messages.push_back(next(*client.wire, 1));
    client.wire->send_encoded(client.messages[client.sent++]);
  }
  uint64_t run(std::vector<Single>& clients, std::vector<pollfd>& waiting, int64_t end_ns) {
    uint64_t done = 0;
    for (Single& client : clients) send(client);
    while (now_ns() < end_ns) {
      ::poll(waiting.data(), waiting.size(), 1000);
      for (size_t i = 0; i < clients.size(); ++i) {
        if ((waiting[i].revents & POLLIN) == 0) continue;
        must(clients[i].wire->take() == 1, "a transfer failed");
        ++done;
        send(clients[i]);
      }
    }
    return done;
  }
  template <class Work>
  Measured logged(Work work) {
    uint64_t transfers = 0;
    const double before = server_.metric(kLogBytes);
    Measured found = measured([&] { return transfers = work(); }, own_cpu_seconds);
    found.bytes = (server_.metric(kLogBytes) - before) / static_cast<double>(transfers);
    return found;
  }

  static constexpr const char* kLogBytes = "heptane_log_bytes_total";
  uint64_t accounts_;
  HeptaneProcess server_;
  SeededRandom random_{11};
  Uint128 id_ = 0;
};

class Theirs {
 public:
  Theirs(const std::string& directory, uint64_t accounts) : accounts_(accounts), peer_(directory) {
    (void)peer_.script(kSchema);
    (void)peer_.script("insert into accounts select i, 1, 1, 0 from generate_series(1, " + std::to_string(accounts) +
                       ") i; vacuum analyze accounts; checkpoint;");
  }
  Measured batches(const std::string& function, uint64_t count) {
    std::string sql;
    for (uint64_t i = 0; i < count; ++i, next_ += kLedgerBatch)
      sql += "select " + function + "(" + std::to_string(next_) + ", " + std::to_string(kLedgerBatch) + ", " +
             std::to_string(accounts_) + ");\n";
    return measured(
        [&] {
          (void)peer_.script(sql);
          return count * kLedgerBatch;
        },
        children_cpu_seconds);
  }
  // Each client's ids are its own.
  Measured singles(uint64_t seconds) {
    const std::string accounts = std::to_string(accounts_);
    const std::string script = "\\set i random(1000000000, 9000000000000000)\n\\set d random(1, " + accounts +
                               ")\n\\set r random(0, " + std::to_string(accounts_ - 2) +
                               ")\nselect create_transfer(:i::bigint, :d::bigint, 1 + (:d::bigint + :r::bigint) % " +
                               accounts + ", 1);\n";
    double rate = 0;
    Measured found = measured([&] { return rate = peer_.clients(script, kClients, seconds); }, children_cpu_seconds);
    found.rate = rate;  // without its start
    return found;
  }
  std::string settings() const { return peer_.settings(); }

 private:
  uint64_t accounts_;
  uint64_t next_ = 1;
  PostgresPeer peer_;
};

// What a durable answer costs at the least here: one block written and synced. Microseconds, the median.
double raw_sync_p50(const std::string& directory) {
  constexpr int kWrites = 500;
  RawWriter raw(directory);
  std::vector<double> took;
  for (int i = 0; i < kWrites; ++i) {
    const int64_t begin_ns = now_ns();
    raw.write(log::kBlockBytes);
    took.push_back(static_cast<double>(now_ns() - begin_ns) / 1e3);
  }
  return median(took);
}

std::string processors(double share) {
  char text[32];
  std::snprintf(text, sizeof text, ", clients %.0f %%", 100 * share);
  return text;
}

Row row_of(const std::string& what, const Measured& ours, const Measured& theirs, double bar) {
  const double times = ours.rate / theirs.rate;
  return {what + ", " + std::to_string(static_cast<int>(ours.bytes + 0.5)) + " bytes logged for each",
          rate(ours.rate) + processors(ours.client_cpu),
          "PostgreSQL " + rate(theirs.rate) + processors(theirs.client_cpu),
          ratio(times),
          bar == 0 ? std::string() : ">= " + ratio(bar),
          times >= bar};
}

// Of one shape; the last one waits for the disk.
void measure_shape(const Scratch& scratch, uint64_t accounts, Report& report, std::vector<Row>& rows) {
  const uint64_t batches = from_environment("BENCH_BATCHES", 60);
  const uint64_t seconds = from_environment("BENCH_TRANSFER_SECONDS", 8);
  const bool uniform = accounts > 8;
  const std::string shape = uniform ? "uniform" : "hot";
  Measured batched;
  Measured singles;
  {
    Ours ours(scratch.below("heptane-" + shape), accounts);
    batched = ours.batches(batches);
    singles = ours.singles(static_cast<int64_t>(seconds) * 1'000'000'000);
  }
  scratch.remove("heptane-" + shape);
  Theirs theirs(scratch.below("postgres-" + shape), accounts);
  if (uniform) report.setting("PostgreSQL", theirs.settings());
  rows.push_back(row_of(shape + ", batches of 8,189, a loop with statuses", batched,
                        theirs.batches("create_batch", std::max<uint64_t>(1, batches / 12)), uniform ? 30 : 100));
  // Sets are no peer of the hot shape: they update each of the eight accounts once for a whole batch.
  rows.push_back(row_of(shape + ", batches of 8,189, sets without statuses", batched,
                        theirs.batches("insert_batch", std::max<uint64_t>(1, batches / 4)), uniform ? 4 : 0));
  rows.push_back(row_of(shape + ", 64 clients, one at a time", singles, theirs.singles(seconds), uniform ? 5 : 20));
}

}  // namespace

bool bench_transfers(const Scratch& scratch) {
  constexpr double kSlowSyncMicros = 1000;
  constexpr size_t kSingles = 2;  // of a shape's rows
  Report report("transfers");
  if (const auto absent = PostgresPeer::why_absent()) {
    report.setting("not measured", *absent);
    return report.print();
  }
  std::vector<Row> rows;
  const double before = raw_sync_p50(scratch.below("raw-before"));
  for (const uint64_t accounts : {uint64_t{1'000'000}, uint64_t{8}}) measure_shape(scratch, accounts, report, rows);
  const double after = raw_sync_p50(scratch.below("raw-after"));
  const bool slow = std::max(before, after) > kSlowSyncMicros;
  report.setting("raw sync",
                 "p50 " + micros(before) + " before, " + micros(after) + " after" +
                     (slow ? ": above 1 ms, so single transfers wait for the disk alone and say nothing" : ""));
  report.setting("clients", "per cent of one processor; ours have their messages encoded before the clock runs");
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].is_void = slow && i % (kSingles + 1) == kSingles;
    report.row(std::move(rows[i]));
  }
  return report.print();
}

}  // namespace heptane::bench
