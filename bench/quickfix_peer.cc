#include "bench/quickfix_peer.h"

#include <quickfix/DataDictionary.h>
#include <quickfix/Message.h>
#include <quickfix/fix44/MarketDataIncrementalRefresh.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace heptane::bench {

namespace {

int64_t milliseconds_of(const FIX::UtcTimeStamp& time) {
  return int64_t{time.getTimeT()} * 1'000 + time.getMillisecond();
}

template <class Field>
int64_t decimal(const FIX::FieldMap& fields) {
  Field field;
  return fields.getFieldIfSet(field) ? std::llround(field.getValue() * 10'000) : 0;
}

int64_t sum_of_entries(const FIX::Message& message) {
  int64_t sum = 0;
  FIX44::MarketDataIncrementalRefresh::NoMDEntries entry;
  const auto entries = static_cast<int>(message.groupCount(FIX::FIELD::NoMDEntries));
  for (int i = 1; i <= entries; ++i) {
    message.getGroup(static_cast<unsigned>(i), entry);
    sum += decimal<FIX::MDEntryPx>(entry) + decimal<FIX::MDEntrySize>(entry);
  }
  return sum;
}

}  // namespace

struct QuickfixPeer::Library {
  FIX::DataDictionary dictionary;
  FIX::Message message;
};

QuickfixPeer::QuickfixPeer() : library_(std::make_unique<Library>()) {
  const char* path = std::getenv("FIX44_XML");
  try {
    library_->dictionary.readFromURL(path != nullptr ? path : "clients/node_modules/jspurefix/data/FIX44.xml");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fix: no dictionary: %s (tools/setup test installs it)\n", error.what());
    std::exit(1);
  }
}

QuickfixPeer::~QuickfixPeer() = default;

int64_t QuickfixPeer::sum_of(const std::string& text) {
  FIX::Message& message = library_->message;
  try {
    message.setString(text, true, &library_->dictionary);
    library_->dictionary.validate(message);
  } catch (const std::exception&) {
    return -1;
  }
  FIX::MsgSeqNum number;
  message.getHeader().getField(number);
  FIX::SendingTime sent;
  message.getHeader().getField(sent);
  int64_t sum = number.getValue() + milliseconds_of(sent.getValue());
  FIX::TransactTime time;
  if (message.getFieldIfSet(time)) sum += milliseconds_of(time.getValue());
  sum += decimal<FIX::AvgPx>(message) + decimal<FIX::CumQty>(message) + decimal<FIX::LastPx>(message);
  sum += decimal<FIX::LastQty>(message) + decimal<FIX::OrderQty>(message) + decimal<FIX::Price>(message);
  sum += decimal<FIX::LeavesQty>(message);
  return sum + sum_of_entries(message);
}

}  // namespace heptane::bench
