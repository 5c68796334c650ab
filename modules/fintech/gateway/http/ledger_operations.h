// What a transaction over HTTP may hold of the ledger: the operation `transfer` (one, or a chain) and the guard `balance`.
#pragma once

#include "kernel/admin/operations.h"

namespace heptane::fintech::ledger_http {

void add_operations(admin::OperationTable& operations);

}  // namespace heptane::fintech::ledger_http
