#include "modules/fintech/gateway/http/exchange_json.h"

#include <algorithm>
#include <limits>

#include "modules/fintech/domain/ledger/amount.h"
#include "modules/fintech/machine/exchange/notes.h"

namespace heptane::fintech::exchange_http {

namespace {

using exchange::Said;
using http::JsonDocument;
using http::JsonFields;
using http::JsonType;
using http::JsonValue;
using http::JsonWriter;

constexpr int64_t kNsPerMs = 1'000'000;
constexpr uint32_t kPpmDefault = 100'000;
constexpr uint32_t kOrdersDefault = 65'536;
constexpr std::string_view kTakenNames[] = {"market", "everybody"};

// ---- reading

std::optional<Said> said_of(const JsonValue& value) {
  const bool number = value.type() == JsonType::integer || value.type() == JsonType::real;
  const std::string_view text = number ? value.raw() : value.text();
  const bool negative = text.starts_with('-');
  const std::optional<Decimal> decimal = parse_decimal(negative ? text.substr(1) : text);
  if (!decimal || decimal->digits > static_cast<Uint128>(std::numeric_limits<int64_t>::max())) return std::nullopt;
  const auto digits = static_cast<int64_t>(decimal->digits);
  return Said{negative ? -digits : digits, decimal->decimals};
}

std::optional<Said> said_or_none(JsonFields& fields, std::string_view name) {
  const std::optional<JsonValue> value = fields.value(name);
  if (!value) return std::nullopt;
  const std::optional<Said> said = said_of(*value);
  if (!said) fields.fail(fields.path_of(name) + " must be a decimal number such as \"12.50\"");
  return said;
}

}  // namespace

Said said(JsonFields& fields, std::string_view name) {
  if (!fields.value(name)) fields.fail(fields.path_of(name) + " is missing");
  return said_or_none(fields, name).value_or(Said());
}

namespace {

// In whole units of the scale.
int64_t units_or(JsonFields& fields, std::string_view name, uint8_t scale, int64_t otherwise) {
  const std::optional<Said> number = said_or_none(fields, name);
  if (!number) return otherwise;
  const std::optional<int64_t> units = exchange::at_scale(*number, scale);
  if (!units)
    fields.fail(fields.path_of(name) + " has more than " + std::to_string(scale) + " decimals, or is too large");
  return units.value_or(otherwise);
}

int64_t units(JsonFields& fields, std::string_view name, uint8_t scale) {
  if (!fields.value(name)) fields.fail(fields.path_of(name) + " is missing");
  return units_or(fields, name, scale, 0);
}

uint64_t unsigned_units(JsonFields& fields, std::string_view name, uint8_t scale, std::optional<uint64_t> otherwise) {
  const int64_t number =
      otherwise ? units_or(fields, name, scale, static_cast<int64_t>(*otherwise)) : units(fields, name, scale);
  if (number < 0) fields.fail(fields.path_of(name) + " must not be negative");
  return static_cast<uint64_t>(std::max<int64_t>(number, 0));
}

template <class E>
E enum_or(JsonFields& fields, std::string_view name, std::string_view otherwise, std::string_view (*name_of)(E)) {
  return enum_of<E>(fields, name, fields.text_or(name, otherwise), name_of);
}

const Asset* asset_of(JsonFields& fields, std::string_view name, const AssetTable& assets) {
  const std::string_view code = fields.text(name);
  const Asset* asset = assets.named(code);
  if (asset == nullptr)
    fields.fail(fields.path_of(name) + ": there is no asset " + std::string(code.substr(0, kAssetCodeMax)) +
                ": POST /api/v1/ledger/assets");
  return asset;
}

// `tick`, or `ticks` where the tick depends on the price.
void read_ticks(JsonFields& fields, exchange::Instrument& i) {
  const std::optional<JsonValue> list = fields.array("ticks");
  const std::optional<Said> one = said_or_none(fields, "tick");
  if (list.has_value() == one.has_value()) return fields.fail("one of tick and ticks is needed");
  if (one) i.steps = {{0, exchange::at_scale(*one, i.price_scale).value_or(0)}};
  if (!list) return;
  for (std::optional<JsonValue> item = list->first(); item; item = item->next()) {
    JsonFields step(*item, fields.path_of("ticks"));
    const int64_t from = units(step, "from", i.price_scale);
    i.steps.push_back({from, units(step, "tick", i.price_scale)});
    if (const Result<void> read = step.finish(); !read) fields.fail(read.error().message);
  }
}

void read_fees(JsonFields& fields, exchange::InstrumentSpec& spec, const Asset* quote) {
  const std::optional<JsonValue> list = fields.array("fees");
  if (!list) spec.fees = {{}};
  for (std::optional<JsonValue> item = list ? list->first() : std::nullopt; item; item = item->next()) {
    JsonFields fee(*item, fields.path_of("fees"));
    constexpr int64_t kMost = exchange::kFeePpmMax;
    const auto maker = static_cast<int32_t>(fee.integer_or("maker_ppm", 0, -kMost, kMost));
    const auto taker = static_cast<int32_t>(fee.integer_or("taker_ppm", 0, 0, kMost));
    const uint64_t minimum = unsigned_units(fee, "minimum", quote == nullptr ? 0 : quote->scale, 0);
    spec.fees.push_back({maker, taker, minimum});
    if (const Result<void> read = fee.finish(); !read) fields.fail(read.error().message);
  }
}

uint8_t scale_of(JsonFields& fields, std::string_view name) {
  return static_cast<uint8_t>(fields.integer(name, 0, exchange::kDecimalsMax));
}

}  // namespace

bool flag_or(JsonFields& fields, std::string_view name, bool otherwise) {
  const std::optional<JsonValue> value = fields.value(name);
  if (!value) return otherwise;
  if (value->type() != JsonType::boolean) fields.fail(fields.path_of(name) + " must be true or false");
  return value->boolean();
}

Result<exchange::InstrumentSpec> instrument_of_json(std::string body, const AssetTable& assets) {
  return object_of<exchange::InstrumentSpec>(std::move(body), [&](JsonFields& fields, exchange::InstrumentSpec& spec) {
    exchange::Instrument& i = spec.instrument;
    i.symbol = fields.text("symbol");
    const Asset* base = asset_of(fields, "base", assets);
    const Asset* quote = asset_of(fields, "quote", assets);
    i.base_asset = base == nullptr ? 0 : base->ledger;
    i.quote_asset = quote == nullptr ? 0 : quote->ledger;
    i.price_scale = scale_of(fields, "price_scale");
    i.quantity_scale = scale_of(fields, "quantity_scale");
    read_ticks(fields, i);
    const int64_t tick = i.steps.empty() ? 1 : i.steps.front().tick;
    i.lot = unsigned_units(fields, "lot", i.quantity_scale, std::nullopt);
    i.quantity_min = unsigned_units(fields, "quantity_min", i.quantity_scale, i.lot);
    i.quantity_max = unsigned_units(fields, "quantity_max", i.quantity_scale, std::nullopt);
    i.price_min = units_or(fields, "price_min", i.price_scale, tick);
    i.price_max = units(fields, "price_max", i.price_scale);
    i.notional_min = unsigned_units(fields, "notional_min", quote == nullptr ? 0 : quote->scale, 0);
    i.collar_ppm = static_cast<uint32_t>(fields.integer_or("collar_ppm", kPpmDefault, 1, exchange::kMillion));
    i.call_band_ppm = static_cast<uint32_t>(fields.integer_or("call_band_ppm", kPpmDefault, 1, exchange::kMillion));
    read_fees(fields, spec, quote);
    spec.orders_max =
        static_cast<uint32_t>(fields.integer_or("orders_max", kOrdersDefault, 1, exchange::kBookOrdersMax));
    if (fields.value("reference")) spec.reference = units(fields, "reference", i.price_scale);
  });
}

Result<exchange::FirmSpec> firm_of_json(std::string body) {
  return object_of<exchange::FirmSpec>(std::move(body), [](JsonFields& fields, exchange::FirmSpec& firm) {
    firm.name = fields.text("name");
    // Rights name firms and these beside them.
    for (const std::string_view taken : kTakenNames)
      if (firm.name == taken) fields.fail("name: this one stands for something else in rights");
  });
}

Result<exchange::AccountSpec> account_of_json(std::string body, std::string firm) {
  return object_of<exchange::AccountSpec>(std::move(body), [&](JsonFields& fields, exchange::AccountSpec& account) {
    account.firm = std::move(firm);
    account.name = fields.text("name");
    account.fee_class = static_cast<uint8_t>(fields.integer_or("fee_class", 0, 0, exchange::kFeeClassesMax - 1));
  });
}

// In smallest units of the instrument's scales, as the rules of the risk side are kept.
Result<exchange::LimitsSpec> limits_of_json(std::string body) {
  return object_of<exchange::LimitsSpec>(std::move(body), [](JsonFields& fields, exchange::LimitsSpec& spec) {
    spec.firm = fields.text("firm");
    spec.account = fields.text_or("account", "");
    spec.whose = spec.account.empty() ? exchange::Whose::firm : exchange::Whose::account;
    spec.symbol = fields.text("symbol");
    exchange::Limits& limits = spec.limits;
    limits.order_quantity_max =
        static_cast<uint64_t>(ledger_http::number_or(fields, "order_quantity_max_raw", 0, UINT64_MAX));
    limits.order_notional_max = ledger_http::number_or(fields, "order_notional_max_raw", 0);
    limits.long_max = ledger_http::number_or(fields, "long_max_raw", 0);
    limits.short_max = ledger_http::number_or(fields, "short_max_raw", 0);
    limits.orders_per_second = static_cast<uint32_t>(fields.integer_or("orders_per_second", 0, 0, 1'000'000));
    limits.orders_at_once = static_cast<uint32_t>(fields.integer_or("orders_at_once", 1, 1, 1'000'000));
  });
}

Result<exchange::CashMove> cash_of_json(std::string body, const AssetTable& assets) {
  return object_of<exchange::CashMove>(std::move(body), [&](JsonFields& fields, exchange::CashMove& move) {
    move.firm = fields.text("firm");
    move.account = fields.text("account");
    read_amount(fields, assets, move);
  });
}

void read_amount(JsonFields& fields, const AssetTable& assets, exchange::CashMove& move) {
  const Asset* asset = asset_of(fields, "asset", assets);
  move.asset = asset == nullptr ? 0 : asset->ledger;
  Decimal amount;
  if (!ledger_http::parse_amount(fields, "amount", "amount_raw", amount)) fields.fail("amount is missing");
  move.digits = amount.digits;
  const bool raw = amount.decimals == ScaledTransfer::kRaw;
  move.decimals = raw && asset != nullptr ? asset->scale : amount.decimals;
}

Result<exchange::PhaseChange> phase_of_json(std::string body, std::string symbol) {
  return object_of<exchange::PhaseChange>(std::move(body), [&](JsonFields& fields, exchange::PhaseChange& change) {
    change.symbol = std::move(symbol);
    change.phase = enum_of<book::Phase>(fields, "phase", fields.text("phase"), exchange::phase_name);
    change.uncross = flag_or(fields, "uncross", false);
  });
}

Result<exchange::SwitchChange> switch_of_json(std::string body) {
  return object_of<exchange::SwitchChange>(std::move(body), [](JsonFields& fields, exchange::SwitchChange& change) {
    change.whose = enum_of<exchange::Whose>(fields, "whose", fields.text("whose"), exchange::whose_name);
    change.firm = fields.text_or("firm", "");
    change.account = fields.text_or("account", "");
    change.symbol = fields.text_or("symbol", "");
    change.lift = flag_or(fields, "lift", false);
    change.reason = fields.text("reason");
  });
}

Result<exchange::NewOrder> order_of_json(std::string body, std::string firm) {
  return object_of<exchange::NewOrder>(std::move(body), [&](JsonFields& fields, exchange::NewOrder& order) {
    order.firm = std::move(firm);
    order.account = fields.text("account");
    order.client_id = fields.text("cl_ord_id");
    order.symbol = fields.text("symbol");
    order.side = enum_of<book::Side>(fields, "side", fields.text("side"), exchange::side_name);
    order.type = enum_or<book::OrderType>(fields, "type", "limit", exchange::type_name);
    const bool market = order.type == book::OrderType::market;
    order.tif = enum_or<book::TimeInForce>(fields, "time_in_force", market ? "ioc" : "day", exchange::tif_name);
    order.self_trade = enum_or<book::SelfTrade>(fields, "self_trade", "cancel_newest", exchange::self_trade_name);
    order.post_only = flag_or(fields, "post_only", false);
    order.quantity = said(fields, "quantity");
    const bool has_price = order.type == book::OrderType::limit || order.type == book::OrderType::stop_limit;
    const bool has_stop = order.type == book::OrderType::stop || order.type == book::OrderType::stop_limit;
    if (has_price) order.price = said(fields, "price");
    if (has_stop) order.stop_price = said(fields, "stop_price");
    order.display = said_or_none(fields, "display").value_or(Said());
    order.minimum = said_or_none(fields, "minimum_quantity").value_or(Said());
    order.expires_at = fields.integer_or("expires_ms", 0, 0, std::numeric_limits<int64_t>::max() / kNsPerMs) * kNsPerMs;
  });
}

Result<exchange::ReplaceOrder> replace_of_json(std::string body, std::string firm, uint64_t order_id) {
  return object_of<exchange::ReplaceOrder>(std::move(body), [&](JsonFields& fields, exchange::ReplaceOrder& change) {
    change.firm = std::move(firm);
    change.order_id = order_id;
    change.client_id = fields.text("cl_ord_id");
    change.original_id = fields.text_or("orig_cl_ord_id", "");
    change.quantity = said(fields, "quantity");
    change.display = said_or_none(fields, "display");
    change.price = said_or_none(fields, "price");
    change.stop_price = said_or_none(fields, "stop_price");
  });
}

Result<exchange::MassCancelOrders> mass_cancel_of_json(std::string body, std::string firm) {
  return object_of<exchange::MassCancelOrders>(
      std::move(body), [&](JsonFields& fields, exchange::MassCancelOrders& cancel) {
        cancel.firm = std::move(firm);
        cancel.account = fields.text_or("account", "");
        cancel.symbol = fields.text_or("symbol", "");
        if (fields.value("side"))
          cancel.side = enum_of<book::Side>(fields, "side", fields.text("side"), exchange::side_name);
      });
}

// ---- writing

std::string signed_amount(exchange::Int128 value, uint8_t scale) {
  if (value >= 0) return amount_text(static_cast<Uint128>(value), scale);
  return "-" + amount_text(-static_cast<Uint128>(value), scale);
}

namespace {

void write_block(JsonWriter& out, const exchange::Block& block) {
  if (!block.on) return;
  out.key("killed").begin_object().key("reason").text(block.reason).key("by").unsigned_number(block.by);
  out.key("since_ms").number(block.since / kNsPerMs).end_object();
}

void write_code(JsonWriter& out, std::string_view name, uint32_t ledger, const AssetTable& assets) {
  const Asset* asset = assets.of(ledger);
  out.key(name).text(asset == nullptr ? std::to_string(ledger) : asset->code);
}

void write_fees(JsonWriter& out, const exchange::InstrumentSpec& spec) {
  out.key("fees").begin_array();
  for (const exchange::FeeRates& fee : spec.fees) {
    out.begin_object().key("maker_ppm").number(fee.maker_ppm).key("taker_ppm").number(fee.taker_ppm);
    out.key("minimum").text(amount_text(fee.minimum, spec.instrument.quote_scale)).end_object();
  }
  out.end_array();
}

void write_levels(JsonWriter& out, std::string_view name, const std::vector<exchange::DepthLevel>& levels,
                  const exchange::Instrument& i) {
  out.key(name).begin_array();
  for (const exchange::DepthLevel& level : levels) {
    out.begin_object().key("price").text(exchange::price_text(level.price, i.price_scale));
    out.key("quantity").text(amount_text(level.quantity, i.quantity_scale));
    out.key("orders").unsigned_number(level.orders).end_object();
  }
  out.end_array();
}

}  // namespace

void write(JsonWriter& out, const exchange::InstrumentRow& row, const AssetTable& assets) {
  const exchange::Instrument& i = row.spec.instrument;
  const auto price = [&](std::string_view name, int64_t value) {
    out.key(name).text(exchange::price_text(value, i.price_scale));
  };
  const auto quantity = [&](std::string_view name, uint64_t value) {
    out.key(name).text(amount_text(value, i.quantity_scale));
  };
  out.begin_object().key("symbol").text(i.symbol);
  write_code(out, "base", i.base_asset, assets);
  write_code(out, "quote", i.quote_asset, assets);
  out.key("phase").text(exchange::phase_name(row.phase)).key("working").boolean(row.working);
  write_block(out, row.block);
  out.key("price_scale").unsigned_number(i.price_scale).key("quantity_scale").unsigned_number(i.quantity_scale);
  out.key("ticks").begin_array();
  for (const exchange::PriceStep& step : i.steps) {
    out.begin_object();
    price("from", step.from);
    price("tick", step.tick);
    out.end_object();
  }
  out.end_array();
  quantity("lot", i.lot);
  quantity("quantity_min", i.quantity_min);
  quantity("quantity_max", i.quantity_max);
  price("price_min", i.price_min);
  price("price_max", i.price_max);
  out.key("notional_min").text(amount_text(i.notional_min, i.quote_scale));
  out.key("collar_ppm").unsigned_number(i.collar_ppm).key("call_band_ppm").unsigned_number(i.call_band_ppm);
  write_fees(out, row.spec);
  out.key("orders_max").unsigned_number(row.spec.orders_max).key("orders").unsigned_number(row.orders);
  if (row.spec.reference) price("reference", *row.spec.reference);
  if (row.last_price) price("last_price", *row.last_price);
  out.end_object();
}

void write(JsonWriter& out, const exchange::FirmRow& row) {
  out.begin_object().key("name").text(row.name);
  write_block(out, row.block);
  out.end_object();
}

void write(JsonWriter& out, const exchange::AccountRow& row, const AssetTable& assets) {
  out.begin_object().key("name").text(row.name).key("fee_class").unsigned_number(row.fee_class);
  write_block(out, row.block);
  out.key("balances").begin_array();
  for (const exchange::Holding& holding : row.holdings) {
    const Asset* asset = assets.of(holding.asset);
    const uint8_t scale = asset == nullptr ? 0 : asset->scale;
    out.begin_object();
    write_code(out, "asset", holding.asset, assets);
    out.key("available").text(amount_text(holding.available, scale));
    out.key("held").text(amount_text(holding.held, scale)).end_object();
  }
  out.end_array().key("positions").begin_array();
  for (const exchange::Position& position : row.positions) {
    const uint8_t scale = position.quantity_scale;
    out.begin_object().key("symbol").text(position.symbol);
    out.key("position").text(signed_amount(position.exposure.position, scale));
    out.key("open_buys").text(amount_text(position.exposure.open_buys, scale));
    out.key("open_sells").text(amount_text(position.exposure.open_sells, scale)).end_object();
  }
  out.end_array().end_object();
}

void write_members(JsonWriter& out, const exchange::OrderRow& row) {
  const exchange::Order& order = row.order;
  const auto price = [&](std::string_view name, int64_t value) {
    out.key(name).text(exchange::price_text(value, row.price_scale));
  };
  const auto quantity = [&](std::string_view name, uint64_t value) {
    out.key(name).text(amount_text(value, row.quantity_scale));
  };
  out.key("order_id").text(std::to_string(order.id)).key("cl_ord_id").text(order.client_id);
  out.key("firm").text(row.firm).key("account").text(row.account).key("symbol").text(row.symbol);
  out.key("side").text(exchange::side_name(order.funds.side)).key("type").text(exchange::type_name(order.type));
  out.key("time_in_force").text(exchange::tif_name(order.tif));
  out.key("status").text(exchange::status_name(order.status));
  price("price", order.funds.price);
  if (order.stop_price != 0) {
    price("stop_price", order.stop_price);
    out.key("triggered").boolean(order.triggered);
  }
  quantity("quantity", order.quantity);
  quantity("filled", order.filled);
  quantity("leaves", order.funds.leaves);
  if (order.display != 0) quantity("display", order.display);
  out.key("average_price").text(exchange::average_text(order, row.price_scale));
  out.key("held").text(amount_text(row.held, row.held_scale));
  out.key("entered_ms").number(order.entered / kNsPerMs);
  if (order.expires_at != 0) out.key("expires_ms").number(order.expires_at / kNsPerMs);
}

void write(JsonWriter& out, const exchange::DepthRow& row) {
  const exchange::Instrument& i = row.instrument.spec.instrument;
  out.begin_object().key("symbol").text(i.symbol).key("sequence").unsigned_number(row.sequence);
  out.key("phase").text(exchange::phase_name(row.instrument.phase));
  if (row.instrument.last_price)
    out.key("last_price").text(exchange::price_text(*row.instrument.last_price, i.price_scale));
  write_levels(out, "bids", row.bids, i);
  write_levels(out, "asks", row.asks, i);
  if (row.crosses) {
    out.key("call").begin_object().key("price").text(exchange::price_text(row.call_price, i.price_scale));
    out.key("volume").text(amount_text(row.call_volume, i.quantity_scale));
    out.key("surplus").text(amount_text(row.call_surplus, i.quantity_scale));
    out.key("surplus_side").text(exchange::side_name(row.surplus_side)).end_object();
  }
  out.end_object();
}

void write(JsonWriter& out, const exchange::StateRow& row) {
  out.begin_object();
  write_block(out, row.block);
  out.key("open_orders").unsigned_number(row.open_orders).key("trades").unsigned_number(row.trades);
  out.key("mass_cancels").unsigned_number(row.sweeps).end_object();
}

}  // namespace heptane::fintech::exchange_http
