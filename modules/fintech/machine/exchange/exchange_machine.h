// The exchange as a machine of the shard: an order's admission, its hold, its match, the settlement of its fills with their fees
// and what it gives back at its end are one log entry. Prefunded instruments alone.
//
// State: reference data (directory.h), orders (orders.h), mass cancels that go on, market data (market_state.h), counters. Money is the ledger's, reached by its
// port (postings.h); books are domain/book.
//
// Invariants, after every entry:
// - held(account, asset) in the ledger is the sum of what the account's open orders hold of the asset (domain/exchange/holds.h);
// - an order is open exactly as long as it is in its instrument's book, with the same leaves, or waits for a review (reviews_api.h);
// - a trade stands there with all of its postings, one chain with ids derived from its number;
// - what is refused has left nothing: everything that can be judged is judged first, then a scope is opened around the hold, and
//   the book refuses whole. Nothing of this machine changes before that; what comes after cannot fail (postings.h says why), and
//   a chain that fails all the same is an assertion.
// - a trade that was busted has the postings that take it back, once;
// - what an account has traded of an instrument is the sum of its trades that stand, from kPositionsVersion on.
// Bounds: an entry looks at no more than 1,000 orders, takes no more than kEventsPerEntry events of a book or kSweepEnds ends of
// orders, and makes less than 1 MiB. The rest is done by commands that the machine schedules: kProceed for a book with work left
// (its instrument takes no orders meanwhile), kSweep for a mass cancel, kExpire for orders whose time is over (their instrument takes
// no orders meanwhile) and ClOrdIDs of earlier trade dates, kCalendarPhase for each instrument of a calendar when an instant of it has come. Other instruments' commands come in between. Its commands are in no transaction; another machine enters orders
// in its own entry (domain/exchange/port.h). The shard thread's.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "kernel/shard/state_machine.h"
#include "modules/fintech/machine/exchange/calendars.h"
#include "modules/fintech/machine/exchange/corrections_api.h"
#include "modules/fintech/machine/exchange/directory.h"
#include "modules/fintech/machine/exchange/firm_trades.h"
#include "modules/fintech/machine/exchange/fix_sessions.h"
#include "modules/fintech/machine/exchange/market_state.h"
#include "modules/fintech/machine/exchange/notes.h"
#include "modules/fintech/machine/exchange/orders.h"
#include "modules/fintech/machine/exchange/positions_api.h"
#include "modules/fintech/machine/exchange/postings.h"
#include "modules/fintech/machine/exchange/reviews_api.h"
#include "modules/fintech/machine/exchange/risk_api.h"
#include "modules/fintech/machine/exchange/trade_reversal.h"
#include "modules/fintech/machine/ledger/ledger_machine.h"

namespace heptane::fintech::exchange {

class ExchangeMachine final : public StateMachine, public OrderPort {
 public:
  static constexpr uint32_t kLogicUnasked = 2;
  static constexpr uint32_t kLogicPatientExpiry = 2;
  static_assert(kLogicUnasked == kMarketVersion && kLogicMarkedTrades == kMarketVersion &&
                    kLogicPatientExpiry == kMarketVersion,
                "they begin together");

  // How many ClOrdIDs a firm may use on a trade date: the same wherever the log is replayed.
  // The key of its indexes: nothing that anybody can see depends on it.
  explicit ExchangeMachine(uint32_t client_ids_max = kClientIdsMax, uint64_t index_key = 0)
      : client_ids_max_(client_ids_max),
        index_key_(index_key),
        directory_(index_key),
        orders_(index_key),
        risk_(index_key) {}

