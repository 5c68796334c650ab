// CSV of things: what is a line, what is wrong with one.
#include <gtest/gtest.h>

#include <algorithm>

#include "modules/iot/domain/devices/csv.h"

namespace heptane::iot::devices {

namespace {

struct Read {
  std::vector<Thing> things;
  std::vector<std::string> wrong;  // `LINE: why`
};

Read read(std::string_view text) {
  Read read;
  CsvReader reader(text);
  const auto head = reader.next();
  const auto columns = head ? csv_columns(*head) : Result<std::vector<std::string>>(head.error());
  if (!columns) {
    read.wrong.push_back("1: " + columns.error().message);
    return read;
  }
  while (!reader.done()) {
    const std::string line = std::to_string(reader.line());
    const auto record = reader.next();
    const auto thing = record ? csv_thing(*columns, *record) : Result<Thing>(record.error());
    if (thing)
      read.things.push_back(*thing);
    else
      read.wrong.push_back(line + ": " + thing.error().message);
  }
  return read;
}

}  // namespace

TEST(DevicesCsv, ColumnsAreAttributes) {
  const Read got = read(
      "\xEF\xBB\xBFname,type,site,tags,groups\r\n"
      "a,pump,\"North, hall \"\"2\"\"\",x;y;,\r\n"
      "b,,,,plant;spare");
  EXPECT_TRUE(got.wrong.empty());
  ASSERT_EQ(got.things.size(), 2U);
  EXPECT_EQ(got.things[0].attributes.at("site"), "North, hall \"2\"");
  EXPECT_EQ(got.things[0].tags, (std::set<std::string, std::less<>>{"x", "y"}));
  EXPECT_TRUE(got.things[1].attributes.empty() && got.things[1].type.empty());
  EXPECT_EQ(got.things[1].groups.size(), 2U);
}

TEST(DevicesCsv, AWrongLineIsNamedAndTheOthersAreRead) {
  const Read got = read(
      "name,site\n"
      "a,1\n"
      "b\n"
      "c d,1\n"
      "e,\"x\"y\n"
      "f,a\"b\n"
      "\"g\",2\n");
  ASSERT_EQ(got.things.size(), 2U);
  EXPECT_EQ(got.things[1].name, "g");
  ASSERT_EQ(got.wrong.size(), 4U);
  EXPECT_EQ(got.wrong[0], "3: there are 1 cells for 2 columns");
  EXPECT_EQ(got.wrong[1].substr(0, 3), "4: ");
  EXPECT_EQ(got.wrong[2], "5: something stands behind a closing quote");
  EXPECT_EQ(got.wrong[3], "6: a quote stands inside of a cell that does not begin with one");
}

TEST(DevicesCsv, LinesAreCountedOverQuotedCells) {
  const Read got = read("name,site\n\"a\",\"one\ntwo\"\nb b,1\nc,\"open\n");
  EXPECT_EQ(got.things.size(), 0U);
  ASSERT_EQ(got.wrong.size(), 3U);
  EXPECT_EQ(got.wrong[0].substr(0, 3), "2: ");  // a control character in a value
  EXPECT_EQ(got.wrong[1].substr(0, 3), "4: ");
  EXPECT_EQ(got.wrong[2], "5: the quote that opens a cell in line 5 is not closed");
}

// Lines of a quoted cell are none of the list, whatever else is wrong with their record.
TEST(DevicesCsv, WhatIsWrongIsPassedOverWithItsWholeRecord) {
  const std::string many(kCsvColumnsMax, ',');
  for (const std::string& wrong :
       {std::string("x,\"one\"y,\"\nin,cell\n\""), std::string("x,a\"b,\"\nin,\"\"cell\n\""),
        "x" + many + ",\"\nin,cell\n\"", "x,\"" + std::string(kCsvLineBytesMax, '\n') + "in,cell\n\"",
        std::string(kCsvLineBytesMax, 'x') + ",\"\nin,cell\n\""}) {
    const Read got = read("name,site\n" + wrong + "\r\nb b,1\nlast,1\n");
    ASSERT_EQ(got.things.size(), 1U);
    EXPECT_EQ(got.things[0].name, "last");
    ASSERT_EQ(got.wrong.size(), 2U);
    const auto lines = std::count(wrong.begin(), wrong.end(), '\n');
    EXPECT_EQ(got.wrong[1].substr(0, got.wrong[1].find(':')), std::to_string(3 + lines));
  }
}

TEST(DevicesCsv, AnOpenQuoteIsNamedAndEndsTheList) {
  for (const size_t bytes : {size_t{1}, 2 * kCsvLineBytesMax}) {
    const Read got = read("name,site\na,\"1\n2\"\nb,1,\"x\n\"\nc,\"\n" + std::string(bytes, 'x') + "\nd,1\n");
    EXPECT_EQ(got.things.size(), 0U);
    ASSERT_EQ(got.wrong.size(), 3U);
    EXPECT_EQ(got.wrong[2], "6: the quote that opens a cell in line 6 is not closed");
  }
  const Read late = read("name,site\n\"a\n\",\"x\n");
  ASSERT_EQ(late.wrong.size(), 1U);
  EXPECT_EQ(late.wrong[0], "2: the quote that opens a cell in line 3 is not closed");
}

TEST(DevicesCsv, TheHeadMustNameTheColumns) {
  EXPECT_NE(read("site\n").wrong.at(0).find("name is not among them"), std::string::npos);
  EXPECT_NE(read("name,site,site\n").wrong.at(0).find("twice"), std::string::npos);
  EXPECT_NE(read("name,the site\n").wrong.at(0).find("the site"), std::string::npos);
  EXPECT_NE(read("").wrong.size(), 0U);
}

TEST(DevicesCsv, ARecordIsBounded) {
  const Read got = read("name,site\na,\"" + std::string(kCsvLineBytesMax, 'x') + "\"\nb,1\n");
  ASSERT_EQ(got.wrong.size(), 1U);
  EXPECT_EQ(got.wrong[0], "2: a record of more than 256 KiB");
  EXPECT_EQ(got.things.size(), 1U);
  std::string wide = "name";
  for (size_t i = 0; i < kCsvColumnsMax; ++i) wide += ",c" + std::to_string(i);
  EXPECT_NE(read(wide).wrong.at(0).find("columns"), std::string::npos);
}

}  // namespace heptane::iot::devices
