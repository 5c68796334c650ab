// Looking into a ledger of very many transfers beside PostgreSQL 15 with as many rows: by id, full batches and one at a time; by a
// field that ten of them share, anywhere among all; the newest of an account. Cold: nothing of either side's files is in the
// system's memory; warm: all of them are. PostgreSQL draws the ids of a batch inside the server and has its indexes in its own
// memory: both to its advantage.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>

#include "bench/benches.h"
#include "bench/heptane_process.h"
#include "bench/postgres_peer.h"
#include "bench/report.h"
#include "bench/stored_ledger.h"
#include "kernel/base/random.h"

namespace heptane::bench {

namespace {

using namespace fintech;

constexpr uint8_t kAccountTransfers = 142;
constexpr uint8_t kQueryTransfers = 145;
constexpr uint32_t kLimit = 100;
constexpr uint64_t kCacheMost = uint64_t{4} << 30;
constexpr uint64_t kCacheLeast = uint64_t{64} << 10;

// Of each side's own.
uint64_t cache_bytes() {
  const uint64_t memory = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::getpagesize());
  return std::min(memory / 4, kCacheMost);
}

struct Sizes {
  uint64_t transfers = from_environment("BENCH_LOOKUP_TRANSFERS", 10'000'000);
  uint64_t accounts = from_environment("BENCH_LOOKUP_ACCOUNTS", 10'000);
  uint64_t rounds = from_environment("BENCH_LOOKUP_ROUNDS", 40);

  uint64_t values() const { return std::max<uint64_t>(1, transfers / kSharingUserData); }
  // Cold ones are few: what they bring in makes those behind them warm.
  uint64_t batches(bool warm) const { return warm ? rounds : std::max<uint64_t>(1, rounds / 20); }
  uint64_t singles(bool warm) const { return warm ? rounds * 250 : rounds * 5; }
  uint64_t queries(bool warm) const { return warm ? rounds * 25 : rounds; }
};

enum class Shape : uint8_t { batches, singles, field, account };
constexpr Shape kShapes[] = {Shape::batches, Shape::singles, Shape::field, Shape::account};

uint64_t times_of(const Sizes& sizes, Shape shape, bool warm) {
  if (shape == Shape::batches) return sizes.batches(warm);
  return shape == Shape::singles ? sizes.singles(warm) : sizes.queries(warm);
}

void bring_in(const std::string& directory) {
  std::vector<char> piece(size_t{1} << 20);
  for_each_file(directory, [&](int fd) {
    while (::read(fd, piece.data(), piece.size()) > 0) continue;
  });
}

class Ours {
 public:
  Ours(const std::string& directory, const Sizes& sizes, uint64_t cache)
      : sizes_(sizes), rows_(directory + "/data/shard-0/rows") {
    const bool stored = std::filesystem::exists(rows_);
    server_ = std::make_unique<HeptaneProcess>(
        directory, std::vector<std::string>{"--set", "fintech.ledger.cache_bytes=" + std::to_string(cache)});
    wire_ = std::make_unique<LedgerWire>(server_->endpoint("tigerbeetle"), 1 + (stored ? 1 : 0));
    if (!stored) {
      store_accounts(*wire_, sizes.accounts);
      store_transfers(*wire_, sizes.accounts, sizes.transfers);
    }
    must(wire_->lookup({sizes.transfers}).size() == 1, "the ledger holds fewer transfers than asked for");
    rest();
  }

  // A second.
  double measure(Shape shape, bool warm) {
    if (!warm) forget_files(rows_);
    const uint64_t count = times_of(sizes_, shape, warm);
    if (warm)  // as on the other side
      for (uint64_t i = 0; i < count / 4; ++i) one(shape);
    const int64_t begin_ns = now_ns();
    for (uint64_t i = 0; i < count; ++i) one(shape);
    return static_cast<double>(count) / static_cast<double>(now_ns() - begin_ns) * 1e9;
  }
  // Each block of rows once: what it costs to read and prove one for the first time is the cold side's.
  void warm_up() {
    bring_in(rows_);
    constexpr uint64_t kRowsOfABlock = 32;
    std::vector<Uint128> ids;
    for (uint64_t id = 1; id <= sizes_.transfers; id += kRowsOfABlock) {
      ids.push_back(id);
      if (ids.size() < kLedgerBatch && id + kRowsOfABlock <= sizes_.transfers) continue;
      must(wire_->lookup(ids).size() == ids.size(), "a transfer was not found");
      ids.clear();
    }
  }