  MachineId id() const override { return kExchangeMachineId; }
  std::string_view name() const override { return "exchange"; }
  void apply(const Command& command, Effects& effects) override;
  void query(const Query& query, Reply& reply) const override;
  void open_scope() override { ++scopes_; }
  void close_scope(ScopeOutcome) override { --scopes_; }
  // Its own, or the ledger's where that is more: orders are refused when their postings have no room.
  uint64_t memory_bytes() const override {
    return ledger_ == nullptr ? own_memory_bytes() : std::max(own_memory_bytes(), ledger_->memory_bytes());
  }
  uint64_t own_memory_bytes() const {
    return directory_.memory_bytes() + orders_.memory_bytes() + fix_.memory_bytes() + calendars_.memory_bytes() +
           market_.memory_bytes() + trades_.memory_bytes() + risk_.memory_bytes() + reviews_.size() * kReviewBytes;
  }
  void save(SnapshotWriter& writer) const override;
  Result<void> restore(SnapshotReader& reader) override;
  bool fresh() const override {
    return directory_.empty() && own_.next_sweep == 1 && !own_.block.on && fix_.empty() && calendars_.empty() &&
           risk_.version() == 0;
  }
  void make_fresh() override;
  // exchange_port.cc
  bool takes_orders(std::string_view symbol, const Command& command, Effects& effects) override;
  Result<PortOrderEntered> enter(const PortOrder& order, const Command& command, Effects& effects) override;
  // What ends orders, and what stops them; what operators put right.
  bool relieves(CommandType type) const override {
    return type == kCancelOrder || type == kMassCancel || type == kSwitch || type == kSetPhase || type == kWithdraw ||
           type == kFixInput || type == kFixEnd || type == kReviewDue || (type >= kProceed && type < kPutMark);
  }
  // 2: trades have marks (settled_trade.h); books have sequences and candles are kept (market_state.h); an order that ends in the middle of
  // its replace, as by a trade with oneself, is reported as one that nobody asked to end; an expiry that ends nothing is not done again at
  // once.
  // 3: order events say where they come from (notes.h), parties of orders are kept and told, trades of firms are
  // kept for those who ask (firm_trades.h); what accounts trade is counted for their positions, and there are marks (positions_api.h).
  // 4: orders wait for reviews.
  static_assert(kPositionsVersion == kLogicParties && kRiskVersion == kLogicParties);
  uint32_t newest_version() const override { return kReviewVersion; }
  RenderView renderer() const override { return render_exchange; }

  // The ledger of the shard, for queries: what accounts hold; and what its memory is. Before the first command.
  void set_ledger(const LedgerMachine& ledger) { ledger_ = &ledger; }

  const Directory& directory() const { return directory_; }
  const Orders& orders() const { return orders_; }
  const FixSessions& fix_sessions() const { return fix_; }
  const Calendars& calendars() const { return calendars_; }
  const FirmTrades& firm_trades() const { return trades_; }
  const risk_rules::RuleBook& risk_rules() const { return risk_; }
  const std::map<uint64_t, Review>& reviews() const { return reviews_; }

  // For metrics; any thread.
  uint64_t open_orders() const { return open_orders_.load(std::memory_order_relaxed); }
  uint64_t trades_total() const { return trades_total_.load(std::memory_order_relaxed); }

