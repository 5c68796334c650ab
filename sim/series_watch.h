// Series in a simulation: what the stream `iot.lines` says, in its order, as plain maps of points, and what writers and readers of the
// HTTP API were told.
//
// Rules: every request that was answered 204 is in the stream, once at least, with its lines; what a query shows of a series is never
// older than what was acknowledged to its writer before the query was asked; at the end it is what the maps hold, the later record's
// value at each time and field, no more and no less; after any number of crashes. The projection stands still only after a fault of the
// disk, and goes on after the next start. One owner.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kernel/base/disk.h"
#include "sim/checker.h"
#include "sim/http_client.h"
#include "sim/stream_tail.h"

namespace heptane::sim {

constexpr uint32_t kSeriesSlots = 40;  // times of a series
constexpr std::string_view kSharedSeries = "all";

class SeriesWatch {
 public:
  struct Counts {
    uint64_t written = 0;  // requests answered 204
    uint64_t queries = 0;
    uint64_t rows = 0;     // that they showed
    uint64_t checked = 0;  // series that were compared whole
    uint64_t stalled = 0;  // queries that found the projection standing still
    uint64_t files = 0;    // that starts found
    uint64_t audits = 0;
  };
  using Row = std::map<std::string, std::string>;  // values by field, as JSON
  using Points = std::map<int64_t, Row>;           // by time

  bool created = false;                               // the database, acknowledged
  std::vector<std::map<int64_t, uint32_t>> promised;  // by writer and time: the newest number that was acknowledged
  std::set<std::string> acknowledged;                 // lines of requests, as records have them
  bool is_known = false;                              // writers have come to their end, and the stream was read
  bool stands_still = false;                          // a query said so
  Counts counts;

  void audit(server::Server& server, Disk& disk, Checker& checker, bool damaged);
  // True when all series were compared whole.
  bool has_ended(server::Server& server, Disk& disk, Checker& checker);
  bool is_lost() const { return blind_; }
  std::string next_to_check() const;
  void is_checked(const std::string& series) { checked_.insert(series); }
  // What a query of all fields of the series must show, as JSON.
  std::string shown(const std::string& series) const;

 private:
  bool catch_up(server::Server& server, Disk& disk, Checker& checker, bool damaged);
  void take(std::string_view lines, Checker& checker);

  StreamTail tail_{"iot.lines"};
  std::map<std::string, Points> points_;  // by the tag that names the series
  std::set<std::string> records_;
  std::set<std::string> checked_;
  bool blind_ = false;
};

class SimSeriesWriter final : public SimHttpClient {
 public:
  SimSeriesWriter(ClientWorld& world, SeriesWatch& watch, uint32_t number, uint16_t port);

 private:
  void compose() override;
  bool on_response(int status, std::string_view body) override;
  uint32_t composes_one_in() const override { return 3; }

  SeriesWatch& watch_;
  const uint32_t number_;
  uint32_t next_ = 1;
  std::string lines_;
};

class SimSeriesReader final : public SimHttpClient {
 public:
  SimSeriesReader(ClientWorld& world, SeriesWatch& watch, uint16_t port)
      : SimHttpClient(world, "series-reader", port), watch_(watch) {}

 private:
  void compose() override;
  bool composes() const override { return SimHttpClient::composes() || watch_.is_known; }
  bool on_response(int status, std::string_view body) override;
  bool shows_promised(std::string_view body);

  SeriesWatch& watch_;
  std::string series_;  // that is asked for
  bool whole_ = false;  // and compared whole
  std::map<int64_t, uint32_t> promised_;
};

}  // namespace heptane::sim
