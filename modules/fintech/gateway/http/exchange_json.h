// The exchange's commands and rows as JSON. Prices, quantities and amounts are texts of decimal digits (a number will do on the way
// in); order numbers are texts. What is wrong is named with its path. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "modules/fintech/gateway/http/ledger_json.h"
#include "modules/fintech/machine/exchange/exchange_api.h"

namespace heptane::fintech::exchange_http {

using ledger_http::AssetTable;

// One of an enumeration by its name.
template <class E>
E enum_of(http::JsonFields& fields, std::string_view name, std::string_view text, std::string_view (*name_of)(E)) {
  std::string known;
  for (uint8_t number = 0; number <= exchange::kLast<E>; ++number) {
    const std::string_view one = name_of(static_cast<E>(number));
    if (one == text) return static_cast<E>(number);
    known += (known.empty() ? "" : ", ") + std::string(one);
  }
  fields.fail(fields.path_of(name) + " is one of " + known);
  return E{};
}

// Reads an object's members by `read`.
template <class T, class Read>
Result<T> object_of(std::string body, Read read) {
  auto document = http::JsonDocument::parse(std::move(body));
  if (!document) return document.error();
  http::JsonFields fields((*document)->root(), "");
  T value{};
  read(fields, value);
  HEPTANE_TRY(fields.finish());
  return value;
}

// A member that is true or false.
bool flag_or(http::JsonFields& fields, std::string_view name, bool otherwise);

// A decimal number that must be there.
exchange::Said said(http::JsonFields& fields, std::string_view name);
// Asset and amount.
void read_amount(http::JsonFields& fields, const AssetTable& assets, exchange::CashMove& move);

// Bodies of requests; `firm` and the like come from the path.
Result<exchange::InstrumentSpec> instrument_of_json(std::string body, const AssetTable& assets);
Result<exchange::FirmSpec> firm_of_json(std::string body);
Result<exchange::AccountSpec> account_of_json(std::string body, std::string firm);
Result<exchange::LimitsSpec> limits_of_json(std::string body);
Result<exchange::CashMove> cash_of_json(std::string body, const AssetTable& assets);
Result<exchange::PhaseChange> phase_of_json(std::string body, std::string symbol);
Result<exchange::SwitchChange> switch_of_json(std::string body);
Result<exchange::NewOrder> order_of_json(std::string body, std::string firm);
Result<exchange::ReplaceOrder> replace_of_json(std::string body, std::string firm, uint64_t order_id);
Result<exchange::MassCancelOrders> mass_cancel_of_json(std::string body, std::string firm);

// Below 0 with a sign.
std::string signed_amount(exchange::Int128 value, uint8_t scale);
void write(http::JsonWriter& out, const exchange::InstrumentRow& row, const AssetTable& assets);
void write(http::JsonWriter& out, const exchange::FirmRow& row);
void write(http::JsonWriter& out, const exchange::AccountRow& row, const AssetTable& assets);
// Its members alone, for answers that say more.
void write_members(http::JsonWriter& out, const exchange::OrderRow& row);
void write(http::JsonWriter& out, const exchange::DepthRow& row);
void write(http::JsonWriter& out, const exchange::StateRow& row);

}  // namespace heptane::fintech::exchange_http
