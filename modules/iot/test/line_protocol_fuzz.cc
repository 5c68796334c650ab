// Any bytes as a write request: read, put into a command, taken out of it. Every line that is taken reads again as it was.
#include <cstddef>
#include <cstdint>

#include "kernel/base/assert.h"
#include "modules/iot/machine/series/series_api.h"

namespace {

std::string key_of(const heptane::iot::series::SeriesParts& parts) {
  using heptane::iot::series::Token;
  std::string key;
  append_escaped(key, parts.measurement, Token::measurement);
  for (const auto& [name, value] : parts.tags) {
    key += ',';
    append_escaped(key, name, Token::key);
    key += '=';
    append_escaped(key, value, Token::key);
  }
  return key;
}

void take_lines(heptane::iot::series::LineReader& reader, heptane::iot::series::LinesCommandWriter& out) {
  heptane::iot::series::Line line;
  std::string scratch;
  while (reader.next(line)) {
    if (!reader.refused().empty()) continue;
    const auto key = series_key(line, scratch);
    if (key) out.add(line, *key);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace heptane;
  using namespace heptane::iot::series;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  LinesCommandWriter out("db", 1'000, 5'000);
  LinesCommandWriter whole("db", 1'000, 5'000);
  LineReader reader(input, Reading::lines, &out.heads());
  take_lines(reader, out);
  LineReader whole_reader(input);
  take_lines(whole_reader, whole);
  HEPTANE_ASSERT(out.count() == whole.count(), "known heads change nothing");
  if (out.count() == 0) return 0;
  const Buffer payload = out.finish();
  HEPTANE_ASSERT(as_text(payload.view()) == as_text(whole.finish().view()), "known heads change nothing");
  Line line;
  std::string scratch;
  const auto command = decode_lines(payload.view());
  HEPTANE_ASSERT(command.has_value(), "a command comes back");
  HEPTANE_ASSERT(!out.fits() || sound_tables(*command), "the tables are in order");
  LineReader points(command->lines, Reading::points);
  Line point;
  LineReader again(command->lines);
  uint32_t count = 0;
  for (; again.next(line); ++count) {
    HEPTANE_ASSERT(again.refused().empty(), "a line that was taken reads again");
    HEPTANE_ASSERT(series_key(line, scratch) == line.head, "its key is its head");
    HEPTANE_ASSERT(points.next(point) && points.refused().empty(), "a point reads as its line");
    HEPTANE_ASSERT(point.head == line.head && point.body == line.body && point.time == line.time, "and is the same");
    HEPTANE_ASSERT(key_of(parts_of(line.head)) == line.head, "a key's parts make it again");
  }
  HEPTANE_ASSERT(count == command->count, "all lines come back");
  (void)decode_fit(as_bytes(input));
  if (const auto any = decode_lines(as_bytes(input))) (void)sound_tables(*any);
  (void)parts_of(input);
  return 0;
}
