// The registry of assets: which ledger is which currency, and how many of an amount's digits stand behind the point. One for
// every protocol, logged. An asset is named once and for all: amounts that were read with its scale must not change.
// State of the ledger machine; the shard thread's.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "kernel/shard/snapshot_io.h"
#include "modules/fintech/domain/ledger/amount.h"

namespace heptane::fintech {

constexpr size_t kAssetsMax = 4096;
constexpr size_t kAssetCodeMax = 16;

struct Asset {
  uint32_t ledger = 0;
  uint8_t scale = 0;
  std::string code;  // `USD`

  bool operator==(const Asset&) const = default;
};

// 1 to 16 of A-Z a-z 0-9 . _ -
bool valid_asset_code(std::string_view code);

Buffer encode(const Asset& asset);
Result<Asset> decode_asset(Bytes payload);
Buffer encode(const std::vector<Asset>& assets);
Result<std::vector<Asset>> decode_assets(Bytes payload);

class Assets {
 public:
  enum class Outcome : uint8_t { added, unchanged, taken, full };  // taken: the ledger or the code means another
  Outcome put(const Asset& asset);
  const Asset* find(uint32_t ledger) const;
  std::vector<Asset> all() const;  // by ledger
  bool empty() const { return by_ledger_.empty(); }

  void open_scope() { marks_.push_back(added_.size()); }
  void close_scope(bool keep);

  void save(SnapshotWriter& writer) const;
  bool restore(SnapshotReader& reader);
  void clear() { by_ledger_.clear(); }

 private:
  std::map<uint32_t, Asset> by_ledger_;
  std::vector<uint32_t> added_;  // while a scope is open
  std::vector<size_t> marks_;
};

}  // namespace heptane::fintech
