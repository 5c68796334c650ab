// The tumbling windows of a query that are open: what its records add up to, by window and group, until the watermark closes them and
// their rows are taken, window after window and in them by the group's text. The same records give the same rows, wherever it is
// begun anew: a place says from which record to read again, and which windows that makes (WindowPlace).
//
// The watermark is the newest event time less the grace period, or, with a timeout, the newest time of a record less that; it never
// goes back. A record whose window it has passed is late. Bounds: kOpenMax windows, in all of them together kRuleBytesMax, in each
// its share of that and kGroupsMax groups; a record for which there is no room is an error. One lane's.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/result.h"
#include "modules/iot/domain/rules/sql.h"
#include "modules/iot/domain/rules/window_place.h"

namespace heptane::iot::rules {

constexpr size_t kGroupsMax = 4'096;                   // of a window
constexpr int64_t kRuleBytesMax = int64_t{8} << 20;    // of all windows that may be open, in memory
constexpr size_t kGroupKeyBytesMax = 384;              // what GROUP BY is worth, as JSON
constexpr size_t kHeldTextBytesMax = size_t{4} << 10;  // of a text that first() or last() holds
// An event may be this far ahead of its record's own time: one wrong clock closes no windows of the others.
constexpr int64_t kAheadMsMax = 60'000;
constexpr int64_t kEventMsMax = 253'402'300'799'999;  // the end of the year 9999

class Windows {
 public:
  enum class Taken : uint8_t {
    unwanted,  // by the condition
    kept,
    late,
    not_yet,  // rows are due first: it is to be offered again
  };
  // A window's row for one group.
  struct ClosedRow {
    int64_t start_ms = 0;
    int64_t end_ms = 0;
    std::string group;  // JSON: an array of what GROUP BY is worth
    uint64_t records = 0;
    int64_t first_offset = 0;
    int64_t last_offset = 0;
    uint8_t hops = 0;                                       // the most of its records'
    Result<std::optional<Row>> row = std::optional<Row>();  // nullopt: HAVING is not so. Error: why there is none
  };

  // `query`: one with windows.
  Windows(std::shared_ptr<const Select> query, const WindowPlace& place);

  // A record that stands before the position: it counts where its window's rows are not out.
  void rebuild(const Message& message);
  // A record behind it. Error: what is wrong with it; it counts nowhere.
  // `latest_ms`: what is later than this comes of a wrong clock, its own or the server's, and closes no windows of the others.
  Result<Taken> offer(const Message& message, int64_t latest_ms = kEventMsMax);
  // Of any record behind the position, one that the condition or the topic leaves out too, before it is offered: its own time moves
  // the windows' time-outs on. False: rows are due first, and then it comes again.
  bool pass(int64_t timestamp_ms, int64_t latest_ms);
  // By the clock: no record of before comes any more that is newer than this.
  void raise(int64_t watermark_ms);

  // Rows are to be taken before another record is.
  bool is_due() const;
  // nullopt: of this place there is none.
  std::optional<ClosedRow> take_row();
  // Of the first one that is open.
  std::optional<int64_t> first_end_ms() const;
  // Behind the records before `next`.
  WindowPlace place(int64_t next) const;

 private:
  struct State {
    uint64_t count = 0;  // of values that are not NULL
    int64_t at_ms = 0;   // of the value of first and last
    Value value{};
  };
  struct Group {
    std::vector<Value> by;
    std::vector<State> states;
    uint64_t records = 0;
    int64_t first_offset = 0;
    int64_t last_offset = 0;
    uint8_t hops = 0;
  };
  struct Window {
    std::map<std::string, Group> groups;
    int64_t bytes = 0;
    int64_t first_offset = 0;
  };
  // What a record adds.
  struct Share {
    int64_t event_ms = 0;
    int64_t start_ms = 0;
    int64_t offset = 0;
    uint8_t hops = 0;
    std::string group;
    std::vector<Value> by;
    std::vector<Value> values;  // by aggregate
  };

  const Windowing& said() const { return *query_->windowing(); }
  int64_t end_of(int64_t start_ms) const { return start_ms + said().spec.size_ms; }
  Result<std::optional<Share>> share_of(const Message& message) const;
  Result<int64_t> event_ms(const Message& message) const;
  Result<void> group_by(const Message& message, Share& share) const;
  Result<void> work_out(const Message& message, Share& share) const;
  Result<void> add(const Share& share);
  bool takes_place(size_t aggregate, const State* state, const Share& share) const;
  void add_to(State& state, size_t aggregate, const Share& share) const;
  // Why it cannot be added; else what it makes the window larger by.
  Result<int64_t> room_for(const Share& share, const Window& window, const Group* group) const;
  Result<Row> worked_out(const Group& group, int64_t start_ms) const;
  void end_window();
  void settle();

  std::shared_ptr<const Select> query_;
  std::map<int64_t, Window> windows_;  // by their start
  int64_t window_bytes_max_;
  int64_t watermark_ms_;
  int64_t closed_ms_;
  uint32_t rows_done_;
  uint32_t to_skip_;  // rows that are out, of the first window that is made again
};

}  // namespace heptane::iot::rules