 private:
  static constexpr LogTime kHeldUp = -1;
  struct Own {
    Block block;  // of everybody
    uint64_t next_trade = 1;
    uint64_t next_exec = 1;
    uint64_t next_cash = 1;
    uint64_t next_sweep = 1;
    TimerId timer = 0;  // kExpire; 0: not armed
    LogTime due = 0;    // what it is armed for; kHeldUp: for a look a little later
  };
  template <class A, Same<Own> S>
  friend void fields(A& a, S& t) {
    a(t.block, t.next_trade, t.next_exec, t.next_cash, t.next_sweep, t.timer, t.due);
  }
  // Cancels open orders that were there when it began, account by account.
  struct Sweep {
    uint64_t number = 0;
    Whose whose = Whose::everybody;  // everybody, firm, account
    uint32_t who = 0;
    uint32_t instrument = 0;  // 0: any
    std::optional<book::Side> side;
    uint64_t last_order = 0;  // the newest of them
    uint32_t cursor_account = 0;
    uint64_t cursor_order = 0;
    uint64_t ended = 0;
    uint32_t by = 0;
    bool kill = false;       // a kill switch's: instruments that it is of take no orders before its end
    bool passed_by = false;  // orders of books whose work goes on: once more when the rest is done
  };
  template <class A, Same<Sweep> S>
  friend void fields(A& a, S& t) {
    a(t.number, t.whose, t.who, t.instrument, t.side, t.last_order, t.cursor_account, t.cursor_order, t.ended, t.by,
      t.kill, t.passed_by);
  }
  struct Now {
    const Command& command;
    Effects& effects;
    LedgerMachine& ledger;
    LogTime time = 0;  // the command's
    PortCall call() const { return {command, effects}; }
  };
  // An order, or what a replace makes of one, that nothing is wrong with.
  struct Admitted {
    Listing* listing = nullptr;
    Order order;
    TradingDay day;
    book::NewOrder entered;  // of a new one
    OrderRate account_rate;  // as it is once it counts
    OrderRate firm_rate;
    uint64_t replaced = 0;  // leaves that it had
    int64_t replaced_price = 0;
  };

  // What rules know of an order, and what they said. Made while rules are set alone.
  struct RiskJudged {
    RiskJudged(const Admitted& admitted, const ExchangeMachine& machine, LogTime now);
    RiskJudged(const RiskJudged&) = delete;
    RiskJudged& operator=(const RiskJudged&) = delete;

    std::string account;
    risk_rules::Facts facts;  // views into the account, the directory and the sessions
    risk_rules::Outcome outcome;
    std::string why;
    bool replaces = false;
    const risk_rules::ReviewSpec* review = nullptr;  // by which it is held
  };

  void begin(const Command& command, const Effects& effects);
  void apply_one(Now& now);
  bool apply_operation(Now& now);
  void tell(Now& now);
  void save_corrections(SnapshotWriter& writer) const;
  void restore_corrections(SnapshotReader& reader);
  bool has_corrections() const;

  // reference_commands.cc
  void apply_instrument(Now& now);
  Result<void> judge_instrument(InstrumentSpec& spec, const Listing* known, const Now& now) const;
  void apply_firm(Now& now);
  void apply_account(Now& now);
  void apply_limits(Now& now);
  void apply_cash(Now& now);
  Result<void> move_cash(const CashMove& move, const TradingAccount& account, Now& now);

  // order_commands.cc
  void apply_new(Now& now);
  void apply_cancel(Now& now);
  void apply_replace(Now& now);
  // An error has changed nothing.
  Result<uint64_t> enter(const NewOrder& asked, Now& now);
  Result<void> cancel(const CancelOrder& asked, Now& now);
  Result<void> replace(const ReplaceOrder& asked, Now& now);
  Result<void> judge_place(const NewOrder& asked, Admitted& admitted, const Now& now);
  Result<void> judge_place(const ReplaceOrder& asked, Admitted& admitted, const Now& now);
  Result<Admitted> admit(const NewOrder& asked, const Now& now);
  Result<Admitted> admit(const ReplaceOrder& asked, const Now& now);
  // What was to be gone before the next order comes is gone: the book's work is done, nothing is overdue or about to be killed.
  bool at_rest(const Listing& listing, const Now& now) const;
  bool turns(const Listing& listing, const Now& now) const;
  bool turns_before(const Listing& listing, LogTime expires_at, const Now& now) const;
  bool about_to_be_killed(const Listing& listing) const;
  Result<void> judge_blocks(const Firm& firm, const TradingAccount& account, const Listing& listing) const;
  TradingDay trading_day(const Listing* listing, LogTime now) const;
  Result<void> judge_client_ids(const Firm& firm, const TradingDay& day) const;
  Result<void> judge_limits(Admitted& admitted, const Now& now) const;
  Result<void> hold(Admitted& admitted, Now& now);
  void count_order(const Order& order, const Admitted& admitted);
  Result<const Order*> open_order(const std::string& firm, uint64_t order_id) const;
  void reply_order(uint64_t order_id, Now& now);

