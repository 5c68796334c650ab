// The ledger's queries in slices (kernel/shard/query_slices.h): all but those that memory answers at once. What transfers they
// show and which commit they name is of the moment of their first slice, what accounts of their last. The shard thread's.
#pragma once

#include <memory>

#include "kernel/shard/query_slices.h"
#include "modules/fintech/domain/ledger/scan.h"
#include "modules/fintech/machine/ledger/api.h"

namespace heptane::fintech {

struct OperationQuery {
  const Ledger& ledger;
  const OperationRow& row;
  const uint64_t& last_commit;  // the machine's
  Bytes body;                   // copied
  bool owners = false;          // accounts say whose they are
};

// Null: memory answers it at once. The body is well formed. `may_wait`: for the disk.
std::unique_ptr<QueryInSlices> make_operation_slices(const OperationQuery& query, bool may_wait);
// The account is there.
std::unique_ptr<QueryInSlices> make_statement_slices(const Ledger& ledger, const StatementQuery& query, bool may_wait);
std::unique_ptr<QueryInSlices> make_place_slices(const Ledger& ledger, Uint128 id, bool may_wait);

// In place of an answer, when what it was made of could not be read: nobody knows what it would have been. True: it was not.
bool refuse_if_unreadable(const Ledger& ledger, Reply& reply);

}  // namespace heptane::fintech
