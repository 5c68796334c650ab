// Buffers on their way to the socket. The vector is lent by the loop while there is output: an idle connection keeps none.
// What is only copied here is put together in pieces of up to kCopiedBytesMax: small packets cost no allocation each.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernel/base/bytes.h"

namespace heptane::net {

// Vectors between two uses; one per loop.
class SparePieces {
 public:
  std::vector<Buffer> take() {
    if (spare_.empty()) return {};
    std::vector<Buffer> pieces = std::move(spare_.back());
    spare_.pop_back();
    return pieces;
  }
  void give(std::vector<Buffer>&& pieces) {
    pieces.clear();
    if (spare_.size() < kSparesMax && pieces.capacity() <= kPiecesMax) spare_.push_back(std::move(pieces));
    pieces = {};
  }

 private:
  static constexpr size_t kSparesMax = 256;
  static constexpr size_t kPiecesMax = 1024;
  std::vector<std::vector<Buffer>> spare_;
};

class OutputQueue {
 public:
  bool empty() const { return bytes_ == 0; }
  size_t bytes() const { return bytes_; }
  bool one_piece() const { return pieces_.size() - head_ == 1; }
  // What the queue costs: small pieces count for more than their bytes.
  size_t cost() const { return bytes_ + (pieces_.size() - head_) * kPieceCost; }

  void push(Buffer&& piece, SparePieces& spares) {
    if (piece.empty()) return;
    close_tail();
    if (pieces_.capacity() == 0) pieces_ = spares.take();
    bytes_ += piece.size();
    pieces_.push_back(std::move(piece));
  }

  // Copies.
  void append(Bytes bytes, SparePieces& spares) {
    if (bytes.size() > tail_left_) open_tail(bytes.size(), spares);
    std::memcpy(tail_, bytes.data(), bytes.size());
    tail_ += bytes.size();
    tail_left_ -= static_cast<uint32_t>(bytes.size());
    bytes_ += bytes.size();
  }

  // The first pieces, as many as fit; returns how many.
  size_t gather(std::span<Bytes> into) const {
    size_t count = 0;
    for (size_t at = head_; at < pieces_.size() && count < into.size(); ++at, ++count)
      into[count] = pieces_[at].view().first(size_of(at)).subspan(at == head_ ? sent_of_head_ : 0);
    return count;
  }

  void consume(size_t bytes, SparePieces& spares) {
    bytes_ -= bytes;
    bytes += sent_of_head_;
    while (head_ < pieces_.size() && bytes >= size_of(head_)) {
      bytes -= size_of(head_);
      pieces_[head_++] = Buffer();
    }
    sent_of_head_ = bytes;
    if (head_ == pieces_.size()) {
      clear(spares);
    } else if (head_ >= kCompactAt && head_ * 2 >= pieces_.size()) {
      pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<std::ptrdiff_t>(head_));
      head_ = 0;
    }
  }

  void clear(SparePieces& spares) {
    if (pieces_.capacity() > 0) spares.give(std::move(pieces_));
    pieces_ = {};
    bytes_ = sent_of_head_ = 0;
    head_ = tail_left_ = 0;
  }

 private:
  static constexpr size_t kPieceCost = 64;
  static constexpr size_t kCompactAt = 64;
  static constexpr size_t kCopiedBytesMin = 512;
  static constexpr size_t kCopiedBytesMax = 16 << 10;

  size_t size_of(size_t at) const { return pieces_[at].size() - (at + 1 == pieces_.size() ? tail_left_ : 0); }

  // The longer the queue, the larger the piece: what one holds is at most about twice what it has.
  void open_tail(size_t bytes, SparePieces& spares) {
    const size_t room = std::max(bytes, std::clamp(bytes_, kCopiedBytesMin, kCopiedBytesMax));
    auto memory = std::make_shared_for_overwrite<std::byte[]>(room);
    std::byte* begin = memory.get();
    close_tail();
    if (pieces_.capacity() == 0) pieces_ = spares.take();
    pieces_.emplace_back(std::move(memory), Bytes(begin, room));
    tail_ = begin;
    tail_left_ = static_cast<uint32_t>(room);
  }

  // A piece that is mostly free is not kept for the sake of the few bytes in it.
  void close_tail() {
    if (tail_left_ == 0) return;
    const size_t used = pieces_.back().size() - tail_left_;
    pieces_.back() =
        used < tail_left_ ? Buffer::copy_of(pieces_.back().view().first(used)) : pieces_.back().slice(0, used);
    tail_left_ = 0;
  }

  std::vector<Buffer> pieces_;
  std::byte* tail_ = nullptr;  // the free part of the last piece, which is not sent
  uint32_t tail_left_ = 0;     // its bytes; 0: the last piece is full or was not made here
  uint32_t head_ = 0;          // first piece not wholly sent
  size_t sent_of_head_ = 0;    // bytes of it that are
  size_t bytes_ = 0;
};

}  // namespace heptane::net
