#include "modules/fintech/machine/ledger/ledger_files.h"

#include <algorithm>

#include "kernel/base/assert.h"
#include "modules/fintech/domain/ledger/transfer_fetch.h"
#include "modules/fintech/machine/ledger/api.h"

namespace heptane::fintech {

namespace {

// As many times the memory of blocks, at most, for checks of single rows.
constexpr uint64_t kCheckShare = 4;

Error damaged() { return {Errc::corrupt, "the snapshot's ledger does not read back"}; }

template <class Row>
void put(SnapshotWriter& writer, const Row& row) {
  writer.write({reinterpret_cast<const std::byte*>(&row), sizeof row});
}

template <class Row>
Row get(SnapshotReader& reader) {
  Row row{};
  if (reader.failed() || !reader.read({reinterpret_cast<std::byte*>(&row), sizeof row})) reader.fail();
  return row;
}

void save_store(const rows::RowStore& store, SnapshotWriter& writer) {
  writer.le(store.size());
  for (uint32_t chunk = 0; chunk < store.full_chunks(); ++chunk) {
    const Hash128 hash = store.hash_of(chunk);
    writer.le(hash.low);
    writer.le(hash.high);
  }
  writer.write(store.tail());
}

Result<void> restore_store(rows::RowStore& store, SnapshotReader& reader) {
  const auto size = reader.le<uint32_t>();
  std::vector<Hash128> hashes;
  for (uint32_t chunk = 0; chunk < size / store.shape().rows_per_file && !reader.failed(); ++chunk) {
    const auto low = reader.le<uint64_t>();
    hashes.push_back({low, reader.le<uint64_t>()});
  }
  if (reader.failed()) return damaged();
  HEPTANE_TRY(store.restore(hashes));
  std::vector<std::byte> row(store.shape().row_bytes);
  while (store.size() < size) {
    if (!reader.read(row)) return damaged();
    store.append(row.data());
  }
  return {};
}

}  // namespace

void LedgerFiles::open(const FilePlace& place) {
  on_fatal_ = place.on_fatal;
  on_progress_ = place.on_progress;
  rows::RowPlace rows{
      .disk = place.disk, .directory = place.directory, .writable = place.writable, .open_files = place.open_files};
  for (rows::RowStore* store : transfers().stores()) open_store(*store, rows);
  transfers().runs().open(rows);
  rows.cached_blocks = std::max<size_t>(rows.cached_blocks, cache_bytes_ / rows::kBlockBytes);
  rows.check_bytes = std::max<uint64_t>(rows.check_bytes, kCheckShare * cache_bytes_);
  open_store(*transfers().stores().front(), rows);
}

void LedgerFiles::open_store(rows::RowStore& store, const rows::RowPlace& place) const {
  const Result<void> opened = store.open(place);
  if (opened) return;
  HEPTANE_ASSERT(on_fatal_ != nullptr, opened.error().message.c_str());
  on_fatal_({opened.error().code, opened.error().message + ": make fintech.ledger.cache_bytes smaller"});
}

std::vector<uint32_t> LedgerFiles::named() {
  ledger_.settle();
  std::vector<uint32_t> files;
  for (const rows::RowStore* store : transfers().stores()) files.push_back(store->full_chunks());
  return files;
}

std::vector<uint32_t> LedgerFiles::durable() const {
  std::vector<uint32_t> files;
  for (const rows::RowStore* store : ledger_.transfers().stores()) files.push_back(store->durable());
  return files;
}

Result<bool> LedgerFiles::write_next() {
  for (rows::RowStore* store : transfers().stores()) {
    const Result<bool> written = store->write_next();
    if (!written || *written) return written;
  }
  return transfers().runs().write_next();
}

uint32_t LedgerFiles::verify(std::vector<std::string>& problems) const {
  uint32_t files = 0;
  for (const rows::RowStore* store : ledger_.transfers().stores()) files += store->verify(problems);
  ledger_.transfers().verify_runs(problems);
  return files;
}

bool LedgerFiles::end_if_unreadable() const {
  const std::optional<Error> damage = ledger_.take_damage();
  if (!damage) return false;
  HEPTANE_ASSERT(on_fatal_ != nullptr, damage->message.c_str());
  on_fatal_(*damage);
  return true;
}

class LedgerFiles::Fetch final : public Prefetch {
 public:
  explicit Fetch(const LedgerFiles& files, TransferFetch fetch) : files_(files), fetch_(std::move(fetch)) {}

  Step step(int64_t& work) override {
    Slice slice{.left = work};
    const Scanned scanned = fetch_.step(slice);
    work = slice.left;
    if (files_.end_if_unreadable()) return Step::waits;  // for the end: nothing is applied with it
    return scanned == Scanned::done ? Step::done : scanned == Scanned::more ? Step::more : Step::waits;
  }

 private:
  const LedgerFiles& files_;
  TransferFetch fetch_;
};

std::unique_ptr<Prefetch> LedgerFiles::prefetch(const Command& command) const {
  if (!ledger_.transfers().in_files()) return nullptr;
  TransferFetch fetch(ledger_);
  if (is_transfer_all(command.type)) {
    if (const auto transfers = decode_transfers(command.payload))
      for (const ScaledTransfer& each : *transfers)
        fetch.add_transfers({reinterpret_cast<const std::byte*>(&each.transfer), sizeof each.transfer});
  } else if (const OperationRow* row = operation_of(command.type);
             row != nullptr && row->creates && command.payload.size() >= Caller::kBytes) {
    if (const auto batches = parse_body(*row, command.payload.subspan(Caller::kBytes)))
      batches->visit([&](Bytes batch) {
        if (row->operation == Operation::create_accounts) return fetch.add_accounts(batch);
        fetch.add_transfers(batch);
      });
  }
  return fetch.empty() ? nullptr : std::make_unique<Fetch>(*this, std::move(fetch));
}

void LedgerFiles::save_rows(SnapshotWriter& writer) const {
  const TransferStore& transfers = ledger_.transfers();
  for (const rows::RowStore* store : transfers.stores()) save_store(*store, writer);
  uint32_t marked = 0;
  for (uint32_t number = 0; number < transfers.size(); ++number)
    if (transfers.status(number) != PendingStatus::none) ++marked;
  writer.le(marked);
  for (uint32_t number = 0; number < transfers.size(); ++number) {
    const PendingStatus status = transfers.status(number);
    if (status == PendingStatus::none) continue;
    writer.le(number);
    writer.le(static_cast<uint8_t>(status));
    if (status == PendingStatus::pending) put(writer, transfers.body(number));
  }
}

Result<void> LedgerFiles::restore_rows(SnapshotReader& reader) {
  for (rows::RowStore* store : transfers().stores()) HEPTANE_TRY(restore_store(*store, reader));
  const auto stores = transfers().stores();
  if (stores[0]->size() != stores[1]->size()) return damaged();
  const Result<bool> whole = ledger_.restore_rows(on_progress_);
  if (!whole && whole.error().code == Errc::closed) return whole.error();
  if (!whole) return Error{Errc::refused, whole.error().message};
  if (!*whole) return damaged();
  for (auto marked = reader.le<uint32_t>(); marked > 0 && !reader.failed(); --marked) {
    const auto number = reader.le<uint32_t>();
    const auto status = static_cast<PendingStatus>(reader.le<uint8_t>());
    const Transfer body = status == PendingStatus::pending ? get<Transfer>(reader) : Transfer{};
    if (reader.failed() || !ledger_.restore_status(number, status, body)) return damaged();
  }
  return reader.failed() ? Result<void>(damaged()) : Result<void>();
}

}  // namespace heptane::fintech
