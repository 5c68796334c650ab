#include <gtest/gtest.h>

#include <bit>
#include <cstdlib>
#include <random>

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

// Short numbers are reckoned, others read by the library: both are the nearest float, bit by bit.
TEST(LineProtocol, NumbersAreTheNearestFloats) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 20'000; ++i) {
    std::string word = random() % 3 == 0 ? "-" : "";
    for (uint64_t left = random() % 10; left > 0; --left) word += static_cast<char>('0' + random() % 10);
    word += static_cast<char>('0' + random() % 10);
    if (random() % 2 == 0) word += '.';
    for (uint64_t left = word.ends_with('.') ? random() % 9 : 0; left > 0; --left)
      word += static_cast<char>('0' + random() % 10);
    const std::string text = "m v=" + word;
    LineReader right(text);
    Line line;
    ASSERT_TRUE(right.next(line));
    ASSERT_EQ(right.refused(), "") << word;
    ASSERT_EQ(std::bit_cast<uint64_t>(line.fields[0].value.real),
              std::bit_cast<uint64_t>(std::strtod(word.c_str(), nullptr)))
        << word;
  }
  for (const char* word : {"-", ".", "-.", "1..2", "1.2.3", "--1", "1-", "1e", "0x1"})
    EXPECT_NE(refusal(std::string("m v=") + word), "") << word;
}

// What is in a record is read again without its tags.
TEST(LineProtocol, PointsAreTheSameWithoutTheirTags) {
  const std::string text =
      "m,a=1,b=x\\ y v=1,w=\"a b\\\" c\nd\" 5\nn\\ m\\\\ x,t=\\\\\\ 1 v\\ w=2i,x=t -6\nlast v=-0.25 7\n";
  LineReader lines(text);
  LineReader points(text, Reading::points);
  Line line;
  Line point;
  size_t count = 0;
  while (lines.next(line)) {
    ASSERT_EQ(lines.refused(), "");
    ASSERT_TRUE(points.next(point));
    ASSERT_EQ(points.refused(), "");
    EXPECT_EQ(point.head, line.head);
    EXPECT_EQ(point.body, line.body);
    EXPECT_EQ(point.time, line.time);
    EXPECT_EQ(point.fields.size(), line.fields.size());
    ++count;
  }
  EXPECT_FALSE(points.next(point));
  EXPECT_EQ(count, 3U);
}

TEST(LineProtocol, PartsOfAnythingAreSome) {
  for (const std::string text : {"", ",", "m,", "m,a", "m,a,", "m,=", "m,a=\\", "\\", "m,\\=,\\"}) (void)parts_of(text);
  EXPECT_EQ(parts_of("m,a").tags.front().second, "");
}

}  // namespace
}  // namespace heptane::iot::series
