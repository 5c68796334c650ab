#include "sim/view_watch.h"

#include <cstring>

#include "kernel/server/records_reader.h"
#include "kernel/streams/record_batch.h"
#include "modules/fintech/machine/ledger/views.h"

namespace heptane::sim {

namespace {

constexpr uint32_t kReadBytes = 10'000;  // a start reads from many places

// Of the command whose first account this is: asked for twice, it is the same, and the second creates nothing.
uint16_t accounts_of(Offset first) { return static_cast<uint16_t>(1 + static_cast<uint64_t>(first) * 7 % 6); }

Buffer creation(Offset first) {
  using namespace fintech;
  const uint16_t count = accounts_of(first);
  MultiBatchWriter writer(sizeof(Account));
  for (uint16_t i = 0; i < count; ++i) {
    Account account{};
    account.id = static_cast<Uint128>(first) + i + 1;
    account.user_data_64 = static_cast<uint64_t>(first) * 1'000'003;
    account.user_data_32 = i;
    account.ledger = 1;
    account.code = count;
    const auto* bytes = reinterpret_cast<const std::byte*>(&account);
    writer.out().insert(writer.out().end(), bytes, bytes + sizeof account);
  }
  writer.end_batch();
  ByteWriter payload;
  payload.zeros(Caller::kBytes);  // without a session
  payload.append(writer.finish());
  return Buffer::take(payload.release());
}

// The text of the record, up to the timestamp.
std::string text_of(Offset first, uint16_t index) {
  return R"({"event":"created","id":")" + std::to_string(first + index + 1) +
         R"(","user_data_128":"0","user_data_64":")" + std::to_string(static_cast<uint64_t>(first) * 1'000'003) +
         R"(","user_data_32":)" + std::to_string(index) + R"(,"ledger":1,"code":)" +
         std::to_string(accounts_of(first)) + R"(,"flags":[],"timestamp":")";
}

}  // namespace

void ViewWatch::turn(server::Server& server) {
  if (!on_ || !server.recovered() || !random_.one_in(20)) return;
  const std::optional<PartitionId> partition = server.streams().find_partition(fintech::kAccountsStream, 0);
  const Offset first = partition ? server.streams().next_offset(*partition) : 0;
  (void)server.shard().submit_internal(
      streams::make_command(fintech::kLedgerMachineId, fintech::kCreateAccounts, creation(first)));
}

void ViewWatch::note(server::Server& server) {
  if (!on_ || !server.recovered()) return;
  if (const auto partition = server.streams().find_partition(fintech::kAccountsStream, 0))
    promised_end_ = std::max(promised_end_, server.streams().durable_end(*partition));
}

void ViewWatch::audit(server::Server& server, Disk& disk, Checker& checker, bool damaged) {
  if (!on_) return;
  const std::optional<PartitionId> partition = server.streams().find_partition(fintech::kAccountsStream, 0);
  const Offset end = partition ? server.streams().durable_end(*partition) : 0;
  if (checker.lost_tail_allowed()) promised_end_ = std::min(promised_end_, end);
  if (end < promised_end_)
    return checker.fail("the view ends at " + std::to_string(end) + ", and was synced up to " +
                        std::to_string(promised_end_));
  promised_end_ = end;
  server::LogRecordsReader reader(server.log(), disk, server.archive(), server.renderers());
  Offset first = 0;  // of the command at work
  for (Offset next = 0; next < end;) {
    const net::RecordsRead read = reader.read(server.streams().locate({*partition, next, kReadBytes, {}}));
    if (read.error && damaged && is_of_damage(*read.error)) return;
    if (read.error || read.batches.empty())
      return checker.fail("the view cannot be read at offset " + std::to_string(next) +
                          (read.error ? std::string(": ") + errc_name(*read.error) : std::string()));
    for (const Buffer& batch : read.batches) {
      const Result<void> walked = streams::for_each_record(batch.view(), [&](const streams::RecordView& record) {
        if (record.offset < next) return;
        if (next == first + accounts_of(first)) first = next;
        const std::string text = text_of(first, static_cast<uint16_t>(next - first));
        if (record.offset != next || !as_text(record.value).starts_with(text))
          checker.fail("the view has at offset " + std::to_string(record.offset) + " " +
                       std::string(as_text(record.value)) + " instead of " + text);
        ++audited_total_;
        next = record.offset + 1;
      });
      if (!walked) return checker.fail("the view: " + walked.error().message);
    }
    if (checker.failed()) return;
  }
  if (end != 0 && end != first + accounts_of(first))
    checker.fail("the view ends in the middle of a command, at offset " + std::to_string(end));
}

}  // namespace heptane::sim
