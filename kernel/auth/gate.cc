#include "kernel/auth/gate.h"

#include <algorithm>

#include "kernel/auth/saslprep.h"
#include "kernel/auth/scram.h"
#include "kernel/base/base64.h"
#include "kernel/crypto/digest.h"

namespace heptane::auth {

namespace {

constexpr crypto::Hash kHashes[] = {crypto::Hash::sha256, crypto::Hash::sha512};
constexpr std::string_view kScramNames[] = {"SCRAM-SHA-256", "SCRAM-SHA-512"};
constexpr std::string_view kPlain = "PLAIN";
constexpr std::string_view kTokenPrefix = "hpt_";
constexpr std::string_view kTokenUser = "token";  // whose password is a token
constexpr size_t kTokenBytes = 24;
constexpr size_t kSaltBytes = 16;
constexpr size_t kNonceBytes = 18;
constexpr size_t kPlainLimitBytes = 1024;
constexpr size_t kPasswordMin = 8;
constexpr size_t kPasswordMax = 256;
constexpr int64_t kSecondNs = 1'000'000'000;
constexpr const char* kWrong = "wrong user or password";

std::string filled(Random& random, size_t count) {
  std::string bytes(count, '\0');
  random.fill({reinterpret_cast<std::byte*>(bytes.data()), bytes.size()});
  return bytes;
}

// RFC 4616: authorisation identity, user and password with zeros between them.
class PlainExchange final : public SaslExchange {
 public:
  PlainExchange(Gate& gate, Peer peer) : gate_(gate), peer_(std::move(peer)) {}

  SaslStep step(Bytes message) override {
    const std::string_view text = as_text(message);
    const size_t first = text.find('\0');
    const size_t second = first == std::string_view::npos ? first : text.find('\0', first + 1);
    if (second == std::string_view::npos || text.size() > kPlainLimitBytes)
      return {SaslStep::Outcome::refused, "", "malformed PLAIN message", {}};
    const std::string_view acts_for = text.substr(0, first);
    const std::string_view user = text.substr(first + 1, second - first - 1);
    const std::string_view password = text.substr(second + 1);
    if (!acts_for.empty() && acts_for != user) return {SaslStep::Outcome::refused, "", "nobody acts for another", {}};
    Result<Identity> identity = gate_.by_password(user, password, peer_);
    if (!identity) return {SaslStep::Outcome::refused, "", identity.error().message, {}};
    return {SaslStep::Outcome::done, "", "", std::move(*identity)};
  }

 private:
  Gate& gate_;
  const Peer peer_;
};

}  // namespace

Result<std::string> new_password(std::string_view password) {
  const auto bounds = [] {
    return Error{Errc::invalid_argument, "has 8 characters at least and 256 bytes of UTF-8 at most", 0};
  };
  if (password.size() > kPasswordMax) return bounds();
  Result<std::string> prepared = saslprep(password, PreparedFor::storing);
  if (!prepared) return prepared;
  const auto continues = [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; };
  const auto characters =
      prepared->size() - static_cast<size_t>(std::count_if(prepared->begin(), prepared->end(), continues));
  if (characters < kPasswordMin || prepared->size() > kPasswordMax) return bounds();
  return prepared;
}

Gate::Gate(AuthOptions options, Clock& clock, Random& random)
    : options_(options),
      clock_(clock),
      random_(random),
      key_(options.enabled ? filled(random, crypto::hash_bytes(crypto::Hash::sha256)) : std::string()) {}

Error Gate::refused(std::string_view who, const Peer& peer, std::string_view how) {
  incidents_.note(Incident::failed_authentication, who, peer.remote,
                  std::string(peer.protocol) + ' ' + std::string(how));
  return {Errc::unauthorised, kWrong, 0};
}

// Under the lock: another password may be computed in this second.
bool Gate::may_compute() {
  const int64_t now_ns = clock_.monotonic_ns();
  if (now_ns - second_ns_ >= kSecondNs) {
    second_ns_ = now_ns;
    computed_ = 0;
  }
  return computed_++ < kComputedPerSecond;
}

// Holds a copy of all that run() needs.
class Gate::Proof final : public PasswordProof {
 public:
  Proof(Gate& gate, std::optional<Identity> identity, std::string_view user, Peer peer, Verifier verifier,
        std::string prepared, std::string entry)
      : gate_(gate),
        identity_(std::move(identity)),
        user_(user),
        peer_(std::move(peer)),
        verifier_(std::move(verifier)),
        prepared_(std::move(prepared)),
        entry_(std::move(entry)) {}