  // trading.cc: what the book has done
  void follow(Listing& listing, const book::Outcome& outcome, Now& now);
  void schedule(Listing& listing, Now& now);
  void apply_proceed(Now& now);
  void on_event(Listing& listing, const book::Event& event, Now& now);
  void on_outside_band(Listing& listing, const book::Event& event, Now& now);
  void on_trade(Listing& listing, const book::Event& event, Now& now);
  void settle_fill(const Listing& listing, uint64_t trade, const Order& buyer, const Order& seller,
                   const FillLegs& legs, const TradeMarks& marks, Now& now);
  TradeMarks marks_of(const Order& buyer, const Order& seller, const Now& now);
  void fill(Order& order, int64_t price, const TradedSide& made);
  // In its instrument.
  std::array<Usage*, 2> usages_of(const Order& order);
  void end_order(Order& order, book::Reason reason, Now& now);
  void close_order(Order& order, book::Reason reason, Now& now);  // the same without a report
  void add_open(const Order& order, uint64_t more, uint64_t less);
  void tell_order(const Order& order, OrderEvent event) {
    OrderTold told;
    told.event = event;
    tell_order(order, told);
  }
  void tell_order(const Order& order, OrderTold told);
  void tell_call(std::string_view what, const Listing& listing, const book::Event& event);
  OrderOrigin origin_of(const Order& order);
  book::Room room() {
    return {std::span(events_).first(events_max() / share_), static_cast<uint32_t>(book::kOrdersPerTurn / share_)};
  }
  size_t events_max() const {
    if (fix_.empty()) return kEventsPerEntry;
    return orders_.has_parties() ? kFixPartiesEvents : kFixEventsPerEntry;
  }
  size_t ends_max() const {
    if (fix_.empty()) return kSweepEnds;
    return orders_.has_parties() ? kFixPartiesEnds : kFixSweepEnds;
  }

  // market_commands.cc: phases, mass cancels, kill switches, expiry
  void apply_phase(Now& now);
  // What is refused has changed nothing.
  book::Reject enter_phase(Listing& listing, book::Phase phase, Now& now);
  void apply_mass_cancel(Now& now);
  void apply_switch(Now& now);
  Block* block_of(const SwitchChange& change);
  Result<Sweep> sweep_of(Whose whose, const std::string& firm, const std::string& account, const std::string& symbol,
                         const Now& now) const;
  void begin(Sweep sweep, Now& now);
  void apply_sweep(Now& now);
  bool step(Sweep& sweep, Now& now);
  bool wanted(const Sweep& sweep, const Order& order) const;
  void go_on(Sweep sweep, Now& now);
  void apply_expire(Now& now);
  int64_t expire_some(Now& now);
  void hold_expiry(int64_t ended, Now& now);
  void resume_expiry(Now& now);
  void rearm(Now& now);

  // corrections.cc: trades that are busted or corrected, what is owed, the house's fees
  struct Busted {
    Listing* listing = nullptr;
    SettledTrade trade;
    TradeTerms was;
    TradeReversal::Firms firms;
    std::optional<Correction> correction;
    std::string reason;
    uint64_t exec = 0;  // the buyer's ExecID, the seller's is the next one

