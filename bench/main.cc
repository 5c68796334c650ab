// heptane_bench NAME...: measures beside the peers, in a directory of its own below the working directory.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "bench/benches.h"
#ifdef HEPTANE_BENCH_QUICKFIX
#include "bench/quickfix_acceptor.h"
#endif

namespace {

struct Bench {
  const char* name;
  bool (*run)(const heptane::bench::Scratch&);
  const char* what;
};

constexpr Bench kBenches[] = {
    {"append", &heptane::bench::bench_append, "synced small commands beside raw writes and RocksDB (BENCH_BYTES)"},
    {"book", &heptane::bench::bench_book,
     "the order book alone beside the standard library's containers (BENCH_BOOK_COMMANDS, BENCH_BOOK_PAIRS, "
     "BENCH_BOOK_ROW)"},
    {"catchup", &heptane::bench::bench_catchup,
     "streams read from their beginning, cold, beside the disk (BENCH_CATCHUP_BYTES, BENCH_CATCHUP_ROUNDS)"},
    {"sync", &heptane::bench::bench_sync, "one lone synchronous producer beside an fdatasync probe"},
    {"ledger", &heptane::bench::bench_ledger, "the ledger's apply() alone (BENCH_TRANSFERS)"},
    {"exchange", &heptane::bench::bench_exchange, "the exchange's apply() alone (BENCH_ORDERS)"},
    {"transfers", &heptane::bench::bench_transfers,
     "durable transfers through the server beside PostgreSQL (BENCH_BATCHES, BENCH_TRANSFER_SECONDS)"},
    {"history", &heptane::bench::bench_history,
     "many transfers stored: memory for each, restart, the oldest (BENCH_HISTORY_TRANSFERS, BENCH_HISTORY_ACCOUNTS)"},
    {"lookups", &heptane::bench::bench_lookups,
     "looking into very many transfers beside PostgreSQL, cold and warm (BENCH_LOOKUP_TRANSFERS, BENCH_LOOKUP_ROUNDS)"},
    {"resent", &heptane::bench::bench_resent,
     "old ids sent again, cold: what another client waits (BENCH_RESENT_TRANSFERS, BENCH_RESENT_SECONDS)"},
    {"verdicts", &heptane::bench::bench_verdicts,
     "the verdict of a velocity rule beside PostgreSQL (BENCH_VERDICT_KEYS, BENCH_VERDICTS, BENCH_VERDICT_TURNS)"},
    {"replay", &heptane::bench::bench_replay, "commands applied again at a start"},
    {"restart", &heptane::bench::bench_restart,
     "a start after a kill under load, beside PostgreSQL (BENCH_STATE_BYTES, BENCH_LOG_BYTES)"},
    {"snapshot", &heptane::bench::bench_snapshot,
     "commits while a snapshot is written, and without (BENCH_STATE_BYTES)"},
    {"idle", &heptane::bench::bench_idle,
     "start to ready, idle memory beside Redis, idle connections beside NATS (BENCH_CONNECTIONS)"},
    {"mqtt", &heptane::bench::bench_mqtt,
     "the MQTT broker beside mosquitto (BENCH_MQTT_ROWS, BENCH_MQTT_PAIRS, BENCH_MQTT_MS)"},
    {"series", &heptane::bench::bench_series,
     "line protocol, synced, beside influxdb (BENCH_SERIES_REQUESTS, BENCH_SERIES_ROUNDS)"},
#ifdef HEPTANE_BENCH_QUICKFIX
    {"fix", &heptane::bench::bench_fix,
     "messages of FIX read, validated, as integers, beside libquickfix (BENCH_FIX_ROUNDS, BENCH_FIX_PAIRS, FIX44_XML)"},
    {"orders", &heptane::bench::bench_orders,
     "orders over FIX to acknowledgement and settled trade, synced, beside libquickfix and PostgreSQL "
     "(BENCH_ORDERS_MS, "
     "BENCH_ORDERS_PAIRS, BENCH_ORDERS_ROWS, BENCH_ORDERS_PREPARED, FIX44_XML)"},
#endif
#ifdef HEPTANE_BENCH_RDKAFKA
    {"produce", &heptane::bench::bench_produce,
     "librdkafka's producer, acks=all, beside its mock broker (BENCH_PRODUCE_BYTES, BENCH_PRODUCE_ROUNDS)"},
#endif
};

const Bench* find(const char* name) {
  for (const Bench& bench : kBenches)
    if (std::strcmp(bench.name, name) == 0) return &bench;
  return nullptr;
}

int usage() {
  std::fprintf(stderr, "usage: heptane_bench NAME...\n");
  for (const Bench& bench : kBenches) std::fprintf(stderr, "  %-10s %s\n", bench.name, bench.what);
  return 2;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) return usage();
#ifdef HEPTANE_BENCH_QUICKFIX
  if (std::strcmp(arguments[1], heptane::bench::kQuickfixAcceptor) == 0)
    return heptane::bench::run_quickfix_acceptor({arguments + 2, arguments + count});
#endif
  for (int i = 1; i < count; ++i)
    if (find(arguments[i]) == nullptr) return usage();
  const heptane::bench::Scratch scratch;
  bool met = true;
  for (int i = 1; i < count; ++i) met = find(arguments[i])->run(scratch) && met;
  const bool smoke = std::getenv("BENCH_SMOKE") != nullptr;  // sizes that measure nothing
  return met || smoke ? 0 : 1;
}
