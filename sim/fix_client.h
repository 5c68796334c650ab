// FIX clients of the simulator, written from FIX 4.4 volumes 2 and 4 and not with the gateway's codec. One keeps its numbers and all that it
// has said over every connection and crash: it logs on with its next number, asks for what it did not get, and sends again with PossDupFlag
// what it is asked for, with gaps for what its session layer said. It goes away in the middle, says good-bye, loses what was on its way.
// What it is told goes to the FixWatch. One owner.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sim/exchange_watch.h"
#include "sim/kafka_client.h"

namespace heptane::sim {

class SimFixClient : public SimClient {
 public:
  SimFixClient(ClientWorld& world, ExchangeWatch& watch, size_t session, uint16_t port);
  // It is there, and nothing lacks of what it was told.
  bool finished() const override { return !promised() || !watch_.is_open || (logged_on() && asked_upto_ < expected_); }
  std::string state() const override;

 protected:
  const SimFixSession& its() const { return kSimFixSessions[session_]; }
  bool promised() const { return !world_.checker.lost_tail_allowed(); }
  bool logged_on() const { return logged_on_ && !leaving_; }
  // Takes the next number.
  void say(std::string_view type, const std::string& body);
  // What applications may say now.
  virtual void compose() {}
  // In the order of the numbers, each once.
  virtual bool on_application(const FixFields&) { return true; }
  bool wrong(const std::string& what);

  ExchangeWatch& watch_;

 private:
  struct Said {
    std::string type;
    std::string body;
  };
  uint16_t port() const override { return port_; }
  bool awake() override { return watch_.is_open; }
  void on_connected() override;
  bool on_answer(int16_t, ByteReader&) override { return false; }
  void go_on() override;
  bool take_frames() override;
  bool take(const FixFields& message);
  bool take_gap(const FixFields& message, uint64_t number);
  bool take_in_order(const FixFields& message);
  bool take_logout(const FixFields& message);
  void ask_for(uint64_t upto);
  void say_again(uint64_t begin, uint64_t end);
  void write(std::string_view type, uint64_t number, bool again, const std::string& body);

  const size_t session_;
  const uint16_t port_;
  const int64_t heartbeat_s_;
  std::vector<Said> said_;  // number n is n - 1
  uint64_t expected_ = 1;
  uint64_t asked_upto_ = 0;  // over this connection, for what lacks before it; 0: nothing lacks
  bool logged_on_ = false;
  bool leaving_ = false;  // it has said Logout
  int64_t said_ns_ = 0;
};

// Enters, replaces and cancels orders of one account.
class SimFixTrader final : public SimFixClient {
 public:
  using SimFixClient::SimFixClient;
  bool finished() const override { return SimFixClient::finished() && (unanswered_ == 0 || !promised()); }

 private:
  struct Asked {
    char type = 0;
    bool answered = false;
  };
  struct Open {
    std::string name;  // its last ClOrdID
    char side = '1';
  };
  void compose() override;
  void enter();
  void change(bool replace);
  std::string next_name(char type);
  bool on_application(const FixFields& message) override;
  bool on_report(const FixFields& message);
  bool on_answer_to(const std::string& name, std::string_view of);

  uint32_t names_ = 0;
  size_t unanswered_ = 0;
  std::map<std::string, Asked> asked_;  // by ClOrdID
  std::map<uint64_t, Open> open_;       // as far as it knows
};

}  // namespace heptane::sim
