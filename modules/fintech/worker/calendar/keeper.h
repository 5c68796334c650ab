// Keeps the instants of the exchange's calendars known a week ahead: looks at them at every start and every ten minutes, expands those
// that run short, one after another, and has them logged. What it does twice is refused once; what is refused otherwise, and a zone that
// is gone, is reported and tried again. A session without a peer; its thread's.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "kernel/net/session.h"
#include "modules/fintech/domain/exchange/expansion.h"
#include "modules/fintech/machine/exchange/calendar_api.h"

namespace heptane::fintech {

// A line for whoever operates the server: a calendar is not extended, and why.
using CalendarReport = std::function<void(const std::string& line)>;

class CalendarKeeper final : public net::Session {
 public:
  CalendarKeeper(exchange::Expand expand, CalendarReport report)
      : expand_(std::move(expand)), report_(std::move(report)) {}

  void on_open(net::SessionContext& context) override;
  size_t on_bytes(Bytes input, net::SessionContext&) override { return input.size(); }
  void on_reply(RequestId, const Reply& reply, net::SessionContext& context) override;
  void on_worked(RequestId, net::SessionContext& context) override;
  void on_timer(net::SessionTimerId, net::SessionContext& context) override;

 private:
  enum class Doing : uint8_t { nothing, asks, expands, submits };

  void ask(net::SessionContext& context);
  void take(const Reply& reply, net::SessionContext& context);
  void go_on(net::SessionContext& context);
  void submit(net::SessionContext& context);
  void rest(net::SessionContext& context, int64_t delay_ns);
  void pass_over(std::string_view why);

  const exchange::Expand expand_;
  const CalendarReport report_;
  Doing doing_ = Doing::nothing;
  RequestId last_id_ = 0;
  std::string after_;  // names of calendars behind this one are asked for
  bool more_ = false;
  std::deque<exchange::CalendarRow> short_;  // that run short; the first one is being extended
  std::shared_ptr<Result<exchange::Expansion>> expansion_;
};

class CalendarKeepers final : public net::Protocol {
 public:
  CalendarKeepers(exchange::Expand expand, CalendarReport report)
      : expand_(std::move(expand)), report_(std::move(report)) {}
  std::string_view name() const override { return "calendar_keeper"; }
  std::unique_ptr<net::Session> open(const net::Address&) override {
    return std::make_unique<CalendarKeeper>(expand_, report_);
  }
  size_t message_limit_bytes() const override { return 0; }

 private:
  const exchange::Expand expand_;
  const CalendarReport report_;
};

}  // namespace heptane::fintech