    // What is told: of a correction what is in the trade's place.
    TradeTerms told() const { return correction ? correction->terms : was; }
    uint64_t number() const { return correction ? correction->trade : trade.trade; }
  };
  struct BustedSide {
    uint64_t order = 0;
    uint32_t account = 0;
    uint32_t firm = 0;
    uint32_t session = 0;  // that the order came over; 0: none
    uint64_t exec = 0;
    uint64_t exec_ref = 0;
    Uint128 fee = 0;  // as told()
    Uint128 rebate = 0;
  };
  static BustedSide side_of(const Busted& busted, book::Side side);
  void apply_bust(Now& now);
  Result<Busted> judge_bust(const BustTrade& asked, const Now& now);
  Result<Correction> judge_agreed(const AgreedTrade& agreed, const Busted& busted) const;
  Result<void> take_back(const Busted& busted, Now& now);
  void restate(const Busted& busted);
  void restate_order(uint64_t order_id, const Busted& busted);
  void restate_last_price(const Busted& busted);
  void restate_market(const Busted& busted);
  void tell_bust(const Busted& busted, const Now& now);
  void tell_restated(const Busted& busted, book::Side side, const Now& now);
  void owe(uint32_t firm, uint32_t asset, Now& now);
  void cleared(uint32_t firm, uint32_t asset, Now& now);
  void tell_owed(uint32_t firm, uint32_t asset, const Now& now);
  void apply_clear(Now& now);
  Result<void> clear(const ClearReceivable& asked, Now& now);
  void apply_withdraw_fees(Now& now);
  Result<void> withdraw_fees(const WithdrawFees& asked, Now& now);
  void query_trade(const uint64_t& trade, Reply& reply) const;
  void query_receivables(const std::string& firm, Reply& reply) const;

  // positions.cc: what accounts traded and gained, marks
  void begin_positions(uint64_t trade, const Now& now);
  void restate_positions(const Busted& busted);
  void apply_mark(Now& now);
  Result<void> put_mark(const MarkChange& asked, const Now& now);
  PositionRow position_row(const Listing& listing, const Usage& usage) const;
  AccountPositions positions_of(const TradingAccount& account) const;
  void query_mark(const std::string& symbol, Reply& reply) const;
  bool has_positions() const;
  void save_positions(SnapshotWriter& writer) const;
  void restore_positions(SnapshotReader& reader);

  // calendar_commands.cc: trading calendars, and the phases that they bring
  void apply_put_calendar(Now& now);
  Result<void> judge_calendar(const CalendarPut& asked) const;
  void apply_extend_calendar(Now& now);
  void apply_set_calendar(Now& now);
  void rearm(Calendar& calendar, Now& now);
  void apply_calendar_due(Now& now);
  std::vector<uint32_t> listings_of(const Calendar& calendar) const;
  void label(const Calendar& calendar, const std::optional<TradingDay>& before, Now& now);
  void turn(Listing& listing, Now& now);
  int64_t turn_all(const Calendar& calendar, Now& now);
  void wait_with_turn(Listing& listing, bool ends_call, Now& now);
  void wake(Listing& listing, Now& now);
  void wake_waiting(Now& now);
  void apply_calendar_phase(Now& now);
  bool take_turn(Listing& listing, bool extended, Now& now);
  int64_t follow_calendar(Listing& listing, const Instant& instant, Now& now);
  void extend_call(Listing& listing, Now& now);
  void end_extension(Listing& listing, Now& now);
  void tell_calendar(std::string_view what, const Listing& listing, const Instant& instant);
  void query_calendars(const Page& page, Reply& reply) const;
  void save_calendars(SnapshotWriter& writer) const;
  void restore_calendars(SnapshotReader& reader);

  // fix_commands.cc: what comes over FIX
  void tell_fix(Now& now);
  void apply_put_fix(Now& now);
  Result<void> judge_fix(const FixSpec& spec, const FixSession* known) const;
  void apply_reset_fix(Now& now);
  void apply_fix_input(Now& now);
  void apply_fix_end(Now& now);
  void end_connection(FixSession& session, bool logged_out, Now& now);
  void apply_fix_grace(Now& now);
  bool cancel_some(FixSession& session, Now& now);
  void query_fix(const Page& page, Reply& reply) const;

