// The machine of series: which databases there are, how many series they have, and the type of every field, so that what does not
// fit is refused before it is logged. Points are not its business: they are in the records of `iot.lines`, a view. The shard thread's.
//
// Invariants: a record holds exactly the lines that were taken; a (database, measurement, field) has one type until its database is
// dropped; never more series than series.max_series says, nor names than the bounds in series_api.h. A command with tables costs as
// much as it names series and fields; one without, or of which lines are dropped, as much as its lines (4 MB at most).
#pragma once

#include <atomic>
#include <map>
#include <string>

#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "kernel/shard/state_machine.h"
#include "modules/iot/machine/series/series_api.h"

namespace heptane::iot::series {

class SeriesMachine final : public StateMachine {
 public:
  MachineId id() const override { return kSeriesMachineId; }
  std::string_view name() const override { return "series"; }
  void apply(const Command& command, Effects& effects) override;
  void query(const Query& query, Reply& reply) const override;
  void open_scope() override { ++scopes_; }
  void close_scope(ScopeOutcome) override { --scopes_; }
  uint64_t memory_bytes() const override;
  void save(SnapshotWriter& writer) const override;
  Result<void> restore(SnapshotReader& reader) override;
  bool fresh() const override { return databases_.empty() && partition_ == kNoPartition; }
  void make_fresh() override;
  bool relieves(CommandType type) const override { return type == kDropDatabase; }
  RenderView renderer() const override { return render_lines; }

  // For metrics; any thread.
  uint64_t series_count() const { return series_count_.load(std::memory_order_relaxed); }

 private:
  struct Database {
    KeySet series;
    std::map<std::string, FieldType, std::less<>> fields;  // by measurement, a space, name, as written
    size_t field_bytes = 0;
  };
  // What may still come, and what the command has to say of a line.
  struct Judgement {
    std::vector<std::byte> dropped;  // a bit a line
    uint32_t count = 0;
    std::optional<Dropped> first;
  };

  void apply_write(const Command& command, Effects& effects);
  void apply_create(const Command& command, Effects& effects);
  void apply_drop(const Command& command, Effects& effects);
  bool take_tables(const LinesCommand& lines, Database& database);
  Judgement take_lines(const LinesCommand& lines, Database& database);
  std::string take_line(const Line& line, std::string_view key, Database& database, bool& no_room);
  void add_field(Database& database, const std::string& key, FieldType type);
  void count() { series_count_.store(series_, std::memory_order_relaxed); }

  std::map<std::string, Database, std::less<>> databases_;
  size_t series_ = 0;  // of all databases, and so on
  size_t fields_ = 0;
  size_t field_bytes_ = 0;
  PartitionId partition_ = kNoPartition;  // of `iot.lines`, from the first database on
  Offset end_ = 0;                        // of it
  size_t series_max_ = kSeriesMax;
  size_t scopes_ = 0;
  // deterministic: metrics read it, apply() never does
  std::atomic<uint64_t> series_count_{0};
};

}  // namespace heptane::iot::series
