// Views against a naive model: records that a toy only counts are read from the log, the archive and behind restarts, at any
// offset and with any limit, as if they had been written.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "kernel/archive/archiver.h"
#include "kernel/archive/command_of_record.h"
#include "kernel/archive/explain.h"
#include "kernel/base/crc32c.h"
#include "kernel/server/history_reader.h"
#include "kernel/server/records_reader.h"
#include "kernel/shard/committer.h"
#include "kernel/shard/transact.h"
#include "kernel/streams/model_test_support.h"
#include "kernel/streams/view_batches.h"
#include "sim/sim_clock.h"
#include "sim/sim_disk.h"
#include "test/toys/kv_machine.h"
#include "test/toys/narrator.h"

namespace heptane::test {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr uint64_t kSegmentBytes = 64 << 10;
constexpr size_t kRecordMax = 300;  // bytes of the longest record here, more or less

struct Record {
  Sequence sequence = 0;  // that it says of itself; 0: it does not
  int64_t timestamp_ms = 0;
  std::string key;
  std::string value;
  Sequence made_by = 0;
};

// Follows the history of all streams, as a projection does: what it has of a partition it does not want again.
class Follower final : public streams::HistoryVisitor {
 public:
  bool wants(PartitionId partition, Offset end) override {
    return end > static_cast<Offset>(records[partition].size());
  }
  Result<void> take(const streams::HistoryBatch& batch) override {
    std::vector<Record>& into = records[batch.partition];
    size_t index = 0;
    return streams::for_each_record(batch.batch, [&](const streams::RecordView& record) {
      const Sequence position = batch.positions.empty() ? batch.position : batch.positions.at(index);
      ++index;
      if (record.offset < static_cast<Offset>(into.size())) return;
      EXPECT_EQ(record.offset, static_cast<Offset>(into.size()));
      into.push_back(
          {position, record.timestamp_ms, std::string(as_text(record.key)), std::string(as_text(record.value))});
    });
  }
  void damaged(const std::string& why) override { ADD_FAILURE() << why; }

  std::map<PartitionId, std::vector<Record>> records;
  Sequence upto = 0;
};

class ViewsTest : public testing::Test {
 protected:
  ViewsTest() : disk_(sim::SimDiskOptions{1, true}) { boot(); }

  void boot() {
    archiver_.reset();
    shard_.reset();
    committer_.reset();
    archive_reader_.reset();
    history_.reset();
    store_.reset();
    log_.reset();
    log::SegmentLogOptions options = log::segment_log_options("data");
    options.segment_bytes = kSegmentBytes;
    options.zero_ahead = false;
    auto opened = log::SegmentLog::open(disk_, random_, options);
    ASSERT_TRUE(opened) << opened.error().message;
    log_ = std::move(*opened);
    store_ = std::make_unique<archive::ArchiveStore>(disk_, archive::ArchiveStoreOptions{"data/shard-0/archive", 0});
    ASSERT_TRUE(store_->open(std::nullopt));
    committer_ = std::make_unique<Committer>(*log_, [](const Error& error) { FAIL() << error.message; });
    link_ = std::make_unique<ShardLink>(1024);
    streams_ = std::make_unique<streams::StreamsMachine>();
    narrator_ = std::make_unique<Narrator>();
    if (diverge_) narrator_->plant_divergence();
    ShardOptions shard_options;
    shard_options.batch_target_bytes = 8 << 10;
    shard_ = std::make_unique<Shard>(shard_options, clock_, *committer_);
    shard_->add_machine(*streams_);
    shard_->add_machine(*narrator_);
    shard_->set_streams(*streams_);
    shard_->attach(*link_);
    recover();
  }

