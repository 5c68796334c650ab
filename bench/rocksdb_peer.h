// RocksDB as the peer of appending: the same values under increasing keys, groups of them in one WriteBatch, the WAL
// synced before each Write returns. One owner.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace rocksdb {
class DB;
}

namespace heptane::bench {

class RocksPeer {
 public:
  explicit RocksPeer(const std::string& directory);
  ~RocksPeer();
  // Writes `records` values of 128 bytes in groups; returns records a second.
  double write(uint64_t records, uint64_t group);
  // Until its own threads have nothing to do, which is counted for nobody: they would take the processor of whose turn is next.
  void settle();
  static std::string settings();

 private:
  std::unique_ptr<rocksdb::DB> db_;
  uint64_t next_key_ = 0;
};

}  // namespace heptane::bench
