#include "modules/fintech/machine/exchange/directory.h"

#include <iterator>

namespace heptane::fintech::exchange {

namespace {

constexpr size_t kListingBytesMax = size_t{64} << 10;
constexpr uint64_t kListingBytes = 2'048;
constexpr uint64_t kNameBytes = 256;  // of a firm or an account, with its place in the maps
constexpr uint64_t kUsageBytes = 256;
constexpr uint64_t kIndexBytes = 24;  // of a book for each order that there may be: what it touches before there is one

// Owners in the index of names: an account's is its firm.
constexpr uint64_t kSymbols = uint64_t{1} << 32;
constexpr uint64_t kFirmNames = uint64_t{2} << 32;

bool is_of(const Listing& listing, uint64_t owner, std::string_view name) {
  return owner == kSymbols && listing.spec.instrument.symbol == name;
}
bool is_of(const Firm& firm, uint64_t owner, std::string_view name) { return owner == kFirmNames && firm.name == name; }
bool is_of(const TradingAccount& account, uint64_t owner, std::string_view name) {
  return account.firm == owner && account.name == name;
}

Uint128 id_of(Whose whose, uint32_t number, uint32_t instrument) {
  return Uint128{static_cast<uint8_t>(whose)} << 64 | uint64_t{number} << 32 | instrument;
}

bool save_book(const book::Book& book, SnapshotWriter& writer) {
  const auto write = [](void* context, const void* bytes, size_t size) {
    static_cast<SnapshotWriter*>(context)->write({static_cast<const std::byte*>(bytes), size});
    return true;
  };
  return book.save({write, &writer});
}

bool restore_book(book::Book& book, SnapshotReader& reader) {
  const auto read = [](void* context, void* bytes, size_t size) {
    return static_cast<SnapshotReader*>(context)->read({static_cast<std::byte*>(bytes), size});
  };
  return book.restore({read, &reader}) == book::RestoreResult::ok;
}

// Of a snapshot, what stands in it beside a book.
struct ListingRow {
  InstrumentSpec spec;
  Block block;
  std::optional<book::Phase> next_phase;
  bool extended = false;
  bool proceeding = false;
  bool used = false;
  bool needs_call = false;
};
template <class A, Same<ListingRow> S>
void fields(A& a, S& t) {
  a(t.spec, t.block, t.next_phase, t.extended, t.proceeding, t.used, t.needs_call);
}
struct AccountState {
  uint32_t firm = 0;
  std::string name;
  uint8_t fee_class = 0;
  Block block;
};
template <class A, Same<AccountState> S>
void fields(A& a, S& t) {
  a(t.firm, t.name, t.fee_class, t.block);
}
struct UsageRow {
  Whose whose = Whose::firm;
  uint32_t number = 0;
  uint32_t instrument = 0;
  Limits limits;
  Exposure exposure;
  OrderRate rate;
};
template <class A, Same<UsageRow> S>
void fields(A& a, S& t) {
  a(t.whose, t.number, t.instrument, t.limits, t.exposure, t.rate);
}

template <class Row>
std::optional<Row> read_row(SnapshotReader& reader) {
  const std::string bytes = reader.text(kListingBytesMax);
  std::optional<Row> row = reader.failed() ? std::nullopt : unpacked<Row>(as_bytes(bytes));
  if (!row) reader.fail();
  return row;
}

// Takes as many rows as there are.
template <class Row, class Take>
void read_rows(SnapshotReader& reader, size_t most, Take take) {
  const auto count = reader.le<uint32_t>();
  if (count > most) reader.fail();
  for (uint32_t i = 0; i < count && !reader.failed(); ++i)
    if (std::optional<Row> row = read_row<Row>(reader))
      if (!take(std::move(*row))) reader.fail();
}

bool good_spec(const InstrumentSpec& spec) {
  return check_instrument(spec.instrument).ok() && !spec.fees.empty() && spec.fees.size() <= kFeeClassesMax &&
         check_fees(spec.fees).ok();
}

}  // namespace

std::optional<int64_t> Listing::last_price() const {
  int64_t price = 0;
  return book.last_trade(price) ? std::optional(price) : std::nullopt;
}

std::optional<int64_t> Listing::reference() const {
  const std::optional<int64_t> last = last_price();
  return last ? tick_at_most(spec.instrument, *last) : spec.reference;
}

book::Uncross uncross_of(const Listing& listing) {
  book::Uncross command;
  if (const std::optional<int64_t> reference = listing.reference()) {
    const PriceRange band = call_band(listing.instrument(), *reference);
    command = {*reference, band.low, band.high};
  }
  return command;
}

bool Listing::make_book() {
  book::Config config;
  config.orders_max = spec.orders_max;
  const size_t bytes = book::Book::bytes_for(config);
  if (bytes == 0) return false;
  memory = std::make_unique_for_overwrite<std::byte[]>(bytes);  // touched as it fills
  book = book::Book(config, {memory.get(), bytes});
  return book.valid();
}

// Rows of the three kinds have the same numbers: which one it is the row says.
template <class Row>
Row* Directory::named(std::deque<Row>& rows, uint64_t owner, std::string_view name) {
  const uint32_t found = names_.find(
      owner, name, [&](uint32_t number) { return number <= rows.size() && is_of(rows[number - 1], owner, name); });
  return found == NameIndex::kNone ? nullptr : &rows[found - 1];
}

Listing* Directory::listing(const std::string& symbol) { return named(listings_, kSymbols, symbol); }
Firm* Directory::firm(const std::string& name) { return named(firms_, kFirmNames, name); }
TradingAccount* Directory::account(uint32_t firm, const std::string& name) { return named(accounts_, firm, name); }

Listing& Directory::add_listing(InstrumentSpec spec) {
  Listing& added = listings_.emplace_back();
  added.number = static_cast<uint32_t>(listings_.size());
  added.spec = std::move(spec);
  symbols_.emplace(added.spec.instrument.symbol, added.number);
  names_.insert(kSymbols, added.spec.instrument.symbol, added.number);
  return added;
}

Firm& Directory::add_firm(const std::string& name) {
  Firm& added = firms_.emplace_back();
  added.number = static_cast<uint32_t>(firms_.size());
  added.name = name;
  firm_names_.emplace(name, added.number);
  names_.insert(kFirmNames, name, added.number);
  return added;
}

TradingAccount& Directory::add_account(uint32_t firm, const std::string& name, uint8_t fee_class) {
  TradingAccount& added = accounts_.emplace_back();
  added.number = static_cast<uint32_t>(accounts_.size());
  added.firm = firm;
  added.name = name;
  added.fee_class = fee_class;
  account_names_.emplace(std::pair(firm, name), added.number);
  names_.insert(firm, name, added.number);
  return added;
}

Usage* Directory::find_usage(Whose whose, uint32_t number, uint32_t instrument) const {
  const UsageKey key{whose, number, instrument};
  const uint32_t found = usage_index_.find(id_of(whose, number, instrument),
                                           [&](uint32_t node) { return usage_nodes_[node]->first == key; });
  return found == IdIndex::kNone ? nullptr : &usage_nodes_[found]->second;
}

// One that is not there.
Usage& Directory::add_usage(const UsageKey& key, const Usage& usage) {
  auto& node = *usages_.emplace(key, usage).first;
  usage_index_.insert(id_of(std::get<0>(key), std::get<1>(key), std::get<2>(key)),
                      static_cast<uint32_t>(usage_nodes_.size()));
  usage_nodes_.push_back(&node);
  return node.second;
}

Usage& Directory::usage(Whose whose, uint32_t number, uint32_t instrument) {
  Usage* const found = find_usage(whose, number, instrument);
  return found != nullptr ? *found : add_usage({whose, number, instrument}, {});
}

const Usage& Directory::peek(Whose whose, uint32_t number, uint32_t instrument) const {
  static const Usage kNew;
  const Usage* const found = find_usage(whose, number, instrument);
  return found != nullptr ? *found : kNew;
}

TradedPosition& Directory::traded(Usage& usage) {
  if (usage.traded != 0) return traded_[usage.traded - 1];
  usage.traded = static_cast<uint32_t>(traded_.size() + 1);
  return traded_.emplace_back();
}

void Directory::count_books() {
  book_orders_ = 0;
  for (const Listing& listing : listings_) book_orders_ += listing.spec.orders_max;
}

uint64_t Directory::memory_bytes() const {
  return book_orders_ * kIndexBytes + listings_.size() * kListingBytes +
         (firms_.size() + accounts_.size()) * kNameBytes + usages_.size() * kUsageBytes +
         traded_.size() * sizeof(TradedPosition);
}

void Directory::save(SnapshotWriter& writer) const {
  writer.le(static_cast<uint32_t>(listings_.size()));
  for (const Listing& l : listings_) {
    writer.blob(
        packed(ListingRow{l.spec, l.block, l.next_phase, l.extended, l.proceeding, l.used, l.needs_call}).view());
    save_book(l.book, writer);
  }
  writer.le(static_cast<uint32_t>(firms_.size()));
  for (const Firm& firm : firms_) writer.blob(packed(FirmRow{firm.name, firm.block}).view());
  writer.le(static_cast<uint32_t>(accounts_.size()));
  for (const TradingAccount& a : accounts_)
    writer.blob(packed(AccountState{a.firm, a.name, a.fee_class, a.block}).view());
  writer.le(static_cast<uint32_t>(usages_.size()));
  for (const auto& [key, usage] : usages_) {
    const auto& [whose, number, instrument] = key;
    writer.blob(packed(UsageRow{whose, number, instrument, usage.limits, usage.exposure, usage.rate}).view());
  }
}

Result<void> Directory::restore(SnapshotReader& reader) {
  read_rows<ListingRow>(reader, kInstrumentsMax, [&](ListingRow row) {
    if (!good_spec(row.spec) || listing(row.spec.instrument.symbol) != nullptr) return false;
    Listing& added = add_listing(std::move(row.spec));
    added.block = row.block;
    added.next_phase = row.next_phase;
    added.extended = row.extended;
    added.proceeding = row.proceeding;
    added.used = row.used;
    added.needs_call = row.needs_call;
    if (!added.make_book() || !restore_book(added.book, reader)) return false;
    if (const std::optional<int64_t> last = added.last_price()) added.recent.set_base(RecentTrades::Row{0, *last});
    return true;
  });
  read_rows<FirmRow>(reader, kFirmsMax, [&](const FirmRow& row) {
    if (firm(row.name) != nullptr) return false;
    add_firm(row.name).block = row.block;
    return true;
  });
  read_rows<AccountState>(reader, kAccountsMax, [&](const AccountState& row) {
    if (row.firm == 0 || row.firm > firms_.size() || account(row.firm, row.name) != nullptr) return false;
    add_account(row.firm, row.name, row.fee_class).block = row.block;
    return true;
  });
  read_rows<UsageRow>(reader, SIZE_MAX, [&](const UsageRow& row) {
    const UsageKey key{row.whose, row.number, row.instrument};
    if (usages_.contains(key)) return false;
    add_usage(key, {row.limits, row.exposure, row.rate, 0});
    return true;
  });
  count_books();
  if (reader.failed()) return Error{Errc::corrupt, "the exchange's instruments and firms do not read back"};
  return {};
}

}  // namespace heptane::fintech::exchange
