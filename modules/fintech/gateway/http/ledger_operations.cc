#include "modules/fintech/gateway/http/ledger_operations.h"

#include "modules/fintech/gateway/http/ledger_json.h"

namespace heptane::fintech::ledger_http {

namespace {

using http::JsonFields;
using http::JsonValue;

// One transfer, or an array of them that are a chain.
Result<admin::BuiltOperation> build_transfer(JsonValue value, const std::string& path) {
  std::vector<ScaledTransfer> transfers;
  const bool chain = value.type() == http::JsonType::array;
  for (std::optional<JsonValue> item = chain ? value.first() : value; item;
       item = chain ? item->next() : std::nullopt) {
    const std::string where = chain ? path + '[' + std::to_string(transfers.size()) + ']' : path;
    const Result<ScaledTransfer> transfer = parse_transfer(*item, where, nullptr);
    if (!transfer) return transfer.error();
    transfers.push_back(*transfer);
  }
  if (transfers.empty())
    return Error{Errc::invalid_argument, path + " must be a transfer, or an array of at least one"};
  return admin::BuiltOperation{kLedgerMachineId, kTransferAll, kNoPartition, encode(transfers)};
}

Result<admin::BuiltOperation> build_balance(JsonValue value, const std::string& path) {
  JsonFields fields(value, path);
  BalanceGuard guard;
  guard.account_id = number(fields, "account_id");
  const std::string_view side = fields.text_or("side", "credit");
  if (side != "credit" && side != "debit") fields.fail(fields.path_of("side") + " must be credit or debit");
  guard.debit_side = side == "debit";
  Decimal least{0, ScaledTransfer::kRaw};
  Decimal most{0, ScaledTransfer::kRaw};
  guard.has_least = parse_amount(fields, "at_least", "at_least_raw", least);
  guard.has_most = parse_amount(fields, "at_most", "at_most_raw", most);
  if (!guard.has_least && !guard.has_most) fields.fail(path + " needs at_least, at_most or both");
  HEPTANE_TRY(fields.finish());
  guard.least = least.digits;
  guard.least_decimals = least.decimals;
  guard.most = most.digits;
  guard.most_decimals = most.decimals;
  return admin::BuiltOperation{kLedgerMachineId, kGuardBalance, kNoPartition, encode(guard)};
}

http::Needs of(std::string resource, auth::Verb verb) { return {"ledger", std::move(resource), verb, false, false}; }

}  // namespace

void add_operations(admin::OperationTable& operations) {
  const admin::OptionalRight withdraw{of(std::string(kWithdrawResource), auth::Verb::create), kTransferAllWithdrawing,
                                      kTransferAllOutside, kDeniedDetail};
  operations.add("transfer",
                 {build_transfer, {"transfers", "timestamp"}, false, of("transfers", auth::Verb::create), withdraw});
  operations.add("balance", {build_balance, {}, true, of("accounts", auth::Verb::read), {}});
}

}  // namespace heptane::fintech::ledger_http
