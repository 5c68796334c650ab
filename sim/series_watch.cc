#include "sim/series_watch.h"

#include <algorithm>
#include <charconv>

#include "kernel/net/http/json.h"

namespace heptane::sim {

namespace {

using http::JsonDocument;

constexpr int64_t kFirstTime = 1'700'000'000'000'000'000;
constexpr int64_t kSlotNs = 1'000'000'000;
constexpr uint32_t kRequestsMax = 90;  // of a writer
constexpr uint32_t kLines = 5;         // of a request

int64_t time_of(uint32_t slot) { return kFirstTime + kSlotNs * slot; }

// The slot of a request's line.
uint32_t slot_of(uint32_t number, uint32_t line) { return (number * 7 + line * 3) % kSeriesSlots; }

std::string_view take_part(std::string_view& rest, char end) {
  const size_t at = rest.find(end);
  const std::string_view part = rest.substr(0, at);
  rest = at == std::string_view::npos ? std::string_view() : rest.substr(at + 1);
  return part;
}

std::string line_of(std::string_view series, uint32_t number, uint32_t slot) {
  std::string line = "m,w=" + std::string(series) + " v=" + std::to_string(number) + "i";
  if (number % 3 == 0) line += ",f=" + std::to_string(number) + ".5";
  if (number % 4 == 0) line += ",s=\"t" + std::to_string(number) + "\"";
  return line + " " + std::to_string(time_of(slot)) + "\n";
}

}  // namespace

// False: nothing is known any more.
bool SeriesWatch::catch_up(server::Server& server, Disk& disk, Checker& checker, bool damaged) {
  if (checker.lost_tail_allowed()) blind_ = true;
  if (blind_) return false;
  const Result<void> done = tail_.read(server, disk, [&](Offset, std::string_view, std::string_view lines) {
    records_.emplace(lines);
    take(lines, checker);
  });
  if (!done && !damaged) checker.fail(done.error().message);
  blind_ = !done || damaged;
  return !blind_ && !checker.failed();
}

void SeriesWatch::take(std::string_view lines, Checker& checker) {
  while (!lines.empty()) {
    std::string_view line = take_part(lines, '\n');
    const std::string_view head = take_part(line, ' ');
    std::string_view fields = take_part(line, ' ');
    int64_t time = 0;
    (void)std::from_chars(line.data(), line.data() + line.size(), time);
    if (!head.starts_with("m,w=") || time < kFirstTime) return checker.fail("iot.lines holds what nobody wrote");
    Row& row = points_[std::string(head.substr(4))][time];
    while (!fields.empty()) {
      std::string_view value = take_part(fields, ',');
      const std::string name(take_part(value, '='));
      if (value.ends_with('i')) value.remove_suffix(1);
      row[name] = value;
    }
  }
}

void SeriesWatch::audit(server::Server& server, Disk& disk, Checker& checker, bool damaged) {
  if (!catch_up(server, disk, checker, damaged)) return;
  for (const std::string& lines : acknowledged)
    if (!records_.contains(lines))
      return checker.fail("lines were answered 204 and are not in iot.lines: " + lines.substr(0, lines.find('\n')));
  acknowledged.clear();
  ++counts.audits;
}

bool SeriesWatch::has_ended(server::Server& server, Disk& disk, Checker& checker) {
  if (!catch_up(server, disk, checker, false)) return true;
  is_known = true;
  return next_to_check().empty();
}

std::string SeriesWatch::next_to_check() const {
  for (const auto& [series, points] : points_)
    if (!checked_.contains(series)) return series;
  return {};
}

std::string SeriesWatch::shown(const std::string& series) const {
  std::string rows;
  const auto cell = [](const Row& row, const char* name) {
    const auto found = row.find(name);
    return found == row.end() ? std::string("null") : found->second;
  };
  for (const auto& [time, row] : points_.at(series)) {
    rows += (rows.empty() ? "[" : ",[") + std::to_string(time) + "," + cell(row, "v") + "," + cell(row, "f") + "," +
            cell(row, "s") + "]";
  }
  return "\"values\":[" + rows + "]";
}

// Writers.

SimSeriesWriter::SimSeriesWriter(ClientWorld& world, SeriesWatch& watch, uint32_t number, uint16_t port)
    : SimHttpClient(world, "series-writer-" + std::to_string(number), port), watch_(watch), number_(number) {
  watch_.promised.emplace_back();
}

void SimSeriesWriter::compose() {
  if (!watch_.created) return ask("POST", "/query?q=CREATE%20DATABASE%20sim", "");
  if (next_ > kRequestsMax) return;
  lines_.clear();
  for (uint32_t i = 0; i < kLines; ++i) {
    const std::string series = i + 1 == kLines ? std::string(kSharedSeries) : std::to_string(number_);
    lines_ += line_of(series, next_, slot_of(next_, i));
  }
  ask("POST", "/write?db=sim&precision=ns", lines_);
}

bool SimSeriesWriter::on_response(int status, std::string_view body) {
  if (request().starts_with("POST /query")) {
    // What a statement is refused for, a full disk for one, stands in the answer.
    const bool refused = body.find("\"error\"") != std::string_view::npos;
    watch_.created = watch_.created || (status == 200 && !refused);
    if (refused) ask_again();
    return status == 200;
  }
  if (status != 204) return false;
  watch_.acknowledged.insert(lines_);
  for (uint32_t i = 0; i + 1 < kLines; ++i) watch_.promised[number_][time_of(slot_of(next_, i))] = next_;
  ++next_;
  ++watch_.counts.written;
  return true;
}

// Readers.

void SimSeriesReader::compose() {
  if (!watch_.created) return;
  whole_ = watch_.is_known;
  const auto writer = static_cast<uint32_t>(world_.random.below(watch_.promised.size()));
  series_ = whole_ ? watch_.next_to_check() : std::to_string(writer);
  if (series_.empty()) return;
  promised_ = watch_.promised[writer];
  ask("GET", "/query?db=sim&epoch=ns&q=SELECT%20v,f,s%20FROM%20m%20WHERE%20w=%27" + series_ + "%27", "");
}

bool SimSeriesReader::on_response(int status, std::string_view body) {
  if (status != 200) return false;
  ++watch_.counts.queries;
  if (body.find("\"messages\"") != std::string_view::npos) return false;  // nothing was trimmed
  if (body.find("\"error\"") != std::string_view::npos) {
    if (body.find("ask again") == std::string_view::npos) {
      watch_.stands_still = true;
      ++watch_.counts.stalled;
    }
    ask_again();
    return true;
  }
  if (!whole_) return shows_promised(body);
  if (body.find(watch_.shown(series_)) == std::string_view::npos) return false;
  watch_.is_checked(series_);
  ++watch_.counts.checked;
  return true;
}

// Numbers of a writer's series grow at every time.
bool SimSeriesReader::shows_promised(std::string_view body) {
  const auto parsed = JsonDocument::parse(std::string(body));
  if (!parsed) return false;
  const auto results = (*parsed)->root().find("results");
  const auto result = results ? results->first() : std::nullopt;
  const auto series = result ? result->find("series") : std::nullopt;
  const auto table = series ? series->first() : std::nullopt;
  const auto values = table ? table->find("values") : std::nullopt;
  for (auto row = values ? values->first() : std::nullopt; row; row = row->next()) {
    const auto time = row->first();
    const auto value = time ? time->next() : std::nullopt;
    if (!value) return false;
    ++watch_.counts.rows;
    const auto promised = promised_.find(time->integer().value_or(0));
    if (promised == promised_.end()) continue;
    if (value->integer().value_or(0) < static_cast<int64_t>(promised->second)) return false;
    promised_.erase(promised);
  }
  return promised_.empty();
}

}  // namespace heptane::sim