  void run() override { right_ = proves(crypto::Hash::sha256, verifier_, prepared_); }
  bool may_run_here() override {
    const std::lock_guard lock(gate_.mutex_);
    return gate_.may_compute();
  }
  Result<Identity> finish() override {
    if (!right_ || !identity_) return gate_.refused(user_, peer_, "password");
    gate_.remember(std::move(entry_));
    return std::move(*identity_);
  }

 private:
  Gate& gate_;
  std::optional<Identity> identity_;
  const std::string user_;
  const Peer peer_;
  const Verifier verifier_;
  const std::string prepared_;
  std::string entry_;
  bool right_ = false;
};

Result<Identity> Gate::by_password(std::string_view user, std::string_view password, const Peer& peer) {
  Proving proving = prove(user, password, peer);
  if (auto* known = std::get_if<Result<Identity>>(&proving)) return std::move(*known);
  PasswordProof& proof = *std::get<std::unique_ptr<PasswordProof>>(proving);
  if (!proof.may_run_here())
    return Error{Errc::overloaded, "too many passwords are being tried: try again in a second", 0};
  proof.run();
  return proof.finish();
}

Proving Gate::prove(std::string_view user, std::string_view password, const Peer& peer) {
  if (user == kTokenUser) return by_token(password, peer);
  const AuthStore::View directory = view();
  const User* found = directory->user(user);
  const Verifier verifier = found != nullptr && found->has_password()
                                ? found->verifiers[0]
                                : made_up_verifier(crypto::Hash::sha256, key_, user, options_.iterations);
  if (password.size() > kPasswordMax) return refused(user, peer, kPlain);
  Result<std::string> prepared = saslprep(password, PreparedFor::asking);
  if (!prepared) return refused(user, peer, "password");
  std::optional<Identity> identity;
  if (found != nullptr) identity = Identity{{found->id, found->version}, std::string(user), {}};
  // Of the verifier too: another password is another entry.
  std::string entry = crypto::hmac(crypto::Hash::sha256, key_, verifier.stored_key + *prepared);
  {
    const std::lock_guard lock(mutex_);
    if (identity && remembered_.contains(entry)) return std::move(*identity);
  }
  return std::make_unique<Proof>(*this, std::move(identity), user, peer, verifier, std::move(*prepared),
                                 std::move(entry));
}

// When there is no room any one goes: entries are in no order that means anything.
void Gate::remember(std::string entry) {
  const std::lock_guard lock(mutex_);
  if (remembered_.size() >= kRememberedLimit) remembered_.erase(remembered_.begin());
  remembered_.insert(std::move(entry));
}

Result<Identity> Gate::by_token(std::string_view secret, const Peer& peer) {
  const std::string hash = crypto::digest(crypto::Hash::sha256, secret);
  const AuthStore::View directory = view();
  const Token* token = directory->token(hash);
  const User* owner = token == nullptr ? nullptr : directory->user(token->owner);
  if (owner == nullptr || owner->id != token->owner_id) return refused(kTokenUser, peer, "token");
  Identity identity{{owner->id, owner->version}, token->owner, hash};
  if (!in_force(identity)) return refused(token->owner, peer, "token");
  return identity;
}

std::optional<Identity> Gate::by_certificate(const Peer& peer) {
  if (!peer.encrypted || peer.certificate_name.empty()) return std::nullopt;
  const AuthStore::View directory = view();
  const User* user = directory->user(peer.certificate_name);
  if (user == nullptr || !user->certificate) return std::nullopt;
  return Identity{{user->id, user->version}, peer.certificate_name, {}};
}

std::optional<Identity> Gate::by_configuration(std::string_view name) const {
  const AuthStore::View directory = view();
  const User* user = directory->user(name);
  if (user == nullptr) return std::nullopt;
  return Identity{{user->id, user->version}, std::string(name), {}};
}

std::vector<std::string_view> Gate::mechanisms(const Peer& peer) const {
  std::vector<std::string_view> offered{kScramNames[1], kScramNames[0]};
  if (peer.encrypted || (peer.loopback && options_.plain_on_loopback)) offered.push_back(kPlain);
  return offered;
}

std::unique_ptr<SaslExchange> Gate::begin(std::string_view mechanism, const Peer& peer) {
  if (mechanism == kPlain) return std::make_unique<PlainExchange>(*this, peer);
  return begin_scram(mechanism == kScramNames[0] ? 0 : 1, peer);
}

std::unique_ptr<SaslExchange> Gate::begin_scram(size_t which, const Peer& peer) {
  const auto find = [this, which](std::string_view name) -> ScramServer::Candidate {
    const AuthStore::View directory = view();
    const User* user = directory->user(name);
    if (user != nullptr && user->has_password())
      return {user->verifiers[which], Identity{{user->id, user->version}, std::string(name), {}}};
    const std::string_view key = directory->probe_key.empty() ? key_ : directory->probe_key;
    return {made_up_verifier(kHashes[which], key, name, options_.iterations), std::nullopt};
  };
  const auto failed = [this, which, peer](std::string_view name) { (void)refused(name, peer, kScramNames[which]); };
  return std::make_unique<ScramServer>(kHashes[which], base64_encoded(filled(random_, kNonceBytes)), find, failed,
                                       peer.named);
}

// A change of its owner's password does not end a token; a connection that it opened proves itself again.
const User* Gate::user_of(const Directory& directory, const Identity& identity) const {
  const User* user = directory.user(identity.name);
  if (user == nullptr || user->id != identity.principal.id || user->version != identity.principal.version)
    return nullptr;
  if (identity.token.empty()) return user;
  const Token* token = directory.token(identity.token);
  if (token == nullptr || token->owner_id != user->id) return nullptr;
  // The log's own timer ends it for good; until a start has come that far the clock does.
  if (token->expires != 0 && clock_.utc_ns() >= token->expires) return nullptr;
  return user;
}

bool Gate::in_force(const Identity& identity) const {
  if (!options_.enabled) return true;
  const AuthStore::View directory = view();
  return user_of(*directory, identity) != nullptr;
}

bool Gate::may(const Identity& identity, std::string_view module, std::string_view resource, Verb verb) const {
  if (!options_.enabled) return true;
  const AuthStore::View directory = view();
  const User* user = user_of(*directory, identity);
  return user != nullptr && directory->allows(*user, module, resource, verb);
}

bool Gate::allows(const Identity& identity, std::string_view from, std::string_view module, std::string_view resource,
                  Verb verb) {
  if (may(identity, module, resource, verb)) return true;
  std::string what(module);
  what += ':';
  what += resource.substr(0, kPlainLimitBytes);
  what += ' ';
  what += verb_name(verb);
  incidents_.note(Incident::denied, identity.name, from, what);
  return false;
}

bool Gate::sees(const Identity& identity, std::string_view module, std::string_view resource) const {
  if (!options_.enabled) return true;
  const AuthStore::View directory = view();
  const User* user = user_of(*directory, identity);
  return user != nullptr && directory->sees(*user, module, resource);
}

Gate::Salts Gate::make_salts() { return {filled(random_, kSaltBytes), filled(random_, kSaltBytes)}; }

Verifiers Gate::make_verifiers(std::string_view password, const Salts& salts, uint32_t iterations) {
  Verifiers verifiers;
  for (size_t i = 0; i < verifiers.size(); ++i)
    verifiers[i] = make_verifier(kHashes[i], password, salts[i], iterations);
  return verifiers;
}

Gate::NewToken Gate::make_token() {
  std::string secret = std::string(kTokenPrefix) + crypto::hex(filled(random_, kTokenBytes));
  std::string hash = crypto::digest(crypto::Hash::sha256, secret);
  return {std::move(secret), std::move(hash)};
}

std::string Gate::random_bytes(size_t count) { return filled(random_, count); }

}  // namespace heptane::auth
