// Anything as an answer, whole and in pieces: the same end, within its bytes.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernel/base/assert.h"
#include "kernel/net/http/response_parser.h"

using namespace heptane;
using http::ResponseParser;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t piece = 1 + data[0];
  const Bytes input(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  ResponseParser parser;
  size_t consumed = 0;
  auto step = ResponseParser::Step::need_more;
  for (size_t end = 0; step == ResponseParser::Step::need_more && end < input.size();) {
    end = std::min(end + piece, input.size());
    step = parser.parse(input.subspan(consumed, end - consumed), consumed);
    HEPTANE_ASSERT(consumed <= end, "no more is used than there is");
  }
  if (step == ResponseParser::Step::need_more) step = parser.finish();
  if (step == ResponseParser::Step::complete) HEPTANE_ASSERT(parser.status() >= 200, "an answer that counts");
  return 0;
}
