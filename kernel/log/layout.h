// Offsets of every field of the log's bytes, in one place: the codecs use them and a test compares them with the tables
// in FORMAT.md. Little-endian throughout; what lies inside a Kafka record batch is Kafka's and big-endian.
#pragma once

#include <cstddef>

namespace heptane::log::layout {

// Batch header, 128 bytes. Magic, version and CRC keep their places in every version; epoch, segment and offset are 12
// contiguous bytes: the nonce of encryption at rest.
constexpr char kBatchMagicBytes[4] = {'H', 'P', 'T', 'B'};
constexpr size_t kBatchMagic = 0;
constexpr size_t kBatchVersion = 4;
constexpr size_t kBatchFlags = 6;
constexpr size_t kBatchHeaderCrc = 8;
constexpr size_t kBatchEpoch = 12;
constexpr size_t kBatchSegment = 16;
constexpr size_t kBatchOffset = 20;
constexpr size_t kBatchLogId = 24;
constexpr size_t kBatchBodyBytes = 40;
constexpr size_t kBatchBodyCrc = 44;
constexpr size_t kBatchShard = 48;
constexpr size_t kBatchKeyId = 50;
constexpr size_t kBatchCommandCount = 52;
constexpr size_t kBatchFirstSequence = 56;
constexpr size_t kBatchBaseTime = 64;
constexpr size_t kBatchDurableUpto = 72;
constexpr size_t kBatchEffectsDigest = 80;
constexpr size_t kBatchPreviousChain = 96;

// Entry header, 32 bytes.
constexpr size_t kEntryHeaderCrc = 0;
constexpr size_t kEntryPayloadCrc = 4;
constexpr size_t kEntryPayloadBytes = 8;
constexpr size_t kEntryExtensionBytes = 12;
constexpr size_t kEntryKind = 16;
constexpr size_t kEntryFlags = 17;
constexpr size_t kEntryMachine = 18;
constexpr size_t kEntryType = 20;
constexpr size_t kEntryZero = 22;
constexpr size_t kEntryPartition = 24;
constexpr size_t kEntryDetail = 28;

constexpr size_t kRecordBatchCrc = 17;  // in a Kafka record batch, big-endian

// Segment header, the first block of a segment file. Magic, version and CRC keep their places in every version.
constexpr char kSegmentMagicBytes[4] = {'H', 'P', 'T', 'S'};
constexpr size_t kSegmentMagic = 0;
constexpr size_t kSegmentVersion = 4;
constexpr size_t kSegmentFlags = 6;
constexpr size_t kSegmentCrc = 8;
constexpr size_t kSegmentNumber = 12;
constexpr size_t kSegmentBytes = 16;
constexpr size_t kSegmentLogId = 24;
constexpr size_t kSegmentShard = 40;
constexpr size_t kSegmentZero = 42;

}  // namespace heptane::log::layout
