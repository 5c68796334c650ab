#include "modules/fintech/gateway/http/ledger_json.h"

#include <algorithm>

#include "modules/fintech/domain/ledger/access.h"

namespace heptane::fintech::ledger_http {

namespace {

using http::JsonFields;
using http::JsonType;
using http::JsonValue;
using http::JsonWriter;

uint16_t parse_flags(JsonFields& fields, const std::vector<FlagName>& names) {
  uint16_t flags = 0;
  const std::optional<JsonValue> list = fields.array("flags");
  for (std::optional<JsonValue> item = list ? list->first() : std::nullopt; item; item = item->next()) {
    const auto found =
        std::find_if(names.begin(), names.end(), [&](const FlagName& name) { return name.name == item->text(); });
    if (item->type() == JsonType::text && found != names.end()) {
      flags |= found->flag;
      continue;
    }
    std::string known;
    for (const FlagName& name : names) known += (known.empty() ? "" : ", ") + std::string(name.name);
    fields.fail(fields.path_of("flags") + " may hold " + known);
  }
  return flags;
}

void write_flags(JsonWriter& out, uint16_t flags, const std::vector<FlagName>& names) {
  out.key("flags").begin_array();
  for (const FlagName& name : names)
    if ((flags & name.flag) != 0) out.text(name.name);
  out.end_array();
}

// `ledger`, or `asset` in its place; 0 when neither is there.
uint32_t parse_ledger(JsonFields& fields, const AssetTable* assets) {
  const auto ledger = static_cast<uint32_t>(fields.integer_or("ledger", 0, 0, UINT32_MAX));
  const std::string_view code = fields.text_or("asset", "");
  if (code.empty()) return ledger;
  if (assets == nullptr) {
    fields.fail(fields.path_of("asset") + " is not known here: say its ledger");
    return 0;
  }
  const Asset* asset = assets->named(code);
  if (asset == nullptr)
    fields.fail(fields.path_of("asset") + ": there is no asset " + std::string(code.substr(0, kAssetCodeMax)));
  else if (ledger != 0 && ledger != asset->ledger)
    fields.fail(fields.path_of("asset") + ": " + asset->code + " is ledger " + std::to_string(asset->ledger));
  return asset == nullptr ? 0 : asset->ledger;
}

template <class Row>
void parse_user_data(JsonFields& fields, Row& row) {
  row.user_data_128 = number_or(fields, "user_data_128", 0);
  row.user_data_64 = static_cast<uint64_t>(number_or(fields, "user_data_64", 0, UINT64_MAX));
  row.user_data_32 = static_cast<uint32_t>(number_or(fields, "user_data_32", 0, UINT32_MAX));
  row.timestamp = static_cast<uint64_t>(number_or(fields, "timestamp", 0, UINT64_MAX));
}

template <class Row>
void write_user_data(JsonWriter& out, const Row& row) {
  out.key("user_data_128").text(number_text(row.user_data_128));
  out.key("user_data_64").text(number_text(row.user_data_64));
  out.key("user_data_32").unsigned_number(row.user_data_32);
  out.key("timestamp").text(number_text(row.timestamp));
}

void write_ledger(JsonWriter& out, uint32_t ledger, const Asset* asset) {
  out.key("ledger").unsigned_number(ledger);
  if (asset != nullptr) out.key("asset").text(asset->code);
}

}  // namespace

const Asset* AssetTable::of(uint32_t ledger) const {
  const auto found =
      std::find_if(assets_.begin(), assets_.end(), [&](const Asset& asset) { return asset.ledger == ledger; });
  return found == assets_.end() ? nullptr : &*found;
}

const Asset* AssetTable::named(std::string_view code) const {
  const auto found =
      std::find_if(assets_.begin(), assets_.end(), [&](const Asset& asset) { return asset.code == code; });
  return found == assets_.end() ? nullptr : &*found;
}

std::vector<FlagName> account_flag_names() {
  namespace f = account_flags;
  return {{f::kLinked, "linked"},
          {f::kDebitsMustNotExceedCredits, "debits_must_not_exceed_credits"},
          {f::kCreditsMustNotExceedDebits, "credits_must_not_exceed_debits"},
          {f::kHistory, "history"},
          {f::kImported, "imported"},
          {f::kClosed, "closed"}};
}

std::vector<FlagName> transfer_flag_names() {
  namespace f = transfer_flags;
  return {{f::kLinked, "linked"},
          {f::kPending, "pending"},
          {f::kPost, "post_pending_transfer"},
          {f::kVoid, "void_pending_transfer"},
          {f::kBalancingDebit, "balancing_debit"},
          {f::kBalancingCredit, "balancing_credit"},
          {f::kClosingDebit, "closing_debit"},
          {f::kClosingCredit, "closing_credit"},
          {f::kImported, "imported"}};
}

Uint128 number_or(JsonFields& fields, std::string_view name, Uint128 otherwise, Uint128 max) {
  const std::optional<JsonValue> value = fields.value(name);
  if (!value) return otherwise;
  std::optional<Uint128> number;
  if (value->type() == JsonType::text) number = parse_number(value->text());
  if (value->type() == JsonType::integer && value->integer() && *value->integer() >= 0)
    number = static_cast<Uint128>(*value->integer());
  if (number && *number <= max) return *number;
  fields.fail(fields.path_of(name) + " must be a whole number from 0 to " + number_text(max) +
              ", as digits or as text");
  return otherwise;
}

Uint128 number(JsonFields& fields, std::string_view name) {
  const std::optional<JsonValue> value = fields.value(name);
  if (!value) fields.fail(fields.path_of(name) + " is missing");
  return number_or(fields, name, 0);
}

Result<Account> parse_account(JsonValue value, const std::string& path, const AssetTable& assets) {
  JsonFields fields(value, path);
  Account account{};
  account.id = number(fields, "id");
  account.ledger = parse_ledger(fields, &assets);
  account.code = static_cast<uint16_t>(fields.integer_or("code", 0, 0, UINT16_MAX));
  account.flags = parse_flags(fields, account_flag_names());
  parse_user_data(fields, account);
  HEPTANE_TRY(fields.finish());
  return account;
}

bool parse_amount(JsonFields& fields, std::string_view name, std::string_view raw_name, Decimal& amount) {
  const std::optional<JsonValue> decimal = fields.value(name);
  if (!fields.value(raw_name)) {
    if (!decimal) return false;
    const std::optional<Decimal> parsed = parse_decimal(decimal->text());
    if (!parsed || decimal->type() != JsonType::text)
      fields.fail(fields.path_of(name) + " must be a text such as \"12.50\"");
    else
      amount = *parsed;
    return true;
  }
  if (decimal) fields.fail(fields.path_of(name) + " and " + std::string(raw_name) + " exclude each other");
  amount = {number_or(fields, raw_name, 0), ScaledTransfer::kRaw};
  return true;
}

Result<ScaledTransfer> parse_transfer(JsonValue value, const std::string& path, const AssetTable* assets) {
  JsonFields fields(value, path);
  ScaledTransfer scaled_transfer;
  Transfer& transfer = scaled_transfer.transfer;
  transfer.id = number(fields, "id");
  transfer.debit_account_id = number_or(fields, "debit_account_id", 0);
  transfer.credit_account_id = number_or(fields, "credit_account_id", 0);
  transfer.pending_id = number_or(fields, "pending_id", 0);
  transfer.ledger = parse_ledger(fields, assets);
  transfer.code = static_cast<uint16_t>(fields.integer_or("code", 0, 0, UINT16_MAX));
  transfer.timeout = static_cast<uint32_t>(fields.integer_or("timeout", 0, 0, UINT32_MAX));
  transfer.flags = parse_flags(fields, transfer_flag_names());
  parse_user_data(fields, transfer);
  Decimal amount{0, ScaledTransfer::kRaw};
  if (!parse_amount(fields, "amount", "amount_raw", amount)) {
    if (!transfer.resolves()) fields.fail(fields.path_of("amount") + " or amount_raw is missing");
    if (transfer.has(transfer_flags::kPost)) amount.digits = kUint128Max;  // all of it; of a void, 0 is all
  }
  const bool decimal = amount.decimals != ScaledTransfer::kRaw;
  if (decimal && transfer.ledger == 0 && (assets == nullptr || !transfer.resolves()))
    fields.fail(fields.path_of("amount") + (assets == nullptr ? " needs the ledger" : " needs an asset or a ledger") +
                " that it is of; amount_raw does not");
  HEPTANE_TRY(fields.finish());
  transfer.amount = amount.digits;
  scaled_transfer.decimals = amount.decimals;
  if (assets == nullptr || !decimal || transfer.ledger == 0) return scaled_transfer;
  const Result<Transfer> whole = in_units(scaled_transfer, transfer.ledger, *assets, path);
  if (!whole) return whole.error();
  return ScaledTransfer{*whole, ScaledTransfer::kRaw};
}

Result<Transfer> in_units(const ScaledTransfer& sent, uint32_t ledger, const AssetTable& assets,
                          const std::string& path) {
  Transfer transfer = sent.transfer;
  if (sent.decimals == ScaledTransfer::kRaw) return transfer;
  const Asset* asset = assets.of(ledger);
  if (asset == nullptr)
    return Error{Errc::invalid_argument,
                 path + ".amount: ledger " + std::to_string(ledger) + " has no asset: register it, or say amount_raw"};
  const std::optional<Uint128> units = scaled({transfer.amount, sent.decimals}, asset->scale);
  if (!units)
    return Error{Errc::invalid_argument, path + ".amount: an amount of " + asset->code + " has at most " +
                                             std::to_string(asset->scale) + " decimals"};
  transfer.amount = *units;
  return transfer;
}

void write_amount(JsonWriter& out, std::string_view name, Uint128 amount, const Asset* asset) {
  out.key(name).text(amount_text(amount, asset == nullptr ? 0 : asset->scale));
  out.key(std::string(name) + "_raw").text(number_text(amount));
}

void write(JsonWriter& out, const Asset& asset) {
  out.begin_object().key("code").text(asset.code).key("ledger").unsigned_number(asset.ledger);
  out.key("scale").unsigned_number(asset.scale).end_object();
}

void write(JsonWriter& out, const Account& account, const AssetTable& assets) {
  const Asset* asset = assets.of(account.ledger);
  out.begin_object().key("id").text(number_text(account.id));
  write_ledger(out, account.ledger, asset);
  out.key("code").unsigned_number(account.code);
  write_flags(out, account.flags, account_flag_names());
  write_amount(out, "debits_pending", account.debits_pending, asset);
  write_amount(out, "debits_posted", account.debits_posted, asset);
  write_amount(out, "credits_pending", account.credits_pending, asset);
  write_amount(out, "credits_posted", account.credits_posted, asset);
  write_user_data(out, account);
  if (const MachineId owner = owner_of(account)) out.key("owner").unsigned_number(owner);
  out.end_object();
}

void write(JsonWriter& out, const Transfer& transfer, const AssetTable& assets) {
  const Asset* asset = assets.of(transfer.ledger);
  out.begin_object().key("id").text(number_text(transfer.id));
  out.key("debit_account_id").text(number_text(transfer.debit_account_id));
  out.key("credit_account_id").text(number_text(transfer.credit_account_id));
  write_amount(out, "amount", transfer.amount, asset);
  if (transfer.pending_id != 0) out.key("pending_id").text(number_text(transfer.pending_id));
  if (transfer.timeout != 0) out.key("timeout").unsigned_number(transfer.timeout);
  write_ledger(out, transfer.ledger, asset);
  out.key("code").unsigned_number(transfer.code);
  write_flags(out, transfer.flags, transfer_flag_names());
  write_user_data(out, transfer);
  out.end_object();
}

}  // namespace heptane::fintech::ledger_http
