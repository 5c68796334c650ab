// FIX sessions: added, changed, their numbers set, by operators.
#include <memory>
#include <utility>

#include "kernel/net/address_scope.h"
#include "modules/fintech/gateway/http/calendar_json.h"
#include "modules/fintech/gateway/http/exchange_answers.h"
#include "modules/fintech/gateway/http/exchange_json.h"
#include "modules/fintech/gateway/http/exchange_routes.h"
#include "modules/fintech/gateway/http/exchange_schemas.h"
#include "modules/fintech/machine/exchange/fix_api.h"

namespace heptane::fintech::exchange_http {

namespace {

using auth::Verb;
using exchange::FixCancel;
using exchange::FixRole;
using exchange::FixSpec;
using http::JsonDocument;
using http::JsonFields;

constexpr int64_t kNumberMax = 999'999'999'999;
constexpr std::string_view kCompIdDefault = "HEPTANE";

constexpr std::string_view kNewSession =
    R"({"type":"object","required":["name","firm"],"additionalProperties":false,"properties":{"name":{"type":"string",)"
    R"("pattern":"^[A-Za-z0-9._-]{1,32}$"},"comp_id":{"type":"string","default":"HEPTANE"},"firm":{"type":"string"},)"
    R"("role":{"type":"string","enum":["orders","drop_copy","market_data"],"default":"orders"},"user":{"type":"string"},)"
    R"("heart_bt_int_min":{"type":"integer","minimum":0,"maximum":3600,"default":1},"heart_bt_int_max":{)"
    R"("type":"integer","minimum":0,"maximum":3600,"default":3600},"max_latency":{"type":"integer","minimum":0,)"
    R"("maximum":86400,"default":120},"max_messages_in_resend_request":{"type":"integer","minimum":0,"default":0},)"
    R"("timestamp_precision":{"type":"integer","enum":[0,3,6,9],"default":3},"reset_on_logon":{"type":"boolean",)"
    R"("default":false},"reset_on_logout":{"type":"boolean","default":false},"reset_on_disconnect":{"type":"boolean",)"
    R"("default":false},"validate_fields_out_of_order":{"type":"boolean","default":true},)"
    R"("validate_fields_have_values":{"type":"boolean","default":true},"validate_user_defined_fields":{)"
    R"("type":"boolean","default":true},"cancel_on_disconnect":{"type":"string","enum":["never","on_disconnect",)"
    R"("on_disconnect_and_logout"],"default":"never"},"grace":{"type":"integer","minimum":0,"maximum":86400,)"
    R"("default":0},"spare_gtc":{"type":"boolean","default":false},"non_stop_session":{"type":"boolean","default":true},)"
    R"("start_time":{"type":"string","description":"09:00 or 09:00:00"},"end_time":{"type":"string"},"start_day":{)"
    R"("type":"string","enum":["monday","tuesday","wednesday","thursday","friday","saturday","sunday"]},"end_day":{)"
    R"("type":"string"},"time_zone":{"type":"string","default":"UTC"},"allowed_addresses":{"type":"array","maxItems":16,)"
    R"("items":{"type":"string"}},"rate":{"type":"integer","minimum":0,"maximum":1000000,"default":0}}})";
constexpr std::string_view kSessions =
    R"({"type":"object","required":["sessions"],"properties":{"sessions":{"type":"array","items":{"type":"object",)"
    R"("required":["name","comp_id","firm","role","next_in","next_out","connected"]}},"next":{"type":"string"}}})";
constexpr std::string_view kReset =
    R"({"type":"object","additionalProperties":false,"properties":{"next_in":{"type":"integer","minimum":1,"default":1},)"
    R"("next_out":{"type":"integer","minimum":1,"default":1}}})";
constexpr std::string_view kPut =
    R"({"type":"object","required":["name","created"],"properties":{"name":{"type":"string"},"created":{)"
    R"("type":"boolean"},"position":{"$ref":"#/components/schemas/Position"}}})";

template <class E>
E named(JsonFields& fields, std::string_view name, E otherwise, std::string_view (*name_of)(E)) {
  return enum_of<E>(fields, name, fields.text_or(name, name_of(otherwise)), name_of);
}

uint32_t seconds_or(JsonFields& fields, std::string_view name, uint32_t otherwise, uint32_t most) {
  return static_cast<uint32_t>(fields.integer_or(name, otherwise, 0, most));
}

int32_t read_time(JsonFields& fields, std::string_view name) {
  const std::optional<int32_t> time = time_of_text(fields.text(name));
  if (!time || *time >= exchange::kCalendarDayS) fields.fail(fields.path_of(name) + " must be a time such as 09:00");
  return time.value_or(0);
}

uint8_t read_day(JsonFields& fields, std::string_view name) {
  const std::string_view text = fields.text_or(name, "");
  uint8_t day = 0;
  while (day < exchange::kFixEveryDay && exchange::fix_day_name(day) != text) ++day;
  if (day == exchange::kFixEveryDay && !text.empty()) fields.fail(fields.path_of(name) + " must be monday to sunday");
  return day;
}

// A session with times is not NonStopSession, one without is.
exchange::FixHours read_hours(JsonFields& fields) {
  exchange::FixHours hours;
  const bool has_times = fields.value("start_time") || fields.value("end_time");
  hours.non_stop = flag_or(fields, "non_stop_session", !has_times);
  if (hours.non_stop == has_times)
    fields.fail("start_time and end_time are of a session that is not non_stop_session, and it needs both");
  if (has_times) {
    hours.start_s = read_time(fields, "start_time");
    hours.end_s = read_time(fields, "end_time");
  }
  hours.start_day = read_day(fields, "start_day");
  hours.end_day = read_day(fields, "end_day");
  hours.zone = fields.text_or("time_zone", hours.zone);
  if (hours.non_stop && hours != exchange::FixHours())
    fields.fail("start_day, end_day and time_zone are of a session with start_time and end_time");
  return hours;
}

std::vector<std::string> read_addresses(JsonFields& fields) {
  std::vector<std::string> addresses;
  const auto list = fields.array("allowed_addresses");
  for (auto item = list ? list->first() : std::nullopt; item; item = item->next()) {
    const std::string_view text = item->type() == http::JsonType::text ? item->text() : std::string_view();
    if (!net::AddressBlock::parse(text))
      fields.fail(fields.path_of("allowed_addresses") + " are addresses, or blocks such as 10.0.0.0/8");
    addresses.emplace_back(text);
  }
  return addresses;
}

Result<FixSpec> spec_of_json(std::string body) {
  return object_of<FixSpec>(std::move(body), [](JsonFields& fields, FixSpec& spec) {
    constexpr uint32_t kDay = 86'400;
    spec.name = fields.text("name");
    spec.comp_id = fields.text_or("comp_id", kCompIdDefault);
    spec.firm = fields.text("firm");
    spec.role = named(fields, "role", spec.role, exchange::fix_role_name);
    spec.user = fields.text_or("user", "");
    spec.heart_bt_int_min_s =
        seconds_or(fields, "heart_bt_int_min", spec.heart_bt_int_min_s, exchange::kFixHeartBtIntMax);
    spec.heart_bt_int_max_s =
        seconds_or(fields, "heart_bt_int_max", spec.heart_bt_int_max_s, exchange::kFixHeartBtIntMax);
    spec.max_latency_s = seconds_or(fields, "max_latency", spec.max_latency_s, kDay);
    spec.max_messages_in_resend_request =
        seconds_or(fields, "max_messages_in_resend_request", spec.max_messages_in_resend_request, 1'000'000);
    spec.timestamp_precision =
        static_cast<uint8_t>(fields.integer_or("timestamp_precision", spec.timestamp_precision, 0, 9));
    spec.reset_on_logon = flag_or(fields, "reset_on_logon", false);
    spec.reset_on_logout = flag_or(fields, "reset_on_logout", false);
    spec.reset_on_disconnect = flag_or(fields, "reset_on_disconnect", false);
    spec.validate_fields_out_of_order = flag_or(fields, "validate_fields_out_of_order", true);
    spec.validate_fields_have_values = flag_or(fields, "validate_fields_have_values", true);
    spec.validate_user_defined_fields = flag_or(fields, "validate_user_defined_fields", true);
    spec.cancel = named(fields, "cancel_on_disconnect", spec.cancel, exchange::fix_cancel_name);
    spec.grace_s = seconds_or(fields, "grace", 0, exchange::kFixGraceMax);
    spec.spare_gtc = flag_or(fields, "spare_gtc", false);
    spec.access.hours = read_hours(fields);
    spec.access.addresses = read_addresses(fields);
    spec.access.rate = static_cast<uint32_t>(fields.integer_or("rate", 0, 0, exchange::kFixRateMax));
  });
}

Result<exchange::FixReset> reset_of_json(std::string body, std::string name) {
  return object_of<exchange::FixReset>(std::move(body), [&](JsonFields& fields, exchange::FixReset& reset) {
    reset.name = std::move(name);
    reset.next_in = static_cast<uint64_t>(fields.integer_or("next_in", 1, 1, kNumberMax));
    reset.next_out = static_cast<uint64_t>(fields.integer_or("next_out", 1, 1, kNumberMax));
  });
}

void write_access(JsonWriter& out, const exchange::FixAccess& access) {
  const exchange::FixHours& hours = access.hours;
  out.key("non_stop_session").boolean(hours.non_stop);
  if (!hours.non_stop) {
    out.key("start_time").text(time_of_day(hours.start_s)).key("end_time").text(time_of_day(hours.end_s));
    if (hours.start_day != exchange::kFixEveryDay)
      out.key("start_day")
          .text(exchange::fix_day_name(hours.start_day))
          .key("end_day")
          .text(exchange::fix_day_name(hours.end_day));
    out.key("time_zone").text(hours.zone);
  }
  out.key("allowed_addresses").begin_array();
  for (const std::string& address : access.addresses) out.text(address);
  out.end_array().key("rate").number(access.rate);
}

void write_row(JsonWriter& out, const exchange::FixRow& row) {
  const FixSpec& spec = row.spec;
  out.begin_object().key("name").text(spec.name).key("comp_id").text(spec.comp_id).key("firm").text(spec.firm);
  out.key("role").text(exchange::fix_role_name(spec.role)).key("user").text(spec.user);
  out.key("heart_bt_int_min").number(spec.heart_bt_int_min_s).key("heart_bt_int_max").number(spec.heart_bt_int_max_s);
  out.key("max_latency").number(spec.max_latency_s);
  out.key("max_messages_in_resend_request").number(spec.max_messages_in_resend_request);
  out.key("timestamp_precision").number(spec.timestamp_precision);
  out.key("reset_on_logon").boolean(spec.reset_on_logon).key("reset_on_logout").boolean(spec.reset_on_logout);
  out.key("reset_on_disconnect").boolean(spec.reset_on_disconnect);
  out.key("validate_fields_out_of_order").boolean(spec.validate_fields_out_of_order);
  out.key("validate_fields_have_values").boolean(spec.validate_fields_have_values);
  out.key("validate_user_defined_fields").boolean(spec.validate_user_defined_fields);
  out.key("cancel_on_disconnect").text(exchange::fix_cancel_name(spec.cancel)).key("grace").number(spec.grace_s);
  out.key("spare_gtc").boolean(spec.spare_gtc);
  write_access(out, spec.access);
  out.key("next_in").unsigned_number(row.next_in).key("next_out").unsigned_number(row.next_out);
  out.key("connected").boolean(row.connected).end_object();
}

void put(HttpExchange& exchange, const FixSpec& spec) {
  change(exchange, command(exchange::kPutFixSession, exchange::FixPut{spec}), 200,
         [name = spec.name](JsonWriter& out, const Reply& reply) {
           out.key("name").text(name).key("created").boolean(reply.numbers[1] == 1);
         });
}

// The zone's rules are read on a worker.
void put_session(HttpExchange& exchange, const exchange::FindZone& zones) {
  auto spec = spec_of_json(std::move(exchange.request().body));
  if (!spec) return exchange.respond(admin::error_response(spec.error()));
  if (spec->access.hours.zone == "UTC") return put(exchange, *spec);
  struct Job {
    FixSpec spec;
    std::optional<Error> error;
  };
  const auto job = std::make_shared<Job>();
  job->spec = std::move(*spec);
  exchange.work(
      [job, zones] {
        if (const auto found = zones(job->spec.access.hours.zone); !found) job->error = found.error();
      },
      [job](HttpExchange& worked) {
        if (job->error) return worked.respond(admin::error_response(*job->error));
        put(worked, job->spec);
      });
}

void reset_session(HttpExchange& exchange) {
  change(exchange, exchange::kResetFixSession,
         reset_of_json(std::move(exchange.request().body), std::string(exchange.request().param("session"))), 200,
         [](JsonWriter&, const Reply&) {});
}

void list_sessions(HttpExchange& exchange) {
  const Result<void> known = admin::check_parameters(exchange.request(), {"after"});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  const std::string after(exchange.request().query_value("after").value_or(""));
  exchange.query(question(exchange::kQueryFixSessions, exchange::Page{"", after, false}),
                 [](HttpExchange& answered, const Reply& reply) {
                   if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                   const auto rows = exchange::unpacked_rows<exchange::FixRow>(reply.payload.view());
                   if (!rows) return answered.respond(cut_off());
                   JsonWriter out;
                   out.begin_object().key("sessions").begin_array();
                   for (const exchange::FixRow& row : *rows) write_row(out, row);
                   out.end_array();
                   if (reply.numbers[1] != 0) out.key("next").text(rows->back().spec.name);
                   out.end_object();
                   answered.respond(HttpResponse::json(200, out.take()));
                 });
}

}  // namespace

void add_fix_session_routes(http::HttpRouter& router, exchange::FindZone zones) {
  using http::Method;
  router.add(Method::get, "/api/v1/exchange/fix-sessions", list_sessions,
             {.needs = of_operators(Verb::read),
              .doc = {"FIX sessions",
                      "With the numbers that come next, in the order of their names.",
                      {{"after", "names behind this one"}},
                      {},
                      {{200, "as of what is synced", {{kSessions}}}}}});
  router.add(
      Method::post, "/api/v1/exchange/fix-sessions",
      [zones = std::move(zones)](HttpExchange& e) { put_session(e, zones); },
      {.needs = of_operators(Verb::create),
       .doc = {"Add a FIX session, or change it",
               "`name` is the peer's CompID, `comp_id` ours; `user` is who logs on while authentication is on, "
               "and needs the rights of the firm. Firm and role stay. Settings hold from the next logon on. With "
               "start_time and "
               "end_time a session is open between them, each day or from start_day to end_day, in time_zone; its "
               "numbers begin with 1 in each such time. allowed_addresses: from where; rate: messages a second that "
               "are read.",
               {},
               {{kNewSession}},
               {{200, "it is so, synced", {{kPut}}},
                {400, "what is wrong with it, or there is no such zone", {{kErrorSchema}}},
                {404, "there is no such firm", {{kErrorSchema}}},
                {409, "firm and role stay", {{kErrorSchema}}}}}});
  router.add(Method::post, "/api/v1/exchange/fix-sessions/{session}/reset", reset_session,
             {.needs = of_operators(Verb::alter),
              .doc = {"Set a FIX session's numbers",
                      "What was sent before is not sent again; a connection that is there ends with its next message.",
                      {},
                      {{kReset}},
                      {{200, "set, synced", {{kDone}}}, {404, "there is no such session", {{kErrorSchema}}}}}});
}

}  // namespace heptane::fintech::exchange_http
