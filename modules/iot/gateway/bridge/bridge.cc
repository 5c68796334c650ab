#include "modules/iot/gateway/bridge/bridge.h"

#include <algorithm>
#include <fstream>
#include <span>
#include <utility>

#include "kernel/net/tls_context.h"

namespace heptane::iot::bridge {

namespace {

constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kDaySeconds = 24 * 3600;
constexpr size_t kErrorBytesMax = 256;
constexpr size_t kSecretBytesMax = 65'535;
constexpr size_t kFrameBytesMax = size_t{8} << 20;  // of the broker here

const char* name_of(net::CloseReason reason) {
  switch (reason) {
    case net::CloseReason::peer_closed: return "the remote closed the connection";
    case net::CloseReason::peer_reset: return "the connection broke";
    case net::CloseReason::deadline: return "the remote takes nothing any more";
    case net::CloseReason::shutdown: return "the server stops";
    default: return "the connection was closed";
  }
}

std::string goodbye() {
  ByteWriter out;
  mqtt::encode(mqtt::PacketType::disconnect, mqtt::Farewell{}, mqtt::Version::v5, out);
  return std::string(as_text(out.view()));
}

}  // namespace

// The session at the other end of the connection: the bridge's.
class RemoteSession final : public net::Session {
 public:
  explicit RemoteSession(Bridge& bridge) : bridge_(bridge) {}
  void on_open(net::SessionContext& context) override { bridge_.remote_opened(context); }
  size_t on_bytes(Bytes input, net::SessionContext& context) override { return bridge_.remote_bytes(input, context); }
  void on_reply(RequestId, const Reply&, net::SessionContext&) override {}
  void on_writable(net::SessionContext&) override { bridge_.remote_writable(); }
  void on_stop(net::SessionContext&) override { bridge_.shut_down(); }
  void on_close(net::CloseReason reason) override { bridge_.remote_closed(reason); }

 private:
  Bridge& bridge_;
};

class Bridge::RemoteProtocol final : public net::Protocol {
 public:
  explicit RemoteProtocol(Bridge& bridge) : bridge_(bridge) {}
  std::string_view name() const override { return "bridge"; }
  std::unique_ptr<net::Session> open(const net::Address&) override { return std::make_unique<RemoteSession>(bridge_); }
  size_t message_limit_bytes() const override { return bridge_.wanted().terms.packet_bytes_max; }
  std::span<const std::string_view> alpn() const override { return kAlpn; }

