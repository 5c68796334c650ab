#include "modules/data/test/transcript.h"

#include <deque>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>

#include "modules/data/gateway/kafka/all_messages.h"
#include "modules/data/gateway/kafka/kafka.h"
#include "modules/data/test/fake_context.h"
#include "modules/data/test/message_text.h"

namespace heptane::data::kafka::test {

namespace {

const Api& api_named(const std::string& name) {
  for (const Api& api : kApis)
    if (api.name == name) return api;
  throw std::runtime_error("no API " + name);
}

Errc errc_named(const std::string& name) {
  for (int code = 0; code <= static_cast<int>(Errc::internal); ++code)
    if (name == errc_name(static_cast<Errc>(code))) return static_cast<Errc>(code);
  throw std::runtime_error("no error code " + name);
}

// PLAIN with one user; a mechanism of two steps under the name of a real one; and what that user may do.
class TestAuthenticator final : public auth::Authenticator {
 public:
  // MODULE:PATTERN=VERBS, more of them with commas between.
  void grant(const std::string& text) {
    role_ = auth::Role();
    std::istringstream grants(text);
    for (std::string grant; std::getline(grants, grant, ',');) {
      const size_t colon = grant.find(':');
      const size_t equals = grant.find('=');
      const std::optional<auth::Verb> verb = auth::verb_of(grant.substr(equals + 1));
      if (colon == std::string::npos || equals == std::string::npos || !verb)
        throw std::runtime_error("no permission " + grant);
      role_->push_back(
          {grant.substr(0, colon), grant.substr(colon + 1, equals - colon - 1), static_cast<auth::Verbs>(*verb)});
    }
  }
  void revoke() { revoked_ = true; }

  std::vector<std::string_view> mechanisms(const auth::Peer&) const override { return {"SCRAM-SHA-256", "PLAIN"}; }
  std::unique_ptr<auth::SaslExchange> begin(std::string_view mechanism, const auth::Peer&) override {
    return std::make_unique<Exchange>(mechanism == "PLAIN");
  }
  std::optional<auth::Identity> by_certificate(const auth::Peer&) override { return std::nullopt; }
  bool in_force(const auth::Identity&) const override { return !revoked_; }
  bool allows(const auth::Identity& identity, std::string_view, std::string_view module, std::string_view resource,
              auth::Verb verb) override {
    return !role_ || directory_with_role().allows(*directory_with_role().user(identity.name), module, resource, verb);
  }
  bool sees(const auth::Identity& identity, std::string_view module, std::string_view resource) const override {
    return !role_ || directory_with_role().sees(*directory_with_role().user(identity.name), module, resource);
  }

 private:
  class Exchange final : public auth::SaslExchange {
   public:
    explicit Exchange(bool plain) : left_(plain ? 1 : 2) {}
    auth::SaslStep step(Bytes message) override {
      using Outcome = auth::SaslStep::Outcome;
      const bool right = as_text(message) == (left_ == 1 ? std::string_view("\0user\0secret", 12) : "first");
      if (!right) return {Outcome::refused, "", "wrong user or password", {}};
      if (--left_ > 0) return {Outcome::go_on, "challenge", "", {}};
      return {Outcome::done, "done", "", {{7, 1}, "user", {}}};
    }

   private:
    int left_;
  };

  const auth::Directory& directory_with_role() const {
    auth::User user{7, 1, false, {}, {"role"}};
    directory_.users["user"] = std::make_shared<const auth::User>(std::move(user));
    directory_.roles["role"] = std::make_shared<const auth::Role>(*role_);
    return directory_;
  }

  std::optional<auth::Role> role_;  // none: everything
  bool revoked_ = false;
  mutable auth::Directory directory_;
};

class Player {
 public:
  TranscriptResult play(const std::string& text) {
    std::istringstream lines(text);
    std::string line;
    std::vector<std::string> entries;
    while (std::getline(lines, line)) {
      if (!entries.empty() && !line.empty() && line[0] == ' ')
        entries.back() += "\n" + line;
      else
        entries.push_back(line);
    }
    for (const std::string& entry : entries) run(entry);
    if (context_ && !context_->output.empty()) fail("answers left at the end: " + see());
    return std::move(result_);
  }

