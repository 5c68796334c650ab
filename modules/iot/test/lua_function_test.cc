// A rule's Lua in its process: it has nothing but its end of the pair, what no hook can stop is killed at the deadline, and the next
// call is of a new process. This program is that process, too.
#include "modules/iot/gateway/rules/lua_function.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "kernel/base/clock.h"
#include "modules/iot/worker/lua/lua_worker.h"

namespace heptane::iot::rules {
namespace {

class LuaFunctionTest : public testing::Test {
 protected:
  void ask(LuaFunction& function, const std::vector<std::string>& rows) {
    std::string calls;
    for (const std::string& row : rows) append_call(calls, row, "{}");
    const Result<void> asked = function.ask(std::move(calls), rows.size(), clock.monotonic_ns());
    ASSERT_TRUE(asked.ok()) << asked.error().message;
  }
  LuaFunction::State wait(LuaFunction& function) {
    LuaFunction::State state = LuaFunction::State::waiting;
    while (state == LuaFunction::State::waiting) state = function.look(clock.monotonic_ns());
    return state;
  }
  static std::vector<std::string> texts(LuaFunction& function) {
    std::vector<std::string> all;
    for (const Frame& frame : function.take_answers()) all.push_back(frame.text);
    return all;
  }

  SystemClock clock;
};

std::string function_of(const std::string& body) { return "return function(row) " + body + " end"; }

TEST_F(LuaFunctionTest, AnswersInOrder) {
  LuaFunction function(function_of("return {n = row.n * 2}"));
  for (int round = 0; round < 3; ++round) {
    std::vector<std::string> rows;
    std::vector<std::string> doubled;
    for (int n = 0; n < 64; ++n) {
      rows.push_back("{\"n\":" + std::to_string(n) + ",\"more\":\"" + std::string(20'000, 'x') + "\"}");
      doubled.push_back("{\"n\":" + std::to_string(2 * n) + "}");
    }
    ask(function, rows);
    EXPECT_TRUE(function.busy());
    ASSERT_EQ(wait(function), LuaFunction::State::answered);
    EXPECT_EQ(texts(function), doubled);
    EXPECT_FALSE(function.busy());
  }
}

TEST_F(LuaFunctionTest, ATextThatIsNoFunctionIsSaid) {
  LuaFunction function("return functoin");
  ask(function, {"{}"});
  ASSERT_EQ(wait(function), LuaFunction::State::answered);
  EXPECT_EQ(function.wrong(), "the text gives no function: it is return function(row, message) … end");
}

TEST_F(LuaFunctionTest, WhatNoHookStopsIsKilled) {
  for (const char* body :
       {"string.rep('', math.maxinteger)", "table.move({}, 1, math.maxinteger - 1, 2)",
        "string.find(('a'):rep(60), ('.-'):rep(30) .. 'b')", "string.gsub(('a'):rep(60), ('a*'):rep(30) .. 'b', '')"}) {
    LuaFunction function(function_of("if row.bad then " + std::string(body) + " end return row"));
    ask(function, {R"({"n":1})", R"({"bad":1})", R"({"n":3})"});
    ASSERT_EQ(wait(function), LuaFunction::State::killed) << body;
    EXPECT_EQ(texts(function), std::vector<std::string>{R"({"n":1})"}) << body;
    EXPECT_EQ(function.pid(), -1);
    ask(function, {R"({"n":3})"});
    ASSERT_EQ(wait(function), LuaFunction::State::answered);
    EXPECT_EQ(texts(function), std::vector<std::string>{R"({"n":3})"});
  }
}

TEST_F(LuaFunctionTest, AProcessThatIsGoneIsAsIfItWereKilled) {
  LuaFunction function(function_of("return row"));
  ask(function, {"{}"});
  ASSERT_EQ(wait(function), LuaFunction::State::answered);
  const pid_t first = function.pid();
  ASSERT_EQ(::kill(first, SIGKILL), 0);
  ask(function, {R"({"n":1})"});
  EXPECT_EQ(wait(function), LuaFunction::State::killed);
  ask(function, {R"({"n":1})"});
  EXPECT_EQ(wait(function), LuaFunction::State::answered);
  EXPECT_NE(function.pid(), first);
}

TEST_F(LuaFunctionTest, HasNothingButItsEndOfThePair) {
  LuaFunction function(function_of("return row"));
  ask(function, {"{}"});
  ASSERT_EQ(wait(function), LuaFunction::State::answered);
  const std::string process = "/proc/" + std::to_string(function.pid());
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(process + "/fd"))
    files.push_back(entry.path().filename().string() + " " +
                    std::filesystem::read_symlink(entry.path()).string().substr(0, 7));
  std::sort(files.begin(), files.end());
  EXPECT_EQ(files, (std::vector<std::string>{"0 /dev/nu", "1 /dev/nu", "2 /dev/nu", "3 socket:"}));
  std::ifstream environment(process + "/environ");
  EXPECT_EQ(environment.get(), EOF);
  std::ifstream limits(process + "/limits");
  const std::string said{std::istreambuf_iterator<char>(limits), std::istreambuf_iterator<char>()};
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // a sanitiser needs more than the worker is left
  std::ifstream status(process + "/status");
  const std::string all{std::istreambuf_iterator<char>(status), std::istreambuf_iterator<char>()};
  EXPECT_NE(all.find("Seccomp:\t2"), std::string::npos);
  EXPECT_NE(all.find("NoNewPrivs:\t1"), std::string::npos);
  EXPECT_NE(said.find("Max open files            4 "), std::string::npos) << said;
#endif
  EXPECT_NE(said.find("Max processes             0 "), std::string::npos) << said;
}

}  // namespace
}  // namespace heptane::iot::rules

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], heptane::iot::rules::kLuaCommand) == 0)
    return heptane::iot::rules::run_lua_worker();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
