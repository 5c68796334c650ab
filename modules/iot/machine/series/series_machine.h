// The machine of series: which databases there are, how many series they have, and the type of every field, so that what does not
// fit is refused before it is logged. Points are not its business: they are in the records of `iot.lines`, a view. The shard thread's.
//
// Invariants: a record holds exactly the lines that were taken; a (database, measurement, field) has one type until its database is
// dropped; never more series than series.max_series says, nor names than the bounds in series_api.h. What it knows, it knows by hashes.
// A command costs as much as it names series and fields (kTableBytesMax of them), never as much as its lines: those it does not read,
// but of older logs (kWriteLines). What a dropped database held goes block by block, with later commands and when there are none.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "kernel/shard/state_machine.h"
#include "modules/iot/machine/series/series_api.h"

namespace heptane::iot::series {

class SeriesMachine final : public StateMachine {
 public:
  // `seed`: of its tables; nothing that the machine says or saves depends on it.
  explicit SeriesMachine(uint64_t seed = 0) : seed_(seed) {}

  MachineId id() const override { return kSeriesMachineId; }
  std::string_view name() const override { return "series"; }
  void apply(const Command& command, Effects& effects) override;
  void query(const Query& query, Reply& reply) const override;
  void open_scope() override { marks_.push_back({undo_.size(), end_}); }
  void close_scope(ScopeOutcome outcome) override;
  uint64_t memory_bytes() const override;
  void save(SnapshotWriter& writer) const override;
  Result<void> restore(SnapshotReader& reader) override;
  bool fresh() const override { return databases_.empty() && partition_ == kNoPartition; }
  void make_fresh() override;
  bool idle_work() override { return shed(); }
  bool relieves(CommandType type) const override { return type == kDropDatabase; }
  RenderView renderer() const override { return render_lines; }

  // For other machines of the shard: a line with its time and its tags in order, for a database. Why it is not taken; empty: it
  // is, and is among the lines of the command's one emit_lines() for the database.
  std::string take_line_for(std::string_view database, std::string_view line, Effects& effects);
  void emit_lines(std::string_view database, std::string_view lines, Effects& effects);

  // For metrics; any thread.
  uint64_t series_count() const { return series_count_.load(std::memory_order_relaxed); }

 private:
  struct Database {
    explicit Database(uint64_t seed) : series(seed), fields(seed), measurements(seed) {}
    KeySet series;
    KeyTable<FieldType> fields;       // field_hash()
    KeyTable<uint32_t> measurements;  // how many fields each has
    size_t field_bytes = 0;
  };
  struct NewField {
    Hash128 hash;
    Hash128 measurement;
    FieldType type = FieldType::real;
    size_t bytes = 0;
  };
  // What a command names that is not there.
  struct News {
    std::vector<Hash128> series;
    std::vector<NewField> fields;
    size_t field_bytes = 0;
  };
  struct Added {
    std::string database;
    Hash128 series;  // zero: it is a field
    NewField field;
  };
  // What was there when a scope was opened.
  struct Mark {
    size_t undo = 0;
    Offset end = 0;
  };
  // What may still come, and what the command has to say of a line.
  struct Judgement {
    std::vector<std::byte> dropped;  // a bit a line
    uint32_t count = 0;
    std::optional<Dropped> first;
  };

  bool shed();
  void apply_write(const Command& command, Effects& effects);
  void apply_take(const Command& command, Effects& effects);
  void apply_create(const Command& command, Effects& effects);
  void apply_drop(const Command& command, Effects& effects);
  Database& make_database(std::string_view name);
  std::optional<News> news_of(const LinesCommand& lines, const Database& database) const;
  bool has_room(const News& news) const;
  bool bounds_measurements(const News& news, const Database& database) const;
  bool bounds_fields(const Line& line, const Database& database) const;
  void take(const News& news, Database& database);
  void note(std::string_view database, const News& news);
  void take_back(const Added& added);
  Judgement take_lines(const LinesCommand& lines, Database& database);
  std::string take_line(const Line& line, std::string_view key, std::string_view name, Database& database,
                        bool& no_room);
  void add_field(Database& database, const NewField& field);
  void query_fit(const Query& query, Reply& reply) const;
  Fit fit_of(const LinesCommand& lines, const Database& database) const;
  void restore_fields(SnapshotReader& reader, uint32_t form, Database& database);
  void restore_field_of_first_form(SnapshotReader& reader, Database& database);
  void count() { series_count_.store(series_, std::memory_order_relaxed); }

  const uint64_t seed_;
  std::map<std::string, Database, std::less<>> databases_;
  std::vector<Database> dropped_;  // what is left of those that are gone
  size_t series_ = 0;              // of all databases, and so on
  size_t fields_ = 0;
  size_t field_bytes_ = 0;
  PartitionId partition_ = kNoPartition;  // of `iot.lines`, from the first database on
  Offset end_ = 0;                        // of it
  size_t series_max_ = kSeriesMax;
  std::vector<Added> undo_;  // of the open scopes
  std::vector<Mark> marks_;
  // deterministic: metrics read it, apply() never does
  std::atomic<uint64_t> series_count_{0};
};

}  // namespace heptane::iot::series
