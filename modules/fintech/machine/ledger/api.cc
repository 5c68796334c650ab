#include "modules/fintech/machine/ledger/api.h"

#include <cstddef>
#include <cstring>

namespace heptane::fintech {

namespace {

constexpr size_t kScaledBytes = sizeof(Transfer) + 1;
constexpr size_t kTransfersMax = 8189;

void append(ByteWriter& out, Uint128 number) {
  out.le(static_cast<uint64_t>(number));
  out.le(static_cast<uint64_t>(number >> 64));
}

Uint128 number(ByteReader& in) {
  const auto low = in.le<uint64_t>();
  return low | (Uint128{in.le<uint64_t>()} << 64);
}

}  // namespace

void Caller::write(std::byte* at) const {
  std::memcpy(at, &client, 16);
  std::memcpy(at + 16, &checksum, 16);
  store_le(at + 32, session);
  store_le(at + 40, request);
  store_le(at + 44, release | uint32_t{rights} << kRightsShift);
}

Caller Caller::read(const std::byte* at) {
  Caller caller;
  std::memcpy(&caller.client, at, 16);
  std::memcpy(&caller.checksum, at + 16, 16);
  caller.session = load_le<uint64_t>(at + 32);
  caller.request = load_le<uint32_t>(at + 40);
  const auto release = load_le<uint32_t>(at + 44);
  caller.release = release & ((uint32_t{1} << kRightsShift) - 1);
  caller.rights = static_cast<uint8_t>(release >> kRightsShift);
  return caller;
}

bool settles(Bytes payload) {
  if (payload.size() < Caller::kBytes) return false;
  const Bytes body = payload.subspan(Caller::kBytes);
  const std::optional<MultiBatch> batches = parse_body(*operation_of(kCreateTransfers), body);
  const size_t events = batches ? batches->elements() : 0;
  for (size_t i = 0; i < events; ++i) {
    const auto flags = load_le<uint16_t>(body.data() + i * sizeof(Transfer) + offsetof(Transfer, flags));
    if ((flags & (transfer_flags::kPost | transfer_flags::kVoid)) == 0) return false;
  }
  return events > 0;
}

Buffer encode(const std::vector<ScaledTransfer>& transfers) {
  ByteWriter out;
  for (const ScaledTransfer& scaled : transfers) {
    out.append(Bytes{reinterpret_cast<const std::byte*>(&scaled.transfer), sizeof(Transfer)});
    out.u8(scaled.decimals);
  }
  return Buffer::take(out.release());
}

Result<std::vector<ScaledTransfer>> decode_transfers(Bytes payload) {
  if (payload.empty() || payload.size() % kScaledBytes != 0 || payload.size() / kScaledBytes > kTransfersMax)
    return Error{Errc::invalid_argument, "the command is not 1 to 8,189 whole transfers"};
  std::vector<ScaledTransfer> transfers(payload.size() / kScaledBytes);
  for (ScaledTransfer& scaled : transfers) {
    std::memcpy(&scaled.transfer, payload.data(), sizeof(Transfer));
    scaled.decimals = static_cast<uint8_t>(payload[sizeof(Transfer)]);
    payload = payload.subspan(kScaledBytes);
  }
  return transfers;
}

Buffer encode(const BalanceGuard& guard) {
  ByteWriter out;
  append(out, guard.account_id);
  append(out, guard.least);
  append(out, guard.most);
  out.u8(guard.debit_side ? 1 : 0);
  out.u8(guard.has_least ? 1 : 0);
  out.u8(guard.has_most ? 1 : 0);
  out.u8(guard.least_decimals);
  out.u8(guard.most_decimals);
  out.zeros(3);
  return Buffer::take(out.release());
}

Result<BalanceGuard> decode_guard(Bytes payload) {
  ByteReader in(payload);
  BalanceGuard guard;
  guard.account_id = number(in);
  guard.least = number(in);
  guard.most = number(in);
  guard.debit_side = in.u8() != 0;
  guard.has_least = in.u8() != 0;
  guard.has_most = in.u8() != 0;
  guard.least_decimals = in.u8();
  guard.most_decimals = in.u8();
  in.skip(3);
  if (!in.complete()) return Error{Errc::invalid_argument, "the guard of a balance has another size"};
  return guard;
}

const char* ledger_refusal_text(LedgerRefusal why) {
  switch (why) {
    case LedgerRefusal::no_session: return "the client has no session: it must register";
    case LedgerRefusal::invalid_body: return "the body is not what the operation wants";
    case LedgerRefusal::session_too_low: return "the client registered again since";
    case LedgerRefusal::release_mismatch: return "the client registered with another release";
    case LedgerRefusal::dropped: return "an older request, or one out of order";
  }
  return "";
}

}  // namespace heptane::fintech
