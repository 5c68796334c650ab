// Trading calendars as JSON: dates as 2026-12-24, local times as 09:00 or 09:00:30. Pure.
#pragma once

#include <string>

#include "modules/fintech/gateway/http/exchange_json.h"
#include "modules/fintech/machine/exchange/calendar_api.h"

namespace heptane::fintech::exchange_http {

Result<exchange::CalendarSpec> calendar_of_json(std::string body, std::string name);
void write(http::JsonWriter& out, const exchange::CalendarRow& row);

}  // namespace heptane::fintech::exchange_http
