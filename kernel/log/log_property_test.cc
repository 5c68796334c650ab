// Random work, cut at a random disk operation, again and again on one disk: what was acknowledged is there, in order and
// unchanged; what was not is there as it was written or not at all.
#include "kernel/log/log_test_support.h"
#include "sim/sim_disk.h"

namespace heptane::log::test {
namespace {

using sim::CrashMode;
using sim::SimDisk;
using sim::SimFault;

// What may be found after a crash.
struct Truth {
  Contents acknowledged;
  Contents in_flight;  // continues the acknowledged; all of it or nothing
  Epoch epoch = 0;
  RecoverFrom snapshot;  // what a snapshot would name

  Sequence last() const { return acknowledged.empty() ? 0 : acknowledged.rbegin()->first; }
};

void check_recovered(Truth& truth, const Opened& opened, const RecoverFrom& from, uint64_t seed) {
  const Sequence end = opened.report.end.last_sequence;
  const Sequence acknowledged = truth.last();
  const Sequence in_flight = truth.in_flight.empty() ? acknowledged : truth.in_flight.rbegin()->first;
  ASSERT_TRUE(end == acknowledged || end == in_flight)
      << "seed " << seed << ": acknowledged " << acknowledged << ", in flight up to " << in_flight << ", found " << end;
  if (end > acknowledged) truth.acknowledged.insert(truth.in_flight.begin(), truth.in_flight.end());
  truth.in_flight.clear();
  Sequence expected = from.next_sequence;
  for (const auto& [sequence, payload] : opened.contents) {
    ASSERT_EQ(sequence, expected++) << "seed " << seed;
    ASSERT_EQ(payload, truth.acknowledged[sequence]) << "seed " << seed << " sequence " << sequence;
  }
  ASSERT_EQ(expected, end + 1) << "seed " << seed;
}

// Appends until the disk has had enough.
void work(SimDisk& disk, SegmentLog& log, SeededRandom& random, Truth& truth, int steps) {
  for (int step = 0; step < steps && !disk.crashed(); ++step) {
    switch (random.below(8)) {
      case 0: (void)log.maintain(); continue;
      case 1:
        if (!append_seal(log, truth.epoch)) return;
        continue;
      default: break;
    }
    TestBatch batch(log.next_sequence(), truth.epoch);
    Contents contents;
    const size_t commands = 1 + random.below(4);
    const size_t bytes = random.one_in(4) ? random.below(16000) : random.below(600);
    for (size_t i = 0; i < commands; ++i) {
      auto& payload = contents[log.next_sequence() + i];
      payload = random_bytes(random, bytes);
      batch.add_command(payload);
    }
    if (random.one_in(3)) batch.add_records(random_bytes(random, random.below(3000)), false);
    truth.in_flight = contents;
    const Result<BatchPlace> place = append_now(log, batch);
    if (!place) return;
    truth.acknowledged.merge(contents);
    truth.in_flight.clear();
    if (!random.one_in(6)) continue;
    truth.snapshot.place = {place->segment, static_cast<uint32_t>(place->offset + batch.header().padded_bytes()), 0};
    truth.snapshot.next_sequence = batch.header().last_sequence() + 1;
    truth.snapshot.previous_chain = chain_value(batch.header().header_crc);
    truth.snapshot.durable_evidence = batch.header().last_sequence();
    if (random.one_in(2) && !log.trim(truth.snapshot.next_sequence)) return;
  }
}

void fail_somehow(SimDisk& disk, SeededRandom& random, bool first_life) {
  static constexpr SimFault kFaults[] = {
      SimFault::write_error,        SimFault::write_error_partial,  SimFault::no_space,       SimFault::sync_error,
      SimFault::sync_error_partial, SimFault::directory_sync_error, SimFault::metadata_error, SimFault::read_error};
  const SimFault fault = kFaults[random.below(std::size(kFaults))];
  // A directory whose own name was lost for good by a failed sync cannot be told from one that was never used.
  if (random.one_in(2) || (first_life && fault == SimFault::directory_sync_error))
    disk.crash_after_operations(random.below(60));
  else
    disk.inject(fault, random.below(60));
}

void end_process(SimDisk& disk, SeededRandom& random) {
  static constexpr CrashMode kModes[] = {CrashMode::lose_all, CrashMode::keep_all, CrashMode::prefix, CrashMode::random,
                                         CrashMode::hostile};
  if (random.one_in(3))
    disk.process_kill();
  else
    disk.crash(kModes[random.below(std::size(kModes))]);
  disk.clear_faults();
}

void run_one(uint64_t seed) {
  SeededRandom random(seed);
  SimDisk disk(sim::SimDiskOptions{.seed = seed, .immediate = true});
  const SegmentLogOptions options = small_options("/data", random.one_in(2) ? 64 << 10 : 32 << 10);
  Truth truth;
  for (int life = 0; life < 8; ++life) {
    const bool sound_start = random.one_in(2);
    if (!sound_start) fail_somehow(disk, random, life == 0);
    Opened opened = open_log(disk, random, options, truth.snapshot);
    if (opened.error) {
      ASSERT_NE(opened.error->code, Errc::corrupt) << "seed " << seed << ": " << opened.error->message << disk.trace();
      ASSERT_FALSE(sound_start) << "seed " << seed << ": " << opened.error->message << disk.trace();
    } else {
      ASSERT_NO_FATAL_FAILURE(check_recovered(truth, opened, truth.snapshot, seed)) << disk.trace();
      truth.epoch = opened.report.end.epoch + 1;
      fail_somehow(disk, random, life == 0);
      work(disk, *opened.log, random, truth, 40);
    }
    opened.log.reset();
    end_process(disk, random);
  }
}

TEST(LogProperty, AcknowledgedSurvivesEveryCrash) {
  for (uint64_t seed = 1; seed <= 2500U / kSampleOneIn * static_cast<unsigned>(scale()); ++seed)
    ASSERT_NO_FATAL_FAILURE(run_one(seed));
}

// Every operation of one life: cut there, recover, cut the recovery at each of its own operations, recover again.
TEST(LogProperty, CrashAtEveryOperationAndInEveryRecovery) {
  for (uint64_t operation = 0; operation < 60; ++operation) {
    SimDisk disk(sim::SimDiskOptions{.seed = operation + 1, .immediate = true});
    SeededRandom random(operation);
    Truth truth;
    const SegmentLogOptions options = small_options("/data", 32 << 10);
    {
      Opened opened = open_log(disk, random, options);
      ASSERT_FALSE(opened.error);
      truth.epoch = 1;
      disk.crash_after_operations(operation);
      work(disk, *opened.log, random, truth, 1000);
    }
    ASSERT_TRUE(disk.crashed());
    disk.crash(CrashMode::random);
    for (uint64_t cut = 0; cut < 20; ++cut) {
      const std::unique_ptr<SimDisk> copy = disk.clone();
      copy->set_immediate(true);
      copy->crash_after_operations(cut);
      { Opened opened = open_log(*copy, random, options, truth.snapshot); }
      copy->crash(CrashMode::hostile);
      Truth copy_truth = truth;
      Opened opened = open_log(*copy, random, options, truth.snapshot);
      ASSERT_FALSE(opened.error) << opened.error->message << copy->trace();
      ASSERT_NO_FATAL_FAILURE(check_recovered(copy_truth, opened, truth.snapshot, operation)) << copy->trace();
    }
  }
}

// A sync fails, its pages stay readable; a restart believes none of it.
TEST(LogProperty, WhatAFailedSyncLeftReadableIsWrittenAgain) {
  SimDisk disk(sim::SimDiskOptions{.seed = 5, .immediate = true});
  SeededRandom random(5);
  const SegmentLogOptions options = small_options();
  Contents contents;
  {
    Opened opened = open_log(disk, random, options);
    ASSERT_TRUE(append_commands(*opened.log, random, 1, 3, 500, &contents));
    disk.inject(SimFault::sync_error);
    ASSERT_FALSE(append_commands(*opened.log, random, 1, 3, 500));
    const Result<BatchPlace> after = append_commands(*opened.log, random, 1, 1, 10);
    ASSERT_FALSE(after);
    EXPECT_EQ(after.error().code, Errc::io);
  }
  disk.process_kill();
  {
    Opened opened = open_log(disk, random, options);
    ASSERT_FALSE(opened.error);
    EXPECT_EQ(opened.report.end.last_sequence, 6U);  // readable, so it counts, once it is really there
    EXPECT_EQ(opened.report.durable_evidence, 3U);
    EXPECT_EQ(opened.report.rewritten_bytes, kBlockBytes);
  }
  disk.crash(CrashMode::lose_all);
  Opened opened = open_log(disk, random, options);
  ASSERT_FALSE(opened.error);
  EXPECT_EQ(opened.report.end.last_sequence, 6U);
}

// The same with a name: the directory's sync fails, the file stays in the listing, a power cut would take it.
TEST(LogProperty, ANameThatAFailedSyncLeftListedIsMadeAgain) {
  for (const bool first_segment : {true, false}) {
    SimDisk disk(sim::SimDiskOptions{.seed = 6, .immediate = true});
    SeededRandom random(6);
    const SegmentLogOptions options = small_options("/data", 32 << 10);
    ASSERT_TRUE(disk.make_directory(options.directory));
    for (const char* directory : {"/", "/data", "/data/shard-0"}) ASSERT_TRUE(disk.sync_directory(directory));
    Contents contents;
    if (first_segment) {
      disk.inject(SimFault::directory_sync_error, 8);  // behind those of the directories above
      ASSERT_TRUE(open_log(disk, random, options).error);
    } else {
      Opened opened = open_log(disk, random, options);
      ASSERT_TRUE(append_commands(*opened.log, random, 1, 1, 10, &contents));
      disk.inject(SimFault::directory_sync_error);
      ASSERT_FALSE(opened.log->maintain());
    }
    ASSERT_TRUE(disk.exists(segment_path(options.directory, first_segment ? 1 : 2)).value());
    disk.process_kill();
    {
      Opened opened = open_log(disk, random, options);
      ASSERT_FALSE(opened.error) << opened.error->message;
      for (int i = 0; i < 20; ++i) ASSERT_TRUE(append_commands(*opened.log, random, 2, 1, 5000, &contents));
    }
    disk.crash(CrashMode::lose_all);
    Opened opened = open_log(disk, random, options);
    ASSERT_FALSE(opened.error) << opened.error->message;
    EXPECT_EQ(opened.contents, contents);
  }
}

}  // namespace
}  // namespace heptane::log::test
