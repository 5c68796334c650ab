#include "modules/fintech/gateway/fix/connection.h"

#include <algorithm>

#include "kernel/base/crc32c.h"
#include "kernel/net/address_scope.h"
#include "kernel/net/peer.h"
#include "kernel/streams/record_batch.h"
#include "modules/fintech/domain/fix/tags.h"
#include "modules/fintech/gateway/fix/sent.h"
#include "modules/fintech/machine/exchange/fix_words.h"

namespace heptane::fintech::fixgate {

namespace {

using exchange::FixAsk;
using exchange::FixRequest;

constexpr RequestId kAskSession = RequestId{1} << 40;
constexpr RequestId kProve = RequestId{2} << 40;
constexpr RequestId kRead = RequestId{3} << 40;
constexpr RequestId kLookUp = RequestId{4} << 40;
constexpr int64_t kSecondNs = 1'000'000'000;
// What the session layer says is small: it is taken where there is no room for orders.
constexpr size_t kHeaderMax = 1'024;
constexpr size_t kBodyMax = 2'048;
// Of one command: with one more there is still room for all of them.
constexpr size_t kDraftsMax = exchange::kFixDraftsMax / 2;
constexpr size_t kDraftsBytesMax = exchange::kFixDraftsBytesMax / 2;

void count(std::atomic<uint64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

fix::SessionSettings settings_of(const exchange::FixSpec& spec, const FixOptions& options) {
  fix::SessionSettings settings;
  settings.sender_comp_id = spec.comp_id;
  settings.target_comp_id = spec.name;
  settings.heart_bt_int_min_s = spec.heart_bt_int_min_s;
  settings.heart_bt_int_max_s = spec.heart_bt_int_max_s;
  settings.logon_timeout_s = static_cast<uint32_t>(options.logon_timeout_s);
  settings.max_latency_s = spec.max_latency_s;
  settings.max_messages_in_resend_request = spec.max_messages_in_resend_request;
  settings.reset_on_logon = spec.reset_on_logon;
  settings.reset_on_logout = spec.reset_on_logout;
  settings.reset_on_disconnect = spec.reset_on_disconnect;
  settings.validation.fields_out_of_order = spec.validate_fields_out_of_order;
  settings.validation.fields_have_values = spec.validate_fields_have_values;
  settings.validation.user_defined_fields = spec.validate_user_defined_fields;
  return settings;
}

template <class Payload>
Submission command(CommandType type, Buffer payload, const Payload& identity) {
  Submission submission;
  submission.machine = exchange::kExchangeMachineId;
  submission.type = type;
  submission.payload_crc = crc32c(payload.view());
  submission.payload = std::move(payload);
  submission.principal = identity;
  return submission;
}

}  // namespace

int64_t FixConnection::now_ns() const { return context_->monotonic_ns() + utc_ahead_ns_; }

void FixConnection::on_open(net::SessionContext& context) {
  context_ = &context;
  utc_ahead_ns_ = context.utc_ns() - context.monotonic_ns();
  deadline_ns_ = now_ns() + protocol_.options().logon_timeout_s * kSecondNs;
  rearm();
}

// One message a call: how many commands wait is looked at between calls.
size_t FixConnection::on_bytes(Bytes input, net::SessionContext&) {
  const std::string_view text = as_text(input);
  if (stage_ == Stage::greeting) return take_logon(text);
  if (stage_ == Stage::asking || stage_ == Stage::proving) return 0;
  if (stage_ != Stage::running) return input.size();
  const fix::Frame frame = fix::next_frame(text);
  const size_t whole = frame.kind == fix::Frame::Kind::partial ? text.size() : frame.begin + frame.size;
  if (frame.kind != fix::Frame::Kind::partial) {
    count(protocol_.counters().messages);
    rate_.use(now_ns());
    payer_.use({.bytes_in = static_cast<int64_t>(whole), .bytes_out = 0, .requests = 1});
  }
  const size_t consumed = session_->on_bytes(text.substr(0, whole), now_ns());
  settle();
  return consumed;
}

// ---- who it is ----

// Not before the connections of an earlier run are over: their end would be this one's, too.
size_t FixConnection::take_logon(std::string_view input) {
  const fix::Frame frame = fix::next_frame(input);
  if (frame.kind == fix::Frame::Kind::partial) return frame.begin;
  if (!protocol_.has_begun()) {
    context_->pause_input(paused_ = true);
    if (again_timer_ == 0) again_timer_ = context_->arm(kAgainNs);
    return frame.begin;
  }
  const size_t consumed = frame.begin + frame.size;
  logon_ = input.substr(frame.begin, frame.size);
  fix::Message message;
  if (frame.kind == fix::Frame::Kind::garbled || message.read(logon_) != nullptr || message.type() != "A") {
    end("the first message is no Logon");
    return consumed;
  }
  context_->pause_input(paused_ = true);
  stage_ = Stage::proving;
  prove(message);
  return consumed;
}

// By password, or by certificate where no user is named. While authentication is off everybody is who he says.
void FixConnection::prove(const fix::Message& logon) {
  auth::Authenticator* authenticator = protocol_.options().authenticator;
  if (authenticator == nullptr) return take_identity(auth::Identity{});
  const auth::Peer peer = net::peer_of(*context_, "fix");
  const auto user = logon.find(exchange::kUsername);
  if (!user) {
    const auto identity = authenticator->by_certificate(peer);
    return take_identity(identity ? Result<auth::Identity>(*identity) : Error{Errc::unauthorised, "no user"});
  }
  const std::vector<std::string_view> mechanisms = authenticator->mechanisms(peer);
  if (std::find(mechanisms.begin(), mechanisms.end(), "PLAIN") == mechanisms.end())
    return end("passwords are not taken without TLS");
  auth::Proving proving = authenticator->prove(*user, logon.find(exchange::kPassword).value_or(""), peer);
  if (auto* known = std::get_if<Result<auth::Identity>>(&proving)) return take_identity(std::move(*known));
  proof_ = std::move(std::get<std::unique_ptr<auth::PasswordProof>>(proving));
  if (context_->work(kProve, [proof = proof_] { proof->run(); })) return;
  if (!proof_->may_run_here()) return end("too many passwords are being checked");
  proof_->run();
  take_identity(proof_->finish());
}

void FixConnection::on_worked(RequestId request, net::SessionContext&) {
  if (request == kProve && stage_ == Stage::proving) take_identity(proof_->finish());
}

// Whoever he is not is told no sooner than whoever names no session: which ones there are cannot be told from it.
void FixConnection::take_identity(Result<auth::Identity> identity) {
  proof_.reset();
  is_proved_ = identity.ok();
  if (identity) identity_ = std::move(*identity);
  fix::Message message;
  exchange::Page page;
  if (message.read(logon_) == nullptr) page.after = message.find(fix::kSenderCompID).value_or("");
  page.alone = true;
  if (page.after.size() > exchange::kNameMax) page.after.clear();
  stage_ = Stage::asking;
  if (!context_->query(kAskSession, {exchange::kExchangeMachineId, exchange::kQueryFixSessions, exchange::packed(page),
                                     Principal{}}))
    end("no room to ask for the session");
}

void FixConnection::take_row(const Reply& reply) {
  auto rows = reply.ok() ? exchange::unpacked_rows<exchange::FixRow>(reply.payload.view()) : std::nullopt;
  const bool is_on = protocol_.options().authenticator != nullptr;
  const bool is_his = is_proved_ && rows && !rows->empty() && (!is_on || rows->front().spec.user == identity_.name);
  if (!is_his) return end("wrong user or password, or there is no such session of his");
  row_ = std::move(rows->front());
  if (!comes_from_there()) return end("the session is not for the peer's address");
  if (!may_read()) return end("the user may not read what the firm does");
  start();
}

bool FixConnection::comes_from_there() const {
  const std::vector<std::string>& allowed = row_.spec.access.addresses;
  const std::string& host = context_->remote().host;
  return allowed.empty() || std::any_of(allowed.begin(), allowed.end(), [&](const std::string& text) {
           const auto block = net::AddressBlock::parse(text);
           return block && block->holds(host);
         });
}

// With another period than that which the numbers are of they begin with 1.
void FixConnection::look_at_hours() {
  const exchange::FixHours& hours = row_.spec.access.hours;
  if (hours.non_stop) return;
  std::shared_ptr<const exchange::LocalTime> zone = std::make_shared<UtcTime>();
  if (hours.zone != "UTC") {
    const exchange::FindZone& zones = protocol_.options().zones;
    const auto found = zones ? zones(hours.zone) : Error{Errc::not_found, "there are no zones", 0};
    if (!found) {
      closed_ = "the server does not know the session's time zone";
      return;
    }
    zone = *found;
  }
  const std::optional<SessionPeriod> period = period_of(hours, *zone, now_ns());
  if (!period) {
    closed_ = hours_text(hours);
    return;
  }
  if (row_.period != 0 && row_.period != period->begins) settings_.reset_on_logon = true;
  period_ = period->begins;
  hours_timer_ = context_->arm(period->ends - now_ns());
}

bool FixConnection::enters_quota() {
  net::Quotas* quotas = protocol_.options().quotas;
  payer_ = {quotas, std::string(protocol_.name()), identity_.name};
  return quotas == nullptr || slot_.enter(*quotas, identity_.name);
}

// The Logon goes to the session.
void FixConnection::start() {
  if (!enters_quota()) return end("more connections than quotas.connections allows");
  settings_ = settings_of(row_.spec, protocol_.options());
  peers_.sender_comp_id = row_.spec.comp_id;
  peers_.target_comp_id = row_.spec.name;
  peers_.timestamp_digits = row_.spec.timestamp_precision;
  next_in_ = row_.next_in;
  rate_ = MessageRate(row_.spec.access.rate);
  stage_ = Stage::running;
  look_at_hours();
  if (row_.spec.role == exchange::FixRole::market_data) {
    if (protocol_.options().feed == nullptr) return end("there is no market data");
    settings_.reset_on_logon = true;
    DeskHost& host = *this;
    desk_ = std::make_unique<MarketDesk>(*protocol_.options().feed, host);
    statuses_ = std::make_unique<StatusDesk>(*protocol_.options().feed, host);
    right_timer_ = context_->arm(kRightNs);
  }
  fix::SessionHost& host = *this;
  session_.emplace(settings_, host, now_ns());
  session_->on_bytes(logon_, now_ns());
  wipe_logon();
  if (stage_ == Stage::running && session_->is_logged_on()) count(protocol_.counters().logons);
  settle();
}

void FixConnection::wipe_logon() {
  std::fill(logon_.begin(), logon_.end(), '\0');
  asm volatile("" : : "r"(logon_.data()) : "memory");  // it is not left out
  logon_.clear();
  logon_.shrink_to_fit();
}

fix::Admission FixConnection::admit(const fix::Message&) {
  if (!entered_) entered_ = protocol_.enter(row_.spec.name, *this);
  return {entered_, "another connection has the session", closed_};
}

// ---- what the session wants ----

void FixConnection::reset_numbers() {
  if (desk_) {
    desk_number_ = 1;
    return;
  }
  if (!pending_.drafts.empty()) flush();
  if (serial_ > 0 && !pending_.resets) ++resets_;
  pending_.resets = true;
  next_in_ = 1;
  again_ = {};
}

void FixConnection::send(const fix::Draft& draft) {
  if (desk_) return say_next(draft);
  const std::string_view header = draft.header.size() > kHeaderMax ? std::string_view() : draft.header;
  if (draft.body.size() > kBodyMax) return close("an answer would be longer than 2 KiB");
  pending_bytes_ += header.size() + draft.body.size();
  pending_.drafts.push_back({std::string(draft.type), std::string(header), std::string(draft.body)});
  if (pending_.drafts.size() >= kDraftsMax || pending_bytes_ >= kDraftsBytesMax) flush();
}

// One range, however often it is asked for.
void FixConnection::send_again(uint64_t begin, uint64_t end) {
  if (desk_) return fill_gap(begin, end);
  flush();
  const bool pending = again_.behind != 0;
  begin = std::max<uint64_t>(begin, 1);
  const uint64_t behind = end == 0 || end >= fix::kNumberMax ? fix::kNumberMax : end + 1;
  again_.next = pending ? std::min(again_.next, begin) : begin;
  again_.behind = std::max(again_.behind, behind);
  again_.after = serial_;
  again_.begun = false;
}

bool FixConnection::may(FixAsk ask) {
  auth::Authenticator* authenticator = protocol_.options().authenticator;
  return authenticator == nullptr ||
         authenticator->allows(identity_, context_->remote().host, "exchange", row_.spec.firm, verb_of(ask));
}

// Reports and copies tell what the firm does; market data tells of nobody.
bool FixConnection::may_read() {
  auth::Authenticator* authenticator = protocol_.options().authenticator;
  if (row_.spec.role != exchange::FixRole::market_data) return may(FixAsk::status);
  return authenticator == nullptr ||
         authenticator->allows(identity_, context_->remote().host, "exchange", "market", auth::Verb::read);
}

// ---- market data

// Nothing comes behind a Logout but what the session layer has to say.
bool FixConnection::says_on() const {
  return stage_ == Stage::running && session_->is_logged_on() && !session_->said_goodbye_first();
}

void FixConnection::say(const fix::Draft& draft) {
  if (says_on()) say_next(draft);
}

void FixConnection::resume_desks() {
  if (!desk_) return;
  desk_->resumed();
  statuses_->resumed();
}

bool FixConnection::desk_has_room() { return says_on() && quota_timer_ == 0 && !context_->output_full(); }

void FixConnection::pay(size_t bytes) {
  payer_.use({.bytes_in = 0, .bytes_out = static_cast<int64_t>(bytes), .requests = 0});
  steer_input();
}

void FixConnection::say_next(const fix::Draft& draft) {
  if (stage_ != Stage::running) return;
  fix::Envelope envelope{peers_.begin_string, peers_.sender_comp_id,  peers_.target_comp_id, desk_number_++, now_ns(),
                         std::nullopt,        peers_.timestamp_digits};
  std::string out;
  fix::encode(out, envelope, draft);
  write(out);
  session_->on_sent(now_ns());
  steer_input();
}

// Nothing of what was said is kept.
void FixConnection::fill_gap(uint64_t begin, uint64_t end) {
  begin = std::max<uint64_t>(begin, 1);
  const uint64_t behind = end == 0 ? desk_number_ : std::min(desk_number_, end + 1);
  if (begin >= behind) return;
  const int64_t now = now_ns();
  const fix::Envelope envelope{peers_.begin_string,    peers_.sender_comp_id, peers_.target_comp_id, begin, now, now,
                               peers_.timestamp_digits};
  std::string body;
  fix::add_field(body, fix::kGapFillFlag, "Y");
  fix::add_field(body, fix::kNewSeqNo, static_cast<int64_t>(behind));
  std::string out;
  fix::encode(out, envelope, {"4", {}, body});
  write(out);
}

bool FixConnection::look_up(uint16_t query, Buffer payload) {
  return context_->query(kLookUp, {exchange::kExchangeMachineId, query, std::move(payload), Principal{}});
}

fix::Handled FixConnection::on_market_request(const fix::Message& message) {
  constexpr uint32_t kNotAuthorised = 6;
  const std::string_view type = message.type();
  if (type != "V" && type != "x" && type != "e" && type != "g") return fix::Handled::unsupported_type;
  if (!may_read()) {
    reject(message, BusinessReject{kNotAuthorised, "the session's user may not read market data"});
  } else if (const auto fault = fault_of_ids(message)) {
    reject(message, *fault);
  } else if (type == "V") {
    desk_->on_market_data_request(message);
  } else if (type == "x") {
    desk_->on_security_list_request(message);
  } else {
    statuses_->on_request(message);
  }
  return fix::Handled::taken;
}

// Of a drop copy only what was traded may be asked for.
bool FixConnection::takes(FixAsk ask) const {
  if (ask == FixAsk::capture) return keeps_parties();
  return row_.spec.role == exchange::FixRole::orders;
}

fix::Handled FixConnection::on_application(const fix::Message& message) {
  if (desk_) return on_market_request(message);
  const std::optional<FixAsk> ask = ask_of(message.type());
  if (!ask || !takes(*ask)) return fix::Handled::unsupported_type;
  const uint64_t number = message.number(fix::kMsgSeqNum).value_or(0);
  constexpr uint32_t kNotAuthorised = 6;
  if (!may(*ask)) {
    reject(message, BusinessReject{kNotAuthorised, "the session's user may not do this for firm " + row_.spec.firm});
    return fix::Handled::taken;
  }
  RequestRead read = read_request(*ask, message, keeps_parties());
  if (auto* request = std::get_if<FixRequest>(&read)) {
    pending_.received = keeps_parties() ? now_ns() : 0;
    flush(std::move(*request), number + 1);
  }
  if (const auto* fault = std::get_if<fix::Fault>(&read)) reject(message, *fault);
  if (const auto* why = std::get_if<BusinessReject>(&read)) reject(message, *why);
  return fix::Handled::taken;
}

void FixConnection::reject(const fix::Message& message, const fix::Fault& fault) {
  std::string body;
  fix::add_field(body, fix::kRefSeqNum, static_cast<int64_t>(message.number(fix::kMsgSeqNum).value_or(0)));
  fix::add_field(body, fix::kText, fix::reason_text(fault.reason));
  if (fault.tag) fix::add_field(body, fix::kRefTagID, *fault.tag);
  fix::add_field(body, fix::kRefMsgType, message.type());
  fix::add_field(body, fix::kSessionRejectReason, static_cast<int64_t>(fault.reason));
  send({"3", {}, body});
}

void FixConnection::reject(const fix::Message& message, const BusinessReject& why) {
  std::string body;
  fix::add_field(body, fix::kRefSeqNum, static_cast<int64_t>(message.number(fix::kMsgSeqNum).value_or(0)));
  fix::add_field(body, fix::kRefMsgType, message.type());
  fix::add_field(body, fix::kBusinessRejectReason, static_cast<int64_t>(why.reason));
  fix::add_field(body, fix::kText, why.text);
  send({"j", {}, body});
}

// What was said before is to be sent first.
void FixConnection::close(const char* why) {
  if (stage_ != Stage::running) return;
  stage_ = Stage::closing;
  why_ = why;
  deadline_ns_ = now_ns() + kCloseWaitNs;
}

// ---- commands ----

void FixConnection::flush(std::optional<FixRequest> request, uint64_t next_in) {
  if (!request && !pending_.resets && pending_.drafts.empty()) return;
  const bool relieves = !request || request->ask == FixAsk::cancel || request->ask == FixAsk::mass_cancel;
  pending_.session = row_.spec.name;
  pending_.connection = context_->id();
  pending_.serial = ++serial_;
  pending_.had_in = row_.next_in;
  pending_.next_in = request ? next_in : next_in_;
  pending_.request = std::move(request);
  if (pending_.resets) reset_serial_ = serial_;
  // Who is not let in leaves the numbers to the period that they are of.
  if (pending_.resets || (session_ && session_->is_logged_on())) pending_.period = std::exchange(period_, 0);
  queue_.push_back({relieves ? exchange::kFixInput : exchange::kFixOrders, exchange::packed(pending_)});
  pending_ = {};
  pending_bytes_ = 0;
  if (queue_.size() > kQueuedMax) end("too many messages wait");
}

void FixConnection::submit() {
  while (passing_ == 0 && queue_.size() > under_way() && under_way() < kCommandsMax) {
    const Queued& next = queue_[under_way()];
    if (!context_->submit(submitted_ + 1, command(next.type, next.payload, identity_.principal))) {
      if (again_timer_ == 0) again_timer_ = context_->arm(kAgainNs);
      return;
    }
    ++submitted_;
  }
}

void FixConnection::on_reply(RequestId request, const Reply& reply, net::SessionContext&) {
  if (stage_ == Stage::closed) return;
  if (request == kAskSession) {
    if (stage_ == Stage::asking) take_row(reply);
    return;
  }
  if (request == kLookUp) {
    if (desk_ && stage_ == Stage::running) desk_->on_reply(reply);
    return;
  }
  take_done(reply);
  settle();
}

// The first of what is under way is answered.
void FixConnection::take_done(const Reply& reply) {
  if (passing_ > 0) {
    --passing_;
    return;
  }
  const bool no_room = reply.error == Errc::overloaded || reply.error == Errc::no_space;
  if (no_room && queue_.front().type == exchange::kFixOrders) return give_up_order();
  ++answered_;
  queue_.pop_front();
  const auto done = reply.ok() ? exchange::unpacked<exchange::FixDone>(reply.payload.view()) : std::nullopt;
  if (!done) return end("the exchange does not take what came");
  done_ = *done;
  if (opened_) return;
  opened_ = true;
  live_ = offset_of(done_.began);
  live_number_ = done_.began;
}

// What was submitted behind it is refused, too: it lacks the one before it.
void FixConnection::give_up_order() {
  Queued& first = queue_.front();
  auto input = exchange::unpacked<exchange::FixInput>(first.payload.view());
  if (!input || !input->request) return end("the exchange does not take what came");
  input->request->refused = exchange::Rejected::other;
  input->request->text = "the server has no room for it now";
  first = {exchange::kFixInput, exchange::packed(*input)};
  passing_ = under_way() - 1;
  submitted_ = answered_;
}

// ---- what is synced ----

// All that this connection has asked for and made.
bool FixConnection::all_said() const {
  if (!queue_.empty() || answered_ != submitted_) return false;
  return !opened_ || live_ >= offset_of(done_.next_out);
}

void FixConnection::pump() {
  if (stage_ != Stage::running && stage_ != Stage::closing) return;
  if (!opened_ || reading_ != Reading::nothing || context_->output_full()) return;
  if (begin_again()) return read(Reading::again, offset_of(again_.next));
  if (live_ < durable_) return read(Reading::live, live_);
  if (subscription_ == 0) subscription_ = context_->subscribe(row_.partition, live_);
  if (subscription_ == 0 && again_timer_ == 0) again_timer_ = context_->arm(kAgainNs);
}

// Whether there is something to be sent again now. Its end does not move with what is sent meanwhile.
bool FixConnection::begin_again() {
  if (again_.behind == 0 || answered_ < again_.after) return false;
  const uint64_t sent_upto = done_.first + static_cast<uint64_t>(std::max<Offset>(0, live_ - done_.base));
  if (!again_.begun) again_.behind = std::min(again_.behind, sent_upto);
  again_.begun = true;
  if (again_.next < std::min(again_.behind, done_.first)) {
    SpokenRange none;
    none.begin_at(std::min(again_.behind, done_.first));
    fix::Resend gap;
    gap.add(none, again_.next, 0);
    std::string out;
    gap.send(peers_, none, now_ns(), SIZE_MAX, out);
    write(out);
    again_.next = none.next_number();
  }
  if (again_.next < again_.behind) return true;
  again_ = {};
  return false;
}

void FixConnection::read(Reading what, Offset from) {
  ReadRequest request;
  request.partition = row_.partition;
  request.offset = from;
  request.max_bytes = kReadBytes;
  read_id_ = read_id_ < kRead ? kRead : read_id_ + 1;
  if (context_->read(read_id_, request)) {
    reading_ = what;
  } else if (again_timer_ == 0) {
    again_timer_ = context_->arm(kAgainNs);
  }
}

void FixConnection::on_records(RequestId request, const net::RecordsRead& records, net::SessionContext&) {
  if (stage_ == Stage::closed || request != read_id_) return;
  const Reading what = std::exchange(reading_, Reading::nothing);
  if (records.error) return end("what was said cannot be read");
  durable_ = std::max(durable_, records.durable_end);
  const bool good = what == Reading::live ? take_live(records) : take_again(records);
  if (!good) return end("what was said is not what it should be");
  settle();
}

// Whether it is the number that the peer waits for. If not, somebody else has reset the numbers.
bool FixConnection::is_next(uint64_t number) {
  if (number != live_number_) {
    if (number != 1 || resets_ == 0) return false;
    --resets_;
  }
  live_number_ = number + 1;
  return true;
}

bool FixConnection::take_live(const net::RecordsRead& records) {
  std::string out;
  bool good = true;
  bool goes_on = true;
  for (const Buffer& batch : records.batches) {
    const auto walked = streams::for_each_record(batch.view(), [&](const streams::RecordView& record) {
      if (record.offset != live_ || !goes_on) return;
      const auto spoken = read_spoken(as_text(record.value));
      good = good && spoken;
      goes_on = !spoken || is_next(spoken->number);
      if (!goes_on) return;
      if (spoken) encode_spoken(peers_, *spoken, out);
      ++live_;
    });
    good = good && walked.ok();
  }
  if (!out.empty()) {
    write(out);
    session_->on_sent(now_ns());
  }
  if (!goes_on) end("the session's numbers were reset");
  return good && (!goes_on || !out.empty() || records.offset == records.durable_end);
}

bool FixConnection::take_again(const net::RecordsRead& records) {
  if (again_.behind == 0 || !again_.begun) return true;  // numbers were reset, or more was asked for
  SpokenRange range;
  range.begin_at(again_.next);
  bool good = true;
  for (const Buffer& batch : records.batches) {
    const auto walked = streams::for_each_record(batch.view(), [&](const streams::RecordView& record) {
      const bool wanted = record.offset >= offset_of(again_.next) && record.offset < offset_of(again_.behind);
      const auto spoken = wanted ? read_spoken(as_text(record.value)) : std::nullopt;
      good = good && (!wanted || (spoken && spoken->number == range.next_number()));
      if (good && spoken) range.add(*spoken);
    });
    good = good && walked.ok();
  }
  if (!good || range.next_number() == again_.next) return false;
  fix::Resend resend;
  resend.add(range, again_.next, 0);
  std::string out;
  resend.send(peers_, range, now_ns(), SIZE_MAX, out);
  write(out);
  session_->on_sent(now_ns());
  count(protocol_.counters().resent);
  again_.next = range.next_number();
  return true;
}

void FixConnection::write(const std::string& out) {
  payer_.use({.bytes_in = 0, .bytes_out = static_cast<int64_t>(out.size()), .requests = 0});
  context_->write_copy(as_bytes(out));
}

void FixConnection::on_advanced(net::SubscriptionId subscription, Offset durable_end, net::SessionContext&) {
  if (subscription != subscription_) return;
  subscription_ = 0;
  durable_ = std::max(durable_, durable_end);
  settle();
}

// ---- times, limits, the end ----

// After anything that happened.
void FixConnection::settle() {
  if (stage_ != Stage::running && stage_ != Stage::closing) return;
  flush();
  submit();
  pump();
  if (stage_ == Stage::closing && all_said()) return end(why_);
  steer_input();
  rearm();
}

// Nothing is read while as many commands wait as may, or the user owes.
void FixConnection::steer_input() {
  if (stage_ == Stage::closed) return;
  if (quota_timer_ == 0)
    if (const int64_t pause_ns = std::max(payer_.pause_ns(), rate_.pause_ns(now_ns())); pause_ns > 0)
      quota_timer_ = context_->arm(pause_ns);
  const bool pause = quota_timer_ != 0 || queue_.size() > under_way() || under_way() >= kCommandsMax;
  if (pause != paused_) context_->pause_input(paused_ = pause);
}

void FixConnection::rearm() {
  if (stage_ == Stage::closed) return;
  const std::optional<int64_t> due = stage_ == Stage::running ? session_->next_timer() : deadline_ns_;
  if (!due || (timer_ != 0 && timer_due_ns_ <= *due)) return;
  if (timer_ != 0) context_->cancel(timer_);
  timer_due_ns_ = *due;
  timer_ = context_->arm(std::max<int64_t>(0, *due - now_ns()));
}

void FixConnection::on_timer(net::SessionTimerId timer, net::SessionContext&) {
  if (stage_ == Stage::closed) return;
  if (timer == again_timer_) again_timer_ = 0;
  if (stage_ == Stage::greeting && again_timer_ == 0 && paused_) context_->pause_input(paused_ = false);
  const bool paid = timer == quota_timer_;
  if (paid) quota_timer_ = 0;
  if (timer == hours_timer_ && stage_ == Stage::running) session_->log_out("the session's time is over", now_ns());
  if (timer == right_timer_) {
    right_timer_ = context_->arm(kRightNs);
    judge_right();
  }
  if (timer == timer_) {
    timer_ = 0;
    const bool late = stage_ != Stage::running && now_ns() >= deadline_ns_;
    if (late) return end(stage_ == Stage::closing ? why_ : "no Logon came");
    judge_right();
    if (stage_ == Stage::running) session_->on_timer(now_ns());
    if (stage_ != Stage::running && stage_ != Stage::closing) return rearm();
  }
  settle();
  if (paid && quota_timer_ == 0) resume_desks();
}

void FixConnection::judge_right() {
  if (stage_ != Stage::running || session_->said_goodbye_first() || may_read()) return;
  session_->log_out("the session's user may not read " +
                        (desk_ ? std::string("market data") : "what firm " + row_.spec.firm + " does") + " any more",
                    now_ns());
}

void FixConnection::end(const char* why) {
  if (stage_ == Stage::closed) return;
  if (serial_ == 0) count(protocol_.counters().refused);
  stage_ = Stage::closed;
  wipe_logon();
  context_->close(net::CloseReason::session_closed, why);
}

// What comes after the last command is told by the keeper.
void FixConnection::on_close(net::CloseReason) {
  const bool logged_out = session_ && session_->is_closed() && !session_->said_goodbye_first();
  if (session_) session_->on_disconnected();
  stage_ = Stage::closed;
  if (entered_) protocol_.leave(row_.spec.name, *this);
  desk_.reset();
  statuses_.reset();
  if (serial_ == 0) return;
  exchange::FixEnd ended;
  ended.session = row_.spec.name;
  ended.connection = context_->id();
  ended.serial = serial_;
  ended.resets = pending_.resets || reset_serial_ > submitted_;
  ended.next_in = next_in_;
  ended.logged_out = logged_out && std::string_view(why_) == "logged out";
  protocol_.tell(std::move(ended));
}

}  // namespace heptane::fintech::fixgate
