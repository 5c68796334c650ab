#include "bench/quickfix_acceptor.h"

#include <fcntl.h>
#include <quickfix/Application.h>
#include <quickfix/FileStore.h>
#include <quickfix/Session.h>
#include <quickfix/SocketAcceptor.h>
#include <quickfix/fix44/ExecutionReport.h>
#include <quickfix/fix44/NewOrderSingle.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace heptane::bench {

namespace {

class Acknowledging : public FIX::Application {
 public:
  void onCreate(const FIX::SessionID&) override {}
  void onLogon(const FIX::SessionID&) override {}
  void onLogout(const FIX::SessionID&) override {}
  void toAdmin(FIX::Message&, const FIX::SessionID&) override {}
  void toApp(FIX::Message&, const FIX::SessionID&) throw(FIX::DoNotSend) override {}
  void fromAdmin(const FIX::Message&, const FIX::SessionID&) throw(FIX::FieldNotFound, FIX::IncorrectDataFormat,
                                                                   FIX::IncorrectTagValue, FIX::RejectLogon) override {}
  void fromApp(const FIX::Message& message,
               const FIX::SessionID& session) throw(FIX::FieldNotFound, FIX::IncorrectDataFormat,
                                                    FIX::IncorrectTagValue, FIX::UnsupportedMessageType) override {
    FIX::MsgType type;
    message.getHeader().getField(type);
    if (type != FIX::MsgType_NewOrderSingle) throw FIX::UnsupportedMessageType();
    FIX::Symbol symbol;
    FIX::Side side;
    FIX::OrderQty quantity;
    FIX::Price price;
    FIX::ClOrdID client_id;
    FIX::Account account;
    FIX::OrdType kind;
    message.getField(symbol);
    message.getField(side);
    message.getField(quantity);
    message.getField(price);
    message.getField(client_id);
    message.getField(account);
    message.getField(kind);
    const std::string id = std::to_string(++orders_);
    const FIX::OrderID order_id(id);
    const FIX::ExecID exec_id(id);
    FIX44::ExecutionReport report(order_id, exec_id, FIX::ExecType(FIX::ExecType_NEW),
                                  FIX::OrdStatus(FIX::OrdStatus_NEW), side, FIX::LeavesQty(quantity), FIX::CumQty(0),
                                  FIX::AvgPx(0));
    report.set(symbol);
    report.set(quantity);
    report.set(price);
    report.set(client_id);
    report.set(account);
    report.set(kind);
    report.set(FIX::TransactTime());
    FIX::Session::sendToTarget(report, session);
  }

 private:
  uint64_t orders_ = 0;
};

// The least that makes a sent message durable: one fdatasync of the file of messages. A descriptor of our own: the store's is private.
class SyncedStore : public FIX::FileStore {
 public:
  SyncedStore(const std::string& path, const FIX::SessionID& session) : FIX::FileStore(path, session) {
    const std::string name = path + "/" + session.getBeginString().getValue() + "-" +
                             session.getSenderCompID().getValue() + "-" + session.getTargetCompID().getValue() +
                             ".body";
    file_ = ::open(name.c_str(), O_WRONLY | O_CLOEXEC);
    if (file_ < 0) std::abort();
  }
  ~SyncedStore() override { ::close(file_); }
  bool set(int number, const std::string& message) throw(FIX::IOException) override {
    const bool kept = FIX::FileStore::set(number, message);
    if (::fdatasync(file_) != 0) std::abort();
    return kept;
  }

 private:
  int file_;
};

class SyncedStores : public FIX::MessageStoreFactory {
 public:
  explicit SyncedStores(std::string path) : path_(std::move(path)) {}
  FIX::MessageStore* create(const FIX::SessionID& session) override { return new SyncedStore(path_, session); }
  void destroy(FIX::MessageStore* store) override { delete store; }

 private:
  std::string path_;
};

std::string settings(const std::string& port, const std::string& directory, int sessions) {
  const char* path = std::getenv("FIX44_XML");
  std::ostringstream out;
  out << "[DEFAULT]\nConnectionType=acceptor\nSocketAcceptPort=" << port
      << "\nSocketNodelay=Y\nFileStorePath=" << directory
      << "\nStartTime=00:00:00\nEndTime=00:00:00\nUseDataDictionary=Y\nDataDictionary="
      << (path != nullptr ? path : "clients/node_modules/jspurefix/data/FIX44.xml")
      << "\nBeginString=FIX.4.4\nSenderCompID=HEPTANE\n";
  for (int i = 0; i < sessions; ++i) out << "[SESSION]\nTargetCompID=T" << i << "\n";
  return out.str();
}

}  // namespace

int run_quickfix_acceptor(const std::vector<std::string>& arguments) {
  if (arguments.size() != 4) return 2;
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  try {
    std::istringstream text(settings(arguments[0], arguments[1], std::stoi(arguments[2])));
    const FIX::SessionSettings session_settings(text);
    Acknowledging application;
    FIX::FileStoreFactory plain(arguments[1]);
    SyncedStores synced(arguments[1]);
    FIX::MessageStoreFactory& stores = arguments[3] == "1" ? static_cast<FIX::MessageStoreFactory&>(synced) : plain;
    FIX::SocketAcceptor acceptor(application, stores, session_settings);
    acceptor.start();
    int signal = 0;
    sigwait(&ends, &signal);
    ::_exit(0);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "quickfix: %s\n", error.what());
    return 1;
  }
}

}  // namespace heptane::bench
