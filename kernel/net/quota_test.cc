#include "kernel/net/quota.h"

#include <gtest/gtest.h>

#include "sim/sim_clock.h"

namespace heptane::net {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

class QuotaTest : public testing::Test {
 protected:
  void limit(QuotaLimits limits) {
    QuotaConfig config;
    config.principal = limits;
    quotas_.configure(std::move(config));
  }
  void request(std::string_view principal) {
    quotas_.use("kafka", principal, {.bytes_in = 0, .bytes_out = 0, .requests = 1});
  }
  int64_t wait(std::string_view principal) { return quotas_.wait_ns("kafka", principal); }

  sim::SimClock clock_;
  Quotas quotas_{clock_};
};

TEST_F(QuotaTest, WithoutLimitsNobodyWaitsAndNothingIsKept) {
  for (int i = 0; i < 1000; ++i) request("alice");
  EXPECT_EQ(wait("alice"), 0);
  EXPECT_EQ(quotas_.principals(), 0u);
}

TEST_F(QuotaTest, ASecondIsSavedUpAndADebtIsPaidBack) {
  limit({.bytes_in = 0, .bytes_out = 0, .requests = 10, .connections = 0});
  clock_.advance(10 * kSecondNs);
  for (int i = 0; i < 10; ++i) request("alice");
  EXPECT_EQ(wait("alice"), 0) << "as many as a second allows";
  for (int i = 0; i < 5; ++i) request("alice");
  EXPECT_EQ(wait("alice"), kSecondNs / 2);
  EXPECT_EQ(wait("bob"), 0) << "each has a bucket";
  clock_.advance(kSecondNs / 2);
  EXPECT_EQ(wait("alice"), 0);
  request("alice");
  EXPECT_EQ(wait("alice"), kSecondNs / 10);
}

TEST_F(QuotaTest, BytesOfEitherDirectionCount) {
  limit({.bytes_in = 1000, .bytes_out = 100, .requests = 0, .connections = 0});
  quotas_.use("kafka", "alice", {.bytes_in = 2500, .bytes_out = 0, .requests = 1});
  EXPECT_EQ(wait("alice"), kSecondNs * 3 / 2);
  quotas_.use("kafka", "bob", {.bytes_in = 0, .bytes_out = 300, .requests = 1});
  EXPECT_EQ(wait("bob"), 2 * kSecondNs);
  quotas_.use("kafka", "carol", {.bytes_in = INT64_MAX, .bytes_out = 0, .requests = 1});
  EXPECT_EQ(wait("carol"), Quotas::kWaitMaxNs);
}

TEST_F(QuotaTest, ADebtEndsTwoMinutesAfterWhoeverMadeIt) {
  limit({.bytes_in = 0, .bytes_out = 0, .requests = 1, .connections = 0});
  for (int i = 0; i < 100'000; ++i) request("alice");
  EXPECT_EQ(wait("alice"), Quotas::kWaitMaxNs);
  clock_.advance(4 * Quotas::kWaitMaxNs);
  EXPECT_EQ(wait("alice"), 0);
}

TEST_F(QuotaTest, AListenersConnectionsShareItsLimits) {
  QuotaConfig config;
  config.listeners["kafka"].requests = 10;
  config.principals["alice"].requests = 1'000'000;
  quotas_.configure(config);
  for (int i = 0; i < 10; ++i) request("alice");
  for (int i = 0; i < 10; ++i) request("");
  EXPECT_EQ(wait("bob"), kSecondNs);
  EXPECT_EQ(quotas_.wait_ns("admin", "alice"), 0);
  quotas_.configure({});
  EXPECT_EQ(wait("bob"), 0) << "a limit that is gone holds nobody";
}

TEST_F(QuotaTest, OtherLimitsBeginWithoutDebtsAndTheSameOnesGoOn) {
  const QuotaLimits one{.bytes_in = 0, .bytes_out = 0, .requests = 1, .connections = 0};
  limit(one);
  for (int i = 0; i < 5; ++i) request("alice");
  limit(one);
  EXPECT_EQ(wait("alice"), 4 * kSecondNs);
  limit({.bytes_in = 0, .bytes_out = 0, .requests = 2, .connections = 0});
  EXPECT_EQ(wait("alice"), 0);
}

TEST_F(QuotaTest, LimitsOfOnesOwnGoFirst) {
  QuotaConfig config;
  config.principal.requests = 1;
  config.principals["alice"].requests = 100;
  quotas_.configure(config);
  for (int i = 0; i < 50; ++i) request("alice");
  for (int i = 0; i < 2; ++i) request("bob");
  EXPECT_EQ(wait("alice"), 0);
  EXPECT_EQ(wait("bob"), kSecondNs);
}

TEST_F(QuotaTest, ConnectionsAreCountedWhileTheyLast) {
  limit({.bytes_in = 0, .bytes_out = 0, .requests = 0, .connections = 2});
  QuotaSlot one;
  EXPECT_TRUE(one.enter(quotas_, "alice"));
  EXPECT_TRUE(one.enter(quotas_, "alice")) << "it has its place already";
  {
    QuotaSlot two;
    QuotaSlot three;
    EXPECT_TRUE(two.enter(quotas_, "alice"));
    EXPECT_FALSE(three.enter(quotas_, "alice"));
    EXPECT_TRUE(three.enter(quotas_, "bob"));
    EXPECT_TRUE(two.enter(quotas_, "bob")) << "who comes as another leaves the first place";
    EXPECT_TRUE(QuotaSlot().enter(quotas_, "alice"));
  }
  EXPECT_EQ(quotas_.connections_refused().value(), 1u);
  QuotaSlot four;
  EXPECT_TRUE(four.enter(quotas_, "alice"));
}

TEST_F(QuotaTest, TheTableIsBounded) {
  limit({.bytes_in = 0, .bytes_out = 0, .requests = 1, .connections = 0});
  for (size_t i = 0; i < Quotas::kPrincipalsMax + 10; ++i) request("user" + std::to_string(i));
  EXPECT_EQ(quotas_.principals(), Quotas::kPrincipalsMax);
  EXPECT_GT(wait("another"), 0) << "those beyond share one bucket";
  clock_.advance(20 * kSecondNs);
  for (int i = 0; i < 3; ++i) request("fresh");
  EXPECT_LT(quotas_.principals(), Quotas::kPrincipalsMax) << "idle ones go when there is need";
  EXPECT_EQ(wait("fresh"), 2 * kSecondNs) << "with a bucket of its own";
  EXPECT_EQ(wait("another"), 0);
}

TEST_F(QuotaTest, WhatIsSentIsNotOwedForWhatIsReceived) {
  limit({.bytes_in = 100, .bytes_out = 100, .requests = 0, .connections = 0});
  EXPECT_TRUE(quotas_.limits_anybody());
  quotas_.use("mqtt", "alice", {.bytes_in = 300, .bytes_out = 0, .requests = 0});
  quotas_.use("mqtt", "bob", {.bytes_in = 0, .bytes_out = 300, .requests = 0});
  EXPECT_EQ(quotas_.wait_in_ns("mqtt", "alice"), 2 * kSecondNs);
  EXPECT_EQ(quotas_.wait_out_ns("mqtt", "alice"), 0);
  EXPECT_EQ(quotas_.wait_in_ns("mqtt", "bob"), 0);
  EXPECT_EQ(quotas_.wait_out_ns("mqtt", "bob"), 2 * kSecondNs);
  quotas_.configure({});
  EXPECT_FALSE(quotas_.limits_anybody());
}

}  // namespace
}  // namespace heptane::net
