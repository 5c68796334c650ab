// JSON Schemas of what the ledger's routes take and give, for the OpenAPI document: every member, and no others.
#pragma once

#include <string_view>

namespace heptane::fintech::ledger_http {

std::string_view account_schema();
std::string_view transfer_schema();
// Lists under the route's name.
std::string_view accounts_schema();
std::string_view transfers_schema();
std::string_view balances_schema();
std::string_view statement_schema();
std::string_view totals_schema();
// Of requests that create.
std::string_view new_accounts_schema();
std::string_view new_transfers_schema();

}  // namespace heptane::fintech::ledger_http
