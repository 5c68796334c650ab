#include "modules/fintech/worker/calendar/keeper.h"

#include "kernel/base/crc32c.h"

namespace heptane::fintech {

namespace {

constexpr int64_t kEveryNs = 600'000'000'000;
constexpr int64_t kAgainNs = 1'000'000'000;

bool runs_short(const exchange::CalendarRow& row, int64_t utc_ns) {
  return row.upto < utc_ns + exchange::kCalendarLowNs;
}

}  // namespace

void CalendarKeeper::on_open(net::SessionContext& context) { ask(context); }

void CalendarKeeper::rest(net::SessionContext& context, int64_t delay_ns) {
  doing_ = Doing::nothing;
  after_.clear();
  short_.clear();
  context.arm(delay_ns);
}

void CalendarKeeper::on_timer(net::SessionTimerId, net::SessionContext& context) {
  if (doing_ == Doing::nothing) ask(context);
}

void CalendarKeeper::ask(net::SessionContext& context) {
  doing_ = Doing::asks;
  const bool asked = context.query(++last_id_, {exchange::kExchangeMachineId,
                                                exchange::kQueryCalendars,
                                                exchange::packed(exchange::Page{"", after_, false}),
                                                {}});
  if (!asked) rest(context, kAgainNs);
}

void CalendarKeeper::on_reply(RequestId, const Reply& reply, net::SessionContext& context) {
  if (doing_ == Doing::asks) return take(reply, context);
  if (reply.error == Errc::stale) {
    // Another revision, or somebody else was there first: the next look shows how it is.
    short_.pop_front();
  } else if (!reply.ok()) {
    pass_over(reply.message);
  } else {
    short_.front().upto = (*expansion_)->upto;
    if (!runs_short(short_.front(), context.utc_ns())) short_.pop_front();
  }
  go_on(context);
}

void CalendarKeeper::take(const Reply& reply, net::SessionContext& context) {
  const auto rows = exchange::unpacked_rows<exchange::CalendarRow>(reply.payload.view());
  if (!reply.ok() || !rows) return rest(context, kEveryNs);
  for (const exchange::CalendarRow& row : *rows) {
    after_ = row.spec.name;
    if (runs_short(row, context.utc_ns())) short_.push_back(row);
  }
  more_ = reply.numbers[1] != 0;
  go_on(context);
}

void CalendarKeeper::go_on(net::SessionContext& context) {
  if (short_.empty()) return more_ ? ask(context) : rest(context, kEveryNs);
  doing_ = Doing::expands;
  const exchange::CalendarRow& row = short_.front();
  expansion_ = std::make_shared<Result<exchange::Expansion>>(Error{});
  const bool taken = context.work(++last_id_, [expand = expand_, spec = row.spec, from = row.upto, to = expansion_] {
    *to = expand(spec, from, false);
  });
  if (!taken) rest(context, kAgainNs);
}

// A zone that is gone from the database: its calendar is tried again, the others go on.
void CalendarKeeper::on_worked(RequestId, net::SessionContext& context) {
  if (expansion_->ok()) return submit(context);
  pass_over(expansion_->error().message);
  go_on(context);
}

void CalendarKeeper::pass_over(std::string_view why) {
  report_("calendar " + short_.front().spec.name + " is not extended: " + std::string(why));
  short_.pop_front();
}

void CalendarKeeper::submit(net::SessionContext& context) {
  doing_ = Doing::submits;
  const exchange::CalendarRow& row = short_.front();
  const exchange::Expansion& found = **expansion_;
  Submission submission;
  submission.machine = exchange::kExchangeMachineId;
  submission.type = exchange::kExtendCalendar;
  submission.payload =
      exchange::packed(exchange::CalendarExtension{row.spec.name, row.revision, row.upto, found.upto, found.instants});
  submission.payload_crc = crc32c(submission.payload.view());
  if (!context.submit(++last_id_, std::move(submission))) rest(context, kAgainNs);
}

}  // namespace heptane::fintech