  void recover() {
    if (!snapshot_.state.empty()) {
      streams::test::MemoryReader state(snapshot_.state);
      ASSERT_TRUE(shard_->restore(state, snapshot_.rest.sequence, snapshot_.rest.time));
      streams::test::MemoryReader index(snapshot_.index);
      ASSERT_TRUE(streams_->restore_index(index));
    }
    auto recovered = log_->recover(snapshot_.from, [&](const log::BatchView& batch, const log::BatchPlace& place) {
      return shard_->replay(batch, place);
    });
    recovery_ = recovered ? Result<void>() : Result<void>(recovered.error());
    if (!recovered) return;
    streams_->forget_segments(store_->last_log_segment());
    shard_->start(recovered->end);
    renderers_ = ViewRenderers();
    renderers_.add(*narrator_);
    reader_ = std::make_unique<server::LogRecordsReader>(*log_, disk_, *store_, renderers_);
    archive::ArchiverOptions archiver_options;
    archiver_options.target_bytes = 2 * kSegmentBytes;
    archiver_options.bytes_per_second = 0;
    archiver_options.retain_commands_ns = -1;
    archiver_options.look_interval_ns = 1;
    archiver_ = std::make_unique<archive::Archiver>(*store_, *log_, clock_, archiver_options);
    archiver_->set_renderers(renderers_);
    archiver_->set_report([this](const std::string& line) { reports_.push_back(line); });
    archiver_->start(log_->id(), 0, kSegmentBytes);
  }

  void settle() {
    for (bool more = true; more;) {
      more = shard_->run_once();
      more = committer_->run_once() || more || !link_->requests.empty();
      (void)log_->maintain();
    }
    shard_->run_once();
  }
  // The answer, whether it is synced or not.
  Reply submit(Submission submission, bool synced) {
    if (submission.kind == log::EntryKind::command) submission.payload_crc = crc32c(submission.payload.view());
    EXPECT_TRUE(link_->requests.try_push(ShardRequest{1, ++request_, std::move(submission)}));
    synced ? settle() : void(shard_->run_once());
    ShardReply* front = link_->gated.front();
    EXPECT_NE(front, nullptr);
    Reply reply = std::get<Reply>(front->body);
    link_->gated.pop();
    return reply;
  }
  Reply run(MachineId machine, CommandType type, Buffer payload) {
    return submit(streams::make_command(machine, type, std::move(payload)), true);
  }

  // What one telling adds to every stream.
  void told(const Telling& telling, Sequence sequence, LogTime time) {
    const int64_t ms = time / kMs;
    for (uint64_t i = 0; i < telling.lines; ++i)
      model_[kLines].push_back({sequence, ms, line_key(model_[kLines].size()), line_value(telling.text, i), sequence});
    model_[kTellings].push_back({sequence, ms, "", telling_value(sequence, telling.lines), sequence});
    for (int i = 0; i < telling.notes; ++i)
      model_[kNotes].push_back({0, ms, "", telling.text.empty() ? "-" : std::string(telling.text), sequence});
  }
  void tell(const Telling& telling, bool synced = true) {
    const Reply reply = submit(streams::make_command(kNarratorId, kTell, encode(telling)), synced);
    ASSERT_EQ(reply.ok(), telling.doubt != Doubt::refused) << reply.message;
    if (reply.ok()) told(telling, reply.sequence, reply.time);
  }
  void tell_in_transaction(const std::vector<Telling>& tellings) {
    std::vector<Buffer> payloads;
    std::vector<Operation> operations;
    bool refused = false;
    for (const Telling& telling : tellings) payloads.push_back(encode(telling));
    for (size_t i = 0; i < tellings.size(); ++i) {
      operations.push_back({kNarratorId, kTell, kNoPartition, payloads[i].view()});
      refused = refused || tellings[i].doubt == Doubt::refused;
    }
    const Reply reply = run(machine_ids::kKernel, kTransact, encode_transact(operations));
    ASSERT_EQ(reply.ok(), !refused) << reply.message;
    if (!refused)
      for (const Telling& telling : tellings) told(telling, reply.sequence, reply.time);
  }
  void tell_later(const Telling& telling) {
    const Reply reply = run(kNarratorId, kTellLater, encode(telling));
    ASSERT_TRUE(reply.ok());
    clock_.advance(10 * kMs);
    settle();
    told(telling, shard_->last_applied(), shard_->last_time());
  }

