// A rule's Lua: what it gets and gives, what is not there, and that no limit can be caught.
#include "modules/iot/worker/lua/lua_state.h"

#include <gtest/gtest.h>

namespace heptane::iot::rules {
namespace {

// What the function's body makes of the row, or what is wrong.
std::string made(const std::string& body, const std::string& row = "{}", LuaLimits limits = {}) {
  LuaState state(limits);
  const Result<void> loaded = state.load("return function(row, message) " + body + " end");
  if (!loaded) return "load: " + loaded.error().message;
  const Frame frame = state.call(row, R"({"topic":"a/b","timestamp":7})");
  return frame.kind == FrameKind::nothing ? "nothing"
         : frame.kind == FrameKind::row   ? frame.text
                                          : "fault: " + frame.text;
}

bool is_fault(const std::string& text, const std::string& of) {
  return text.starts_with("fault: ") && text.find(of) != std::string::npos;
}

TEST(LuaState, RowsGoInAndOut) {
  EXPECT_EQ(made("return {topic = message.topic}"), R"({"topic":"a/b"})");
  EXPECT_EQ(made("return nil"), "nothing");
  EXPECT_EQ(made("return"), "nothing");
  EXPECT_EQ(made("return {}"), "{}");
  EXPECT_EQ(made("return {n = row.n + 1}", R"({"n":9007199254740993})"), R"({"n":9007199254740994})");
  EXPECT_EQ(made("return {n = row.n}", R"({"n":0.1})"), R"({"n":0.1})");
  EXPECT_EQ(made("return {n = row.n == nil}", R"({"n":null})"), R"({"n":true})");
  EXPECT_EQ(made("return {a = row.a}", R"({"a":[1,[],{"b":[null,"x\n"]}]})"), R"({"a":[1,{},{"b":[null,"x\n"]}]})");
  EXPECT_EQ(made("return {a = null, b = {true, false}}").size(),
            std::string_view(R"({"a":null,"b":[true,false]})").size());
}

TEST(LuaState, WhatIsNoRowIsAFault) {
  for (const auto& [body, why] : std::initializer_list<std::pair<const char*, const char*>>{
           {"return 1", "the function gives a row"},
           {"return {1, 2}", "the function gives a row"},
           {"return {a = {[1.5] = 1}}", "keys that are neither texts nor 1 to n"},
           {"return {a = {1, nil, 3}}", "keys that are neither texts nor 1 to n"},
           {"return {a = 0/0}", "not finite"},
           {"return {a = function() end}", "a function is nothing that a row has"},
           {"local t = {} t.t = t return t", "nested deeper than 30"},
           {"return {a = ('x'):rep(70000)}", "longer than 64 KiB"},
           {"local t = {} for i = 1, 40 do t['k' .. i] = ('x'):rep(2000) end return t", "longer than 64 KiB"},
           {"error('mine')", "mine"},
           {"error({})", "an error that is no text"},
           {"local x = nil + 1", "arithmetic on a nil value"}})
    EXPECT_TRUE(is_fault(made(body), why)) << body << ": " << made(body);
}

TEST(LuaState, OnlyTextIsCompiledAndNothingReachesOut) {
  LuaState state{LuaLimits{}};
  EXPECT_NE(state.load("\x1bLua").error().message.find("attempt to load a binary chunk"), std::string::npos);
  EXPECT_EQ(state.load("return 1").error().message,
            "the text gives no function: it is return function(row, message) … end");
  EXPECT_NE(state.load("retrun").error().message.find("lua:1:"), std::string::npos);
  for (const char* name : {"load", "loadfile", "dofile", "require", "collectgarbage", "print", "warn", "xpcall",
                           "debug", "io", "os", "package", "coroutine", "string.dump"})
    EXPECT_EQ(made("return {gone = " + std::string(name) + " == nil}"), R"({"gone":true})") << name;
}

// Hooks are off within it.
TEST(LuaState, ThereIsNoGc) {
  EXPECT_TRUE(is_fault(made("setmetatable({}, {__gc = function() while true do end end})"), "there is no __gc here"));
  EXPECT_TRUE(is_fault(made("setmetatable({}, {__gc = false})"), "there is no __gc here"));
  EXPECT_EQ(made("local m = {} setmetatable({}, m) m.__gc = function() while true do end end "
                 "for i = 1, 100000 do local t = {i} end return {ok = true}"),
            R"({"ok":true})")
      << "set later it is none";
  EXPECT_EQ(made("return {n = setmetatable({}, {__index = function() return 5 end}).x}"), R"({"n":5})");
  EXPECT_TRUE(
      is_fault(made("local t = setmetatable({}, {__metatable = 1}) setmetatable(t, {})"), "protected metatable"));
}

TEST(LuaState, ALimitIsNotCaught) {
  const LuaLimits few{size_t{4} << 20, 200'000};
  const std::string endless = "ran more instructions than a call may";
  for (const char* body :
       {"while true do end", "while true do pcall(function() while true do end end) end",
        "pcall(pcall, function() while true do end end) return {}",
        "local ok = pcall(function() local c <close> = setmetatable({}, {__close = function() error('other') end}) "
        "while true do end end) return {}",
        "local function f() return pcall(f) end f() while true do end",
        "table.sort({3, 2, 1}, function(a, b) while true do end end)",
        "string.gsub('abc', '.', function() while true do end end)",
        "return setmetatable({}, {__index = function() while true do end end}).x"})
    EXPECT_TRUE(made(body, "{}", few).starts_with("fault: ")) << body;
  EXPECT_TRUE(is_fault(made("while true do end", "{}", few), endless));
  EXPECT_TRUE(is_fault(made("pcall(function() while true do end end) return {}", "{}", few), endless));
  const std::string memory = "more memory than it may";
  for (const char* body : {"local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end",
                           "pcall(function() local t = ('x'):rep(1 << 30) end) return {}",
                           "pcall(function() local t = table.pack(('x'):rep(1 << 22):byte(1, -1)) end) return {}"})
    EXPECT_TRUE(made(body, "{}", few).starts_with("fault: ")) << body;
  EXPECT_TRUE(is_fault(made("pcall(function() local t = ('x'):rep(1 << 30) end) return {}", "{}", few), memory));
  EXPECT_EQ(made("local ok, why = pcall(error, 'x') return {ok = ok, why = why}").size(),
            std::string_view(R"({"ok":false,"why":"x"})").size())
      << "errors of its own it catches";
}

// After what took all memory the state is a new one, with the function; else globals stay.
TEST(LuaState, GoesOnAfterAFault) {
  LuaState state{LuaLimits{size_t{4} << 20, 10'000'000}};
  ASSERT_TRUE(state
                  .load("count = 0 return function(row) count = count + 1 if row.leak then all = {} "
                        "while true do all[#all + 1] = {} end end if row.loop then while true do end end "
                        "return {count = count} end")
                  .ok());
  EXPECT_EQ(state.call("{}", "{}").text, R"({"count":1})");
  EXPECT_EQ(state.call(R"({"loop":1})", "{}").kind, FrameKind::fault);
  EXPECT_EQ(state.call("{}", "{}").text, R"({"count":3})");
  EXPECT_EQ(state.call(R"({"leak":1})", "{}").kind, FrameKind::fault);
  EXPECT_LT(state.memory_bytes(), size_t{1} << 20);
  EXPECT_EQ(state.call("{}", "{}").text, R"({"count":1})");
}

}  // namespace
}  // namespace heptane::iot::rules
