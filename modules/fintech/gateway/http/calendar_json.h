// Trading calendars as JSON: dates as 2026-12-24, local times as 09:00 or 09:00:30. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "modules/fintech/gateway/http/exchange_json.h"
#include "modules/fintech/machine/exchange/calendar_api.h"

namespace heptane::fintech::exchange_http {

// Seconds since midnight, 24:00 too; none: it is no such time.
std::optional<int32_t> time_of_text(std::string_view text);
std::string time_of_day(int32_t second);
Result<exchange::CalendarSpec> calendar_of_json(std::string body, std::string name);
void write(http::JsonWriter& out, const exchange::CalendarRow& row);

}  // namespace heptane::fintech::exchange_http