 private:
  struct Sent {
    const Api* api;
    int16_t version;
  };

  void run(const std::string& entry) {
    const char kind = entry.empty() ? '#' : entry[0];
    const std::string rest = entry.size() > 2 ? entry.substr(2) : "";
    if (kind == '<') return expect(entry, rest);
    if (kind == '=') return expect_logged(entry, rest);
    result_.rewritten += entry + "\n";
    if (kind == '#') return;
    try {
      if (kind == '!')
        direct(rest);
      else if (kind == '>')
        send(rest);
      else
        throw std::runtime_error("a line begins with # ! > < = or a blank");
    } catch (const std::exception& error) {
      fail(entry + ": " + error.what());
    }
  }

  void open() {
    if (session_) return;
    protocol_ = std::make_unique<KafkaProtocol>(options_);
    session_ = protocol_->open({});
    context_ = std::make_unique<FakeContext>(*session_);
    session_->on_open(*context_);
  }

  void set_option(const std::string& name, const std::string& value) {
    if (session_) throw std::runtime_error("options come first");
    if (name == "auto_create")
      options_.auto_create = value == "true";
    else if (name == "max_request_bytes")
      options_.max_request_bytes = std::stoul(value);
    else if (name == "max_record_batch_bytes")
      options_.max_record_batch_bytes = std::stoul(value);
    else if (name == "sasl")
      options_.authenticator = value == "on" ? &authenticator_ : nullptr;
    else if (name == "grant")
      authenticator_.grant(value);
    else if (name == "advertised")
      options_.advertised = {value, 19092};
    else
      throw std::runtime_error("no option " + name);
  }

  void direct(const std::string& text) {
    std::istringstream words(text);
    std::string what;
    std::string first;
    std::string second;
    words >> what >> first >> second;
    if (what == "option") return set_option(first, second);
    open();
    if (what == "revoke") return authenticator_.revoke();
    if (what == "stream") {
      context_->create_stream(first, static_cast<uint32_t>(std::stoul(second)));
    } else if (what == "delete") {
      context_->delete_stream(first);
    } else if (what == "keep") {
      context_->keep_stream(first);
    } else if (what == "append") {
      std::string records;
      std::getline(words, records);
      Records read;
      TextReader(records, keep_).read(read);
      context_->append_from_elsewhere(first, static_cast<uint32_t>(std::stoul(second)), read.view);
    } else if (what == "refuse") {
      context_->refuse_next(errc_named(first), static_cast<uint32_t>(std::stoul(second)));
    } else if (what == "repeat") {
      context_->repeat_next_append(std::stoll(first));
    } else if (what == "fail-read") {
      context_->fail_next_read(errc_named(first));
    } else if (what == "full") {
      context_->fill_queue(std::stoi(first));
    } else if (what == "hold" || what == "release") {
      context_->hold(what == "hold");
    } else if (what == "wait") {
      context_->pass_time(std::stoll(first) * 1'000'000);
    } else {
      throw std::runtime_error("no directive " + what);
    }
    context_->deliver();
  }

  void send(const std::string& text) {
    open();
    std::string bytes;
    if (text.rfind("hex ", 0) == 0) {
      bytes = as_text(from_hex(text.substr(4), keep_));
    } else {
      bytes = encode_request(text);
    }
    result_.input += bytes;
    pending_ += bytes;
    const size_t consumed = session_->on_bytes(as_bytes(pending_), *context_);
    if (consumed > pending_.size()) throw std::runtime_error("consumed more than there was");
    pending_.erase(0, consumed);
    context_->deliver();
  }

