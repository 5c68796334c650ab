// Buffers on their way to the socket. The vector is lent by the loop while there is output: an idle connection keeps none.
#pragma once

#include <cstdint>
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
  // What the queue costs: small pieces count for more than their bytes.
  size_t cost() const { return bytes_ + (pieces_.size() - head_) * kPieceCost; }

  void push(Buffer&& piece, SparePieces& spares) {
    if (piece.empty()) return;
    if (pieces_.capacity() == 0) pieces_ = spares.take();
    bytes_ += piece.size();
    pieces_.push_back(std::move(piece));
  }

  // The first pieces, as many as fit; returns how many.
  size_t gather(std::span<Bytes> into) const {
    size_t count = 0;
    for (size_t at = head_; at < pieces_.size() && count < into.size(); ++at, ++count)
      into[count] = pieces_[at].view().subspan(at == head_ ? sent_of_head_ : 0);
    return count;
  }

  void consume(size_t bytes, SparePieces& spares) {
    bytes_ -= bytes;
    bytes += sent_of_head_;
    while (head_ < pieces_.size() && bytes >= pieces_[head_].size()) {
      bytes -= pieces_[head_].size();
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
    head_ = bytes_ = sent_of_head_ = 0;
  }

 private:
  static constexpr size_t kPieceCost = 64;
  static constexpr size_t kCompactAt = 64;
  std::vector<Buffer> pieces_;
  size_t head_ = 0;          // first piece not wholly sent
  size_t sent_of_head_ = 0;  // bytes of it that are
  size_t bytes_ = 0;
};

}  // namespace heptane::net
