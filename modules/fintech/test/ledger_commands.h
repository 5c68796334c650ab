// Commands of the ledger as tests send them, and what their answers hold.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/random.h"
#include "kernel/shard/messages.h"
#include "modules/fintech/domain/ledger/multi_batch.h"
#include "modules/fintech/machine/ledger/api.h"

namespace heptane::fintech::test {

template <class Row>
Buffer payload(const Caller& caller, const std::vector<std::vector<Row>>& batches) {
  MultiBatchWriter writer(sizeof(Row));
  for (const auto& batch : batches) {
    const auto* bytes = reinterpret_cast<const std::byte*>(batch.data());
    writer.out().insert(writer.out().end(), bytes, bytes + batch.size() * sizeof(Row));
    writer.end_batch();
  }
  const std::vector<std::byte> body = writer.finish();
  std::vector<std::byte> whole(Caller::kBytes);
  caller.write(whole.data());
  whole.insert(whole.end(), body.begin(), body.end());
  return Buffer::take(std::move(whole));
}

inline std::vector<CreateResult> results_of(const Reply& reply) {
  std::vector<CreateResult> results;
  const auto batches = MultiBatch::parse(reply.payload.view(), sizeof(CreateResult));
  EXPECT_TRUE(batches.has_value());
  if (!batches) return results;
  results.resize(batches->elements());
  if (!results.empty()) std::memcpy(results.data(), reply.payload.data(), results.size() * sizeof(CreateResult));
  return results;
}

inline Account account(Uint128 id) {
  Account a{};
  a.id = id;
  a.ledger = 1;
  a.code = 1;
  a.flags = account_flags::kHistory;
  return a;
}

inline Transfer transfer(Uint128 id, Uint128 amount, uint16_t flags = 0, uint32_t timeout = 0) {
  Transfer t{};
  t.id = id;
  t.debit_account_id = 1;
  t.credit_account_id = 2;
  t.amount = amount;
  t.ledger = 1;
  t.code = 1;
  t.flags = flags;
  t.timeout = timeout;
  return t;
}

inline Buffer accounts_payload() {
  std::vector<Account> accounts;
  for (int id = 1; id <= 8; ++id) accounts.push_back(account(static_cast<Uint128>(id)));
  return payload<Account>({}, {accounts});
}

// Transfers between eight accounts: chains, pendings with time-outs, posts and voids, some that fail.
inline Buffer draw_transfers(SeededRandom& random, Uint128& next_id) {
  std::vector<std::vector<Transfer>> batches(1 + random.below(3));
  for (std::vector<Transfer>& batch : batches)
    for (uint64_t i = random.below(5); i > 0; --i) {
      Transfer t = transfer(++next_id, random.below(50));
      t.debit_account_id = 1 + random.below(9);
      t.credit_account_id = 1 + random.below(9);
      if (random.one_in(3)) {
        t.flags = transfer_flags::kPending;
        t.timeout = static_cast<uint32_t>(random.below(3));
      } else if (random.one_in(2)) {
        t = Transfer{};
        t.id = next_id;
        t.pending_id = 1 + random.below(static_cast<uint64_t>(next_id));
        t.flags = random.one_in(2) ? transfer_flags::kPost : transfer_flags::kVoid;
        t.amount = t.flags == transfer_flags::kPost ? kUint128Max : 0;
      }
      if (random.one_in(5)) t.flags |= transfer_flags::kLinked;
      batch.push_back(t);
    }
  return payload<Transfer>({}, batches);
}

template <class Row>
Row row_at(const Reply& reply, size_t offset) {
  Row row{};
  EXPECT_LE(offset + sizeof row, reply.payload.size());
  std::memcpy(&row, reply.payload.data() + offset, sizeof row);
  return row;
}

}  // namespace heptane::fintech::test
