// Accounts, transfers and assets as JSON. Numbers of more than 53 bits (ids, user data, timestamps, amounts) are texts of
// decimal digits; on the way in, integers will do as well. Amounts: `amount` with the decimals of the ledger's asset,
// `amount_raw` in its smallest units. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "modules/fintech/machine/ledger/api.h"
#include "modules/fintech/machine/ledger/assets.h"

namespace heptane::fintech::ledger_http {

// The assets as a query gave them.
class AssetTable {
 public:
  AssetTable() = default;
  explicit AssetTable(std::vector<Asset> assets) : assets_(std::move(assets)) {}

  const Asset* of(uint32_t ledger) const;
  const Asset* named(std::string_view code) const;
  const std::vector<Asset>& all() const { return assets_; }

 private:
  std::vector<Asset> assets_;
};

struct FlagName {
  uint16_t flag;
  std::string_view name;
};
std::vector<FlagName> account_flag_names();
std::vector<FlagName> transfer_flag_names();

// A number member; absent: `otherwise`. What is wrong is the fields' failure.
Uint128 number_or(http::JsonFields& fields, std::string_view name, Uint128 otherwise, Uint128 max = kUint128Max);
Uint128 number(http::JsonFields& fields, std::string_view name);  // required

Result<Account> parse_account(http::JsonValue value, const std::string& path, const AssetTable& assets);
// With `assets`, the amount is units, but where what resolves does not say its ledger; without, it may be a decimal number
// that the machine will scale.
Result<ScaledTransfer> parse_transfer(http::JsonValue value, const std::string& path, const AssetTable* assets);
// Its amount as one of `ledger`; `path` is for the error.
Result<Transfer> in_units(const ScaledTransfer& sent, uint32_t ledger, const AssetTable& assets,
                          const std::string& path);

// One of the two, which are literals: `amount`, a decimal number, or `amount_raw`. False: neither is there.
bool parse_amount(http::JsonFields& fields, std::string_view name, std::string_view raw_name, Decimal& amount);

void write(http::JsonWriter& out, const Asset& asset);
void write(http::JsonWriter& out, const Account& account, const AssetTable& assets);
void write(http::JsonWriter& out, const Transfer& transfer, const AssetTable& assets);
// NAME and NAME_raw.
void write_amount(http::JsonWriter& out, std::string_view name, Uint128 amount, const Asset* asset);

}  // namespace heptane::fintech::ledger_http
