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

// One head in many is another one by a byte.
std::string some_lines(std::mt19937_64& random) {
  static constexpr const char* kHeads[] = {"m",        "m,a=1",    "m,a=1,b=2", "m,b=2,a=1",    "m\\ ,a=1",
                                           "m\\,,a=1", "m,a=1\\ ", "m,a=\\\\",  "m,a=\xC3\xA9", "m,a=1,a=1"};
  static constexpr const char* kBodies[] = {" v=1 5", "  v=1i", " v=\"a b\" 7", " v=1,w=t 8",
                                            " v= 9",  "",       " v=1 x",       " v=\"a\nm,a=1 v=2"};
  std::string out;
  for (int i = 0; i < 40; ++i) {
    std::string head = kHeads[random() % std::size(kHeads)];
    if (random() % 8 == 0) head[random() % head.size()] = " ,=\\x\n\"#"[random() % 8];
    if (random() % 16 == 0) head.erase(random() % head.size(), 1);
    out += head + kBodies[random() % std::size(kBodies)] + (random() % 8 == 0 ? "\r\n" : "\n");
  }
  return out;
}

// What is read of lines: with heads that were read before, and without.
std::vector<std::string> read_of(const std::string& input, KnownHeads* heads, size_t& known) {
  std::vector<std::string> all;
  LineReader reader(input, Reading::lines, heads);
  Line line;
  std::string scratch;
  while (reader.next(line)) {
    std::string& said = all.emplace_back(std::to_string(line.number) + "|" + std::string(line.text) + "|");
    if (!reader.refused().empty()) {
      said += reader.refused();
      continue;
    }
    const auto key = series_key(line, scratch);
    said.append(line.head).append("|").append(line.measurement).append("|").append(line.body).append("|");
    said.append(key.value_or("twice")).append("|").append(line.time_text).append(std::to_string(line.fields.size()));
    known += line.known_head ? 1 : 0;
    if (heads != nullptr && !line.known_head && key && key->data() == line.head.data()) heads->add(line);
  }
  return all;
}

TEST(LineProtocol, WholeNumbersAreWhatTheyAre) {
  std::mt19937_64 random(13);
  for (int i = 0; i < 50'000; ++i) {
    const auto signed_one = static_cast<int64_t>(random()) >> (random() % 64);
    const uint64_t unsigned_one = random() >> (random() % 64);
    const std::string zeros(random() % 8 == 0 ? random() % 4 : 0, '0');
    const std::string input = "m a=" + std::to_string(signed_one) + "i,b=" + zeros + std::to_string(unsigned_one) +
                              "u " + std::to_string(signed_one);
    LineReader reader(input);
    Line line;
    ASSERT_TRUE(reader.next(line));
    ASSERT_EQ(reader.refused(), "") << input;
    ASSERT_EQ(line.fields[0].value.integer, signed_one);
    ASSERT_EQ(static_cast<uint64_t>(line.fields[1].value.integer), unsigned_one);
    ASSERT_EQ(line.time, signed_one);
  }
  for (const char* wrong : {"9223372036854775808", "-9223372036854775809", "12345678x", "123456789012345678901", "1 2",
                            "99999999999999999999", "-", "+1", "1.0", "12345678901234567890123"}) {
    EXPECT_NE(refusal("m a=1 " + std::string(wrong)), "") << wrong;
    EXPECT_NE(refusal("m a=" + std::string(wrong) + "i"), "") << wrong;
  }
  EXPECT_EQ(refusal("m a=1 9223372036854775807"), "");
  EXPECT_EQ(refusal("m a=1 00000000000000000000000000001"), "");
}

TEST(LineProtocol, KnownHeadsAreReadAsAnyOther) {
  std::mt19937_64 random(11);
  size_t known = 0;
  for (int i = 0; i < 3'000; ++i) {
    const std::string input = some_lines(random);
    KnownHeads heads;
    ASSERT_EQ(read_of(input, &heads, known), read_of(input, nullptr, known)) << input;
  }
  EXPECT_GT(known, 10'000U);
}

TEST(LineProtocol, HeadsThatNeverComeAgainAreNotSoughtForEver) {
  KnownHeads heads;
  std::string input;
  for (size_t i = 0; i < 2 * KnownHeads::kMissesMax; ++i) input += "m,a=" + std::to_string(i) + " v=1\n";
  size_t known = 0;
  read_of(input, &heads, known);
  EXPECT_EQ(known, 0U);
  EXPECT_EQ(heads.longest(), 0U);
}

TEST(LineProtocol, PartsOfAnythingAreSome) {
  for (const std::string text : {"", ",", "m,", "m,a", "m,a,", "m,=", "m,a=\\", "\\", "m,\\=,\\"}) (void)parts_of(text);
  EXPECT_EQ(parts_of("m,a").tags.front().second, "");
}

}  // namespace
}  // namespace heptane::iot::series
