// Trading calendars: declared, shown, chosen for an instrument.
#include <memory>

#include "modules/fintech/gateway/http/calendar_json.h"
#include "modules/fintech/gateway/http/exchange_answers.h"
#include "modules/fintech/gateway/http/exchange_routes.h"

namespace heptane::fintech::exchange_http {

namespace {

using auth::Verb;

constexpr std::string_view kPhases =
    R"({"type":"object","required":["time_zone","sessions"],"additionalProperties":false,"properties":{"time_zone":{)"
    R"("type":"string"},"extension_s":{"type":"integer","minimum":1,"maximum":3600,"default":300},"sessions":{)"
    R"("type":"array","minItems":1,"maxItems":14,"items":{"type":"object","required":["days","phases"],"properties":{)"
    R"("days":{"type":"array","items":{"type":"string","enum":["mon","tue","wed","thu","fri","sat","sun"]}},"phases":{)"
    R"("type":"array"}}}},"holidays":{"type":"array","maxItems":1000,"items":{"type":"string",)"
    R"("format":"date"}},"dates":{"type":"array","maxItems":200,"items":{"type":"object","required":["date","phases"],)"
    R"("properties":{"date":{"type":"string","format":"date"},"phases":{"type":"array"}}}}}})";
constexpr std::string_view kPutAnswer =
    R"({"type":"object","required":["name","revision"],"properties":{"name":{"type":"string"},"revision":{)"
    R"("type":"integer"},"position":{"$ref":"#/components/schemas/Position"},"repeated":{"type":"boolean"}}})";
constexpr std::string_view kCalendar =
    R"({"type":"object","required":["name","time_zone","sessions","holidays","dates","next","instruments"],)"
    R"("properties":{"name":{"type":"string"},"time_zone":{"type":"string"},"known_until":{"type":"string"}}})";
constexpr std::string_view kCalendars =
    R"({"type":"object","required":["calendars"],"properties":{"calendars":{"type":"array"},"next":{"type":"string"}}})";
constexpr std::string_view kChoice =
    R"({"type":"object","required":["calendar"],"additionalProperties":false,"properties":{"calendar":{)"
    R"("type":["string","null"]}}})";
constexpr std::string_view kChosen =
    R"({"type":"object","properties":{"position":{"$ref":"#/components/schemas/Position"},"repeated":{)"
    R"("type":"boolean"}}})";

// The zone's rules are read on a worker.
void put_calendar(HttpExchange& exchange, const exchange::Expand& expand) {
  const std::string name(exchange.request().param("calendar"));
  auto spec = calendar_of_json(std::move(exchange.request().body), name);
  if (!spec) return exchange.respond(admin::error_response(spec.error()));
  struct Job {
    exchange::CalendarSpec spec;
    Result<exchange::Expansion> found = Error{};
  };
  const auto job = std::make_shared<Job>();
  job->spec = std::move(*spec);
  exchange.work([job, expand, now = exchange.context().utc_ns()] { job->found = expand(job->spec, now, true); },
                [job](HttpExchange& worked) {
                  if (!job->found) return worked.respond(admin::error_response(job->found.error()));
                  const std::string of = job->spec.name;
                  change(worked,
                         command(exchange::kPutCalendar,
                                 exchange::CalendarPut{std::move(job->spec), job->found->instants, job->found->upto}),
                         200, [of](JsonWriter& out, const Reply& reply) {
                           out.key("name").text(of).key("revision").number(reply.numbers[1]);
                         });
                });
}

void list_calendars(HttpExchange& exchange) {
  const Result<void> known = admin::check_parameters(exchange.request(), {"after"});
  if (!known) return exchange.respond(admin::error_response(known.error()));
  const std::string after(exchange.request().query_value("after").value_or(""));
  exchange.query(question(exchange::kQueryCalendars, exchange::Page{"", after, false}),
                 [](HttpExchange& answered, const Reply& reply) {
                   if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                   const auto rows = exchange::unpacked_rows<exchange::CalendarRow>(reply.payload.view());
                   if (!rows) return answered.respond(cut_off());
                   JsonWriter out;
                   out.begin_object().key("calendars").begin_array();
                   for (const exchange::CalendarRow& row : *rows) write(out, row);
                   out.end_array();
                   if (reply.numbers[1] != 0) out.key("next").text(rows->back().spec.name);
                   out.end_object();
                   answered.respond(HttpResponse::json(200, out.take()));
                 });
}

void show_calendar(HttpExchange& exchange) {
  const std::string name(exchange.request().param("calendar"));
  exchange.query(question(exchange::kQueryCalendars, exchange::Page{"", name, true}), [name](HttpExchange& answered,
                                                                                             const Reply& reply) {
    if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
    const auto rows = exchange::unpacked_rows<exchange::CalendarRow>(reply.payload.view());
    if (!rows || rows->empty())
      return answered.respond(admin::error_response({Errc::not_found, "there is no calendar " + name, 0}));
    JsonWriter out;
    write(out, rows->front());
    answered.respond(HttpResponse::json(200, out.take()));
  });
}

void choose_calendar(HttpExchange& exchange) {
  const std::string symbol(exchange.request().param("symbol"));
  const auto choice = object_of<exchange::CalendarChoice>(
      std::move(exchange.request().body), [&](http::JsonFields& fields, exchange::CalendarChoice& read) {
        read.symbol = symbol;
        const auto value = fields.value("calendar");
        if (!value || (value->type() != http::JsonType::text && value->type() != http::JsonType::null))
          return fields.fail("calendar is the name of one, or null");
        if (value->type() == http::JsonType::text) read.calendar = value->text();
      });
  change(exchange, exchange::kSetCalendar, choice, 200, [](JsonWriter&, const Reply&) {});
}

}  // namespace

void add_calendar_routes(http::HttpRouter& router, exchange::Expand expand) {
  using http::Method;
  router.add(Method::get, "/api/v1/exchange/calendars", list_calendars,
             {.needs = of_market(),
              .doc = {"Trading calendars",
                      "In the order of their names, 16 a page, with the phases that come next.",
                      {{"after", "names behind this one"}},
                      {},
                      {{200, "as of what is synced", {{kCalendars}}}}}});
  router.add(Method::get, "/api/v1/exchange/calendars/{calendar}", show_calendar,
             {.needs = of_market(),
              .doc = {"One trading calendar",
                      "",
                      {},
                      {},
                      {{200, "as of what is synced", {{kCalendar}}}, {404, "there is none", {{kErrorSchema}}}}}});
  router.add(
      Method::put, "/api/v1/exchange/calendars/{calendar}",
      [expand = std::move(expand)](HttpExchange& e) { put_calendar(e, expand); },
      {.needs = of_operators(Verb::create),
       .doc = {"Declare a trading calendar, or replace it",
               "Sessions of the week in the time of a zone of the IANA database, holidays, dates with a session of "
               "their own. Each phase of a session ends with the next one, the last is `closed`; `day` -1 or 1 is the "
               "day before or after the trade date. Its instruments take the phase that it says of now. What is "
               "halted stays halted.",
               {},
               {{kPhases}},
               {{200, "it holds, synced", {{kPutAnswer}}},
                {400, "what is wrong with it, or there is no such zone", {{kErrorSchema}}}}}});
  router.add(
      Method::put, "/api/v1/exchange/instruments/{symbol}/calendar", choose_calendar,
      {.needs = of_operators(Verb::alter),
       .doc = {"Choose an instrument's calendar",
               "`null`: none, operators set its phases and its trade date is the UTC day.",
               {},
               {{kChoice}},
               {{200, "it holds, synced", {{kChosen}}}, {404, "no such instrument or calendar", {{kErrorSchema}}}}}});
}

}  // namespace heptane::fintech::exchange_http
