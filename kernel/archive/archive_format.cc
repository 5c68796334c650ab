#include "kernel/archive/archive_format.h"

#include <algorithm>

#include "kernel/base/crc32c.h"

namespace heptane::archive {

namespace {

constexpr char kHeaderMagic[8] = {'H', 'E', 'P', 'T', 'A', 'R', 'C', 'H'};
constexpr char kFooterMagic[8] = {'H', 'E', 'P', 'T', 'A', 'E', 'N', 'D'};
constexpr size_t kBlockCrcAt = kBlockBytes - 4;
constexpr size_t kFrameCrcAt = 16;
constexpr size_t kRowCrcAt = 56;

Error corrupt(const char* what) { return Error{Errc::corrupt, what}; }

// Fields one after another into a block, in the order in which they are read again.
class BlockWriter {
 public:
  BlockWriter(std::byte* block, const char (&magic)[8]) : block_(block) {
    std::fill_n(block, kBlockBytes, std::byte{0});
    std::memcpy(block, magic, sizeof magic);
    put<uint16_t>(kFormatVersion);
  }
  template <class T>
  void put(T value) {
    store_le(block_ + at_, value);
    at_ += sizeof(T);
  }
  template <size_t size>
  void put(const std::array<std::byte, size>& bytes) {
    std::copy(bytes.begin(), bytes.end(), block_ + at_);
    at_ += size;
  }
  void seal() { store_le<uint32_t>(block_ + kBlockCrcAt, crc32c({block_, kBlockCrcAt})); }

