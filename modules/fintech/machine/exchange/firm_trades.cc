#include "modules/fintech/machine/exchange/firm_trades.h"

#include <utility>

namespace heptane::fintech::exchange {

namespace {

constexpr uint64_t kRowBytes = 256;  // with its ClOrdID
constexpr size_t kTradeBytesMax = 1'024;
constexpr size_t kCaptureBytesMax = FirmTrades::kCapturedMax * kTradeBytesMax;

template <class Rows>
auto first_of(Rows& rows, uint64_t trade) {
  return std::lower_bound(rows.begin(), rows.end(), trade,
                          [](const FirmTrade& row, uint64_t number) { return row.trade < number; });
}

template <class Row>
Row read_row(SnapshotReader& reader, size_t bytes_max) {
  const std::string bytes = reader.text(bytes_max);
  auto row = unpacked<Row>(as_bytes(bytes));
  if (!row) reader.fail();
  return row ? std::move(*row) : Row();
}

}  // namespace

void FirmTrades::drop_first(Rows& rows) {
  rows.last_date_gone = std::max(rows.last_date_gone, rows.rows.front().date);
  rows.rows.pop_front();
  ++rows.first;
}

// Where firms were added meanwhile their parts are smaller: two go for one that comes, until that is so.
void FirmTrades::add(uint32_t firm, size_t firms, FirmTrade trade) {
  constexpr size_t kDropsMax = 2;
  if (firms_.empty() && trade.trade > 1) last_date_unkept_ = trade.date;
  Rows& rows = firms_[firm];
  rows.rows.push_back(std::move(trade));
  ++rows_;
  const size_t most = std::min(kOfAFirm, kOfAll / std::max<size_t>(firms, 1));
  for (size_t drops = 0; drops < kDropsMax && rows.rows.size() > most; ++drops, --rows_) drop_first(rows);
}

void FirmTrades::bust(uint32_t firm, uint64_t trade, uint64_t instead) {
  const auto found = firms_.find(firm);
  if (found == firms_.end()) return;
  std::deque<FirmTrade>& rows = found->second.rows;
  for (auto row = first_of(rows, trade); row != rows.end() && row->trade == trade; ++row) {
    row->busted = true;
    row->instead = instead;
  }
}

const FirmTrade* FirmTrades::find(uint32_t firm, uint64_t trade) const {
  const Rows* rows = of(firm);
  if (rows == nullptr) return nullptr;
  const auto row = first_of(rows->rows, trade);
  return row == rows->rows.end() || row->trade != trade ? nullptr : &*row;
}

const FirmTrades::Rows* FirmTrades::of(uint32_t firm) const {
  const auto found = firms_.find(firm);
  return found == firms_.end() ? nullptr : &found->second;
}

int64_t FirmTrades::not_all_upto(uint32_t firm) const {
  const Rows* rows = of(firm);
  return rows == nullptr ? last_date_unkept_ : std::max(last_date_unkept_, rows->last_date_gone);
}

uint64_t FirmTrades::begin(FixCapture capture) {
  captures_.emplace(next_capture_, std::move(capture));
  return next_capture_++;
}

uint64_t FirmTrades::memory_bytes() const {
  uint64_t found = 0;
  for (const auto& [number, capture] : captures_) found += capture.found.size();
  return (rows_ + found) * kRowBytes;
}

void FirmTrades::save(SnapshotWriter& writer) const {
  writer.le(static_cast<uint32_t>(firms_.size()));
  for (const auto& [firm, rows] : firms_) {
    writer.le(firm);
    writer.le(rows.first);
    writer.le(rows.last_date_gone);
    writer.le(static_cast<uint64_t>(rows.rows.size()));
    for (const FirmTrade& row : rows.rows) writer.blob(packed(row).view());
  }
  writer.le(last_date_unkept_);
  writer.le(next_capture_);
  writer.le(static_cast<uint32_t>(captures_.size()));
  for (const auto& [number, capture] : captures_) {
    writer.le(number);
    writer.blob(packed(capture).view());
  }
}

void FirmTrades::restore(SnapshotReader& reader) {
  *this = FirmTrades();
  for (auto firms = reader.le<uint32_t>(); firms > 0 && !reader.failed(); --firms) {
    Rows& rows = firms_[reader.le<uint32_t>()];
    rows.first = reader.le<uint64_t>();
    rows.last_date_gone = reader.le<int64_t>();
    for (auto count = reader.le<uint64_t>(); count > 0 && !reader.failed(); --count, ++rows_)
      rows.rows.push_back(read_row<FirmTrade>(reader, kTradeBytesMax));
  }
  last_date_unkept_ = reader.le<int64_t>();
  next_capture_ = reader.le<uint64_t>();
  for (auto count = reader.le<uint32_t>(); count > 0 && !reader.failed(); --count) {
    const auto number = reader.le<uint64_t>();
    captures_.emplace(number, read_row<FixCapture>(reader, kCaptureBytesMax));
  }
}

}  // namespace heptane::fintech::exchange
