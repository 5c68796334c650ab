// What an application does with libquickfix: quickfix_initiator SETTINGS COUNT WINDOW
//
// Logs on as the settings file says and sends COUNT orders, ClOrdID 0 to COUNT - 1, at most WINDOW of them unanswered. A line on stdout for
// each thing that happened, flushed at once: `logon`, `logout TEXT`, `echo CLORDID` when an order came back. Exit code 0 when all did and
// the peer has answered the logout.
#include <quickfix/Application.h>
#include <quickfix/FileStore.h>
#include <quickfix/Session.h>
#include <quickfix/SessionSettings.h>
#include <quickfix/SocketInitiator.h>
#include <quickfix/fix44/NewOrderSingle.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>

namespace {

class Trader : public FIX::NullApplication {
 public:
  void onLogon(const FIX::SessionID& id) override {
    say("logon", "");
    const std::lock_guard<std::mutex> lock(mutex_);
    session_ = id;
    logged_on_ = true;
    changed_.notify_all();
  }
  // The library's declarations say what may be thrown, so these must.
  void fromAdmin(const FIX::Message& message, const FIX::SessionID&) throw(FIX::FieldNotFound, FIX::IncorrectDataFormat,
                                                                           FIX::IncorrectTagValue,
                                                                           FIX::RejectLogon) override {
    if (message.getHeader().getField(FIX::FIELD::MsgType) == "5")
      say("logout", message.isSetField(FIX::FIELD::Text) ? message.getField(FIX::FIELD::Text) : "");
  }
  void fromApp(const FIX::Message& message, const FIX::SessionID&) throw(FIX::FieldNotFound, FIX::IncorrectDataFormat,
                                                                         FIX::IncorrectTagValue,
                                                                         FIX::UnsupportedMessageType) override {
    say("echo", message.getField(FIX::FIELD::ClOrdID));
    const std::lock_guard<std::mutex> lock(mutex_);
    ++answers_;
    changed_.notify_all();
  }

  FIX::SessionID wait_for_logon() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return logged_on_; });
    return session_;
  }
  void wait_for_answers(long count) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return answers_ >= count; });
  }

 private:
  static void say(const char* what, const std::string& more) {
    std::printf("%s %s\n", what, more.c_str());
    std::fflush(stdout);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  FIX::SessionID session_;
  bool logged_on_ = false;
  long answers_ = 0;
};

void send(long number, const FIX::SessionID& session) {
  FIX44::NewOrderSingle order(FIX::ClOrdID(std::to_string(number)), FIX::Side(FIX::Side_BUY), FIX::TransactTime(),
                              FIX::OrdType(FIX::OrdType_LIMIT));
  order.set(FIX::Symbol("INTC"));
  order.set(FIX::OrderQty(100));
  order.set(FIX::Price(12.5));
  FIX::Session::sendToTarget(order, session);
}

int run(const char* settings_path, long count, long window) {
  const FIX::SessionSettings settings(settings_path);
  FIX::FileStoreFactory store(settings);
  Trader trader;
  FIX::SocketInitiator initiator(trader, store, settings);
  initiator.start();
  const FIX::SessionID session = trader.wait_for_logon();
  for (long number = 0; number < count; ++number) {
    trader.wait_for_answers(number - window + 1);
    send(number, session);
  }
  trader.wait_for_answers(count);
  initiator.stop();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  try {
    return run(argv[1], std::atol(argv[2]), std::atol(argv[3]));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