  // NAME vVERSION #CORRELATION {...}
  std::string encode_request(const std::string& text) {
    std::istringstream words(text);
    std::string name;
    char mark = 0;
    int version = 0;
    int correlation = 0;
    words >> name >> mark >> version >> mark >> correlation;
    std::string body;
    std::getline(words, body, '\0');
    const Api& api = api_named(name);
    sent_[correlation] = {&api, static_cast<int16_t>(version)};
    const bool flexible = version >= api.first_flexible;
    Encoder encoder({static_cast<int16_t>(version), flexible});
    ByteWriter& out = encoder.out();
    out.be<int32_t>(0);
    out.be(static_cast<int16_t>(api.key));
    out.be(static_cast<int16_t>(version));
    out.be<int32_t>(correlation);
    out.be<int16_t>(4);
    out.append("test");
    if (flexible) encoder.empty_tagged_fields();
    with_messages(api.key, [&](auto messages) {
      typename decltype(messages)::Request request;
      TextReader reader(body, keep_);
      reader.read(request);
      reader.end();
      encoder.write(request, false);
    });
    store_be(out.at(0), static_cast<int32_t>(encoder.size() - 4));
    std::string bytes;
    for (const Buffer& piece : encoder.finish()) bytes += as_text(piece.view());
    return bytes;
  }

  // Takes the next answer out of the output, as text.
  std::string see() {
    std::string& output = context_->output;
    if (output.empty()) return context_->closed ? "close " + *std::exchange(context_->closed, std::nullopt) : "nothing";
    ByteReader frame(as_bytes(output));
    const auto length = frame.be<int32_t>();
    const Bytes body = frame.take(static_cast<size_t>(length));
    std::string shown = frame.failed() ? "an answer whose length is wrong" : print_answer(body);
    output.erase(0, frame.failed() ? output.size() : frame.position());
    return shown;
  }

  std::string print_answer(Bytes bytes) {
    ByteReader reader(bytes);
    const auto correlation = reader.be<int32_t>();
    const auto found = sent_.find(correlation);
    if (found == sent_.end()) return "bytes " + std::string(as_text(bytes));
    const auto [api, sent_version] = found->second;
    const int16_t version = sent_version > api->advertised_max ? int16_t{0} : sent_version;
    std::string shown =
        std::string(api->name) + " v" + std::to_string(version) + " #" + std::to_string(correlation) + " ";
    const bool flexible = version >= api->first_flexible;
    if (flexible && api->key != ApiKey::api_versions && reader.u8() != 0) return "tags in a response header";
    with_messages(api->key, [&](auto messages) {
      typename decltype(messages)::Response response;
      Decoder decoder(reader.rest(), {version, flexible});
      shown += decoder.message(response) ? print(response, version) : "malformed " + to_hex(bytes);
    });
    return shown;
  }

  void expect(const std::string& entry, const std::string& expected) {
    open();
    const std::string seen = see();
    if (squeezed(seen) == squeezed(expected)) {
      result_.rewritten += entry + "\n";
      return;
    }
    result_.rewritten += "< " + seen + "\n";
    fail("expected: " + expected + "\n    seen: " + seen);
  }

  void expect_logged(const std::string& entry, const std::string& expected) {
    open();
    const std::string seen = context_->log.size() > logged_ ? context_->log[logged_++] : "nothing";
    result_.rewritten += "= " + seen + "\n";
    if (seen != expected) fail(entry + ": seen " + seen);
  }

  void fail(std::string why) { result_.failures.push_back(std::move(why)); }

  static KafkaOptions options() {
    KafkaOptions options;
    options.cluster_id = "cluster";
    options.leader_epoch = 3;
    return options;
  }

  TestAuthenticator authenticator_;
  KafkaOptions options_ = options();
  std::unique_ptr<KafkaProtocol> protocol_;
  std::unique_ptr<net::Session> session_;
  std::unique_ptr<FakeContext> context_;
  std::map<int32_t, Sent> sent_;
  std::string pending_;
  size_t logged_ = 0;
  std::deque<std::string> keep_;
  TranscriptResult result_;
};

}  // namespace

TranscriptResult play(const std::string& text) { return Player().play(text); }

}  // namespace heptane::data::kafka::test
