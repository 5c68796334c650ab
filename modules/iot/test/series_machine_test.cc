#include <gtest/gtest.h>

#include "kernel/shard/command_run.h"
#include "kernel/shard/memory_snapshot.h"
#include "kernel/streams/streams_machine.h"
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
  Reply create(std::string_view name) { return apply(kCreateDatabase, Buffer::copy_of(name)); }
  Reply write(std::string_view text, std::string_view database = "db", int64_t unit_ns = 1, bool tables = true) {
    LinesCommandWriter out(database, unit_ns, 7'500, text.size());
    LineReader reader(text);
    Line line;
    std::string scratch;
    while (reader.next(line)) EXPECT_TRUE(reader.refused().empty() && out.add(line, *series_key(line, scratch)));
    Buffer payload = out.finish();
    return apply(kWriteLines, tables ? payload : without_tables(payload));
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
  const size_t name = saved.find("value");
  ASSERT_NE(name, std::string::npos);
  char& type = saved[name + 5];
  ASSERT_EQ(type, 0) << "of a float";
  for (const char wrong : {char{5}, char{-1}}) {
    type = wrong;
    MemorySnapshot snapshot;
    snapshot.write(as_bytes(saved));
    EXPECT_FALSE(SeriesMachine().restore(snapshot).ok());
  }
}

TEST_F(SeriesMachineTest, RefusesWhatIsNoCommand) {
  create("db");
  const std::string before = state();
  EXPECT_EQ(create("a/b").error, Errc::invalid_argument);
  EXPECT_EQ(apply(kWriteLines, Buffer::copy_of("xx")).error, Errc::invalid_argument);
  EXPECT_EQ(apply(99, {}).error, Errc::unsupported);
  EXPECT_EQ(state(), before);
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
