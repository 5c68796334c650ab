// The benches; each prints its report and says whether every bar was met.
#pragma once

#include "bench/scratch.h"

namespace heptane::bench {

bool bench_append(const Scratch& scratch);
bool bench_book(const Scratch& scratch);
bool bench_catchup(const Scratch& scratch);
bool bench_sync(const Scratch& scratch);
bool bench_ledger(const Scratch& scratch);
bool bench_exchange(const Scratch& scratch);
bool bench_replay(const Scratch& scratch);
bool bench_restart(const Scratch& scratch);
bool bench_idle(const Scratch& scratch);
bool bench_snapshot(const Scratch& scratch);
bool bench_transfers(const Scratch& scratch);
bool bench_history(const Scratch& scratch);
bool bench_lookups(const Scratch& scratch);
bool bench_resent(const Scratch& scratch);
bool bench_mqtt(const Scratch& scratch);
bool bench_series(const Scratch& scratch);
bool bench_verdicts(const Scratch& scratch);

#ifdef HEPTANE_BENCH_QUICKFIX
bool bench_fix(const Scratch& scratch);
bool bench_orders(const Scratch& scratch);
#endif
#ifdef HEPTANE_BENCH_RDKAFKA
bool bench_produce(const Scratch& scratch);
#endif

}  // namespace heptane::bench
