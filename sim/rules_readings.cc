#include "sim/rules_readings.h"

#include <algorithm>
#include <charconv>

namespace heptane::sim {

namespace {

enum Kind : uint32_t { kZero = 0, kNoField = 1, kNoJson = 2, kAgain = 5, kKinds = 8 };

uint32_t kwh_of(uint32_t number) { return 1 + number * 7 % 23; }

std::string filled(uint32_t number) { return std::string(number * 31 % 120, 'x'); }

}  // namespace

SimReading reading_of(uint32_t meter, uint32_t number) {
  SimReading reading{meter, number, true, number, kwh_of(number)};
  switch (number % kKinds) {
    case kZero: reading.kwh = 0; break;
    case kNoField: reading.kwh.reset(); break;
    case kNoJson: reading.is_json = false; break;
    case kAgain:
      reading.seq = number - 1;
      reading.kwh = kwh_of(number - 1);
      break;
    default: break;
  }
  return reading;
}

std::string topic_of(const SimReading& reading) { return "meter/" + std::to_string(reading.meter) + "/reading"; }

std::string payload_of(const SimReading& reading) {
  const std::string number = std::to_string(reading.number);
  if (!reading.is_json) return "no reading \"n\":" + number;
  std::string text = "{\"n\":" + number + ",\"meter\":" + std::to_string(reading.meter);
  text += ",\"seq\":" + std::to_string(reading.seq);
  if (reading.kwh) text += ",\"kwh\":" + std::to_string(*reading.kwh);
  return text + ",\"more\":\"" + filled(reading.number) + "\"}";
}

std::optional<uint64_t> field_of(std::string_view row, std::string_view name) {
  const std::string key = '"' + std::string(name) + "\":";
  const size_t at = row.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(row.data() + at + key.size(), row.data() + row.size(), number);
  return error == std::errc() ? std::optional(number) : std::nullopt;
}

std::optional<SimReading> parse_reading(std::string_view topic, std::string_view payload) {
  const auto number = field_of(payload, "n");
  for (uint32_t meter = 0; number && meter < kMetersMax; ++meter) {
    SimReading reading = reading_of(meter, static_cast<uint32_t>(*number));
    if (topic == topic_of(reading) && payload == payload_of(reading)) return reading;
  }
  return std::nullopt;
}

std::string tick_of(uint32_t number) { return "{\"n\":" + std::to_string(number) + "}"; }

std::optional<uint32_t> parse_tick(std::string_view value) {
  const auto number = field_of(value, "n");
  if (!number || value != tick_of(static_cast<uint32_t>(*number))) return std::nullopt;
  return static_cast<uint32_t>(*number);
}

std::string bill_rule(uint32_t tariff, bool appends) {
  return R"({"sql":"SELECT meter, seq, kwh * )" + std::to_string(tariff) +
         R"( AS cents FROM 'meter/+/reading' WHERE kwh > 0","start":"earliest",)"
         R"("transfer":{"ledger":7,"code":1,"debit":"100 + meter","credit":"900","amount":"cents",)"
         R"("id":"meter || ':' || seq"},)" +
         (appends ? R"("append":{"stream":"sim-owed","key":"meter"},)" : "") +
         R"("publish":{"topic":"'bill/' || meter"}})";
}

std::string tick_rule() {
  return R"({"sql":"SELECT n FROM STREAM \"sim-ticks\" WHERE n % 3 <> 0","start":"earliest",)"
         R"("append":{"stream":"sim-tocks"},"publish":{"topic":"'tick/' || n"}})";
}

std::string chain_rule() {
  return R"({"sql":"SELECT cents, meter FROM STREAM \"sim-owed\"","start":"earliest",)"
         R"("publish":{"topic":"'owed/' || meter"}})";
}

std::string late_rule() {
  return R"({"sql":"SELECT length(payload()) AS size FROM 'meter/+/reading'","start":"latest",)"
         R"x("publish":{"topic":"'late/' || topic(2)"}})x";
}

std::string fives_rule() {
  return R"x({"sql":"SELECT count(*) AS c, sum(n) AS s, WINDOWSTART / 5000 AS w FROM STREAM \"sim-ticks\" )x"
         R"x(TIMESTAMP BY n * 1000 WINDOW TUMBLING (SIZE 5 SECONDS)","start":"earliest",)x"
         R"x("publish":{"topic":"'five/' || w"}})x";
}

std::string lua_rule() {
  return R"x({"sql":"SELECT n FROM STREAM \"sim-ticks\"","start":"earliest",)x"
         R"x("lua":"return function(row, message) if row.n % 7 == 0 then return nil end )x"
         R"x(if row.n % 11 == 0 then error('eleven', 0) end )x"
         R"x(return {twice = 2 * row.n, n = row.n, at = message.offset} end",)x"
         R"x("append":{"stream":"sim-tocks"},"publish":{"topic":"'lua/' || n"}})x";
}

LuaOutcome lua_outcome(uint32_t tick) {
  if (tick % 7 == 0) return LuaOutcome::nothing;
  return tick % 11 == 0 ? LuaOutcome::error : LuaOutcome::row;
}

std::string lua_row_of(uint32_t tick) {
  return "{\"at\":" + std::to_string(tick - 1) + ",\"n\":" + std::to_string(tick) +
         ",\"twice\":" + std::to_string(2 * tick) + "}";
}

// Ticks begin with 1.
std::string five_of(uint32_t window) {
  const uint32_t first = std::max(1U, window * 5);
  const uint32_t last = window * 5 + 4;
  const uint32_t count = last - first + 1;
  return "{\"c\":" + std::to_string(count) + ",\"s\":" + std::to_string((first + last) * count / 2) +
         ",\"w\":" + std::to_string(window) + "}";
}

}  // namespace heptane::sim
