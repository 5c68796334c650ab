// The queue against a plain string: whatever is pushed or copied comes out in order, in whatever portions the socket takes it.
#include "kernel/net/output_queue.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <array>
#include <string>

#include "kernel/base/random.h"

namespace heptane::net {
namespace {

std::string front_of(const OutputQueue& queue, size_t pieces_max) {
  std::array<Bytes, 8> pieces;
  const size_t count = queue.gather(std::span(pieces).first(pieces_max));
  std::string text;
  for (size_t i = 0; i < count; ++i) text += as_text(pieces[i]);
  return text;
}

TEST(OutputQueue, KeepsTheOrderOfWhatIsPushedAndCopied) {
  SeededRandom random(7);
  SparePieces spares;
  OutputQueue queue;
  std::string wanted;
  uint8_t next = 0;
  for (int step = 0; step < 200'000; ++step) {
    if (random.below(3) > 0) {
      std::string bytes(1 + random.below(random.below(8) == 0 ? 3000 : 30), '\0');
      for (char& byte : bytes) byte = static_cast<char>(next++);
      wanted += bytes;
      if (random.below(3) == 0)
        queue.push(Buffer::copy_of(bytes), spares);
      else
        queue.append(as_bytes(bytes), spares);
    } else {
      const std::string front = front_of(queue, 1 + random.below(8));
      ASSERT_EQ(front, wanted.substr(0, front.size()));
      const size_t sent = random.below(2) == 0 ? front.size() : random.below(front.size() + 1);
      queue.consume(sent, spares);
      wanted.erase(0, sent);
    }
    ASSERT_EQ(queue.bytes(), wanted.size());
    ASSERT_EQ(queue.empty(), wanted.empty());
  }
}

TEST(OutputQueue, SmallCopiesShareAPiece) {
  SparePieces spares;
  OutputQueue queue;
  for (int i = 0; i < 100; ++i) queue.append(as_bytes("four"), spares);
  std::array<Bytes, 8> pieces;
  EXPECT_EQ(queue.gather(pieces), 1u);
  EXPECT_EQ(pieces[0].size(), 400u);
  EXPECT_LT(queue.cost(), 500u);
}

// A few copied bytes between others do not each hold a piece with room for many. (Under the sanitisers nothing is counted.)
TEST(OutputQueue, HoldsLittleMoreThanItHas) {
  SparePieces spares;
  OutputQueue queue;
  const Buffer shared = Buffer::copy_of(std::string(100, 'x'));
  const size_t before = ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
  for (int i = 0; i < 5000; ++i) {
    queue.append(as_bytes("four"), spares);
    queue.push(Buffer(shared), spares);
  }
  EXPECT_LT(::mallinfo2().uordblks + ::mallinfo2().hblkhd - before, size_t{4} << 20);
  EXPECT_EQ(queue.bytes(), 5000u * 104);
}

}  // namespace
}  // namespace heptane::net