  Telling draw(std::string& text) {
    text = random_.one_in(10) ? "" : std::string(random_.below(200), static_cast<char>('a' + random_.below(26)));
    Telling telling;
    telling.lines = static_cast<uint16_t>(random_.one_in(20) ? random_.below(3000) : random_.below(8));
    telling.notes = static_cast<uint16_t>(random_.below(3));
    telling.doubt = random_.one_in(4) ? static_cast<Doubt>(1 + random_.below(2)) : Doubt::none;
    telling.text = text;
    return telling;
  }

  // All that recovery does not need. `urgent`: commands go at once.
  void archive(bool urgent = false) {
    ASSERT_NO_FATAL_FAILURE(take_snapshot());
    for (int quiet = 0; quiet < 4;) {
      const Result<bool> more = archiver_->run_once(snapshot_.rest.sequence, urgent);
      ASSERT_TRUE(more) << more.error().message;
      archiver_->shard_turn(*shard_, *streams_);
      settle();
      clock_.advance(kMs);
      quiet = *more ? 0 : quiet + 1;
    }
  }
  void take_snapshot() {
    shard_->when_at_rest([this](const RestPoint& rest) {
      streams::test::MemoryWriter state;
      shard_->save(state);
      streams::test::MemoryWriter index;
      streams_->save_index(index);
      snapshot_ = {rest, state.bytes, index.bytes, {}};
      const uint64_t end = uint64_t{rest.last_batch.offset} + rest.last_batch.bytes;
      snapshot_.from.place = {rest.last_batch.segment,
                              static_cast<uint32_t>((end + log::kBlockBytes - 1) / log::kBlockBytes * log::kBlockBytes),
                              0};
      snapshot_.from.next_sequence = rest.sequence + 1;
      snapshot_.from.previous_chain = rest.chain;
      snapshot_.from.durable_evidence = rest.sequence;
    });
    settle();
    ASSERT_FALSE(shard_->rest_awaited());
  }
  // The power fails; what was only applied may be gone, from some command on.
  void crash(sim::CrashMode mode) {
    std::map<std::string_view, size_t> synced;
    for (const auto& [name, model] : model_) synced[name] = end_of(name);
    disk_.crash(mode);
    boot();
    ASSERT_TRUE(recovery_) << recovery_.error().message;
    for (auto& [name, model] : model_) {
      const size_t end = end_of(name);
      ASSERT_GE(end, synced[name]) << name;
      ASSERT_LE(end, model.size()) << name;
      model.resize(end);
    }
  }
  size_t end_of(std::string_view name) {
    const auto partition = streams_->find_partition(name, 0);
    return partition ? static_cast<size_t>(streams_->durable_end(*partition)) : 0;
  }

