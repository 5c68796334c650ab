#include "bench/rocksdb_peer.h"

#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/write_batch.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "bench/account_machine.h"
#include "bench/report.h"
#include "kernel/base/random.h"

namespace heptane::bench {

namespace {

void must(const rocksdb::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "bench: RocksDB: %s\n", status.ToString().c_str());
  std::exit(1);
}

}  // namespace

RocksPeer::RocksPeer(const std::string& directory) {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.compression = rocksdb::kNoCompression;
  options.IncreaseParallelism(2);
  rocksdb::DB* db = nullptr;
  must(rocksdb::DB::Open(options, directory, &db));
  db_.reset(db);
}

RocksPeer::~RocksPeer() { must(db_->Close()); }

std::string RocksPeer::settings() {
  return "WriteOptions.sync = true (WAL fdatasync before Write returns), increasing 8 B keys, no compression, 2 "
         "background threads, else defaults";
}

double RocksPeer::write(uint64_t records, uint64_t group) {
  SeededRandom random(records);
  rocksdb::WriteOptions synced;
  synced.sync = true;
  rocksdb::WriteBatch batch;
  const int64_t begin_ns = now_ns();
  for (uint64_t done = 0; done < records;) {
    batch.Clear();
    for (uint64_t i = 0; i < group && done < records; ++i, ++done) {
      std::byte key[8];
      store_be<uint64_t>(key, next_key_++);
      std::byte value[kTransferBytes];
      const uint64_t word = random.next();
      encode_transfer(value, static_cast<uint32_t>(word), static_cast<uint32_t>(word >> 32), 1, word);
      must(batch.Put({reinterpret_cast<const char*>(key), sizeof key},
                     {reinterpret_cast<const char*>(value), sizeof value}));
    }
    must(db_->Write(synced, &batch));
  }
  return static_cast<double>(records) * 1e9 / static_cast<double>(now_ns() - begin_ns);
}

void RocksPeer::settle() {
  using Properties = rocksdb::DB::Properties;
  for (bool busy = true; busy;) {
    busy = false;
    for (const std::string& name : {Properties::kNumRunningFlushes, Properties::kMemTableFlushPending,
                                    Properties::kNumRunningCompactions, Properties::kCompactionPending}) {
      uint64_t count = 0;
      busy = (db_->GetIntProperty(name, &count) && count > 0) || busy;
    }
    if (busy) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace heptane::bench
