// Which rows may have a value in a field, of rows that lie in memory: accounts, and transfers whose file has no runs yet. Queries
// make it, of the fields that they ask for and of the rows that have come since the last one; apply() neither makes nor reads
// it, so that it costs nobody else anything. Not state: a start begins without.
//
// Rows are numbered as whoever has them numbers them, and lie in pieces. Of each field and piece a column of keys of 4 bytes,
// in the order of the rows: 65,536 are searched in some 10 microseconds. Pieces that stay, those of accounts, are sorted by key
// when they are full (6 bytes a row), and a search costs their logarithm. A row that is found still has to be looked at.
// Memory: of what was asked for alone. The thread's that queries are answered on.
#pragma once

#include <array>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "modules/fintech/domain/ledger/transfer_fields.h"

namespace heptane::fintech {

class FieldKeys {
 public:
  enum class Full : uint8_t { stay_columns, are_sorted };
  // What it costs, in the unit of a row that is looked at (Slice, scan.h).
  static constexpr uint32_t kKeysReadForOne = 4;
  static constexpr uint32_t kKeysPassedForOne = 512;
  static constexpr uint32_t kKeysSortedForOne = 4;

  FieldKeys(uint32_t rows_per_piece, Full full) : rows_per_piece_(rows_per_piece), sorts_(full == Full::are_sorted) {}

  uint32_t piece_of(uint32_t row) const { return row / rows_per_piece_; }
  uint32_t first_of(uint32_t piece) const { return piece * rows_per_piece_; }
  // Up to which row of the piece (one behind the last) the keys of all fields asked for are known now: as far as `end`, the
  // work that is left and keys_of(row) allow, which says nullopt where a row is not in memory.
  template <class KeysOf>
  uint32_t reach(uint32_t piece, const TransferKeys& asked, uint32_t end, int64_t& work, KeysOf keys_of) {
    const uint32_t first = piece * rows_per_piece_;
    auto at = pieces_.find(piece);
    if (at == pieces_.end()) {
      if (!keys_of(first)) return first;
      at = pieces_.try_emplace(piece).first;
    } else {
      memory_bytes_ -= bytes_of(at->second);
    }
    Columns& columns = at->second;
    uint32_t known = known_in(columns, asked);
    for (; first + known < end && known < rows_per_piece_ && work > 0; ++known) {
      const std::optional<TransferKeys> keys = keys_of(first + known);
      if (!keys) break;
      for (uint32_t field = 0; field < kTransferFields; ++field)
        if (asked[field] && columns[field].size() == known) columns[field].keys.push_back((*keys)[field].value_or(0));
      if (known % kKeysReadForOne == 0) --work;
    }
    if (sorts_ && known == rows_per_piece_) sort(columns, asked, work);
    memory_bytes_ += bytes_of(columns);
    return first + known;
  }

  // Rows of the piece between `first` and `last`, which reach() has reached, that may match all that is asked for: appended, the
  // highest first when `reversed`, at most `most`. Behind it those that were not passed yet are between the two.
  struct Search {
    uint32_t first = 0;
    uint32_t last = 0;
    bool reversed = false;
    size_t most = 0;
  };
  void find(uint32_t piece, const TransferKeys& asked, Search& search, std::vector<uint32_t>& rows,
            int64_t& work) const;

  // Rows from this one on are taken back.
  void forget_from(uint32_t row) {
    if (!pieces_.empty()) forget(row);
  }
  void drop(uint32_t piece) {
    if (const auto at = pieces_.find(piece); at != pieces_.end()) erase(at, std::next(at));
  }
  // Those of which `is_over(piece)`.
  template <class IsOver>
  void drop_if(IsOver is_over) {
    for (auto at = pieces_.begin(); at != pieces_.end();)
      at = is_over(at->first) ? erase(at, std::next(at)) : std::next(at);
  }
  void clear() {
    pieces_.clear();
    memory_bytes_ = 0;
  }
  uint64_t memory_bytes() const { return memory_bytes_; }

 private:
  struct Column {
    std::vector<uint32_t> keys;  // 0: the row has none, or that one
    std::vector<uint16_t> rows;  // when it is sorted, by key, then by row: whose key it is, within the piece

    uint32_t size() const { return static_cast<uint32_t>(keys.size()); }
    bool sorted() const { return !rows.empty(); }
  };
  using Columns = std::array<Column, kTransferFields>;
  using Pieces = std::map<uint32_t, Columns>;
  using Sorted = std::span<const uint16_t>;
  class Walk;

  static uint32_t known_in(const Columns& columns, const TransferKeys& asked);
  static void sort(Columns& columns, const TransferKeys& asked, int64_t& work);
  static std::optional<Sorted> fewest_sorted(const Columns& columns, const TransferKeys& asked);
  static uint64_t bytes_of(const Columns& columns);  // with what the map has around them
  Pieces::iterator erase(Pieces::iterator first, Pieces::iterator last);
  void forget(uint32_t row);

  const uint32_t rows_per_piece_;
  const bool sorts_;
  Pieces pieces_;
  uint64_t memory_bytes_ = 0;  // of them
};

}  // namespace heptane::fintech
