#include "modules/fintech/domain/ledger/field_keys.h"

#include <emmintrin.h>

#include <algorithm>
#include <utility>

namespace heptane::fintech {

namespace {

constexpr uint32_t kAtOnce = 64;    // keys compared without a branch
constexpr int64_t kSearchCost = 4;  // of a piece

bool any_is(const uint32_t* keys, uint32_t key) {
  const __m128i wanted = _mm_set1_epi32(static_cast<int>(key));
  const auto equal = [&](uint32_t at) {
    return _mm_cmpeq_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(keys + at)), wanted);
  };
  __m128i any = _mm_setzero_si128();
  for (uint32_t at = 0; at < kAtOnce; at += 16)
    any = _mm_or_si128(
        any, _mm_or_si128(_mm_or_si128(equal(at), equal(at + 4)), _mm_or_si128(equal(at + 8), equal(at + 12))));
  return _mm_movemask_epi8(any) != 0;
}

using Entries = std::vector<uint64_t>;  // key, row

// By some of its bits after the others, the lowest first: rows of one key keep their order.
void sort_by_key(Entries& entries) {
  constexpr uint32_t kBits = 11;
  constexpr uint32_t kMask = (1U << kBits) - 1;
  Entries other(entries.size());
  for (uint32_t shift = 32; shift < 64; shift += kBits) {
    std::array<uint32_t, kMask + 1> begins{};
    for (const uint64_t entry : entries) ++begins[entry >> shift & kMask];
    uint32_t begin = 0;
    for (uint32_t& count : begins) begin += std::exchange(count, begin);
    for (const uint64_t entry : entries) other[begins[entry >> shift & kMask]++] = entry;
    entries.swap(other);
  }
}

}  // namespace

uint32_t FieldKeys::known_in(const Columns& columns, const TransferKeys& asked) {
  uint32_t known = UINT32_MAX;
  for (uint32_t field = 0; field < kTransferFields; ++field)
    if (asked[field]) known = std::min(known, columns[field].size());
  return known;
}

void FieldKeys::sort(Columns& columns, const TransferKeys& asked, int64_t& work) {
  for (uint32_t field = 0; field < kTransferFields; ++field) {
    Column& column = columns[field];
    if (!asked[field] || column.sorted()) continue;
    Entries entries(column.size());
    for (uint32_t row = 0; row < column.size(); ++row) entries[row] = uint64_t{column.keys[row]} << 32 | row;
    sort_by_key(entries);
    column.rows.resize(entries.size());
    for (size_t at = 0; at < entries.size(); ++at) {
      column.keys[at] = static_cast<uint32_t>(entries[at] >> 32);
      column.rows[at] = static_cast<uint16_t>(entries[at]);
    }
    column.keys.shrink_to_fit();
    work -= column.size() / kKeysSortedForOne;
  }
}

// Takes rows of one piece, from one end to the other.
class FieldKeys::Walk {
 public:
  Walk(Search& search, uint32_t base, std::vector<uint32_t>& rows)
      : search_(search), base_(base), begin_(search.first - base), end_(search.last - base), rows_(rows) {}

  // Those of one key, in their order.
  void through(Sorted sorted) {
    const auto* begin = std::lower_bound(sorted.data(), sorted.data() + sorted.size(), begin_);
    const auto* end = std::lower_bound(begin, sorted.data() + sorted.size(), end_);
    while (begin != end)
      if (!take(search_.reversed ? *--end : *begin++)) return;
    pass_all();
  }

  // `first_key` in the column `first` says that none of many matches.
  template <class Matches>
  void through(const uint32_t* first, uint32_t first_key, Matches matches) {
    while (begin_ < end_) {
      const uint32_t count = std::min(kAtOnce, end_ - begin_);
      const uint32_t low = search_.reversed ? end_ - count : begin_;
      if (count < kAtOnce || any_is(first + low, first_key))
        for (uint32_t i = 0; i < count; ++i) {
          const uint32_t row = search_.reversed ? low + count - 1 - i : low + i;
          if (matches(row) && !take(row)) return;
        }
      (search_.reversed ? end_ : begin_) = search_.reversed ? low : low + count;
    }
    pass_all();
  }

 private:
  bool take(uint32_t row) {
    rows_.push_back(base_ + row);
    pass(base_ + row + (search_.reversed ? 0 : 1));
    return --search_.most > 0;
  }
  void pass_all() { pass(search_.reversed ? search_.first : search_.last); }
  void pass(uint32_t to) { (search_.reversed ? search_.last : search_.first) = to; }

  Search& search_;
  const uint32_t base_;
  uint32_t begin_;
  uint32_t end_;
  std::vector<uint32_t>& rows_;
};

std::optional<FieldKeys::Sorted> FieldKeys::fewest_sorted(const Columns& columns, const TransferKeys& asked) {
  std::optional<Sorted> fewest;
  for (uint32_t field = 0; field < kTransferFields; ++field) {
    const Column& column = columns[field];
    if (!asked[field] || !column.sorted()) continue;
    const auto [begin, end] = std::equal_range(column.keys.begin(), column.keys.end(), *asked[field]);
    const Sorted of_key(column.rows.data() + (begin - column.keys.begin()), static_cast<size_t>(end - begin));
    if (!fewest || of_key.size() < fewest->size()) fewest = of_key;
  }
  return fewest;
}

void FieldKeys::find(uint32_t piece, const TransferKeys& asked, Search& search, std::vector<uint32_t>& rows,
                     int64_t& work) const {
  const auto at = pieces_.find(piece);
  if (at == pieces_.end() || search.first >= search.last || search.most == 0) return;
  const Columns& columns = at->second;
  work -= kSearchCost;
  Walk walk(search, piece * rows_per_piece_, rows);
  if (const std::optional<Sorted> fewest = fewest_sorted(columns, asked)) return walk.through(*fewest);

  // A row has its keys in all columns at one place.
  work -= (search.last - search.first) / kKeysPassedForOne;
  std::array<std::pair<const uint32_t*, uint32_t>, kTransferFields> wanted;
  uint32_t count = 0;
  for (uint32_t field = 0; field < kTransferFields; ++field)
    if (asked[field]) wanted[count++] = {columns[field].keys.data(), *asked[field]};
  walk.through(wanted[0].first, wanted[0].second, [&](uint32_t row) {
    return std::all_of(wanted.begin(), wanted.begin() + count,
                       [row](const auto& want) { return want.first[row] == want.second; });
  });
}

void FieldKeys::forget(uint32_t row) {
  const uint32_t piece = piece_of(row);
  erase(pieces_.upper_bound(piece), pieces_.end());
  const auto at = pieces_.find(piece);
  if (at == pieces_.end()) return;
  memory_bytes_ -= bytes_of(at->second);
  for (Column& column : at->second) {
    if (column.size() <= row % rows_per_piece_) continue;
    if (column.sorted())
      column = {};
    else
      column.keys.resize(row % rows_per_piece_);
  }
  memory_bytes_ += bytes_of(at->second);
}

FieldKeys::Pieces::iterator FieldKeys::erase(Pieces::iterator first, Pieces::iterator last) {
  for (auto at = first; at != last; ++at) memory_bytes_ -= bytes_of(at->second);
  return pieces_.erase(first, last);
}

uint64_t FieldKeys::bytes_of(const Columns& columns) {
  uint64_t bytes = 48 + sizeof(Columns);
  for (const Column& column : columns)
    bytes += column.keys.capacity() * sizeof(uint32_t) + column.rows.capacity() * sizeof(uint16_t);
  return bytes;
}

}  // namespace heptane::fintech
