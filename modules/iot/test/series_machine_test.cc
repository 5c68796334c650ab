#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "kernel/shard/command_run.h"
#include "kernel/shard/memory_snapshot.h"
#include "kernel/streams/streams_machine.h"
#include "modules/iot/gateway/series/line_judge.h"
#include "modules/iot/machine/series/series_machine.h"

namespace heptane::iot::series {
namespace {

class Records final : public RecordWriter {
 public:
  explicit Records(std::vector<std::string>& out) : out_(out) {}
  bool wants() const override { return true; }
  bool full() const override { return false; }
  void skip() override { FAIL(); }
  void add(const ViewRecord& record) override {
    out_.push_back(std::string(as_text(record.key)) + '|' + std::string(as_text(record.value)));
  }

 private:
  std::vector<std::string>& out_;
};

class SeriesMachineTest : public testing::Test {
 protected:
  SeriesMachineTest() {
    machines_.add(streams_);
    machines_.add(machine);
    run_.set_streams(&streams_);
  }

  Reply apply(CommandType type, const Buffer& payload) {
    Command command;
    command.sequence = sequence_ + 1;
    command.time = 1'000;
    command.machine = kSeriesMachineId;
    command.type = type;
    command.payload = payload.view();
    run_.begin(command.sequence, command.time);
    run_.apply(machine, command);
    Reply reply = run_.reply();
    if (run_.outcome() != CommandOutcome::kept) return reply;
    ++sequence_;
    ByteWriter extensions;
    if (run_.adds_to_entry()) run_.append_additions(extensions, 0, 0);
    for (const log::ViewRun& run : run_.view_runs()) {
      LoggedCommand logged;
      logged.command = command;
      logged.results = log::results_of(extensions.view(), run.machine);
      Records out(records);
      machine.renderer()(logged, run.view, out);
    }
    DigestAccumulator digest;
    run_.keep(command, 0, false, digest);
    return reply;
  }
  // Of a command that another machine runs.
  Effects& begin() {
    run_.begin(sequence_ + 1, 1'000);
    return effects_.emplace(run_);
  }
  Reply create(std::string_view name) { return apply(kCreateDatabase, Buffer::copy_of(name)); }
  static Buffer command_of(std::string_view text, std::string_view database = "db", int64_t unit_ns = 1) {
    LinesCommandWriter out(database, unit_ns, 7'500);
    LineReader reader(text);
    Line line;
    std::string scratch;
    while (reader.next(line)) EXPECT_TRUE(reader.refused().empty() && out.add(line, *series_key(line, scratch)));
    EXPECT_TRUE(out.fits());
    return out.finish();
  }
  // As older servers did it.
  Reply write(std::string_view text, std::string_view database = "db", int64_t unit_ns = 1, bool tables = true) {
    const Buffer payload = command_of(text, database, unit_ns);
    return apply(kWriteLines, tables ? payload : without_tables(payload));
  }
  Fit fit_of(const Buffer& payload) const {
    Reply reply;
    machine.query({kQueryFit, payload.view(), {}}, reply);
    EXPECT_TRUE(reply.ok()) << reply.message;
    return decode_fit(reply.payload.view()).value_or(Fit{});
  }
  // As the server does it: whole, or what is left of it. How many lines were dropped.
  size_t take(std::string_view text, std::string* why = nullptr) {
    Buffer payload = command_of(text);
    const Reply whole = apply(kTakeLines, payload);
    if (whole.ok()) return 0;
    EXPECT_EQ(whole.error, Errc::stale);
    const auto judged = judge_lines(*decode_lines(payload.view()), fit_of(payload), 0);
    EXPECT_TRUE(judged.has_value());
    if (why != nullptr) *why = judged->first.why;
    EXPECT_TRUE(judged->command.empty() || apply(kTakeLines, judged->command).ok());
    return judged->dropped;
  }
  // The same command, of which the lines must be read.
  static Buffer without_tables(const Buffer& payload) {
    const auto command = decode_lines(payload.view());
    ByteWriter out;
    out.u8(command->plain ? 1 : 0);
    out.le<uint16_t>(static_cast<uint16_t>(command->database.size()));
    out.append(command->database);
    out.le<int64_t>(command->unit_ns);
    out.le<int64_t>(command->default_time);
    out.le<uint32_t>(command->count);
    out.append(command->lines);
    return Buffer::take(out.release());
  }
  std::string state() const {
    MemorySnapshot snapshot;
    machine.save(snapshot);
    return std::string(as_text(snapshot.bytes()));
  }

  streams::StreamsMachine streams_;
  SeriesMachine machine;
  KernelState kernel_;
  std::vector<std::string> records;

 private:
  MachineTable machines_;
  CommandRun run_{machines_, kernel_};
  Sequence sequence_ = 0;
  std::optional<Effects> effects_;
};

TEST_F(SeriesMachineTest, TakesLinesAsOneRecord) {
  EXPECT_TRUE(machine.fresh());
  EXPECT_EQ(write("m v=1 1").error, Errc::not_found);
  EXPECT_TRUE(machine.fresh()) << "a refusal changes nothing";
  EXPECT_EQ(create("db").numbers[0], 1);
  EXPECT_EQ(create("db").numbers[0], 0);
  const Reply reply = write("m,a=1 v=1 1\nm,b=2,a=1 v=2,w=\"x\" 2\n");
  EXPECT_TRUE(reply.ok());
  EXPECT_EQ(reply.numbers[0], 2);
  EXPECT_EQ(records, (std::vector<std::string>{"db|m,a=1 v=1 1\nm,a=1,b=2 v=2,w=\"x\" 2\n"}));
  EXPECT_EQ(machine.series_count(), 2U);
}

TEST_F(SeriesMachineTest, RecordsSayTheirTimesInNanoseconds) {
  create("db");
  write("m v=1 3\nm v=2", "db", 1'000);
  write("m v=1", "db");
  EXPECT_EQ(records, (std::vector<std::string>{"db|m v=1 3000\nm v=2 7000\n", "db|m v=1 7500\n"}));
}

TEST_F(SeriesMachineTest, AConflictOfTypesDropsTheLine) {
  create("db");
  write("m v=1 1");
  for (const bool tables : {true, false}) {
    records.clear();
    const Reply reply = write("m v=2 2\nm v=3i 3\nn v=3i 4\nn v=t 5", "db", 1, tables);
    ASSERT_TRUE(reply.ok());
    EXPECT_EQ(reply.numbers[0], 2);
    EXPECT_EQ(reply.numbers[1], 2);
    const auto dropped = decode_dropped(reply.payload.view());
    EXPECT_EQ(dropped->line, 1U);
    EXPECT_EQ(
        dropped->why,
        "field type conflict: input field \"v\" on measurement \"m\" is type integer, already exists as type float");
    EXPECT_EQ(records, (std::vector<std::string>{"db|m v=2 2\nn v=3i 4\n"}));
  }
  const std::string before = state();
  const Reply none = write("m v=t 9");
  EXPECT_EQ(none.error, Errc::invalid_argument);
  EXPECT_EQ(none.detail, 1U);
  EXPECT_EQ(state(), before);
}

TEST_F(SeriesMachineTest, TheSeriesLimitHolds) {
  kernel_.config[std::string(kMaxSeries)] = "2";
  create("db");
  const Reply reply = write("m,a=1 v=1 1\nm,a=2 v=1 1\nm,a=3 v=1 1\nm,a=1 v=2 2");
  EXPECT_EQ(reply.numbers[1], 1);
  EXPECT_TRUE(decode_dropped(reply.payload.view())->no_room);
  EXPECT_EQ(records, (std::vector<std::string>{"db|m,a=1 v=1 1\nm,a=2 v=1 1\nm,a=1 v=2 2\n"}));
  EXPECT_EQ(write("m,a=4 v=1 1").error, Errc::no_space);
  EXPECT_EQ(machine.series_count(), 2U);
}

TEST_F(SeriesMachineTest, ADroppedDatabaseIsGone) {
  create("db");
  write("m v=1 1");
  EXPECT_EQ(apply(kDropDatabase, Buffer::copy_of("db")).numbers[0], 1);
  EXPECT_EQ(apply(kDropDatabase, Buffer::copy_of("db")).numbers[0], 0);
  EXPECT_EQ(write("m v=1 1").error, Errc::not_found);
  create("db");
  EXPECT_TRUE(write("m v=1i 1").ok()) << "types go with it";
  EXPECT_EQ(records[1], "db|");
}

TEST_F(SeriesMachineTest, ComesBackFromASnapshot) {
  create("db");
  create("other");
  std::string lines;
  for (int i = 0; i < 500; ++i) lines += "m" + std::to_string(i % 7) + ",h=" + std::to_string(i) + " v=1,w=2i 1\n";
  write(lines);
  MemorySnapshot saved;
  machine.save(saved);
  SeriesMachine again;
  ASSERT_TRUE(again.restore(saved).ok());
  ASSERT_TRUE(saved.at_end());
  MemorySnapshot second;
  again.save(second);
  EXPECT_EQ(as_text(second.bytes()), as_text(saved.bytes()));
  EXPECT_EQ(again.series_count(), 500U);
  EXPECT_EQ(again.memory_bytes(), machine.memory_bytes());
  again.make_fresh();
  EXPECT_TRUE(again.fresh());
}

TEST_F(SeriesMachineTest, ASnapshotWithAnUnknownTypeIsRefused) {
  create("db");
  write("m value=1 1");
  std::string saved = state();
  ASSERT_EQ(apply(kDropDatabase, Buffer::copy_of("db")).numbers[0], 1);
  create("db");
  write("m value=1i 1");
  const std::string other = state();
  ASSERT_EQ(saved.size(), other.size());
  size_t type = saved.size();
  while (type > 0 && saved[type - 1] == other[type - 1]) --type;
  for (const char wrong : {char{5}, char{-1}}) {
    saved[type - 1] = wrong;
    MemorySnapshot snapshot;
    snapshot.write(as_bytes(saved));
    EXPECT_FALSE(SeriesMachine().restore(snapshot).ok());
  }
}

// Snapshots once had fields by their texts.
TEST_F(SeriesMachineTest, ASnapshotOfTheFirstFormComesBack) {
  create("db");
  write("m\\ n,a=1 v\\ w=1,x=2i 1\nm v=t 1");
  MemorySnapshot first;
  SnapshotWriter& out = first;
  out.le<uint32_t>(1);
  out.le<PartitionId>(3);
  out.le<int64_t>(1);
  out.le<uint32_t>(1);
  out.text("db");
  out.le<uint64_t>(3);
  for (const auto& [key, type] : {std::pair{"m v", 2}, std::pair{"m\\ n v\\ w", 0}, std::pair{"m\\ n x", 1}}) {
    out.text(key);
    out.le<uint8_t>(static_cast<uint8_t>(type));
  }
  out.le<uint64_t>(2);
  for (const char* key : {"m\\ n,a=1", "m"}) {
    out.le<uint64_t>(key_hash(key).high);
    out.le<uint64_t>(key_hash(key).low);
  }
  SeriesMachine again;
  ASSERT_TRUE(again.restore(first).ok());
  EXPECT_TRUE(first.at_end());
  const Buffer payload = command_of("m\\ n,a=1 v\\ w=1,x=2 1\nm v=t,new=1 1\nm,b=1 v=t 1");
  Reply reply;
  again.query({kQueryFit, payload.view(), {}}, reply);
  const auto fit = decode_fit(reply.payload.view());
  ASSERT_TRUE(fit.has_value());
  EXPECT_EQ(fit->knows_series, (std::vector<bool>{true, true, false}));
  EXPECT_EQ(fit->types, (std::vector<std::optional<FieldType>>{FieldType::real, FieldType::integer, FieldType::boolean,
                                                               std::nullopt}));
  EXPECT_EQ(fit->measurement_fields, (std::vector<uint32_t>{2, 2, 1, 1}));
}

TEST_F(SeriesMachineTest, RefusesWhatIsNoCommand) {
  create("db");
  const std::string before = state();
  EXPECT_EQ(create("a/b").error, Errc::invalid_argument);
  EXPECT_EQ(apply(kWriteLines, Buffer::copy_of("xx")).error, Errc::invalid_argument);
  EXPECT_EQ(apply(99, {}).error, Errc::unsupported);
  EXPECT_EQ(state(), before);
}

TEST_F(SeriesMachineTest, TakesAllOrNothing) {
  create("db");
  EXPECT_EQ(take("m v=1 1"), 0U);
  const std::string before = state();
  EXPECT_EQ(apply(kTakeLines, command_of("m v=2 2\nm v=3i 3")).error, Errc::stale);
  EXPECT_EQ(apply(kTakeLines, command_of("n v=2 2\nn v=3i 3")).error, Errc::stale) << "within the command";
  EXPECT_EQ(apply(kTakeLines, without_tables(command_of("m v=2 2"))).error, Errc::invalid_argument);
  EXPECT_EQ(apply(kTakeLines, command_of("m v=2 2", "other")).error, Errc::not_found);
  EXPECT_EQ(state(), before);
  std::string why;
  EXPECT_EQ(take("m v=2 2\nm v=3i 3\nn v=3i 4\nn v=t 5", &why), 2U);
  EXPECT_EQ(
      why, "field type conflict: input field \"v\" on measurement \"m\" is type integer, already exists as type float");
  EXPECT_EQ(records.back(), "db|m v=2 2\nn v=3i 4\n");
}

// A line that is dropped does not say what type a field has.
TEST_F(SeriesMachineTest, DroppedLinesSayNothing) {
  create("db");
  take("m a=1 1");
  EXPECT_EQ(take("m a=1i,b=1 2\nm b=2i 3\nm b=3 4"), 2U);
  EXPECT_EQ(records.back(), "db|m b=2i 3\n");
}

TEST_F(SeriesMachineTest, AMeasurementsFieldsAreBounded) {
  create("db");
  std::string line = "m f0=1";
  for (uint32_t i = 1; i < kMeasurementFieldsMax; ++i) line += ",f" + std::to_string(i) + "=1";
  EXPECT_EQ(take(line + " 1"), 0U);
  std::string why;
  EXPECT_EQ(take("m f1=2 2\nm more=1 2\nn more=1 2", &why), 1U);
  EXPECT_EQ(why, "max fields exceeded: measurement \"m\" may have 1024");
  EXPECT_EQ(records.back(), "db|m f1=2 2\nn more=1 2\n");
}

TEST_F(SeriesMachineTest, TheSeriesLimitDropsLines) {
  kernel_.config[std::string(kMaxSeries)] = "2";
  create("db");
  std::string why;
  EXPECT_EQ(take("m,a=1 v=1 1\nm,a=2 v=1 1\nm,a=3 v=1 1\nm,a=1 v=2 2", &why), 1U);
  EXPECT_EQ(why, "max series exceeded: there are 2 (series.max_series)");
  EXPECT_EQ(take("m,a=2 v=1 1"), 0U);
  EXPECT_EQ(take("m,a=4 v=1 1"), 1U);
  EXPECT_EQ(machine.series_count(), 2U);
}

// A gateway that says something wrong costs no more, and gets nothing.
TEST_F(SeriesMachineTest, TablesMustBeSound) {
  create("db");
  const Buffer right = command_of("m,a=1 v=1,w=2 1\nm,a=2 v=1 1");
  const std::string before = state();
  size_t refused = 0;
  for (size_t at = 0; at + 8 < right.size(); ++at) {
    std::vector<std::byte> bytes(right.view().begin(), right.view().end());
    bytes[at] ^= std::byte{0x40};
    const auto command = decode_lines(bytes);
    if (command && sound_tables(*command)) continue;
    EXPECT_EQ(apply(kTakeLines, Buffer::take(std::move(bytes))).error, Errc::invalid_argument) << at;
    ++refused;
  }
  EXPECT_GT(refused, 20U);
  EXPECT_EQ(state(), before);
}

std::string any_lines(std::mt19937_64& random) {
  std::string text;
  for (uint64_t left = 1 + random() % 12; left > 0; --left) {
    text += std::string("m") + static_cast<char>('0' + random() % 3) + ",t=" + std::to_string(random() % 12) + " ";
    const uint64_t fields = 1 + random() % 3;
    for (uint64_t i = 0; i < fields; ++i)
      text += std::string(i > 0 ? "," : "") + static_cast<char>('a' + random() % 6) +
              (random() % 5 == 0   ? "=1i"
               : random() % 9 == 0 ? "=t"
                                   : "=1.5");
    text += " " + std::to_string(random() % 1'000) + "\n";
  }
  return text;
}

// Judged by the gateway it is as if the machine read line by line.
TEST_F(SeriesMachineTest, JudgedLinesAreThoseThatTheMachineWouldTake) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    kernel_.config[std::string(kMaxSeries)] = "20";
    std::vector<std::string> inputs;
    for (int i = 0; i < 15; ++i) inputs.push_back(any_lines(random));
    std::vector<std::string> states;
    std::vector<std::vector<std::string>> shown;
    std::vector<size_t> dropped;
    for (const bool old : {true, false}) {
      apply(kDropDatabase, Buffer::copy_of("db"));
      create("db");
      records.clear();
      size_t count = 0;
      for (const std::string& input : inputs) {
        if (!old) {
          count += take(input);
          continue;
        }
        const Reply reply = write(input, "db", 1, false);
        count += reply.ok() ? static_cast<size_t>(reply.numbers[1])
                            : static_cast<size_t>(std::count(input.begin(), input.end(), '\n'));
      }
      dropped.push_back(count);
      shown.push_back(records);
      states.push_back(state().substr(16));  // behind the offset of the view
    }
    ASSERT_EQ(shown[0], shown[1]) << seed;
    ASSERT_EQ(dropped[0], dropped[1]) << seed;
    ASSERT_EQ(states[0], states[1]) << seed;
    ASSERT_GT(dropped[0], 0U);
  }
}

TEST_F(SeriesMachineTest, WhatADroppedDatabaseHeldGoesInBlocks) {
  create("db");
  for (int part = 0; part < 10; ++part) {
    std::string lines;
    for (int i = 0; i < 1'000; ++i) lines += "m,h=" + std::to_string(part * 1'000 + i) + " v=1 1\n";
    take(lines);
  }
  EXPECT_EQ(apply(kDropDatabase, Buffer::copy_of("db")).numbers[0], 1);
  EXPECT_EQ(machine.series_count(), 0U);
  EXPECT_EQ(machine.memory_bytes(), 0U);
  size_t slices = 1;
  for (; machine.idle_work(); ++slices) {
  }
  EXPECT_GT(slices, 20U);
}

// What another machine does is undone with it.
TEST_F(SeriesMachineTest, AScopeThatIsRolledBackLeavesNothing) {
  create("db");
  take("m,a=1 v=1 1");
  const std::string before = state();
  Effects& effects = begin();
  machine.open_scope();
  EXPECT_EQ(machine.take_line_for("db", "m,a=2 v=2,w=1i 2", effects), "");
  machine.open_scope();
  EXPECT_EQ(machine.take_line_for("db", "n,a=1 v=1 1", effects), "");
  machine.close_scope(ScopeOutcome::keep);
  EXPECT_NE(machine.take_line_for("db", "n,a=1 v=t 1", effects), "");
  EXPECT_EQ(machine.series_count(), 3U);
  machine.close_scope(ScopeOutcome::roll_back);
  EXPECT_EQ(state(), before);
  EXPECT_EQ(machine.series_count(), 1U);
  machine.open_scope();
  EXPECT_EQ(machine.take_line_for("db", "n,a=1 v=t 1", effects), "");
  machine.close_scope(ScopeOutcome::keep);
  EXPECT_EQ(machine.series_count(), 2U);
}

// A record without a value is a drop, which nobody may make of a write.
TEST_F(SeriesMachineTest, NoLinesAreNoCommand) {
  create("db");
  const auto forged = [](uint8_t flags, std::string_view lines) {
    ByteWriter out;
    out.u8(flags);
    out.le<uint16_t>(2);
    out.append(std::string_view("db"));
    out.le<int64_t>(1);
    out.le<int64_t>(0);
    out.le<uint32_t>(1);
    out.le<uint64_t>(0);  // no series, no fields
    out.append(lines);
    return Buffer::take(out.release());
  };
  constexpr uint8_t kPlainWithTables = 3;
  constexpr uint8_t kWithTables = 2;
  EXPECT_EQ(apply(kTakeLines, forged(kPlainWithTables, "")).error, Errc::invalid_argument);
  EXPECT_EQ(apply(kTakeLines, forged(kWithTables, "")).error, Errc::invalid_argument);
  EXPECT_TRUE(records.empty());
  ASSERT_TRUE(apply(kTakeLines, forged(kWithTables, "# no line\n")).ok());
  EXPECT_EQ(records, (std::vector<std::string>{"db|\n"}));
}

TEST_F(SeriesMachineTest, LinesOfRulesKeepTheBoundOfAMeasurement) {
  create("db");
  const auto line_of = [](uint32_t from, uint32_t to) {
    std::string line = "m ";
    for (uint32_t i = from; i < to; ++i) line += (i > from ? ",f" : "f") + std::to_string(i) + "=1";
    return line + " 1";
  };
  Effects& effects = begin();
  machine.open_scope();
  EXPECT_EQ(machine.take_line_for("db", line_of(0, 1'000), effects), "");
  EXPECT_NE(machine.take_line_for("db", line_of(900, 1'025), effects).find("max fields"), std::string::npos);
  EXPECT_EQ(machine.take_line_for("db", line_of(900, 1'024), effects), "");
  EXPECT_EQ(machine.take_line_for("db", line_of(0, 1'024), effects), "") << "they are there";
  EXPECT_EQ(machine.take_line_for("db", "n g=1 1", effects), "") << "another measurement";
  EXPECT_NE(machine.take_line_for("db", "m g=1 1", effects), "");
  machine.close_scope(ScopeOutcome::keep);
}

TEST_F(SeriesMachineTest, TellsWhichDatabasesThereAre) {
  create("b");
  create("a");
  write("m v=1 1", "a");
  Reply reply;
  machine.query({kQueryDatabases, {}, {}}, reply);
  EXPECT_NE(reply.numbers[0], static_cast<int64_t>(kNoPartition));
  EXPECT_EQ(reply.numbers[1], 1);
  EXPECT_EQ(reply.payload.size(), 6U);
}

}  // namespace
}  // namespace heptane::iot::series