 private:
  static constexpr std::string_view kAlpn[] = {"mqtt"};
  Bridge& bridge_;
};

Bridge::Bridge(WantedBridge wanted, mqtt::Broker& broker, Ways& ways, const Dialer& dialer, BridgeCounters& counters)
    : said_(wanted),
      wanted_(std::move(wanted)),
      broker_(broker),
      ways_(ways),
      dialer_(dialer),
      counters_(counters),
      protocol_(std::make_unique<RemoteProtocol>(*this)) {
  wanted_.terms.packet_bytes_max = static_cast<uint32_t>(broker.options().maximum_packet_size);
  wanted_.terms.receive_maximum = static_cast<uint16_t>(broker.options().receive_maximum);
}

Bridge::~Bridge() = default;

void Bridge::begin(const std::string& via) {
  constexpr size_t kShort = 8;
  wanted_.terms.via = via;
  if (wanted_.terms.client_id.empty())
    wanted_.terms.client_id = "heptane-" + via.substr(0, kShort) + "-" + wanted_.terms.name;
  prepare();
}

void Bridge::set_state(State state) {
  if (state_ == state) return;
  if (state_ == State::connected) counters_.connected.subtract();
  if (state == State::connected) counters_.connected.add();
  state_ = state;
  since_ms_ = ways_.utc_ns() / kNsPerMs;
}

void Bridge::note_error(std::string_view what) { last_error_ = std::string(what.substr(0, kErrorBytesMax)); }

void Bridge::later(net::SessionTimerId& timer, int64_t delay_ns, What what) {
  if (timer != 0) ways_.cancel(timer);
  timer = ways_.arm(delay_ns, [this, &timer, what] {
    timer = 0;
    if (state_ != State::stopped) (this->*what)();
  });
}

// The session here, made or brought in line with the configuration.
void Bridge::prepare() {
  if (conversation_ != nullptr) return later(refresh_timer_, kRefreshNs, &Bridge::prepare);
  if (outbound_ == 0) set_state(State::preparing);
  begin_conversation(Conversation::Kind::prepare);
}

void Bridge::prepared() {
  later(refresh_timer_, kRefreshNs, &Bridge::prepare);
  if (outbound_ == 0) dial();
}

void Bridge::dial() {
  if (outbound_ != 0) return;
  Result<net::OutboundOptions> options = outbound_options();
  if (!options) {
    note_error(options.error().message);
    return later(later_timer_, kRedialNs, &Bridge::dial);
  }
  set_state(State::connecting);
  outbound_ = dialer_.dial(*protocol_, std::move(*options));
}

Result<void> Bridge::read_password() {
  if (wanted_.password_file.empty()) return {};
  std::ifstream in(wanted_.password_file, std::ios::binary);
  std::string secret(kSecretBytesMax + 1, '\0');
  in.read(secret.data(), static_cast<std::streamsize>(secret.size()));
  secret.resize(static_cast<size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  while (secret.ends_with('\n') || secret.ends_with('\r')) secret.pop_back();
  if (secret.empty() || secret.size() > kSecretBytesMax)
    return Error{Errc::not_found, wanted_.password_file + " cannot be read, or has no password in it"};
  wanted_.terms.password = std::move(secret);
  return {};
}

Result<net::OutboundOptions> Bridge::outbound_options() {
  net::OutboundOptions options;
  options.host = wanted_.host;
  options.port = wanted_.port;
  options.server_name = wanted_.server_name;
  options.on_failed = [this](const Error& error) {
    if (state_ != State::stopped && error.code != Errc::closed) note_error(error.message);
  };
  if (!wanted_.tls) return options;
  auto context = net::TlsContext::client({wanted_.ca_file, wanted_.cert_file, wanted_.key_file}, ways_.utc_ns());
  if (!context) return std::move(context.error());
  options.tls = std::move(*context);
  return options;
}

void Bridge::stop(std::string_view why) {
  if (state_ == State::stopped) return;
  for (net::SessionTimerId* timer : {&later_timer_, &refresh_timer_})
    if (*timer != 0) ways_.cancel(std::exchange(*timer, 0));
  if (conversation_) conversation_->leave(why);
  if (conversation_) pump();
  set_state(State::stopped);
  if (outbound_ != 0) dialer_.stop(outbound_);
}

BridgeFacts Bridge::facts() const {
  static constexpr const char* kStates[] = {"preparing", "preparing", "connecting", "connected", "stopped"};
  BridgeFacts facts;
  facts.name = wanted_.terms.name;
  facts.address = net::to_text({wanted_.host, wanted_.port});
  facts.state = kStates[static_cast<size_t>(state_)];
  facts.since_ms = since_ms_;
  facts.last_error = last_error_;
  facts.tally = memory_.tally;
  facts.in_flight = conversation_ ? conversation_->in_flight() : 0;
  facts.connects = connects_;
  return facts;
}

// A conversation.

void Bridge::begin_conversation(Conversation::Kind kind) {
  conversation_ = std::make_unique<Conversation>(wanted_.terms, memory_, kind);
  conversation_->start(ways_.monotonic_ns());
  pump();
}

void Bridge::open_local() {
  mqtt::OwnClient own;
  own.expiry_s = static_cast<uint32_t>(
      std::clamp<int64_t>(wanted_.max_age_ms / 1'000 + 2 * kDaySeconds, 2 * kDaySeconds, UINT32_MAX - 1));
  own.queue_max = wanted_.queue_max;
  net::Address remote{wanted_.host, wanted_.port};
  local_ = std::make_shared<LocalClient>(broker_, own, ways_, std::move(remote), [this] { wake(); });
  local_->open();
}

// From outside of its turns: by what the broker here gives its client.
void Bridge::wake() {
  again_ = true;
  if (pumping_ || wake_timer_ != 0) return;
  wake_timer_ = ways_.arm(0, [this] {
    wake_timer_ = 0;
    pump();
  });
}

void Bridge::pump() {
  if (pumping_ || !conversation_) return;
  pumping_ = true;
  do again_ = false;
  while (turn() || again_);
  hold_remote();
  take_events();
  pumping_ = false;
  if (conversation_->ended()) return finish();
  if (again_) wake();
  arm();
}

// True: something moved.
bool Bridge::turn() {
  Conversation& talk = *conversation_;
  if (talk.ended()) return to_remote(), false;
  if (talk.wants_local() && !local_) open_local();
  bool moved = false;
  if (local_) {
    moved = carry_from_local();
    if (talk.ended()) return to_remote(), false;  // behind a refusal nothing is published here
    const std::string bytes = talk.take_local();
    local_->feed(bytes);
    moved = local_->step() || !bytes.empty() || moved;
    if (local_->closed() && !talk.ended()) talk.local_gone("the broker here: " + local_->why());
    local_->set_behind(talk.waiting_bytes());
  }
  to_remote();
  return moved;
}

bool Bridge::carry_from_local() {
  const std::string bytes = local_->take_output();
  const int64_t now_ns = ways_.monotonic_ns();
  Bytes rest = as_bytes(bytes);
  while (!rest.empty() && !conversation_->ended()) {
    mqtt::Frame frame;
    const mqtt::Fault fault = mqtt::read_frame(rest, kFrameBytesMax, frame);
    if (fault || frame.size == 0) {
      conversation_->local_gone("the broker here writes no packet");
      break;
    }
    if (frame.type == mqtt::PacketType::connack) conversation_->know_filters(local_->filters());
    conversation_->from_local(frame, now_ns);
    rest = rest.subspan(frame.size);
  }
  return !bytes.empty();
}

void Bridge::to_remote() {
  for (std::string bytes = conversation_->take_remote(); !bytes.empty(); bytes = conversation_->take_remote()) {
    if (remote_ == nullptr) return;
    remote_->write_copy(as_bytes(bytes));
    conversation_->set_writable(!remote_->output_full(), ways_.monotonic_ns());
  }
}

// It is read while what it sends can go on.
void Bridge::hold_remote() {
  if (remote_ == nullptr || conversation_->ended()) return;
  const bool full = local_ && (local_->paused() || local_->waiting_bytes() > kInputBytesMax);
  const bool held = full || !conversation_->takes_remote();
  if (std::exchange(remote_held_, held) != held) remote_->pause_input(held);
}

void Bridge::arm() {
  const int64_t due_ns = conversation_->due_ns();
  if (due_timer_ != 0 && due_ns_ <= due_ns) return;
  if (due_timer_ != 0) ways_.cancel(std::exchange(due_timer_, 0));
  if (due_ns == INT64_MAX) return;
  due_ns_ = due_ns;
  due_timer_ = ways_.arm(std::max<int64_t>(0, due_ns - ways_.monotonic_ns()), [this] {
    due_timer_ = 0;
    if (!conversation_) return;
    conversation_->pass_time(ways_.monotonic_ns());
    pump();
  });
}

// What it was to do is done, or the connection is over.
void Bridge::finish() {
  const std::unique_ptr<Conversation> over = std::move(conversation_);
  const bool prepares = over->kind() == Conversation::Kind::prepare;
  if (local_) local_->end(goodbye());
  local_.reset();
  count();
  if (!prepares) disconnected(over->why());
  if (state_ == State::stopped) return;
  if (prepares && over->prepared()) return prepared();
  note_error(over->why());
  if (prepares) later(later_timer_, kRetryNs, &Bridge::prepare);
}

void Bridge::disconnected(const std::string& why) {
  if (net::SessionContext* remote = std::exchange(remote_, nullptr))
    remote->close(net::CloseReason::session_closed, why);
  if (state_ == State::connected) tell_event(ToldKind::bridge_disconnected, "", why);
  if (state_ != State::stopped) set_state(State::connecting);
}

// Its session is as after a crash, but what the remote acknowledged is known.
void Bridge::shut_down() {
  if (state_ == State::stopped) return;
  if (local_) local_->shut_down();
  if (conversation_) conversation_->leave("the server stops");
  if (conversation_) to_remote();
  conversation_.reset();
  local_.reset();
  remote_ = nullptr;
  set_state(State::stopped);
}

// The connection to the remote.

void Bridge::remote_opened(net::SessionContext& context) {
  if (state_ == State::stopped) return context.close(net::CloseReason::session_closed, "it is not wanted any more");
  if (conversation_) conversation_->leave("the remote is connected");  // one that prepares
  if (conversation_) pump();
  remote_ = &context;
  remote_held_ = false;
  passed_over_ = 0;
  // For each connection anew: it may be another one now.
  if (const Result<void> password = read_password(); !password) {
    note_error(password.error().message);
    remote_ = nullptr;
    return context.close(net::CloseReason::session_closed, "there is no password");
  }
  begin_conversation(Conversation::Kind::relay);
}

size_t Bridge::remote_bytes(Bytes input, net::SessionContext& context) {
  if (remote_ != &context || !conversation_ || conversation_->ended()) return input.size();
  if (passed_over_ > 0) return pass_over(input.size());
  mqtt::Frame frame;
  const mqtt::Fault fault = mqtt::read_frame(input, wanted_.terms.packet_bytes_max, frame);
  if (fault) return refuse_frame(fault, frame, input, context);
  if (frame.size == 0) {
    context.need(frame.needed);
    return 0;
  }
  conversation_->from_remote(frame, ways_.monotonic_ns());
  const size_t size = frame.size;
  pump();
  return remote_ == &context ? size : input.size();
}

// A message that is too large is answered for and not kept: over it the others go on.
size_t Bridge::refuse_frame(const mqtt::Fault& fault, const mqtt::Frame& frame, Bytes input,
                            net::SessionContext& context) {
  const bool large = fault.reason == mqtt::Reason::packet_too_large && frame.type == mqtt::PacketType::publish;
  Conversation::PassedOver over;
  if (large)
    over = conversation_->pass_over(input);
  else
    conversation_->leave(std::string("the remote: ") + fault.why);
  if (over.needed > 0) {
    context.need(over.needed);
    return 0;
  }
  passed_over_ = over.bytes;
  pump();
  return remote_ == &context && over.bytes > 0 ? pass_over(input.size()) : input.size();
}

size_t Bridge::pass_over(size_t bytes) {
  const size_t passed = std::min(passed_over_, bytes);
  passed_over_ -= passed;
  return passed;
}

void Bridge::remote_writable() {
  if (!conversation_) return;
  conversation_->set_writable(true, ways_.monotonic_ns());
  pump();
}

void Bridge::remote_closed(net::CloseReason reason) {
  if (remote_ == nullptr) return;  // it was closed here
  remote_ = nullptr;
  if (!conversation_) return;
  const Gone how = reason == net::CloseReason::peer_closed  ? Gone::closed
                   : reason == net::CloseReason::peer_reset ? Gone::broke
                                                            : Gone::otherwise;
  conversation_->remote_gone(how, name_of(reason), ways_.monotonic_ns());
  pump();
}

// What is told.

void Bridge::take_events() {
  for (const Event& event : conversation_->take_events()) tell(event.what, event.subject, event.why);
  count();
}

void Bridge::tell(Happening what, std::string_view subject, std::string_view why) {
  switch (what) {
    case Happening::connected:
      ++connects_;
      counters_.connects.add();
      last_error_.clear();
      set_state(State::connected);
      return tell_event(ToldKind::bridge_connected, "", why);
    case Happening::session_lost: return tell_event(ToldKind::bridge_session_lost, "", why);
    case Happening::dead_letter: return tell_event(ToldKind::bridge_dead_letter, subject, why);
    case Happening::refused: return tell_event(ToldKind::bridge_refused, subject, why);
    case Happening::filter_refused:
      note_error("the remote refuses the filter " + std::string(subject));
      return tell_event(ToldKind::bridge_filter_refused, subject, why);
  }
}

void Bridge::tell_event(ToldKind kind, std::string_view subject, std::string_view why) {
  const std::string client = local_client_id(wanted_.terms.name);
  const std::string address = net::to_text({wanted_.host, wanted_.port});
  ToldEvent event;
  event.kind = kind;
  event.client = client;
  event.user = why;
  event.address = address;
  event.subject = subject;
  broker_.telling().bridge(event);
}

// What came to the tally since the last time.
void Bridge::count() {
  const Tally& now = memory_.tally;
  counters_.sent.add(now.sent - counted_.sent);
  counters_.acknowledged.add(now.acknowledged - counted_.acknowledged);
  counters_.received.add(now.received - counted_.received);
  counters_.looped.add(now.looped - counted_.looped);
  counters_.unmapped.add(now.unmapped - counted_.unmapped);
  counters_.dead_letters.add(now.dead_letters - counted_.dead_letters);
  counters_.refused.add(now.refused - counted_.refused);
  counters_.unsure.add(now.unsure - counted_.unsure);
  counted_ = now;
}

}  // namespace heptane::iot::bridge
