// What meters of the simulator publish, what is counted and what rules are declared over both: a reading follows from its meter and
// its number, so that whoever sees one knows what a rule must make of it. Pure; any thread.
//   meter/M/reading  readings of meter M; some are zero, lack a field, are no JSON or say again what the last one said
//   sim-ticks        a stream of numbers, appended over HTTP
//   sim-owed         what the rule `bill` appends; `chain` reads it
//   sim-tocks        what the rules `tick` and `lua` append
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace heptane::sim {

constexpr uint32_t kMetersMax = 3;  // the last one has no account
constexpr uint32_t kMetersWithAccount = 2;
constexpr uint64_t kUtility = 900;       // the account that is paid
constexpr uint64_t kFirstAccount = 100;  // of meter 0, which has kFunds and no more
constexpr uint64_t kFunds = 900;

struct SimReading {
  uint32_t meter = 0;
  uint32_t number = 0;
  bool is_json = true;
  uint32_t seq = 0;             // names the debt
  std::optional<uint32_t> kwh;  // none: the field is missing
};
SimReading reading_of(uint32_t meter, uint32_t number);
std::string topic_of(const SimReading& reading);
std::string payload_of(const SimReading& reading);
// Nothing when one byte differs from what it must be.
std::optional<SimReading> parse_reading(std::string_view topic, std::string_view payload);

std::string tick_of(uint32_t number);
std::optional<uint32_t> parse_tick(std::string_view value);

// The number behind `"NAME":` in a row.
std::optional<uint64_t> field_of(std::string_view row, std::string_view name);

// Bodies of PUT /api/v1/rules/NAME.
std::string bill_rule(uint32_t tariff, bool appends);
std::string tick_rule();
std::string chain_rule();
std::string late_rule();
// Over windows of five ticks: a tick's time is its number, in seconds.
std::string fives_rule();
std::string five_of(uint32_t window);  // its row
// Of ticks by Lua: none of some, an error of others.
std::string lua_rule();
enum class LuaOutcome : uint8_t { row, nothing, error };
constexpr const char* kLuaError = "lua: eleven";
LuaOutcome lua_outcome(uint32_t tick);
std::string lua_row_of(uint32_t tick);

}  // namespace heptane::sim
