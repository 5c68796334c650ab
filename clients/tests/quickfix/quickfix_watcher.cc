// Watches a market with libquickfix: quickfix_watcher SETTINGS SYMBOL USER PASSWORD
//
// Logs on as the settings file says, with the user's name and password, asks for the book, the trades and the phases of a symbol at each
// logon, and rebuilds the book of what comes. A line on stdout for each thing that happened, flushed at once: `logon`, `logout TEXT`, `reject TEXT`,
// `trade TRADEID PRICE QUANTITY`, and after each W (`whole`) and X (`more`) the book: `whole PRICE:QUANTITY:ORDERS ... / ...`, buys before
// the slash, the best first. `security STATUS`, `session STATUS`: phases as f and h say them. `fault TEXT`: a change that does not fit. Until its standard input ends.
#include <quickfix/FileStore.h>
#include <quickfix/Session.h>
#include <quickfix/SessionSettings.h>
#include <quickfix/SocketInitiator.h>
#include <quickfix/fix44/MarketDataIncrementalRefresh.h>
#include <quickfix/fix44/MarketDataRequest.h>
#include <quickfix/fix44/MarketDataSnapshotFullRefresh.h>
#include <quickfix/fix44/SecurityStatusRequest.h>
#include <quickfix/fix44/TradingSessionStatusRequest.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>

#include "clients/tests/quickfix/told_application.h"

namespace {

class Watcher : public ToldApplication {
 public:
  Watcher(std::string symbol, std::string user, std::string password)
      : ToldApplication(std::move(user), std::move(password)), symbol_(std::move(symbol)) {}

  void onLogon(const FIX::SessionID& id) override {
    say("logon", "");
    FIX44::MarketDataRequest request(FIX::MDReqID("watch"), FIX::SubscriptionRequestType('1'), FIX::MarketDepth(0));
    request.set(FIX::MDUpdateType(1));
    for (const char type : {'0', '1', '2'}) {
      FIX44::MarketDataRequest::NoMDEntryTypes group;
      group.set(FIX::MDEntryType(type));
      request.addGroup(group);
    }
    FIX44::MarketDataRequest::NoRelatedSym group;
    group.set(FIX::Symbol(symbol_));
    request.addGroup(group);
    FIX::Session::sendToTarget(request, id);
    ask_for_phases(id);
  }
  void fromApp(const FIX::Message& message, const FIX::SessionID&) throw(FIX::FieldNotFound, FIX::IncorrectDataFormat,
                                                                         FIX::IncorrectTagValue,
                                                                         FIX::UnsupportedMessageType) override {
    const std::string type = message.getHeader().getField(FIX::FIELD::MsgType);
    if (type == "W") return on_whole(message);
    if (type == "X") return on_more(message);
    if (type == "f") return say("security", message.getField(FIX::FIELD::SecurityTradingStatus));
    if (type == "h") return say("session", message.getField(FIX::FIELD::TradSesStatus));
    say("reject", text_of(message));
  }

 private:
  void ask_for_phases(const FIX::SessionID& id) {
    FIX44::SecurityStatusRequest of_instrument(FIX::SecurityStatusReqID("phases"), FIX::SubscriptionRequestType('1'));
    of_instrument.set(FIX::Symbol(symbol_));
    FIX::Session::sendToTarget(of_instrument, id);
    FIX44::TradingSessionStatusRequest of_session(FIX::TradSesReqID("phases"), FIX::SubscriptionRequestType('1'));
    of_session.set(FIX::TradingSessionID(symbol_));
    FIX::Session::sendToTarget(of_session, id);
  }

  struct Level {
    std::string price, quantity, orders;
  };

  void on_whole(const FIX::Message& message) {
    bids_.clear();
    asks_.clear();
    for (int n = 1; n <= std::atoi(message.getField(FIX::FIELD::NoMDEntries).c_str()); ++n) {
      FIX44::MarketDataSnapshotFullRefresh::NoMDEntries entry;
      message.getGroup(static_cast<unsigned>(n), entry);
      const std::string type = entry.getField(FIX::FIELD::MDEntryType);
      if (type == "0" || type == "1") put(type, entry);
    }
    say("whole", book());
  }
  void on_more(const FIX::Message& message) {
    bool levels = false;
    for (int n = 1; n <= std::atoi(message.getField(FIX::FIELD::NoMDEntries).c_str()); ++n) {
      FIX44::MarketDataIncrementalRefresh::NoMDEntries entry;
      message.getGroup(static_cast<unsigned>(n), entry);
      const std::string type = entry.getField(FIX::FIELD::MDEntryType);
      if (type == "2") {
        say("trade", entry.getField(FIX::FIELD::MDEntryID) + " " + entry.getField(FIX::FIELD::MDEntryPx) + " " +
                         entry.getField(FIX::FIELD::MDEntrySize));
        continue;
      }
      levels = true;
      const std::string action = entry.getField(FIX::FIELD::MDUpdateAction);
      const double price = std::atof(entry.getField(FIX::FIELD::MDEntryPx).c_str());
      if ((side(type).count(price) > 0) == (action == "0")) say("fault", action + " " + std::to_string(price));
      if (action == "2")
        side(type).erase(price);
      else
        put(type, entry);
    }
    if (levels) say("more", book());
  }
  std::map<double, Level>& side(const std::string& type) { return type == "0" ? bids_ : asks_; }
  void put(const std::string& type, const FIX::FieldMap& entry) {
    const std::string& price = entry.getField(FIX::FIELD::MDEntryPx);
    side(type)[std::atof(price.c_str())] = {price, entry.getField(FIX::FIELD::MDEntrySize),
                                            entry.getField(FIX::FIELD::NumberOfOrders)};
  }
  static std::string text(const Level& level) { return level.price + ":" + level.quantity + ":" + level.orders + " "; }
  std::string book() const {
    std::string out;
    for (auto level = bids_.rbegin(); level != bids_.rend(); ++level) out += text(level->second);
    out += "/";
    for (const auto& level : asks_) out += " " + text(level.second);
    return out;
  }
  const std::string symbol_;
  std::map<double, Level> bids_;
  std::map<double, Level> asks_;
};

int run(char** argv) {
  const FIX::SessionSettings settings(argv[1]);
  FIX::FileStoreFactory store(settings);
  Watcher watcher(argv[2], argv[3], argv[4]);
  FIX::SocketInitiator initiator(watcher, store, settings);
  initiator.start();
  std::cin.get();
  initiator.stop();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  try {
    return run(argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