  // fix_requests.cc
  void apply_fix_request(FixSession& session, FixRequest& asked, Now& now);
  void fix_enter(FixSession& session, FixRequest& asked, Now& now);
  void fix_cancel(FixSession& session, FixRequest& asked, Now& now);
  void fix_replace(FixSession& session, FixRequest& asked, Now& now);
  bool fix_known(FixSession& session, FixRequest& asked, const Now& now);
  void fix_status(FixSession& session, const FixRequest& asked, const Now& now);
  void fix_business_reject(FixSession& session, const FixRequest& asked, std::string_view text);
  void fix_mass_status(FixSession& session, const FixRequest& asked);
  std::optional<std::vector<const Order*>> fix_open_orders(const FixSession& session, const FixRequest& asked) const;
  void fix_mass_cancel(FixSession& session, const FixRequest& asked, Now& now);
  const Order* fix_order(const FixSession& session, const FixRequest& asked) const;
  TradingDay fix_day(const FixSession& session, const FixRequest& asked, const Now& now) const;
  std::optional<Error> judge_named(const FixRequest& asked, const Order& order) const;
  void fix_cancel_rejected(FixSession& session, const FixRequest& asked, const Order* order, const Error& error);
  void fix_mass_refused(FixSession& session, const FixRequest& asked, uint32_t reason, std::string_view text);
  void fix_mass_done(const Sweep& sweep);

  // fix_reports.cc: execution reports
  struct Fill {
    uint64_t trade = 0;
    int64_t price = 0;
    uint64_t quantity = 0;
    Uint128 fee = 0;
    Uint128 rebate = 0;
  };
  void report(char exec_type, const Order& order);
  void report_fill(const Order& order, const Fill& fill);
  void report_end(const Order& order, book::Reason reason);
  void report_denied(const Order& order, std::string_view why);
  char fix_status(const Order& order) const;
  std::string restated_body(const Busted& busted, book::Side side, const BustedSide& of) const;
  void report_restated(const Busted& busted, book::Side side);
  void report_rejected(FixSession& session, const FixRequest& asked, uint32_t reason, std::string_view text);
  std::string status_body(const Order& order, const std::string& more) const;
  void send_report(const Order& order, const std::string& body, bool answers);
  std::string report_body(char exec_type, const Order& order, const std::string& client_id,
                          const std::string& original_id, uint64_t exec) const;

  // fix_capture.cc: trades of firms, kept while there are sessions
  bool keeps_trades() const { return origin_.told && !fix_.empty(); }
  void keep_fill(const Listing& listing, const Order& order, const Fill& fill, uint64_t exec, const Now& now);
  void keep_restated(const Busted& busted, book::Side side, const Now& now);
  void fix_capture(FixSession& session, const FixRequest& asked, Now& now);
  void fix_capture_refused(FixSession& session, const FixCapture& capture, TradeResult why, std::string_view text);
  void apply_capture(Now& now);
  void go_on_capture(uint64_t number, Now& now);
  void look_for_trades(FixCapture& capture) const;
  void say_captured(FixSession& session, const FixCapture& capture, const Now& now);
  int64_t not_all_trades_upto(uint32_t firm, const Now& now) const;
  void tell_captured(FixSession& session, FixCapture& capture);
  std::string captured_body(const FixSession& session, const FixCapture& capture) const;
  // risk_commands.cc: rules over orders
  void apply_put_risk_rules(Now& now);
  void apply_put_risk_list(Now& now);
  Result<void> judge_risk(const Admitted& admitted, std::optional<RiskJudged>& judged, const Now& now);
  void count_risk(const RiskJudged& judged, const Admitted& admitted);
  void tell_verdict(const RiskJudged& judged, const Admitted& admitted, uint64_t order_id);
  void refuse_order(const Error& error, Now& now);
  void query_risk_rules(Reply& reply) const;
  void query_risk_lists(Reply& reply) const;
  void query_risk_list(const std::string& name, Reply& reply) const;
  void save_risk(SnapshotWriter& writer) const;
  void restore_risk(SnapshotReader& reader);
  void restore_risk_window(size_t number, SnapshotReader& reader);