 private:
  std::byte* block_;
  size_t at_ = 8;
};

Result<ByteReader> open_block(Bytes block, const char (&magic)[8], const char* what) {
  if (block.size() < kBlockBytes || std::memcmp(block.data(), magic, sizeof magic) != 0) return corrupt(what);
  if (load_le<uint32_t>(block.data() + kBlockCrcAt) != crc32c(block.first(kBlockCrcAt))) return corrupt(what);
  ByteReader reader(block.first(kBlockCrcAt));
  reader.skip(sizeof magic);
  const auto version = reader.le<uint16_t>();
  if (version != kFormatVersion)
    return Error{Errc::unsupported, "archive format version " + std::to_string(version) +
                                        "; this program reads version " + std::to_string(kFormatVersion)};
  return reader;
}

template <size_t size>
void get(ByteReader& reader, std::array<std::byte, size>& into) {
  const Bytes bytes = reader.take(size);
  std::copy(bytes.begin(), bytes.end(), into.begin());
}

}  // namespace

void encode(const ArchiveHeader& header, std::byte* block) {
  BlockWriter out(block, kHeaderMagic);
  out.put(header.shard);
  out.put(header.generation);
  out.put(header.log_id);
  out.put(header.first_segment);
  out.put(header.last_segment);
  out.put(header.first_sequence);
  out.put(header.last_sequence);
  out.seal();
}

Result<ArchiveHeader> decode_header(Bytes block) {
  Result<ByteReader> reader = open_block(block, kHeaderMagic, "this is no header of an archive segment");
  if (!reader) return std::move(reader.error());
  ArchiveHeader header;
  header.shard = reader->le<ShardId>();
  header.generation = reader->le<uint32_t>();
  get(*reader, header.log_id);
  header.first_segment = reader->le<uint32_t>();
  header.last_segment = reader->le<uint32_t>();
  header.first_sequence = reader->le<Sequence>();
  header.last_sequence = reader->le<Sequence>();
  if (header.last_segment < header.first_segment || header.first_sequence == 0 ||
      header.last_sequence + 1 < header.first_sequence)
    return corrupt("the header of an archive segment contradicts itself");
  return header;
}

void encode(const ArchiveFooter& footer, std::byte* block) {
  BlockWriter out(block, kFooterMagic);
  out.put(footer.index_crc);
  out.put(footer.file_bytes);
  out.put(footer.rows_at);
  out.put(footer.runs_at);
  out.put(footer.places_at);
  out.put(footer.rows);
  out.put(footer.runs);
  out.put(footer.places);
  out.put(footer.last_time);
  out.put(footer.command_bytes);
  out.put(footer.chain_before);
  out.put(footer.chain_after);
  out.seal();
}

Result<ArchiveFooter> decode_footer(Bytes block) {
  Result<ByteReader> reader = open_block(block, kFooterMagic, "this is no footer of an archive segment");
  if (!reader) return std::move(reader.error());
  ArchiveFooter footer;
  footer.index_crc = reader->le<uint32_t>();
  for (uint64_t* number : {&footer.file_bytes, &footer.rows_at, &footer.runs_at, &footer.places_at})
    *number = reader->le<uint64_t>();
  footer.rows = reader->le<uint32_t>();
  footer.runs = reader->le<uint32_t>();
  footer.places = reader->le<uint64_t>();
  footer.last_time = reader->le<LogTime>();
  footer.command_bytes = reader->le<uint64_t>();
  get(*reader, footer.chain_before);
  get(*reader, footer.chain_after);
  const uint64_t end = footer.file_bytes - kBlockBytes;
  const bool adds_up = footer.file_bytes >= 2 * kBlockBytes && footer.rows_at >= kBlockBytes && footer.rows_at <= end &&
                       footer.runs_at == footer.rows_at + uint64_t{footer.rows} * kRowBytes &&
                       footer.places_at == footer.runs_at + uint64_t{footer.runs} * kRunBytes &&
                       footer.places <= (end - footer.rows_at) / kPlaceBytes &&
                       footer.places_at + footer.places * kPlaceBytes <= end;
  if (!adds_up) return corrupt("the footer of an archive segment contradicts itself");
  return footer;
}

void encode(const Frame& frame, std::byte* at) {
  store_le(at, frame.sequence);
  store_le(at + 8, frame.time);
  store_le<uint32_t>(at + kFrameCrcAt, crc32c({at, kFrameCrcAt}));
  store_le<uint32_t>(at + kFrameCrcAt + 4, 0);
}

void encode(const Row& row, std::byte* at) {
  std::fill_n(at, kRowBytes, std::byte{0});
  store_le(at, row.partition);
  store_le(at + 4, row.runs);
  store_le(at + 8, row.first_run);
  store_le(at + 16, row.first);
  store_le(at + 24, row.end);
  store_le(at + 32, row.max_timestamp_ms);
  store_le(at + 40, row.begin_at);
  store_le(at + 48, row.end_at);
  store_le<uint32_t>(at + kRowCrcAt, crc32c({at, kRowCrcAt}));
}

Result<Row> decode_row(Bytes bytes) {
  if (bytes.size() < kRowBytes || load_le<uint32_t>(bytes.data() + kRowCrcAt) != crc32c(bytes.first(kRowCrcAt)))
    return corrupt("a row of an archive's index does not match its CRC");
  const std::byte* at = bytes.data();
  Row row;
  row.partition = load_le<PartitionId>(at);
  row.runs = load_le<uint32_t>(at + 4);
  row.first_run = load_le<uint32_t>(at + 8);
  row.first = load_le<Offset>(at + 16);
  row.end = load_le<Offset>(at + 24);
  row.max_timestamp_ms = load_le<int64_t>(at + 32);
  row.begin_at = load_le<uint64_t>(at + 40);
  row.end_at = load_le<uint64_t>(at + 48);
  return row;
}

void encode(const Run& run, std::byte* at) {
  store_le(at, run.first);
  store_le(at + 8, run.max_timestamp_ms);
  store_le(at + 16, run.at);
}

Run decode_run(const std::byte* at) {
  return {load_le<Offset>(at), load_le<int64_t>(at + 8), load_le<uint64_t>(at + 16)};
}

void encode(const Place& place, std::byte* at) {
  store_le(at, place.sequence);
  store_le(at + 8, place.at);
}

Place decode_place(const std::byte* at) { return {load_le<Sequence>(at), load_le<uint64_t>(at + 8)}; }

Result<Item> decode_item(Bytes input) {
  if (input.size() < kFrameBytes) return corrupt("an archive ends inside a frame");
  if (load_le<uint32_t>(input.data() + kFrameCrcAt) != crc32c(input.first(kFrameCrcAt)) ||
      load_le<uint32_t>(input.data() + kFrameCrcAt + 4) != 0)
    return corrupt("a frame of an archive does not match its CRC");
  Item item;
  item.frame.sequence = load_le<Sequence>(input.data());
  item.frame.time = load_le<LogTime>(input.data() + 8);
  Result<log::EntryView> entry = log::decode_entry(input.subspan(kFrameBytes));
  if (!entry) return std::move(entry.error());
  item.entry = *entry;
  item.bytes = kFrameBytes + entry->header.stored_bytes();
  return item;
}

}  // namespace heptane::archive
