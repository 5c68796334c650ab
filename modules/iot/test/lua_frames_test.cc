// Frames between the server and a rule's Lua: wherever they are cut they are the same, and what is none is corrupt for good.
#include "modules/iot/domain/rules/lua_frames.h"

#include <gtest/gtest.h>

#include <vector>

namespace heptane::iot::rules {
namespace {

std::string shown(const Frame& frame) { return std::to_string(static_cast<int>(frame.kind)) + frame.text; }

std::vector<std::string> read_all(FrameReader& reader) {
  std::vector<std::string> frames;
  while (const auto frame = reader.next()) frames.push_back(shown(*frame));
  return frames;
}

TEST(LuaFrames, AreTheSameWhereverTheyAreCut) {
  std::string bytes;
  append_frame(bytes, FrameKind::load, "return 1");
  append_call(bytes, R"({"a":1})", R"({"topic":"t"})");
  append_frame(bytes, FrameKind::nothing, "");
  append_frame(bytes, FrameKind::fault, std::string(300, 'x'));
  FrameReader whole;
  whole.add(bytes);
  const std::vector<std::string> all = read_all(whole);
  ASSERT_EQ(all.size(), 4u);
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    FrameReader reader;
    reader.add(std::string_view(bytes).substr(0, cut));
    std::vector<std::string> frames = read_all(reader);
    EXPECT_LE(frames.size(), all.size());
    EXPECT_FALSE(reader.corrupt());
    EXPECT_EQ(frames.size() == all.size(), cut == bytes.size());
    reader.add(std::string_view(bytes).substr(cut));
    for (const std::string& frame : read_all(reader)) frames.push_back(frame);
    EXPECT_EQ(frames, all) << cut;
  }
}

TEST(LuaFrames, ACallIsARowAndAMessage) {
  std::string bytes;
  append_call(bytes, "row", "message");
  FrameReader reader;
  reader.add(bytes);
  const std::string text = reader.next()->text;
  const auto call = read_call(text);
  ASSERT_TRUE(call);
  EXPECT_EQ(call->row, "row");
  EXPECT_EQ(call->message, "message");
  for (size_t size = 0; size < 4 + 3; ++size) EXPECT_FALSE(read_call(std::string_view(text).substr(0, size))) << size;
  EXPECT_FALSE(read_call(std::string("\xff\xff\xff\xff", 4) + "row"));
}

TEST(LuaFrames, WhatIsNoneIsCorruptForGood) {
  const std::string head(3, '\0');
  for (const std::string& wrong : {std::string(4, '\0'), "\x01" + head + '\0', "\x01" + head + '\x07',
                                   std::string("\x02\x00\x04\x00\x03x", 6), std::string("\xff\xff\xff\xff\x03", 5)}) {
    FrameReader reader;
    reader.add(wrong);
    EXPECT_FALSE(reader.next());
    EXPECT_TRUE(reader.corrupt());
    std::string good;
    append_frame(good, FrameKind::done, "");
    reader.add(good);
    EXPECT_FALSE(reader.next());
  }
}

}  // namespace
}  // namespace heptane::iot::rules
