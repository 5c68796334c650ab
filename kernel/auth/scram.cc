#include "kernel/auth/scram.h"

#include <algorithm>

#include "kernel/base/base64.h"

namespace heptane::auth {

namespace {

constexpr size_t kSaltBytes = 16;
constexpr size_t kNonceLimitBytes = 512;
constexpr const char* kWrong = "wrong user or password";
constexpr const char* kMalformed = "malformed SCRAM message";

bool printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x21 && c <= 0x7e && c != ','; });
}

// The attribute's value when `message` begins with it; takes it and its comma off.
std::optional<std::string_view> take_attribute(std::string_view& message, char name) {
  if (message.size() < 2 || message[0] != name || message[1] != '=') return std::nullopt;
  const size_t end = std::min(message.find(','), message.size());
  const std::string_view value = message.substr(2, end - 2);
  message.remove_prefix(std::min(end + 1, message.size()));
  return value;
}

// =2C is a comma, =3D an equals sign, nothing else begins with one.
std::optional<std::string> unescaped(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] != '=') {
      out += name[i];
    } else if (name.substr(i, 3) == "=2C") {
      out += ',';
      i += 2;
    } else if (name.substr(i, 3) == "=3D") {
      out += '=';
      i += 2;
    } else {
      return std::nullopt;
    }
  }
  return out;
}

struct First {
  std::string_view header;  // gs2: with its last comma
  std::string_view bare;
  std::string name;
  std::string_view nonce;
};

std::optional<First> parse_first(std::string_view message, bool may_be_nameless) {
  First first;
  // n: the client knows no channel binding; y: it believes the server does not. p asks for it, and there is none.
  if (!message.starts_with("n,") && !message.starts_with("y,")) return std::nullopt;
  const size_t comma = message.find(',', 2);
  if (comma == std::string_view::npos) return std::nullopt;
  std::string_view authzid = message.substr(2, comma - 2);
  first.header = message.substr(0, comma + 1);
  first.bare = message.substr(comma + 1);
  std::string_view rest = first.bare;
  if (rest.starts_with("m=")) return std::nullopt;  // an extension that must be understood
  const auto name = take_attribute(rest, 'n');
  const auto nonce = name ? take_attribute(rest, 'r') : std::nullopt;
  if (!nonce || nonce->empty() || nonce->size() > kNonceLimitBytes || !printable(*nonce)) return std::nullopt;
  const auto plain = unescaped(*name);
  if (!plain || (plain->empty() && !may_be_nameless)) return std::nullopt;
  if (!authzid.empty() && authzid != "a=" + std::string(*name)) return std::nullopt;  // nobody acts for another
  first.name = *plain;
  first.nonce = *nonce;
  return first;
}

std::string exclusive_or(std::string a, std::string_view b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<char>(a[i] ^ b[i]);
  return a;
}

}  // namespace

Verifier make_verifier(crypto::Hash hash, std::string_view password, std::string salt, uint32_t iterations) {
  const std::string salted = crypto::pbkdf2(hash, password, salt, iterations);
  const std::string client_key = crypto::hmac(hash, salted, "Client Key");
  return {std::move(salt), iterations, crypto::digest(hash, client_key), crypto::hmac(hash, salted, "Server Key")};
}

Verifier made_up_verifier(crypto::Hash hash, std::string_view key, std::string_view name, uint32_t iterations) {
  const std::string seed = std::string(hash == crypto::Hash::sha256 ? "256:" : "512:") + std::string(name);
  const std::string made = crypto::hmac(hash, key, seed);
  return {made.substr(0, kSaltBytes), iterations, crypto::hmac(hash, made, "stored"),
          crypto::hmac(hash, made, "server")};
}

bool proves(crypto::Hash hash, const Verifier& verifier, std::string_view password) {
  const Verifier made = make_verifier(hash, password, verifier.salt, verifier.iterations);
  return crypto::equal_in_constant_time(made.stored_key, verifier.stored_key);
}

SaslStep ScramServer::step(Bytes message) {
  if (message.size() > kScramMessageLimitBytes) return refuse(kMalformed);
  return started_ ? last(as_text(message)) : first(as_text(message));
}

SaslStep ScramServer::refuse(const char* why) {
  failed_(name_);
  return {SaslStep::Outcome::refused, "", why, {}};
}

SaslStep ScramServer::first(std::string_view message) {
  started_ = true;
  const std::optional<First> first = parse_first(message, !named_.empty());
  if (!first) return refuse(kMalformed);
  name_ = named_.empty() ? first->name : named_;
  candidate_ = find_(name_);
  nonce_ = std::string(first->nonce) + nonce_;
  binding_ = base64_encoded(first->header);
  const std::string answer = "r=" + nonce_ + ",s=" + base64_encoded(candidate_.verifier.salt) +
                             ",i=" + std::to_string(candidate_.verifier.iterations);
  messages_ = std::string(first->bare) + ',' + answer;
  return {SaslStep::Outcome::go_on, answer, "", {}};
}

SaslStep ScramServer::last(std::string_view message) {
  const size_t proof_at = message.rfind(",p=");
  if (proof_at == std::string_view::npos) return refuse(kMalformed);
  const std::optional<std::string> proof = base64_decoded(message.substr(proof_at + 3));
  const std::string_view without_proof = message.substr(0, proof_at);
  std::string_view rest = without_proof;
  const auto binding = take_attribute(rest, 'c');
  const auto nonce = binding ? take_attribute(rest, 'r') : std::nullopt;
  if (!nonce || !proof || proof->size() != crypto::hash_bytes(hash_)) return refuse(kMalformed);
  // RFC 5802 wants the nonce as the server sent it. librdkafka up to 2.3 puts its own part before it once more, and Kafka's
  // brokers let that pass. What counts is that the server's part is in what is signed.
  if (*binding != binding_ || !nonce->ends_with(nonce_)) return refuse(kWrong);
  messages_ += ',';
  messages_ += without_proof;
  const Verifier& verifier = candidate_.verifier;
  const std::string signature = crypto::hmac(hash_, verifier.stored_key, messages_);
  const std::string client_key = exclusive_or(signature, *proof);
  const bool right = crypto::equal_in_constant_time(crypto::digest(hash_, client_key), verifier.stored_key);
  if (!right || !candidate_.identity) return refuse(kWrong);
  const std::string server_signature = crypto::hmac(hash_, verifier.server_key, messages_);
  return {SaslStep::Outcome::done, "v=" + base64_encoded(server_signature), "", *candidate_.identity};
}

}  // namespace heptane::auth
