// Commands and queries of the series machine: databases and what is written to them in InfluxDB's line protocol. One write request is
// one command and one record of `iot.lines`. Not in transactions. Little-endian; texts: length u16 and bytes. Any thread.
//
// A record of `iot.lines`: key = database, value = the lines that were taken, times in nanoseconds, tags sorted; a database that is
// dropped is a record without a value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/shard/state_machine.h"
#include "kernel/shard/views.h"
#include "modules/iot/domain/series/line_protocol.h"
#include "modules/iot/machine/series/key_table.h"

namespace heptane::iot::series {

constexpr MachineId kSeriesMachineId = machine_ids::kFirstModule + 5;

enum SeriesCommand : CommandType {
  kWriteLines =
      1,  // of older logs: as kTakeLines, but the machine drops what does not fit. Payload: a LinesCommand. Reply numbers:
          // lines taken, lines dropped; payload: of some dropped, a Dropped. Refused with nothing taken: not_found (the
          // database), invalid_argument (field types; detail: the line, from 1), no_space (series or fields; likewise)
  kCreateDatabase = 2,  // payload: name. Reply numbers: 1, or 0 when it was there. Refused: invalid_argument, no_space,
                        // exists (a client's stream of the name)
  kDropDatabase = 3,    // payload: name. Reply numbers: 1, or 0 when it was not there
  kTakeLines = 4,  // payload: a LinesCommand with tables: all of it is taken, or nothing. Reply numbers: lines taken.
                   // Refused: not_found (the database), stale (something does not fit: kQueryFit says what),
                   // invalid_argument
};

enum SeriesQuery : uint16_t {
  kQueryDatabases =
      1,  // reply payload: names (texts), sorted; numbers: the partition of `iot.lines`, or kNoPartition; its end
  kQueryFit = 2,  // payload: as of kTakeLines. Reply payload: a Fit. Refused: as there, but for stale
};

constexpr size_t kDatabaseNameBytesMax = 64;
constexpr size_t kDatabasesMax = 1'000;
constexpr size_t kLinesBytesMax = 4'000'000;  // of one request, unpacked
constexpr size_t kTableBytesMax = 128 << 10;  // what a command says beside its lines: 21,845 series, or 10,082 fields
constexpr int64_t kSeriesMax = 1'000'000;     // of all databases, where series.max_series says nothing
constexpr int64_t kSeriesCeiling = 10'000'000;
constexpr size_t kFieldsOfAllMax = 1'000'000;  // measurement and field names of all databases
constexpr size_t kFieldNamesBytesMax = size_t{64} << 20;
constexpr uint32_t kMeasurementFieldsMax = 1'024;  // of one measurement: what each of its series may have

// Logged configuration, a decimal number.
constexpr std::string_view kMaxSeries = "series.max_series";

constexpr ViewId kLinesView{kSeriesMachineId, 1};
constexpr std::string_view kLinesStream = "iot.lines";
constexpr int64_t kLinesRetentionMs = 7 * 24 * int64_t{3'600'000};
constexpr int64_t kLinesRetentionBytes = int64_t{4} << 30;

// 1 to 64 of letters, digits, `_`, `-`, `.` and `:`; not a name of two dots.
bool valid_database(std::string_view name);

// Where a text stands in the lines.
struct Place {
  uint32_t offset = 0;
  uint16_t bytes = 0;
};
// A field of a measurement, with a type: at the first line that has it.
struct FieldPlace {
  Place measurement;
  Place name;
  FieldType type = FieldType::real;
};

// Lines that were read and are right. Their times count `unit_ns`, `default_time` (nanoseconds) is that of those that say none. The machine
// looks at what is in the tables alone, which are in the order of the lines.
struct LinesCommand {
  std::string_view text(const Place& place) const { return lines.substr(place.offset, place.bytes); }

  std::string_view database;
  int64_t unit_ns = 1;
  int64_t default_time = 0;
  bool plain = false;  // all lines say their time, in nanoseconds: they are the record
  bool has_tables = false;
  uint32_t count = 0;
  std::vector<Place> series;
  std::vector<FieldPlace> fields;
  std::string_view lines;
};
std::optional<LinesCommand> decode_lines(Bytes payload);
// Whether tables are what a LinesCommandWriter makes of lines: in their order, apart from each other, not longer than names are. What
// they cost is bounded then.
bool sound_tables(const LinesCommand& command);

// What a machine says of a command's tables, each in their order.
struct Fit {
  uint64_t series_room = 0;  // how many more there may be
  uint64_t series_max = 0;
  uint64_t fields_room = 0;
  uint64_t field_bytes_room = 0;
  std::vector<bool> knows_series;
  std::vector<std::optional<FieldType>> types;  // that fields have
  std::vector<uint32_t> measurement_fields;     // how many the field's measurement has
};
Buffer encode(const Fit& fit);
std::optional<Fit> decode_fit(Bytes payload);

// As the machine says it of a line.
std::string type_conflict(std::string_view measurement, std::string_view name, FieldType type, FieldType there);
// What of a field's name counts towards kFieldNamesBytesMax.
constexpr size_t field_name_bytes(std::string_view measurement, std::string_view name) {
  return measurement.size() + 1 + name.size();
}

// Makes the command of one request, line by line. Keeps views of the lines.
class LinesCommandWriter {
 public:
  // `seed`: of the tables by which it knows names again; secret where lines come from others.
  LinesCommandWriter(std::string_view database, int64_t unit_ns, int64_t default_time, uint64_t seed = 0);
  // `key`: the line's (series_key). A line whose time does not fit 64 bits in nanoseconds is not taken: false.
  bool add(const Line& line, std::string_view key);
  uint32_t count() const { return count_; }
  // Of the lines that were added: who reads the next ones need not read those again.
  KnownHeads& heads() { return heads_; }
  // False: the lines name more than tables hold, and no machine takes them.
  bool fits() const { return tables_bytes_ <= kTableBytesMax; }
  Buffer finish();

 private:
  size_t lines_bytes() const { return lines_.size() + (run_.empty() ? 0 : run_.size() + 1); }
  void add_text(std::string_view text);
  void end_run();
  static bool stands_as_written(const Line& line, std::string_view key);
  void note_series(std::string_view key, size_t offset);
  bool has_last_shape(const Line& line);
  void note_fields(const Line& line, size_t line_offset, size_t body_offset);

  std::string database_;
  int64_t unit_ns_;
  int64_t default_time_;
  bool plain_;
  size_t tables_bytes_ = 0;
  uint32_t count_ = 0;
  std::string lines_;
  std::string_view run_;  // behind them: lines that stand in one piece as they were written, without the last one's end
  KnownHeads heads_{};
  KeySet known_series_;                // what the command has named so far
  KeySet known_fields_;                // a field is known by its measurement, its name and its type
  std::string_view last_measurement_;  // of the last line, and what fields it had
  std::vector<std::pair<std::string_view, FieldType>> last_fields_;
  std::vector<Place> series_;
  std::vector<FieldPlace> fields_;
};

// Of the command's lines the first that was dropped, from 0, and why; whether for want of room.
struct Dropped {
  uint32_t line = 0;
  bool no_room = false;
  std::string why;
};
Buffer encode(const Dropped& dropped);
std::optional<Dropped> decode_dropped(Bytes payload);

// A line of a record.
void append_record_line(std::string& out, std::string_view head, std::string_view body, int64_t time);

// The machine's renderer.
void render_lines(const LoggedCommand& logged, uint16_t number, RecordWriter& out);

}  // namespace heptane::iot::series