  // reviews.cc: orders that wait for one
  bool in_review(uint64_t order) const { return !reviews_.empty() && reviews_.contains(order); }
  OrderStatus shown_status(const Order& order) const;
  Result<uint64_t> hold_for_review(const NewOrder& asked, Admitted& admitted, const RiskJudged& judged, Now& now);
  bool end_review(uint64_t order, Now& now);
  void end_open(Listing& listing, uint64_t order, book::Reason reason, Now& now);
  // order_commands.cc: into its book. An error has changed nothing.
  Result<void> release(const Review& review, Now& now);
  void deny(uint64_t id, std::string_view why, Now& now);
  void tell_review(const Review& review, bool allowed, std::string_view reason);
  void apply_decide_review(Now& now);
  void apply_review_due(Now& now);
  void query_reviews(const uint64_t& after, Reply& reply) const;
  void save_reviews(SnapshotWriter& writer) const;
  void restore_reviews(SnapshotReader& reader);

  // exchange_queries.cc
  void query_instruments(const Page& page, Reply& reply) const;
  void query_firms(const Page& page, Reply& reply) const;
  void query_accounts(const Page& page, Reply& reply) const;
  void query_positions(const Page& page, Reply& reply) const;
  void query_order(const OrderQuery& query, Reply& reply) const;
  void query_orders(const OrdersQuery& query, Reply& reply) const;
  void query_depth(const DepthQuery& query, Reply& reply) const;
  void query_state(Reply& reply) const;
  void query_market(const MarketQuery& query, Reply& reply) const;
  void query_candles(const CandlesQuery& query, Reply& reply) const;
  bool keeps_market(Reply& reply) const;
  TradingDay market_day(const Listing& listing, LogTime now) const;
  MarketRow market_row(const Listing& listing, const MarketAsk& ask, LogTime now) const;
  InstrumentRow row_of(const Listing& listing) const;
  AccountRow row_of(const TradingAccount& account) const;
  void pack_row(const Order& order, Packer& out) const;  // as OrderRow

  void count();

  const uint32_t client_ids_max_;
  const uint64_t index_key_;
  Directory directory_;
  Orders orders_;
  FixSessions fix_;
  Calendars calendars_;
  MarketState market_;
  FirmTrades trades_;
  risk_rules::RuleBook risk_;
  std::string risk_source_;  // the JSON of the rules in force
  static constexpr uint64_t kReviewBytes = 1'024;
  std::map<uint64_t, Review> reviews_;  // by order
  Own own_;
  std::map<uint64_t, Sweep> sweeps_;
  std::set<std::pair<uint32_t, uint32_t>> receivables_;  // firm and asset: it owes some; how much is the ledger's
  uint64_t counted_from_ = 0;                            // the first trade that is in the positions; 0: none yet
  const LedgerMachine* ledger_ = nullptr;
  size_t scopes_ = 0;
  uint32_t logic_ = 0;  // that a command was seen under last; 0: none yet. No state
  // Of the running command.
  std::vector<std::pair<uint32_t, uint32_t>> owed_now_;  // firm and asset
  OrderOrigin origin_;                                   // of its events, without the order's own
  bool risk_refused_ = false;                            // rules did not let an order through
  size_t share_ = 1;                                     // its part of an entry's room is one of so many
  Notes notes_;
  Packer answer_;
  std::array<book::Event, kEventsPerEntry> events_;
  // deterministic: metrics read them, apply() never does
  std::atomic<uint64_t> open_orders_{0};
  // deterministic: likewise
  std::atomic<uint64_t> trades_total_{0};
};

// Of a side, from the best on: market_queries.cc.
std::vector<DepthLevel> levels_of(const Listing& listing, book::Side side, uint32_t levels);

}  // namespace heptane::fintech::exchange
