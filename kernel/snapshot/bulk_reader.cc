#include "kernel/snapshot/bulk_reader.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <thread>
#include <vector>

namespace heptane::snapshot {

namespace {

constexpr size_t kPieceChunks = 16;  // one read; what it brought is still in the cache when it is checked
constexpr size_t kPieceBytes = kPieceChunks * kChunkBytes;
constexpr size_t kPiecesAhead =
    32;  // the system is told of, for a file that is not in memory: it sees no sequence in what
         // several threads read

class BulkReader {
 public:
  BulkReader(File& file, const ChunkRun& run, MutableBytes into)
      : file_(file),
        run_(run),
        into_(into),
        chunks_(into.size() / kChunkPayloadBytes),
        states_((chunks_ + kPieceChunks - 1) / kPieceChunks) {}

  Result<void> run(size_t threads, const std::function<void(Bytes)>& in_order) {
    file_.expect(run_.offset, std::min(kPiecesAhead, states_.size()) * kPieceBytes);
    std::vector<std::thread> others;
    for (size_t i = 1; i < threads; ++i)
      others.emplace_back([this] {
        while (read_next()) {
        }
      });
    while (read_next()) hand_out(in_order);
    for (std::thread& other : others) other.join();
    hand_out(in_order);
    for (const PieceState& state : states_)
      if (state.error) return *state.error;
    return {};
  }

 private:
  struct PieceState {
    std::atomic<bool> done{false};
    std::optional<Error> error;
  };

  MutableBytes payload_of(size_t piece) const {
    const size_t first = piece * kPieceChunks;
    const size_t count = std::min(kPieceChunks, chunks_ - first);
    return into_.subspan(first * kChunkPayloadBytes, count * kChunkPayloadBytes);
  }

  // False: there is none left, or one was bad.
  bool read_next() {
    const size_t piece = next_.fetch_add(1, std::memory_order_relaxed);
    if (piece >= states_.size() || failed_.load(std::memory_order_relaxed)) return false;
    const Result<void> read = read_piece(piece);
    if (!read) {
      states_[piece].error = read.error();
      failed_.store(true, std::memory_order_relaxed);
      return false;
    }
    states_[piece].done.store(true, std::memory_order_release);
    return true;
  }

  Result<void> read_piece(size_t piece) {
    const MutableBytes payload = payload_of(piece);
    const size_t count = payload.size() / kChunkPayloadBytes;
    std::array<std::array<std::byte, kChunkHeadBytes>, kPieceChunks> heads;
    std::array<MutableBytes, 2 * kPieceChunks> places;
    for (size_t i = 0; i < count; ++i) {
      places[2 * i] = heads[i];
      places[2 * i + 1] = payload.subspan(i * kChunkPayloadBytes, kChunkPayloadBytes);
    }
    const uint64_t offset = run_.offset + piece * kPieceBytes;
    if (piece + kPiecesAhead < states_.size()) file_.expect(offset + kPiecesAhead * kPieceBytes, kPieceBytes);
    const Result<size_t> read = file_.read_scattered(offset, std::span(places).first(2 * count));
    if (!read) return read.error();
    if (*read != count * kChunkBytes) return Error{Errc::corrupt, "the file ended while it was read"};
    for (size_t i = 0; i < count; ++i)
      HEPTANE_TRY(check_chunk(heads[i], places[2 * i + 1], expected(piece * kPieceChunks + i)));
    return {};
  }

  ExpectedChunk expected(size_t chunk) const {
    const ChunkHead head{kChunkPayloadBytes, run_.section, run_.number + static_cast<uint32_t>(chunk)};
    return {run_.offset + chunk * kChunkBytes, head, run_.key};
  }

  void hand_out(const std::function<void(Bytes)>& in_order) {
    for (; given_ < states_.size() && states_[given_].done.load(std::memory_order_acquire); ++given_)
      in_order(payload_of(given_));
  }

  File& file_;
  const ChunkRun run_;
  const MutableBytes into_;
  const size_t chunks_;
  std::vector<PieceState> states_;
  std::atomic<size_t> next_{0};
  std::atomic<bool> failed_{false};
  size_t given_ = 0;  // the calling thread's
};

}  // namespace

Result<void> read_bulk(File& file, const ChunkRun& run, MutableBytes into, size_t threads,
                       const std::function<void(Bytes)>& in_order) {
  HEPTANE_ASSERT(into.size() % kChunkPayloadBytes == 0, "a bulk read takes whole chunks");
  return BulkReader(file, run, into).run(threads, in_order);
}

}  // namespace heptane::snapshot