  net::RecordsRead read(std::string_view name, Offset offset, uint32_t max_bytes) {
    const ReadReply where = streams_->locate({*streams_->find_partition(name, 0), offset, max_bytes, {}});
    if (random_.one_in(2))
      if (const std::optional<net::RecordsRead> at_once = reader_->try_read(where)) {
        read_at_once_ += at_once->batches.size();
        return *at_once;
      }
    return reader_->read(where);
  }
  // Everything in what was read; the offset behind it.
  Offset check(std::string_view name, const net::RecordsRead& read, Offset from) {
    const std::vector<Record>& model = model_[name];
    Offset next = from;
    for (const Buffer& batch : read.batches) {
      const auto sound = streams::check_produced_batch(batch.view(), SIZE_MAX);
      EXPECT_TRUE(sound) << sound.error().message;
      EXPECT_TRUE(streams::for_each_record(batch.view(), [&](const streams::RecordView& record) {
        if (record.offset < next) return;
        ASSERT_EQ(record.offset, next);
        ASSERT_LT(next, static_cast<Offset>(model.size()));
        const Record& wanted = model[static_cast<size_t>(next++)];
        ASSERT_EQ(as_text(record.value), wanted.value);
        ASSERT_EQ(record.has_key, !wanted.key.empty());
        ASSERT_EQ(as_text(record.key), wanted.key);
        ASSERT_EQ(record.timestamp_ms, wanted.timestamp_ms);
        ASSERT_EQ(record.header_count, wanted.sequence == 0 ? 0U : 1U);
        if (wanted.sequence == 0) return;
        const std::string position = position_text(0, wanted.sequence);
        ByteReader header(record.headers);
        ASSERT_EQ(as_text(header.take(static_cast<size_t>(header.zigzag()))), streams::kPositionHeader);
        ASSERT_EQ(as_text(header.take(static_cast<size_t>(header.zigzag()))), position);
      }));
    }
    return next;
  }
  void expect_all_read(std::string_view name) {
    const auto end = static_cast<Offset>(model_[name].size());
    ASSERT_EQ(static_cast<Offset>(end_of(name)), end) << name;
    for (Offset next = 0; next < end;) {
      const auto max_bytes = static_cast<uint32_t>(1 + random_.below(random_.one_in(4) ? 200'000 : 3'000));
      const net::RecordsRead got = read(name, next, max_bytes);
      ASSERT_FALSE(got.error) << name << " offset " << next << ' ' << errc_name(*got.error);
      const Offset after = check(name, got, next);
      ASSERT_GT(after, next) << name;
      next = after;
      if (HasFatalFailure()) return;
    }
  }
  // Everything that is synced, and no more; the reader keeps its place while the log goes on and becomes an archive.
  void follow(Follower& follower, uint64_t bytes_most) {
    if (!history_)
      history_ = std::make_unique<server::LogHistoryReader>(disk_, *log_, *store_, renderers_,
                                                            server::HistoryPlaces{"data/shard-0/log", log_->id(), 0});
    for (int still = 0; follower.upto < history_->durable();) {
      const Result<Sequence> upto = history_->read(follower.upto + 1, bytes_most, follower);
      ASSERT_TRUE(upto) << upto.error().message;
      ASSERT_GE(*upto, follower.upto);
      still = *upto == follower.upto ? still + 1 : 0;
      ASSERT_LT(still, 3);
      follower.upto = *upto;
      for (const auto& [partition, records] : follower.records)
        EXPECT_TRUE(records.empty() || records.back().sequence <= history_->durable());
    }
  }
  void expect_followed(Follower& follower) {
    Sequence last = 0;
    for (const std::string_view name : {kLines, kTellings, kNotes}) {
      const std::vector<Record>& got = follower.records[*streams_->find_partition(name, 0)];
      const std::vector<Record>& model = model_[name];
      ASSERT_EQ(got.size(), model.size()) << name;
      last = 0;
      for (size_t i = 0; i < model.size(); ++i) {
        ASSERT_EQ(got[i].value, model[i].value);
        ASSERT_EQ(got[i].timestamp_ms, model[i].timestamp_ms);
        ASSERT_GE(got[i].sequence, last);
        last = got[i].sequence;
        EXPECT_TRUE(model[i].sequence == 0 || got[i].sequence == model[i].sequence);
      }
    }
  }
  void expect_random_reads(int reads) {
    for (const std::string_view name : {kLines, kTellings, kNotes})
      for (int i = 0; i < reads && !model_[name].empty(); ++i) {
        const auto offset = static_cast<Offset>(random_.below(model_[name].size()));
        const auto max_bytes = static_cast<uint32_t>(1 + random_.below(50'000));
        const net::RecordsRead got = read(name, offset, max_bytes);
        ASSERT_FALSE(got.error);
        ASSERT_GT(check(name, got, offset), offset);
        if (HasFatalFailure()) return;
      }
  }
  // Where the index says that a record lies; nullopt: in the archive.
  std::optional<archive::RecordPlace> place_of(std::string_view name, Offset offset) {
    const PartitionId partition = *streams_->find_partition(name, 0);
    const Buffer wanted = streams::encode(streams::LocateQuery{partition, offset});
    Reply reply;
    streams_->query({streams::kLocate, wanted.view(), {}}, reply);
    EXPECT_TRUE(reply.ok()) << reply.message;
    if (reply.numbers[0] < 0) return std::nullopt;
    return archive::RecordPlace{partition, offset, static_cast<uint32_t>(reply.numbers[0]),
                                static_cast<uint32_t>(reply.numbers[1])};
  }
  void expect_makers_are_found(int looks) {
    for (const std::string_view name : {kLines, kTellings, kNotes})
      for (int i = 0; i < looks && !model_[name].empty(); ++i) {
        const size_t offset = random_.below(model_[name].size());
        const auto place = place_of(name, static_cast<Offset>(offset));
        if (!place) continue;
        const Result<Sequence> made_by = archive::command_of_record(disk_, "data", 0, *place);
        ASSERT_TRUE(made_by) << made_by.error().message;
        ASSERT_EQ(*made_by, model_[name][offset].made_by) << name << " offset " << offset;
        ++makers_found_;
      }
  }
  void expect_time_is_found(std::string_view name) {
    const std::vector<Record>& model = model_[name];
    if (model.empty()) return;
    const size_t wanted = random_.below(model.size());
    const int64_t time_ms = model[wanted].timestamp_ms;
    const net::RecordsRead got =
        reader_->read(streams_->locate({*streams_->find_partition(name, 0), 0, 1 << 20, time_ms}));
    ASSERT_FALSE(got.error);
    size_t first = wanted;
    while (first > 0 && model[first - 1].timestamp_ms >= time_ms) --first;
    ASSERT_LE(got.offset, static_cast<Offset>(first));
    (void)check(name, got, got.offset);
  }

  struct Snapshot {
    RestPoint rest;
    std::vector<std::byte> state;
    std::vector<std::byte> index;
    log::RecoverFrom from;
  };

  sim::SimDisk disk_;
  sim::SimClock clock_;
  SeededRandom random_{11};
  bool diverge_ = false;
  Snapshot snapshot_;
  Result<void> recovery_;
  ViewRenderers renderers_;
  std::unique_ptr<log::SegmentLog> log_;
  std::unique_ptr<archive::ArchiveStore> store_;
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<ShardLink> link_;
  std::unique_ptr<streams::StreamsMachine> streams_;
  std::unique_ptr<Narrator> narrator_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<archive::Archiver> archiver_;
  std::unique_ptr<archive::ArchiveReader> archive_reader_;
  std::unique_ptr<server::LogRecordsReader> reader_;
  std::unique_ptr<server::LogHistoryReader> history_;
  std::vector<std::string> reports_;
  std::map<std::string_view, std::vector<Record>> model_;
  RequestId request_ = 0;
  uint64_t makers_found_ = 0;
  uint64_t read_at_once_ = 0;  // batches, without a thread that waits for the disk
};

// Random tellings and ordinary events; crashes, snapshots and the archive in between; reads at every place.
TEST_F(ViewsTest, AgreeWithANaiveModelWhateverHappens) {
  std::string texts[3];
  const uint64_t rounds = streams::test::scaled(600);
  for (uint64_t i = 0; i < rounds; ++i) {
    clock_.advance(static_cast<int64_t>(random_.below(3)) * kMs);
    switch (random_.below(16)) {
      case 0: {
        std::vector<Telling> tellings;
        for (std::string& text : texts) tellings.push_back(draw(text));
        tell_in_transaction(tellings);
        break;
      }
      case 1: {
        Telling telling = draw(texts[0]);
        texts[0] = "later " + texts[0];
        telling.text = texts[0];
        if (telling.doubt == Doubt::refused) telling.doubt = Doubt::none;
        tell_later(telling);
        break;
      }
      case 2:
        if (random_.one_in(6)) archive();
        break;
      case 3:
        if (random_.one_in(4)) take_snapshot();
        break;
      case 4: {
        if (!random_.one_in(4)) break;
        for (int k = 0; k < 3; ++k) tell(draw(texts[0]), false);
        (void)committer_->run_once();
        crash(static_cast<sim::CrashMode>(random_.below(4)));
        break;
      }
      case 5:
        expect_random_reads(2);
        expect_makers_are_found(2);
        break;
      case 6:
        for (const std::string_view name : {kLines, kTellings, kNotes}) expect_time_is_found(name);
        break;
      default: tell(draw(texts[0]));
    }
    if (HasFatalFailure()) return;
  }
  archive();
  for (const std::string_view name : {kLines, kTellings, kNotes}) ASSERT_NO_FATAL_FAILURE(expect_all_read(name));
  if (rounds >= 600) {  // that nothing went wrong means something only when enough happened
    EXPECT_GT(store_->last_log_segment(), 0U);
    EXPECT_GT(model_[kLines].size(), 1000U);
    EXPECT_GT(makers_found_, 20U);
  }
  EXPECT_TRUE(reports_.empty()) << reports_.front();
  ASSERT_NO_FATAL_FAILURE(crash(sim::CrashMode::keep_all));
  for (const std::string_view name : {kLines, kTellings, kNotes}) ASSERT_NO_FATAL_FAILURE(expect_all_read(name));
  if (rounds >= 600) {
    EXPECT_GT(read_at_once_, 0U);
  }
}

TEST_F(ViewsTest, AMakerIsNamedOrNobodyIs) {
  for (int i = 0; i < 20; ++i) tell({2, 1, Doubt::none, "short"});
  const archive::RecordPlace place = *place_of(kNotes, 7);
  ASSERT_TRUE(archive::command_of_record(disk_, "data", 0, place));
  archive::RecordPlace elsewhere = *place_of(kNotes, 0);
  elsewhere.offset = 7;
  EXPECT_EQ(archive::command_of_record(disk_, "data", 0, elsewhere).error().code, Errc::corrupt);
  elsewhere.byte = 0;  // the segment's own header
  EXPECT_EQ(archive::command_of_record(disk_, "data", 0, elsewhere).error().code, Errc::corrupt);
  elsewhere.segment = 999;
  EXPECT_EQ(archive::command_of_record(disk_, "data", 0, elsewhere).error().code, Errc::not_found);
  Reply reply;
  const Buffer beyond = streams::encode(streams::LocateQuery{*streams_->find_partition(kNotes, 0), 20});
  streams_->query({streams::kLocate, beyond.view(), {}}, reply);
  EXPECT_EQ(reply.error, Errc::not_found);
}

// The records of a view in the archive need no command any more.
TEST_F(ViewsTest, OutliveTheirCommandsInTheArchive) {
  for (int i = 0; i < 2000; ++i) {
    tell({3, 1, Doubt::none, "a story of some length, so that segments fill"});
    clock_.advance(kMs);
  }
  archive(true);
  ASSERT_GT(store_->last_log_segment(), 1U);
  archive::ArchiveReader reader(disk_, *store_);
  EXPECT_FALSE(reader.command(2).ok());
  for (const std::string_view name : {kLines, kTellings, kNotes}) ASSERT_NO_FATAL_FAILURE(expect_all_read(name));
}

// One that follows, one that begins behind all, and one that begins when the archive has the most of it.
TEST_F(ViewsTest, TheHistoryOfAllStreamsIsInTheOrderOfTheLog) {
  Follower follower;
  std::string text;
  const uint64_t rounds = streams::test::scaled(400);
  for (uint64_t i = 0; i < rounds; ++i) {
    clock_.advance(static_cast<int64_t>(random_.below(3)) * kMs);
    tell(draw(text));
    if (random_.one_in(3)) follow(follower, 1 + random_.below(100'000));
    if (random_.one_in(100)) archive(random_.one_in(2));
    if (random_.one_in(100)) {
      follow(follower, 1 << 20);
      crash(sim::CrashMode::keep_all);
    }
    if (HasFatalFailure()) return;
  }
  ASSERT_NO_FATAL_FAILURE(follow(follower, 1 << 20));
  ASSERT_NO_FATAL_FAILURE(expect_followed(follower));
  ASSERT_NO_FATAL_FAILURE(archive());
  history_.reset();
  Follower late;
  ASSERT_NO_FATAL_FAILURE(follow(late, 1 << 20));
  ASSERT_NO_FATAL_FAILURE(expect_followed(late));
}

TEST_F(ViewsTest, OneReadGivesOneBatchOfManyCommands) {
  for (int i = 0; i < 50; ++i) tell({2, 0, Doubt::none, "short"});
  const net::RecordsRead got = read(kLines, 7, 1 << 20);
  ASSERT_EQ(got.batches.size(), 1U);
  const auto info = streams::decode_record_batch_header(got.batches[0].view());
  ASSERT_TRUE(info);
  EXPECT_EQ(info->base_offset, 7);
  EXPECT_EQ(info->record_count, 93);
  EXPECT_EQ(info->leader_epoch, static_cast<int32_t>(shard_->epoch()));
}

// A record is asked for, so it is given; never a byte more than asked for beyond it.
TEST_F(ViewsTest, KeepTheLimitOfARead) {
  tell({2000, 0, Doubt::none, std::string(100, 'x')});
  EXPECT_EQ(check(kLines, read(kLines, 5, 1), 5), 6);
  for (const uint32_t max_bytes : {500U, 5'000U, 50'000U}) {
    const net::RecordsRead got = read(kLines, 1000, max_bytes);
    ASSERT_EQ(got.batches.size(), 1U);
    EXPECT_LE(got.batches[0].size(), max_bytes);
    EXPECT_GT(got.batches[0].size(), max_bytes - kRecordMax);
  }
}

TEST_F(ViewsTest, NobodyElseWritesToThem) {
  tell({1, 0, Doubt::none, "mine"});
  const streams::EventRecord record{false, {}, as_bytes("theirs")};
  const Reply event = run(machine_ids::kStreams, streams::kAppendEvents,
                          streams::encode(streams::AppendEvents{kLines, -1, {record}, 0}));
  EXPECT_EQ(event.error, Errc::refused);
  streams::RecordBatchBuilder builder;
  builder.begin(1);
  builder.add(1, false, {}, true, as_bytes("theirs"));
  const Bytes batch = builder.finish(0, 0, true);
  const Reply produced =
      submit(streams::make_append(*streams_->find_partition(kLines, 0), Buffer::copy_of(batch),
                                  load_be<uint32_t>(batch.data() + streams::record_batch_layout::kCrc)),
             true);
  EXPECT_EQ(produced.error, Errc::refused);
  EXPECT_EQ(produced.detail, static_cast<uint32_t>(streams::AppendRefusal::view));
  EXPECT_EQ(run(machine_ids::kStreams, streams::kDeleteStream, streams::encode(streams::DeleteStream{kLines})).error,
            Errc::refused);
  EXPECT_EQ(run(machine_ids::kStreams, streams::kGrowStream, streams::encode(streams::GrowStream{kLines, 2})).error,
            Errc::refused);
  tell({1, 0, Doubt::none, "mine"});
  ASSERT_NO_FATAL_FAILURE(expect_all_read(kLines));
}

// A consumer that came first made the topic; a stream with somebody's records stays theirs.
TEST_F(ViewsTest, AStreamWithoutRecordsBecomesOne) {
  run(machine_ids::kStreams, streams::kCreateStream, streams::encode(streams::CreateStream{kLines, 1, {}}));
  const PartitionId before = *streams_->find_partition(kLines, 0);
  tell({3, 0, Doubt::none, "told"});
  EXPECT_EQ(*streams_->find_partition(kLines, 0), before);
  ASSERT_NO_FATAL_FAILURE(expect_all_read(kLines));
  EXPECT_EQ(streams_->ensure_view(kTellings, kLinesView, 99), std::nullopt);
  run(machine_ids::kStreams, streams::kCreateStream, streams::encode(streams::CreateStream{"taken", 1, {}}));
  const streams::EventRecord record{false, {}, as_bytes("theirs")};
  run(machine_ids::kStreams, streams::kAppendEvents, streams::encode(streams::AppendEvents{"taken", -1, {record}, 0}));
  EXPECT_EQ(streams_->ensure_view("taken", {kNarratorId, 9}, 99), std::nullopt);
}

TEST_F(ViewsTest, OfARolledBackScopeLeaveTheStreamAsItWas) {
  run(machine_ids::kStreams, streams::kCreateStream, streams::encode(streams::CreateStream{kLines, 1, {}}));
  const Hash128 before = shard_->state_hash();
  tell({3, 2, Doubt::refused, "nothing"});
  EXPECT_EQ(shard_->state_hash(), before);
  EXPECT_FALSE(streams_->view_of(*streams_->find_partition(kLines, 0)).is_view());
}

TEST_F(ViewsTest, AReplayThatCountsOrNotesSomethingElseHaltsAndNamesTheCommand) {
  tell({3, 0, Doubt::none, "told"});
  tell({3, 0, Doubt::none, "told"});
  diverge_ = true;
  disk_.crash(sim::CrashMode::keep_all);
  boot();
  ASSERT_FALSE(recovery_);
  EXPECT_NE(recovery_.error().message.find("records of views, or results beside them, of command 0:1 differ"),
            std::string::npos)
      << recovery_.error().message;
}

TEST_F(ViewsTest, ARenderingOfAnotherNumberOfRecordsIsAnError) {
  class Mute final : public StateMachine {
   public:
    MachineId id() const override { return kNarratorId; }
    std::string_view name() const override { return "mute"; }
    void apply(const Command&, Effects&) override {}
    void query(const Query&, Reply&) const override {}
    void open_scope() override {}
    void close_scope(ScopeOutcome) override {}
    uint64_t memory_bytes() const override { return 0; }
    void save(SnapshotWriter&) const override {}
    Result<void> restore(SnapshotReader&) override { return {}; }
    RenderView renderer() const override {
      return [](const LoggedCommand&, uint16_t, RecordWriter& out) { out.skip(); };
    }
  };
  tell({3, 0, Doubt::none, "told"});
  renderers_ = ViewRenderers();
  EXPECT_EQ(read(kLines, 0, 1000).error, Errc::unsupported);
  renderers_.add(Mute());
  EXPECT_EQ(read(kLines, 0, 1000).error, Errc::internal);
}

TEST_F(ViewsTest, ExplainShowsThemAsWhatTheCommandMade) {
  tell({2, 1, Doubt::none, "told"});
  const auto found = archive::explain(disk_, "data", 0, 1, renderers_);
  ASSERT_TRUE(found) << found.error().message;
  std::vector<std::string> texts;
  for (const archive::ExplainedRecord& record : found->records) texts.push_back(record.text);
  EXPECT_EQ(texts, (std::vector<std::string>{"1 told 2", "line 0 = 0 of told", "line 1 = 1 of told", "told"}));
}

}  // namespace
}  // namespace heptane::test
