// What the exchange's routes take and give, as JSON Schema 2020-12.
#pragma once

#include <string_view>

namespace heptane::fintech::exchange_http {

inline constexpr std::string_view kNewInstrument =
    R"({"type":"object","additionalProperties":false,"required":["symbol","base","quote","price_scale","quantity_scale",)"
    R"("lot","quantity_max","price_max"],"properties":{"symbol":{"type":"string","pattern":"^[A-Za-z0-9._/-]{1,32}$"},)"
    R"("base":{"type":"string"},"quote":{"type":"string"},"price_scale":{"type":"integer","minimum":0,"maximum":18},)"
    R"("quantity_scale":{"type":"integer","minimum":0,"maximum":18},"tick":{"type":["string","number"]},"ticks":{)"
    R"("type":"array","maxItems":64,"items":{"type":"object","required":["from","tick"],"properties":{"from":{)"
    R"("type":["string","number"]},"tick":{"type":["string","number"]}}}},"lot":{"type":["string","number"]},)"
    R"("quantity_min":{"type":["string","number"]},"quantity_max":{"type":["string","number"]},"price_min":{)"
    R"("type":["string","number"]},"price_max":{"type":["string","number"]},"notional_min":{"type":["string","number"]},)"
    R"("collar_ppm":{"type":"integer","minimum":1,"maximum":1000000,"default":100000},"call_band_ppm":{"type":"integer",)"
    R"("minimum":1,"maximum":1000000,"default":100000},"fees":{"type":"array","minItems":1,"maxItems":16,"items":{)"
    R"("type":"object","properties":{"maker_ppm":{"type":"integer","minimum":-1000000,"maximum":1000000},"taker_ppm":{)"
    R"("type":"integer","minimum":0,"maximum":1000000},"minimum":{"type":["string","number"]}}}},"orders_max":{)"
    R"("type":"integer","minimum":1,"maximum":4194304,"default":65536},"reference":{"type":["string","number"]}}})";

inline constexpr std::string_view kInstrument =
    R"({"type":"object","required":["symbol","base","quote","phase","working","ticks","lot","fees","orders"],)"
    R"("properties":{"symbol":{"type":"string"},"phase":{"type":"string","enum":["closed","opening_call","continuous",)"
    R"("auction_call","closing_call","halted"]},"working":{"type":"boolean"},"orders":{"type":"integer"},)"
    R"("last_price":{"type":"string"}}})";

inline constexpr std::string_view kDone =
    R"({"type":"object","properties":{"position":{"$ref":"#/components/schemas/Position"},"repeated":{)"
    R"("type":"boolean"}}})";

inline constexpr std::string_view kNewNamed =
    R"({"type":"object","required":["name"],"additionalProperties":false,"properties":{"name":{"type":"string",)"
    R"("pattern":"^[A-Za-z0-9._-]{1,32}$"}}})";
inline constexpr std::string_view kNewAccount =
    R"({"type":"object","required":["name"],"additionalProperties":false,"properties":{"name":{"type":"string",)"
    R"("pattern":"^[A-Za-z0-9._-]{1,32}$"},"fee_class":{"type":"integer","minimum":0,"maximum":15,"default":0}}})";
inline constexpr std::string_view kAccount =
    R"({"type":"object","required":["name","fee_class","balances","positions"],"properties":{"name":{"type":"string"},)"
    R"("fee_class":{"type":"integer"},"balances":{"type":"array","items":{"type":"object","required":["asset",)"
    R"("available","held"]}},"positions":{"type":"array","items":{"type":"object","required":["symbol","position",)"
    R"("open_buys","open_sells"]}}}})";

inline constexpr std::string_view kCash =
    R"({"type":"object","required":["firm","account","asset"],"additionalProperties":false,"properties":{"firm":{)"
    R"("type":"string"},"account":{"type":"string"},"asset":{"type":"string"},"amount":{"type":"string"},"amount_raw":{)"
    R"("type":["string","integer"]}}})";
inline constexpr std::string_view kLimits =
    R"({"type":"object","required":["firm","symbol"],"additionalProperties":false,"properties":{"firm":{"type":"string"},)"
    R"("account":{"type":"string"},"symbol":{"type":"string"},"order_quantity_max_raw":{"type":["string","integer"]},)"
    R"("order_notional_max_raw":{"type":["string","integer"]},"long_max_raw":{"type":["string","integer"]},)"
    R"("short_max_raw":{"type":["string","integer"]},"orders_per_second":{"type":"integer","minimum":0},)"
    R"("orders_at_once":{"type":"integer","minimum":1}}})";
inline constexpr std::string_view kPhase =
    R"({"type":"object","required":["phase"],"additionalProperties":false,"properties":{"phase":{"type":"string",)"
    R"("enum":["closed","opening_call","continuous","auction_call","closing_call","halted"]},"uncross":{)"
    R"("type":"boolean","default":false}}})";
inline constexpr std::string_view kSwitch =
    R"({"type":"object","required":["whose","reason"],"additionalProperties":false,"properties":{"whose":{)"
    R"("type":"string","enum":["everybody","firm","account","instrument"]},"firm":{"type":"string"},"account":{)"
    R"("type":"string"},"symbol":{"type":"string"},"lift":{"type":"boolean","default":false},"reason":{"type":"string",)"
    R"("minLength":1,"maxLength":256}}})";

inline constexpr std::string_view kNewOrder =
    R"({"type":"object","required":["account","cl_ord_id","symbol","side","quantity"],"additionalProperties":false,)"
    R"("properties":{"account":{"type":"string"},"cl_ord_id":{"type":"string","minLength":1,"maxLength":64},"symbol":{)"
    R"("type":"string"},"side":{"type":"string","enum":["buy","sell"]},"type":{"type":"string","enum":["limit","market",)"
    R"("stop","stop_limit"],"default":"limit"},"time_in_force":{"type":"string","enum":["day","gtc","gtd","ioc","fok",)"
    R"("at_open","at_close"]},"self_trade":{"type":"string","enum":["allow","cancel_newest","cancel_oldest",)"
    R"("cancel_both"],"default":"cancel_newest"},"post_only":{"type":"boolean"},"quantity":{"type":["string","number"]},)"
    R"("price":{"type":["string","number"]},"stop_price":{"type":["string","number"]},"display":{"type":["string",)"
    R"("number"]},"minimum_quantity":{"type":["string","number"]},"expires_ms":{"type":"integer","minimum":0}}})";
inline constexpr std::string_view kReplace =
    R"({"type":"object","required":["cl_ord_id","quantity"],"additionalProperties":false,"properties":{"cl_ord_id":{)"
    R"("type":"string"},"orig_cl_ord_id":{"type":"string"},"quantity":{"type":["string","number"]},"display":{)"
    R"("type":["string","number"]},"price":{"type":["string","number"]},"stop_price":{"type":["string","number"]}}})";
inline constexpr std::string_view kMassCancel =
    R"({"type":"object","additionalProperties":false,"properties":{"account":{"type":"string"},"symbol":{"type":"string"},)"
    R"("side":{"type":"string","enum":["buy","sell"]}}})";

inline constexpr std::string_view kOrder =
    R"({"type":"object","required":["order_id"],"properties":{"order_id":{"type":"string"},"cl_ord_id":{"type":"string"},)"
    R"("status":{"type":"string","enum":["open","filled","cancelled","expired","done","in_review"]},"quantity":{"type":"string"},)"
    R"("filled":{"type":"string"},"leaves":{"type":"string"},"average_price":{"type":"string"},"held":{"type":"string"},)"
    R"("position":{"$ref":"#/components/schemas/Position"},"repeated":{"type":"boolean"}}})";
inline constexpr std::string_view kOrders =
    R"({"type":"object","required":["orders"],"additionalProperties":false,"properties":{"orders":{"type":"array",)"
    R"("items":{"type":"object","required":["order_id","cl_ord_id","status"]}},"next":{"type":"string"}}})";
inline constexpr std::string_view kBook =
    R"({"type":"object","required":["symbol","sequence","phase","bids","asks"],"properties":{"symbol":{"type":"string"},"sequence":{)"
    R"("type":"integer"},"bids":{)"
    R"("type":"array"},"asks":{"type":"array"},"call":{"type":"object"}}})";
inline constexpr std::string_view kInstruments =
    R"({"type":"object","required":["instruments"],"properties":{"instruments":{"type":"array"},"next":{"type":"string"}}})";
inline constexpr std::string_view kFirms =
    R"({"type":"object","required":["firms"],"properties":{"firms":{"type":"array"},"next":{"type":"string"}}})";
inline constexpr std::string_view kAccounts =
    R"({"type":"object","required":["accounts"],"properties":{"accounts":{"type":"array"},"next":{"type":"string"}}})";
inline constexpr std::string_view kState =
    R"({"type":"object","required":["open_orders","trades","mass_cancels"],"properties":{"killed":{"type":"object"},)"
    R"("open_orders":{"type":"integer"},"trades":{"type":"integer"},"mass_cancels":{"type":"integer"}}})";

}  // namespace heptane::fintech::exchange_http
