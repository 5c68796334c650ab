#include "modules/fintech/gateway/http/calendar_json.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "kernel/base/time_text.h"

namespace heptane::fintech::exchange_http {

namespace {

using exchange::CalendarPhase;
using exchange::CalendarSession;
using exchange::CalendarSpec;
using http::JsonFields;
using http::JsonType;
using http::JsonValue;
using http::JsonWriter;

constexpr std::array<std::string_view, exchange::kWeekdays> kDayNames = {"mon", "tue", "wed", "thu",
                                                                         "fri", "sat", "sun"};
constexpr int32_t kHourS = 3'600;
constexpr int32_t kMinuteS = 60;
constexpr uint32_t kExtensionDefaultS = 300;

// `digits` of them at `at`; -1: there are others.
int32_t digits_at(std::string_view text, size_t at, size_t digits) {
  int32_t number = 0;
  for (size_t n = at; n < at + digits; ++n) {
    if (n >= text.size() || text[n] < '0' || text[n] > '9') return -1;
    number = number * 10 + (text[n] - '0');
  }
  return number;
}

std::optional<int32_t> parse_date(std::string_view text) {
  constexpr size_t kBytes = 10;
  if (text.size() != kBytes || text[4] != '-' || text[7] != '-') return std::nullopt;
  const int32_t year = digits_at(text, 0, 4);
  const int32_t month = digits_at(text, 5, 2);
  const int32_t day = digits_at(text, 8, 2);
  if (year < 1970 || month < 0 || day < 0) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  return static_cast<int32_t>(std::chrono::sys_days(date).time_since_epoch().count());
}

std::string two(int32_t number) { return (number < 10 ? "0" : "") + std::to_string(number); }

std::string date_text(int32_t date) {
  const std::chrono::year_month_day on{std::chrono::sys_days(std::chrono::days(date))};
  return std::to_string(static_cast<int>(on.year())) + '-' +
         two(static_cast<int32_t>(static_cast<unsigned>(on.month()))) + '-' +
         two(static_cast<int32_t>(static_cast<unsigned>(on.day())));
}

int32_t read_date(JsonFields& fields, const std::string& path, std::string_view text) {
  const std::optional<int32_t> date = parse_date(text);
  if (!date) fields.fail(path + " must be a date such as 2026-12-24");
  return date.value_or(0);
}

}  // namespace

// 24:00 is the end of the day.
std::optional<int32_t> time_of_text(std::string_view text) {
  const bool seconds = text.size() == 8 && text[5] == ':';
  if ((text.size() != 5 && !seconds) || text[2] != ':') return std::nullopt;
  const int32_t hour = digits_at(text, 0, 2);
  const int32_t minute = digits_at(text, 3, 2);
  const int32_t second = seconds ? digits_at(text, 6, 2) : 0;
  if (hour < 0 || minute < 0 || second < 0 || minute >= kMinuteS || second >= kMinuteS) return std::nullopt;
  const int32_t all = hour * kHourS + minute * kMinuteS + second;
  return all > exchange::kCalendarDayS ? std::nullopt : std::optional(all);
}

std::string time_of_day(int32_t second) {
  const std::string minutes = two(second / kHourS) + ':' + two(second / kMinuteS % kMinuteS);
  return second % kMinuteS == 0 ? minutes : minutes + ':' + two(second % kMinuteS);
}

namespace {

// Of an object that stands in a list: what is wrong with it is wrong with the list.
template <class Read>
void each(JsonFields& fields, std::string_view name, Read read) {
  const std::optional<JsonValue> list = fields.array(name);
  for (auto item = list ? list->first() : std::nullopt; item; item = item->next()) {
    JsonFields one(*item, fields.path_of(name));
    read(one);
    if (const Result<void> done = one.finish(); !done) fields.fail(done.error().message);
  }
}

CalendarSession read_phases(JsonFields& fields) {
  CalendarSession session;
  each(fields, "phases", [&](JsonFields& phase) {
    const std::optional<int32_t> at = time_of_text(phase.text("from"));
    if (!at) phase.fail(phase.path_of("from") + " must be a local time such as 09:00");
    const auto day = static_cast<int32_t>(phase.integer_or("day", 0, -1, 1));
    session.push_back({at.value_or(0) + day * exchange::kCalendarDayS,
                       enum_of<book::Phase>(phase, "phase", phase.text("phase"), exchange::phase_name)});
  });
  return session;
}

uint8_t read_days(JsonFields& fields) {
  uint8_t days = 0;
  const std::optional<JsonValue> list = fields.array("days");
  for (auto item = list ? list->first() : std::nullopt; item; item = item->next()) {
    const std::string_view text = item->type() == JsonType::text ? item->text() : "";
    const auto* const name = std::find(kDayNames.begin(), kDayNames.end(), text);
    if (name == kDayNames.end())
      return fields.fail(fields.path_of("days") + " are of mon, tue, wed, thu, fri, sat, sun"), days;
    days = static_cast<uint8_t>(days | 1U << (name - kDayNames.begin()));
  }
  return days;
}

void write_phases(JsonWriter& out, const CalendarSession& session) {
  out.key("phases").begin_array();
  for (const CalendarPhase& phase : session) {
    const int32_t day = (phase.at_s + exchange::kCalendarDayS) / exchange::kCalendarDayS - 1;
    out.begin_object().key("from").text(time_of_day(phase.at_s - day * exchange::kCalendarDayS));
    if (day != 0) out.key("day").number(day);
    out.key("phase").text(exchange::phase_name(phase.phase)).end_object();
  }
  out.end_array();
}

void write_spec(JsonWriter& out, const CalendarSpec& spec) {
  out.key("name").text(spec.name).key("time_zone").text(spec.zone).key("extension_s").number(spec.extension_s);
  out.key("sessions").begin_array();
  for (const exchange::WeeklySession& weekly : spec.sessions) {
    out.begin_object().key("days").begin_array();
    for (uint8_t day = 0; day < exchange::kWeekdays; ++day)
      if ((weekly.weekdays >> day & 1U) != 0) out.text(kDayNames[day]);
    out.end_array();
    write_phases(out, weekly.phases);
    out.end_object();
  }
  out.end_array().key("holidays").begin_array();
  for (const int32_t date : spec.holidays) out.text(date_text(date));
  out.end_array().key("dates").begin_array();
  for (const exchange::DatedSession& dated : spec.dates) {
    out.begin_object().key("date").text(date_text(dated.date));
    write_phases(out, dated.phases);
    out.end_object();
  }
  out.end_array();
}

}  // namespace

Result<CalendarSpec> calendar_of_json(std::string body, std::string name) {
  return object_of<CalendarSpec>(std::move(body), [&](JsonFields& fields, CalendarSpec& spec) {
    spec.name = std::move(name);
    spec.zone = fields.text("time_zone");
    spec.extension_s = static_cast<uint32_t>(fields.integer_or("extension_s", kExtensionDefaultS, 1, kHourS));
    each(fields, "sessions", [&](JsonFields& weekly) {
      const uint8_t days = read_days(weekly);
      spec.sessions.push_back({days, read_phases(weekly)});
    });
    each(fields, "dates", [&](JsonFields& dated) {
      const int32_t date = read_date(dated, dated.path_of("date"), dated.text("date"));
      spec.dates.push_back({date, read_phases(dated)});
    });
    const std::optional<JsonValue> holidays = fields.array("holidays");
    for (auto item = holidays ? holidays->first() : std::nullopt; item; item = item->next())
      spec.holidays.push_back(
          read_date(fields, fields.path_of("holidays"), item->type() == JsonType::text ? item->text() : ""));
    const auto earlier = [](const exchange::DatedSession& a, const exchange::DatedSession& b) {
      return a.date < b.date;
    };
    std::sort(spec.holidays.begin(), spec.holidays.end());
    std::sort(spec.dates.begin(), spec.dates.end(), earlier);
  });
}

void write(JsonWriter& out, const exchange::CalendarRow& row) {
  out.begin_object();
  write_spec(out, row.spec);
  out.key("revision").number(row.revision).key("known_until").text(time_text(row.upto)).key("next").begin_array();
  for (const exchange::Instant& instant : row.next) {
    out.begin_object().key("at").text(time_text(instant.at)).key("phase").text(exchange::phase_name(instant.phase));
    out.key("trade_date").text(date_text(instant.date)).end_object();
  }
  out.end_array().key("instruments").begin_array();
  for (const std::string& symbol : row.symbols) out.text(symbol);
  out.end_array().end_object();
}

}  // namespace heptane::fintech::exchange_http
