// The bytes of an archive segment: what log segments held, grouped by stream and offset, with the index to find it.
// FORMAT.md describes every one of them; this header is its only reader and writer. Pure; any thread.
//
// File: one block of header; items, group after group; then rows (one for each partition that exists, in order), runs,
// places of commands; one block of footer. An item is a frame of 24 bytes and a log entry as the log had it, CRCs and all
// (kernel/log/batch.h). Group 0 holds the plain commands, keyed by sequence; the others are partitions, keyed by offset.
#pragma once

#include <cstdint>

#include "kernel/log/batch.h"

namespace heptane::archive {

constexpr uint16_t kFormatVersion = 1;
constexpr size_t kBlockBytes = 4096;
constexpr size_t kFrameBytes = 24;
constexpr size_t kRowBytes = 64;
constexpr size_t kRunBytes = 24;
constexpr size_t kPlaceBytes = 16;
constexpr PartitionId kCommandsGroup = 0;

struct ArchiveHeader {
  LogId log_id{};
  ShardId shard = 0;
  uint32_t generation = 0;     // a rewritten archive segment has the next one
  uint32_t first_segment = 0;  // of the log, and the last: what this takes the place of
  uint32_t last_segment = 0;
  Sequence first_sequence = 0;
  Sequence last_sequence = 0;  // first - 1: there were only seals
  bool operator==(const ArchiveHeader&) const = default;
};

struct ArchiveFooter {
  uint64_t file_bytes = 0;
  uint64_t rows_at = 0;
  uint64_t runs_at = 0;
  uint64_t places_at = 0;
  uint32_t rows = 0;
  uint32_t runs = 0;
  uint64_t places = 0;
  LogTime last_time = 0;           // log time of the newest batch in it
  log::ChainValue chain_before{};  // of the batch before the first
  log::ChainValue chain_after{};   // of the last batch
  uint64_t command_bytes = 0;      // of group 0
  uint32_t index_crc = 0;          // from rows_at to the footer
  bool operator==(const ArchiveFooter&) const = default;
};

// Before each entry.
struct Frame {
  Sequence sequence = 0;  // of the command; of `records`, what the command deltas of their causes count from
  LogTime time = 0;       // log time of the command; of `records`, of their batch
};

// A partition as of the end of this archive segment. One without records here says where its next record will be.
struct Row {
  PartitionId partition = kNoPartition;
  uint32_t runs = 0;
  uint32_t first_run = 0;  // index into the runs
  Offset first = 0;        // key of the first record, and one past the last; equal when there is none
  Offset end = 0;
  int64_t max_timestamp_ms = INT64_MIN;
  uint64_t begin_at = 0;  // byte range of its items
  uint64_t end_at = 0;
};

struct Run {
  Offset first = 0;
  int64_t max_timestamp_ms = INT64_MIN;  // of the records of this group up to the end of this run
  uint64_t at = 0;
};

// Where a command lies that is a record batch too.
struct Place {
  Sequence sequence = 0;
  uint64_t at = 0;
};

// Blocks of kBlockBytes.
void encode(const ArchiveHeader& header, std::byte* block);
void encode(const ArchiveFooter& footer, std::byte* block);
// Errc::corrupt, or Errc::unsupported for another version (named).
Result<ArchiveHeader> decode_header(Bytes block);
Result<ArchiveFooter> decode_footer(Bytes block);

// Frame, rows, runs and places carry what checks them: frame and row a CRC each; a run and a place lead to a frame.
void encode(const Frame& frame, std::byte* at);
void encode(const Row& row, std::byte* at);
void encode(const Run& run, std::byte* at);
void encode(const Place& place, std::byte* at);
Result<Row> decode_row(Bytes bytes);
Run decode_run(const std::byte* at);
Place decode_place(const std::byte* at);

struct Item {
  Frame frame;
  log::EntryView entry;
  uint64_t bytes = 0;  // frame and entry
};
// Checks frame and entry with all their CRCs. `input` begins at the frame.
Result<Item> decode_item(Bytes input);

}  // namespace heptane::archive
