// What initiators of these tests share: they log on with a user's name and password, and tell what happened, a line on stdout for each
// thing, flushed at once: `logout TEXT`, `reject TEXT` of the session layer here, the rest theirs. Called on libquickfix's thread.
#pragma once

#include <quickfix/Application.h>

#include <cstdio>
#include <string>
#include <utility>

class ToldApplication : public FIX::NullApplication {
 public:
  ToldApplication(std::string user, std::string password) : user_(std::move(user)), password_(std::move(password)) {}

  void toAdmin(FIX::Message& message, const FIX::SessionID&) override {
    if (message.getHeader().getField(FIX::FIELD::MsgType) != "A") return;
    message.setField(FIX::FIELD::Username, user_);
    message.setField(FIX::FIELD::Password, password_);
  }
  // The library's declarations say what may be thrown, so these must.
  void fromAdmin(const FIX::Message& message, const FIX::SessionID&) throw(FIX::FieldNotFound, FIX::IncorrectDataFormat,
                                                                           FIX::IncorrectTagValue,
                                                                           FIX::RejectLogon) override {
    const std::string type = message.getHeader().getField(FIX::FIELD::MsgType);
    if (type == "5") say("logout", text_of(message));
    if (type == "3") say("reject", text_of(message));
  }

 protected:
  static std::string text_of(const FIX::Message& message) {
    return message.isSetField(FIX::FIELD::Text) ? message.getField(FIX::FIELD::Text) : "";
  }
  static void say(const char* what, const std::string& more) {
    std::printf("%s %s\n", what, more.c_str());
    std::fflush(stdout);
  }

 private:
  const std::string user_;
  const std::string password_;
};