 private:
  void one(Shape shape) {
    if (shape == Shape::batches || shape == Shape::singles) {
      std::vector<Uint128> ids(shape == Shape::batches ? kLedgerBatch : 1);
      for (Uint128& id : ids) id = 1 + random_.below(sizes_.transfers);
      const std::vector<Transfer> found = wire_->lookup(ids);
      must(found.size() == ids.size() && found.back().amount == ids.back(), "a transfer was not found");
      return;
    }
    if (shape == Shape::field) {
      QueryFilter filter{};
      filter.user_data_64 = 1 + random_.below(sizes_.values());
      filter.limit = kLimit;
      for (const Transfer& found : wire_->find(kQueryTransfers, filter))
        must(found.user_data_64 == filter.user_data_64, "a transfer with another value was found");
      return;
    }
    AccountFilter filter{};
    filter.account_id = 1 + random_.below(sizes_.accounts);
    filter.limit = kLimit;
    filter.flags = filter_flags::kDebits | filter_flags::kCredits | filter_flags::kReversed;
    must(!wire_->find(kAccountTransfers, filter).empty(), "an account has no transfers");
  }

  uint64_t processor_ticks() const {
    std::ifstream stat("/proc/" + std::to_string(server_->pid()) + "/stat");
    std::string text;
    std::getline(stat, text);
    unsigned long user = 0;
    unsigned long system = 0;
    const size_t behind_name = text.rfind(')');
    if (behind_name == std::string::npos ||
        std::sscanf(text.c_str() + behind_name, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                    &system) != 2)
      return 0;
    return user + system;
  }
  // Until it has written its files and counted again.
  void rest() const {
    constexpr int kTries = 1200;
    for (int i = 0, quiet = 0; i < kTries && quiet < 3; ++i) {
      const uint64_t before = processor_ticks();
      ::usleep(500'000);
      quiet = processor_ticks() - before <= 2 ? quiet + 1 : 0;
    }
  }

  const Sizes sizes_;
  const std::string rows_;
  std::unique_ptr<HeptaneProcess> server_;
  std::unique_ptr<LedgerWire> wire_;
  SeededRandom random_{12};
};

class Theirs {
 public:
  Theirs(const std::string& directory, const Sizes& sizes) : sizes_(sizes), peer_(directory) {
    const std::string count = std::to_string(sizes.transfers);
    const std::string accounts = std::to_string(sizes.accounts);
    peer_.set("shared_buffers=" + std::to_string(cache_bytes() >> 20) + "MB");
    (void)peer_.script(
        "set maintenance_work_mem = '1GB';\n"
        "create table transfers (id bigint not null, debit bigint not null, credit bigint not null, amount numeric(39) "
        "not null, "
        "user_data_64 bigint not null, ledger int not null, code int not null, flags int not null, at bigint not "
        "null);\n"
        "insert into transfers select i, d, 1 + (d + floor(random() * (" +
        accounts + " - 1))::bigint) % " + accounts + ", i, 1 + floor(random() * " + std::to_string(sizes.values()) +
        ")::bigint, 1, 1, 0, i from (select i, 1 + floor(random() * " + accounts +
        ")::bigint d from generate_series(1, " + count +
        ") i) drawn;\n"
        "alter table transfers add primary key (id);\n"
        "create index by_user_data on transfers (user_data_64);\n"
        "create index by_debit on transfers (debit, id);\ncreate index by_credit on transfers (credit, id);\n"
        "vacuum (freeze, analyze) transfers;\ncreate extension pg_prewarm;\ncheckpoint;\n");
    peer_.restart([](const std::string&) {});
  }

