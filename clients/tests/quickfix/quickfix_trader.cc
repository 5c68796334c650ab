// A trader on libquickfix: quickfix_trader SETTINGS COUNT WINDOW SIDE PRICE USER PASSWORD
//
// Logs on as the settings file says, with the user's name and password, and sends COUNT limit orders of 0.01 BTC/USD for account main,
// ClOrdID SIDE-0 to SIDE-(COUNT - 1), at most WINDOW of them not acknowledged. A line on stdout for each thing that happened, flushed at
// once: `logon`, `logout TEXT`, `report EXECTYPE CLORDID EXECID LASTQTY`, `reject TEXT`. When all were filled it asks for its trades:
// `captured CLORDID EXECID LASTQTY`. Exit code 0 when all of them came and the peer has answered the logout. With COUNT 0 it listens until it is told to stop: a drop copy.
#include <quickfix/FileStore.h>
#include <quickfix/Session.h>
#include <quickfix/SessionSettings.h>
#include <quickfix/SocketInitiator.h>
#include <quickfix/fix44/NewOrderSingle.h>
#include <quickfix/fix44/TradeCaptureReport.h>
#include <quickfix/fix44/TradeCaptureReportRequest.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <set>
#include <string>

#include "clients/tests/quickfix/told_application.h"

namespace {

class Trader : public ToldApplication {
 public:
  using ToldApplication::ToldApplication;

  void onLogon(const FIX::SessionID& id) override {
    say("logon", "");
    const std::lock_guard<std::mutex> lock(mutex_);
    session_ = id;
    logged_on_ = true;
    changed_.notify_all();
  }
  void fromApp(const FIX::Message& message, const FIX::SessionID&) throw(FIX::FieldNotFound, FIX::IncorrectDataFormat,
                                                                         FIX::IncorrectTagValue,
                                                                         FIX::UnsupportedMessageType) override {
    const std::string& message_type = message.getHeader().getField(FIX::FIELD::MsgType);
    if (message_type == "AE") return on_captured(message);
    if (message_type == "AQ" && message.getField(FIX::FIELD::TradeRequestResult) == "0") return;
    if (message_type != "8") return say("reject", text_of(message));
    const std::string& type = message.getField(FIX::FIELD::ExecType);
    const std::string& id = message.getField(FIX::FIELD::ClOrdID);
    const bool filled = type == "F";
    say("report", type + " " + id + " " + message.getField(FIX::FIELD::ExecID) + " " +
                      (filled ? message.getField(FIX::FIELD::LastQty) : std::string("0")));
    const std::lock_guard<std::mutex> lock(mutex_);
    acknowledged_.insert(id);
    if (message.getField(FIX::FIELD::OrdStatus) == "2") filled_.insert(id);
    changed_.notify_all();
  }

  FIX::SessionID wait_for_logon() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return logged_on_; });
    return session_;
  }
  void wait_for_acknowledged(long count) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return static_cast<long>(acknowledged_.size()) >= count; });
  }
  void wait_for_captured() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return captured_; });
  }
  void wait_for_filled(long count) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return static_cast<long>(filled_.size()) >= count; });
  }

 private:
  void on_captured(const FIX::Message& message) {
    FIX44::TradeCaptureReport::NoSides side;
    message.getGroup(1, side);
    say("captured", side.getField(FIX::FIELD::ClOrdID) + " " + message.getField(FIX::FIELD::ExecID) + " " +
                        message.getField(FIX::FIELD::LastQty));
    const std::lock_guard<std::mutex> lock(mutex_);
    captured_ = message.getField(FIX::FIELD::LastRptRequested) == "Y";
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  FIX::SessionID session_;
  bool logged_on_ = false;
  std::set<std::string> acknowledged_;
  std::set<std::string> filled_;
  bool captured_ = false;
};

void send(long number, char side, double price, const FIX::SessionID& session) {
  FIX44::NewOrderSingle order(FIX::ClOrdID(std::string(1, side) + "-" + std::to_string(number)), FIX::Side(side),
                              FIX::TransactTime(), FIX::OrdType(FIX::OrdType_LIMIT));
  order.set(FIX::Account("main"));
  order.set(FIX::Symbol("BTC/USD"));
  order.set(FIX::OrderQty(0.01));
  order.set(FIX::Price(price));
  order.set(FIX::TimeInForce(FIX::TimeInForce_GOOD_TILL_CANCEL));
  FIX::Session::sendToTarget(order, session);
}

int run(char** argv) {
  const FIX::SessionSettings settings(argv[1]);
  const long count = std::atol(argv[2]);
  const long window = std::atol(argv[3]);
  FIX::FileStoreFactory store(settings);
  Trader trader(argv[6], argv[7]);
  FIX::SocketInitiator initiator(trader, store, settings);
  initiator.start();
  const FIX::SessionID session = trader.wait_for_logon();
  for (long number = 0; number < count; ++number) {
    trader.wait_for_acknowledged(number - window + 1);
    send(number, argv[4][0], std::atof(argv[5]), session);
  }
  if (count == 0) std::cin.get();
  trader.wait_for_filled(count);
  if (count > 0) {
    FIX44::TradeCaptureReportRequest request(FIX::TradeRequestID("mine"), FIX::TradeRequestType(0));
    FIX::Session::sendToTarget(request, session);
    trader.wait_for_captured();
  }
  initiator.stop();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 8) return 2;
  try {
    return run(argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
