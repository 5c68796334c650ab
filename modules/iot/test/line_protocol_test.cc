#include <gtest/gtest.h>

#include "modules/iot/domain/series/line_protocol.h"

namespace heptane::iot::series {
namespace {

// What is wrong with the first line; empty: nothing.
std::string refusal(const std::string& input) {
  LineReader reader(input);
  Line line;
  EXPECT_TRUE(reader.next(line));
  return std::string(reader.refused());
}

TEST(LineProtocol, ReadsAPoint) {
  LineReader reader("# head\n\n  cpu,host=a,zone=b idle=1.5,busy=2i,on=t,n=\"x \\\" y\",u=7u 12\r\n");
  Line line;
  ASSERT_TRUE(reader.next(line));
  EXPECT_EQ(reader.refused(), "");
  EXPECT_EQ(line.number, 3U);
  EXPECT_EQ(line.measurement, "cpu");
  EXPECT_EQ(line.head, "cpu,host=a,zone=b");
  ASSERT_EQ(line.tags.size(), 2U);
  ASSERT_EQ(line.fields.size(), 5U);
  EXPECT_EQ(line.fields[0].value.real, 1.5);
  EXPECT_EQ(line.fields[1].value.type, FieldType::integer);
  EXPECT_EQ(line.fields[2].value.integer, 1);
  EXPECT_EQ(unescape(line.fields[3].value.text, Token::string), "x \" y");
  EXPECT_EQ(line.fields[4].value.type, FieldType::unsigned_integer);
  EXPECT_EQ(line.time, 12);
  EXPECT_FALSE(reader.next(line));
}

TEST(LineProtocol, GoesOnBehindARefusedLine) {
  LineReader reader("bad\ngood v=1\nworse,x= v=1\ngood v=2");
  Line line;
  std::vector<size_t> right;
  std::vector<size_t> wrong;
  while (reader.next(line)) (reader.refused().empty() ? right : wrong).push_back(line.number);
  EXPECT_EQ(right, (std::vector<size_t>{2, 4}));
  EXPECT_EQ(wrong, (std::vector<size_t>{1, 3}));
}

TEST(LineProtocol, CountsLinesInsideTexts) {
  LineReader reader("a s=\"one\ntwo\"\nb v=");
  Line line;
  ASSERT_TRUE(reader.next(line));
  ASSERT_TRUE(reader.next(line));
  EXPECT_EQ(line.number, 3U);
  EXPECT_EQ(line.text, "b v=");
}

TEST(LineProtocol, HoldsItsLimits) {
  EXPECT_EQ(refusal("m,t=" + std::string(kKeyBytesMax, 'x') + " v=1"),
            "measurement and tags are longer than 8,192 bytes");
  EXPECT_EQ(refusal("m " + std::string(kFieldNameBytesMax + 1, 'x') + "=1"), "a field's name is longer than 255 bytes");
  EXPECT_EQ(refusal("m v=\"" + std::string(kStringBytesMax + 1, 'x') + "\""), "a text is longer than 65,536 bytes");
  std::string fields = "m f0=1";
  for (size_t i = 1; i <= kFieldsMax; ++i) fields += ",f" + std::to_string(i) + "=1";
  EXPECT_EQ(refusal(fields), "more than 1,024 fields");
}

TEST(LineProtocol, KeysAreCanonical) {
  std::string scratch;
  Line line;
  for (const std::string text : {"m\\,1,b=x\\ y,a=2 v=1", "m\\,1,a=2,b=x\\ y v=1"}) {
    LineReader reader(text);
    ASSERT_TRUE(reader.next(line));
    EXPECT_EQ(series_key(line, scratch), "m\\,1,a=2,b=x\\ y");
  }
  const SeriesParts parts = parts_of("m\\,1,a=2,b=x\\ y");
  EXPECT_EQ(parts.measurement, "m,1");
  ASSERT_EQ(parts.tags.size(), 2U);
  EXPECT_EQ(parts.tags[1], (std::pair<std::string, std::string>("b", "x y")));
  LineReader twice("m,a=1,a=1 v=1");
  ASSERT_TRUE(twice.next(line));
  EXPECT_FALSE(series_key(line, scratch));
}

// Backslashes that stand for themselves before a comma or an equals sign that one of them escapes.
TEST(LineProtocol, PartsOfAKeyAreWhatTheReaderTook) {
  LineReader reader("m,p=C:\\\\,D v=1\nm\\\\,x,a\\\\=b=\\\\\\,c v=1\n");
  Line line;
  std::string scratch;
  ASSERT_TRUE(reader.next(line));
  ASSERT_EQ(reader.refused(), "");
  const SeriesParts path = parts_of(*series_key(line, scratch));
  ASSERT_EQ(path.tags.size(), 1U);
  EXPECT_EQ(path.tags[0], (std::pair<std::string, std::string>("p", "C:\\,D")));
  ASSERT_TRUE(reader.next(line));
  ASSERT_EQ(reader.refused(), "");
  const SeriesParts odd = parts_of(*series_key(line, scratch));
  EXPECT_EQ(odd.measurement, "m\\,x");
  ASSERT_EQ(odd.tags.size(), 1U);
  EXPECT_EQ(odd.tags[0], (std::pair<std::string, std::string>("a\\=b", "\\\\,c")));
}

TEST(LineProtocol, PartsOfAnythingAreSome) {
  for (const std::string text : {"", ",", "m,", "m,a", "m,a,", "m,=", "m,a=\\", "\\", "m,\\=,\\"}) (void)parts_of(text);
  EXPECT_EQ(parts_of("m,a").tags.front().second, "");
}

}  // namespace
}  // namespace heptane::iot::series