  double measure(Shape shape, bool warm) {
    if (!warm) peer_.restart(forget_files);
    const std::string script = script_of(shape);
    if (warm) (void)peer_.times(script, std::max<uint64_t>(1, times_of(sizes_, shape, warm) / 4));
    return peer_.times(script, times_of(sizes_, shape, warm));
  }
  void warm_up() {
    peer_.restart(bring_in);
    for (const char* index : {"transfers_pkey", "by_user_data", "by_debit", "by_credit"})
      (void)peer_.query("select pg_prewarm('" + std::string(index) + "')");
  }
  std::string settings() const { return peer_.settings(); }

 private:
  std::string script_of(Shape shape) const {
    const std::string count = std::to_string(sizes_.transfers);
    switch (shape) {
      case Shape::batches:
        return "select * from transfers where id = any(array(select 1 + floor(random() * " + count +
               ")::bigint from generate_series(1, " + std::to_string(kLedgerBatch) + ")));\n";
      case Shape::singles: return "\\set i random(1, " + count + ")\nselect * from transfers where id = :i;\n";
      case Shape::field:
        return "\\set v random(1, " + std::to_string(sizes_.values()) +
               ")\nselect * from transfers where user_data_64 = :v order by id limit " + std::to_string(kLimit) + ";\n";
      case Shape::account: break;
    }
    const std::string newest = " order by id desc limit " + std::to_string(kLimit);
    return "\\set a random(1, " + std::to_string(sizes_.accounts) + ")\n(select * from transfers where debit = :a" +
           newest + ") union all (select * from transfers where credit = :a" + newest + ")" + newest + ";\n";
  }

  const Sizes sizes_;
  PostgresPeer peer_;
};

const char* text_of(Shape shape) {
  switch (shape) {
    case Shape::batches: return "lookup_transfers, batches of 8,189 random ids";
    case Shape::singles: return "lookup_transfers, one random id at a time";
    case Shape::field: return "query_transfers by user_data_64, ten anywhere";
    case Shape::account: return "get_account_transfers, the newest hundred";
  }
  return "";
}

}  // namespace

bool bench_lookups(const Scratch& scratch) {
  constexpr double kBar = 5;
  Report report("lookups");
  if (const auto absent = PostgresPeer::why_absent()) {
    report.setting("not measured", *absent);
    return report.print();
  }
  const Sizes sizes;
  const char* kept = std::getenv("BENCH_LOOKUP_DATA");
  report.setting("stored", std::to_string(sizes.transfers) + " transfers between " + std::to_string(sizes.accounts) +
                               " accounts on both sides; one client; warm: each block read once, "
                               "fintech.ledger.cache_bytes and shared_buffers of " +
                               std::to_string(cache_bytes() >> 20) + " MiB");
  std::vector<double> ours;
  {
    const std::string directory = kept != nullptr ? kept : scratch.below("lookups");
    for (const bool warm : {false, true}) {
      // The recount behind a start reads all there is: what is cold has no memory of its own.
      Ours side(directory, sizes, warm ? cache_bytes() : kCacheLeast);
      if (warm) side.warm_up();
      for (const Shape shape : kShapes) ours.push_back(side.measure(shape, warm));
    }
  }
  Theirs theirs(scratch.below("postgres-lookups"), sizes);
  report.setting("PostgreSQL", theirs.settings());
  size_t at = 0;
  for (const bool warm : {false, true}) {
    if (warm) theirs.warm_up();
    for (const Shape shape : kShapes) {
      const double peer = theirs.measure(shape, warm);
      const double times = ours[at] / peer;
      const uint64_t each = shape == Shape::batches ? kLedgerBatch : 1;
      const bool barred = warm && shape == Shape::batches;
      report.row({text_of(shape) + std::string(warm ? ", warm" : ", cold"), rate(ours[at] * static_cast<double>(each)),
                  "PostgreSQL " + rate(peer * static_cast<double>(each)), ratio(times),
                  barred ? ">= " + ratio(kBar) : "", !barred || times >= kBar});
      ++at;
    }
  }
  return report.print();
}

}  // namespace heptane::bench
