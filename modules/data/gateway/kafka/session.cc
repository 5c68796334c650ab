#include "modules/data/gateway/kafka/session.h"

#include <algorithm>

#include "kernel/net/peer.h"
#include "kernel/shard/state_machine.h"

namespace heptane::data::kafka {

namespace {

constexpr size_t kLengthBytes = 4;
constexpr std::string_view kListener = "kafka";
constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kHoldCheckNs = 100'000'000;  // how often a held request looks at the output, should nobody tell it

constexpr int16_t wire(ApiKey key) { return static_cast<int16_t>(key); }

bool before_authentication(ApiKey key) {
  return key == ApiKey::api_versions || key == ApiKey::sasl_handshake || key == ApiKey::sasl_authenticate;
}

void count(std::atomic<uint64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

void KafkaSession::on_open(net::SessionContext& context) {
  context_ = &context;
  context.need(kLengthBytes);
  if (options().authenticator != nullptr)
    if (auto identity = options().authenticator->by_certificate(net::peer_of(context, "kafka")))
      sasl_.accept(std::move(*identity));
  if (sasl_.authenticated(options())) return;
  authenticate_until_ns_ = now_ns() + kAuthenticateWithinNs;
  schedule(authenticate_until_ns_);
}

size_t KafkaSession::on_bytes(Bytes input, net::SessionContext& context) {
  context_ = &context;
  if (input_ended_ || closed_) return input.size();
  size_t consumed = 0;
  while (!full() && !input_ended_ && !muted()) {
    const size_t taken = take_frame(input.subspan(consumed));
    if (taken == 0) break;
    consumed += taken;
    advance();
  }
  if (closed_ || input_ended_) return input.size();
  if (full() || muted()) set_paused(true);
  return consumed;
}

size_t KafkaSession::take_frame(Bytes input) {
  if (input.size() < kLengthBytes) {
    context_->need(kLengthBytes);
    return 0;
  }
  const auto length = load_be<int32_t>(input.data());
  const bool known = sasl_.authenticated(options());
  const size_t limit = known ? options().max_request_bytes : std::min(options().max_request_bytes, kStrangersBytesMax);
  if (length < 0 || static_cast<size_t>(length) > limit) {
    end_input(length < 0
                  ? "negative request length"
                  : (known ? "request longer than kafka.max_request_bytes" : "a long request before authentication"),
              counters().oversized_requests);
    return input.size();
  }
  const size_t whole = kLengthBytes + static_cast<size_t>(length);
  if (input.size() < whole) {
    context_->need(whole);
    return 0;
  }
  count(counters().requests);
  enqueue(context_->keep(input.subspan(kLengthBytes, static_cast<size_t>(length))));
  return whole;
}

// Header: api key, version, correlation id, client id (never compact); flexible versions add tagged fields.
// Before a client has proved who it is, every request is answered as it comes: what the last one changed holds already.
void KafkaSession::enqueue(Buffer frame) {
  if (sasl_.expects_tokens()) {
    in_flight_bytes_ += frame.size();
    const Bytes token = frame.view();
    requests_.push_back(
        make_sasl_token(*this, *find_api(wire(ApiKey::sasl_authenticate)), {}, std::move(frame), token));
    return;
  }
  ByteReader reader(frame.view());
  RequestHeader header;
  header.api_key = reader.be<int16_t>();
  header.api_version = reader.be<int16_t>();
  header.correlation_id = reader.be<int32_t>();
  if (reader.failed()) return end_input("request without a whole header", counters().malformed_requests);
  const Api* api = find_api(header.api_key);
  if (api == nullptr) return end_input("API key is not served", counters().unknown_apis);
  count(counters().requests_by_api[static_cast<size_t>(api - kApis.data())]);
  if (!sasl_.authenticated(options()) && !before_authentication(api->key))
    return end_input("a request before authentication", counters().unauthenticated_requests);
  if (sasl_.authenticated(options()) && !in_force())
    return end_input("the principal was changed or deleted: authenticate again", counters().unauthenticated_requests);
  if (net::Quotas* quotas = options().quotas) {
    if (!slot_.enter(*quotas, quota_principal()))
      return end_input("more connections than quotas.connections allows", counters().over_quota);
    const auto bytes = static_cast<int64_t>(frame.size());
    quotas->use(kListener, quota_principal(), {.bytes_in = bytes, .bytes_out = 0, .requests = 1});
  }
  const bool readable = header.api_version >= api->readable_min && header.api_version <= api->advertised_max;
  if (!readable && api->key != ApiKey::api_versions)
    return end_input("API version is not served", counters().unsupported_versions);
  Bytes body;
  if (readable) {
    const auto client_id_bytes = reader.be<int16_t>();
    if (client_id_bytes < -1) reader.fail();
    if (client_id_bytes > 0) reader.skip(static_cast<size_t>(client_id_bytes));
    if (!reader.failed() && header.api_version >= api->first_flexible) {
      Decoder tags(reader.rest(), {header.api_version, true});
      tags.skip_tagged_fields();
      if (tags.reader().failed())
        reader.fail();
      else
        reader.skip(tags.reader().position());
    }
    if (reader.failed()) return end_input("malformed request header", counters().malformed_requests);
    body = reader.rest();
  }
  in_flight_bytes_ += frame.size();
  requests_.push_back(make_request(*this, *api, header, std::move(frame), body));
}

// Requests that came before are still answered.
void KafkaSession::end_input(std::string_view why, std::atomic<uint64_t>& counter) {
  count(counter);
  input_ended_ = true;
  end_why_ = why;
  advance();
}

void KafkaSession::on_reply(RequestId id, const Reply& reply, net::SessionContext& context) {
  context_ = &context;
  const std::optional<Ask> ask = take_ask(id);
  if (!ask || closed_) return;
  ask->request->on_reply(ask->tag, reply);
  advance();
}

void KafkaSession::on_records(RequestId id, const net::RecordsRead& records, net::SessionContext& context) {
  context_ = &context;
  const std::optional<Ask> ask = take_ask(id);
  if (!ask || closed_) return;
  ask->request->on_records(ask->tag, records);
  advance();
}

// Only the first request can have subscribed: it runs alone.
void KafkaSession::on_advanced(net::SubscriptionId id, Offset durable_end, net::SessionContext& context) {
  (void)durable_end;  // what is read says it again
  context_ = &context;
  if (started_ == 0 || closed_) return;
  requests_.front()->on_advanced(id);
  advance();
}

void KafkaSession::on_writable(net::SessionContext& context) {
  context_ = &context;
  advance();
}

void KafkaSession::on_timer(net::SessionTimerId timer, net::SessionContext& context) {
  context_ = &context;
  if (timer != timer_ || closed_) return;
  timer_at_ns_ = 0;
  const int64_t now = now_ns();
  if (!sasl_.authenticated(options()) && now >= authenticate_until_ns_) {
    closed_ = true;
    return context_->close(net::CloseReason::protocol_error, "no authentication in time");
  }
  for (size_t i = 0; i < started_; ++i) {
    Request& request = *requests_[i];
    if (!request.done() && request.deadline_ns() != 0 && request.deadline_ns() <= now) request.on_deadline();
  }
  advance();
  for (size_t i = 0; i < started_; ++i)
    if (!requests_[i]->done() && requests_[i]->deadline_ns() != 0) schedule(requests_[i]->deadline_ns());
  if (!sasl_.authenticated(options())) schedule(authenticate_until_ns_);
  if (muted()) schedule(muted_until_ns_);
}

int32_t KafkaSession::throttle(size_t answer_bytes) {
  net::Quotas* quotas = options().quotas;
  if (quotas == nullptr) return 0;
  const auto bytes = static_cast<int64_t>(answer_bytes);
  quotas->use(kListener, quota_principal(), {.bytes_in = 0, .bytes_out = bytes, .requests = 0});
  const int64_t wait_ns = quotas->wait_ns(kListener, quota_principal());
  if (wait_ns <= 0) return 0;
  quotas->count_throttled(wait_ns);
  muted_until_ns_ = std::max(muted_until_ns_, now_ns() + wait_ns);
  set_paused(true);
  schedule(muted_until_ns_);
  return static_cast<int32_t>((wait_ns + kNsPerMs - 1) / kNsPerMs);
}

// One timer for all: it stays armed when the request it was for is done, so that a busy connection rarely arms one.
void KafkaSession::schedule(int64_t deadline_ns) {
  if (closed_ || (timer_at_ns_ != 0 && timer_at_ns_ <= deadline_ns)) return;
  if (timer_at_ns_ != 0) context_->cancel(timer_);
  timer_at_ns_ = deadline_ns;
  timer_ = context_->arm(std::max<int64_t>(0, deadline_ns - now_ns()));
}

void KafkaSession::advance() {
  if (advancing_) return;  // a request answered from within its own start
  advancing_ = true;
  bool moved = true;
  while (moved && !closed_) {
    moved = false;
    while (!requests_.empty() && requests_.front()->done() && !closed_) {
      deliver_front();
      moved = true;
    }
    while (!closed_ && started_ < requests_.size() &&
           may_start(*requests_[started_], started_ == 0 ? nullptr : requests_[started_ - 1].get())) {
      Request& request = *requests_[started_++];
      request.mark_started();
      request.start();
      moved = true;
    }
  }
  advancing_ = false;
  if (closed_) return;
  if (paused_ && !full() && !muted()) set_paused(false);
  if (input_ended_ && requests_.empty()) {
    closed_ = true;
    context_->close(net::CloseReason::protocol_error, end_why_);
  }
}

bool KafkaSession::may_start(const Request& request, const Request* before) {
  if (before != nullptr)
    return request.key() == ApiKey::produce && before->key() == ApiKey::produce && before->may_be_followed();
  if (!request.answers_at_length() || context_->output_bytes() <= kOutputHoldBytes) return true;
  schedule(now_ns() + kHoldCheckNs);
  return false;
}

void KafkaSession::deliver_front() {
  const std::unique_ptr<Request> request = std::move(requests_.front());
  requests_.pop_front();
  --started_;
  in_flight_bytes_ -= request->frame_bytes();
  drop_asks_of(*request);
  // What waited at length, as a fetch does, does not reach somebody who was shut out meanwhile.
  if (request->answers_at_length() && !in_force()) {
    count(counters().unauthenticated_requests);
    closed_ = true;
    return context_->close(net::CloseReason::protocol_error, "the principal was changed or deleted");
  }
  for (Buffer& piece : request->take_response()) context_->write(std::move(piece));
  if (request->close_why().empty()) return;
  closed_ = true;
  context_->close(net::CloseReason::protocol_error, request->close_why());
}

void KafkaSession::set_paused(bool paused) {
  if (paused_ == paused) return;
  paused_ = paused;
  context_->pause_input(paused);
}

RequestId KafkaSession::remember(Request& request, uint32_t tag) {
  asks_.push_back({&request, tag});
  return first_ask_ + asks_.size() - 1;
}

std::optional<KafkaSession::Ask> KafkaSession::take_ask(RequestId id) {
  if (id < first_ask_ || id - first_ask_ >= asks_.size()) return std::nullopt;
  const Ask ask = std::exchange(asks_[id - first_ask_], Ask{});
  while (!asks_.empty() && asks_.front().request == nullptr) {
    asks_.pop_front();
    ++first_ask_;
  }
  if (ask.request == nullptr) return std::nullopt;
  return ask;
}

// Answers that come after a request gave up are nobody's.
void KafkaSession::drop_asks_of(const Request& request) {
  for (Ask& ask : asks_)
    if (ask.request == &request) ask.request = nullptr;
}

bool KafkaSession::submit(Request& request, uint32_t tag, Submission submission) {
  submission.principal = sasl_.identity().principal;
  submission.listener = options().listener;
  submission.received_utc_ns = context_->utc_ns();
  const RequestId id = remember(request, tag);
  if (context_->submit(id, std::move(submission))) return true;
  take_ask(id);
  return false;
}

bool KafkaSession::query(Request& request, uint32_t tag, QueryRequest query) {
  query.principal = sasl_.identity().principal;
  const RequestId id = remember(request, tag);
  if (context_->query(id, std::move(query))) return true;
  take_ask(id);
  return false;
}

bool KafkaSession::read(Request& request, uint32_t tag, const ReadRequest& read) {
  const RequestId id = remember(request, tag);
  if (context_->read(id, read)) return true;
  take_ask(id);
  return false;
}

bool KafkaSession::describe(Request& request, uint32_t tag, const streams::DescribeQuery& names) {
  QueryRequest query;
  query.machine = machine_ids::kStreams;
  query.type = streams::kDescribe;
  query.payload = streams::encode(names);
  return this->query(request, tag, std::move(query));
}

void KafkaSession::learn(const std::vector<streams::StreamInfo>& infos) {
  // Not in between: what one request asked for is known when it goes on.
  if (known_.size() + infos.size() > kKnownStreamsMax) known_.clear();
  for (const streams::StreamInfo& info : infos) known_.insert_or_assign(info.name, info.partitions);
}

streams::PartitionInfo* KafkaSession::find(std::string_view topic, int32_t partition) {
  const auto found = known_.find(topic);
  if (found == known_.end() || partition < 0 || static_cast<size_t>(partition) >= found->second.size()) return nullptr;
  return &found->second[static_cast<size_t>(partition)];
}

void KafkaSession::forget(std::string_view topic) {
  const auto found = known_.find(topic);
  if (found != known_.end()) known_.erase(found);
}

bool KafkaSession::allowed(std::string_view module, std::string_view resource, auth::Verb verb) const {
  auth::Authenticator* authenticator = options().authenticator;
  return authenticator == nullptr ||
         authenticator->allows(sasl_.identity(), context_->remote().host, module, resource, verb);
}

bool KafkaSession::sees(std::string_view module, std::string_view name) const {
  const auth::Authenticator* authenticator = options().authenticator;
  return authenticator == nullptr || authenticator->sees(sasl_.identity(), module, name);
}

bool KafkaSession::in_force() const {
  const auth::Authenticator* authenticator = options().authenticator;
  return authenticator == nullptr || authenticator->in_force(sasl_.identity());
}

const net::Address& KafkaSession::advertised() const {
  return options().advertised.host.empty() ? local() : options().advertised;
}

std::unique_ptr<net::Session> KafkaProtocol::open(const net::Address& remote) {
  (void)remote;
  return std::make_unique<KafkaSession>(*this);
}

void TopicLookup::want(KafkaSession& session, std::string_view topic, int32_t partition) {
  if (!streams::valid_name(topic) || (session.knows(topic) && session.find(topic, partition) != nullptr)) return;
  if (!query_.names.empty() && query_.names.back() == topic) return;
  query_.names.emplace_back(topic);
}

TopicLookup::Outcome TopicLookup::ask(KafkaSession& session, Request& request, uint32_t tag) {
  constexpr size_t kNamesMax = 10'000;
  std::sort(query_.names.begin(), query_.names.end());
  query_.names.erase(std::unique(query_.names.begin(), query_.names.end()), query_.names.end());
  if (query_.names.empty()) return Outcome::nothing_to_ask;
  if (query_.names.size() > kNamesMax) return Outcome::refused;
  return session.describe(request, tag, query_) ? Outcome::asked : Outcome::refused;
}

const streams::StreamInfo* find_stream(const std::vector<streams::StreamInfo>& infos, std::string_view name) {
  const auto found =
      std::lower_bound(infos.begin(), infos.end(), name,
                       [](const streams::StreamInfo& info, std::string_view n) { return info.name < n; });
  return found != infos.end() && found->name == name ? &*found : nullptr;
}

const streams::PartitionInfo* find_partition(const std::vector<streams::StreamInfo>& infos, std::string_view name,
                                             int32_t partition) {
  const streams::StreamInfo* info = find_stream(infos, name);
  if (info == nullptr || partition < 0 || static_cast<size_t>(partition) >= info->partitions.size()) return nullptr;
  return &info->partitions[static_cast<size_t>(partition)];
}

namespace {

ErrorCode error_of_refused_append(streams::AppendRefusal refusal) {
  switch (refusal) {
    case streams::AppendRefusal::none: return ErrorCode::unknown_server_error;
    case streams::AppendRefusal::unknown_partition: return ErrorCode::unknown_topic_or_partition;
    case streams::AppendRefusal::out_of_order_sequence: return ErrorCode::out_of_order_sequence;
    case streams::AppendRefusal::duplicate_sequence: return ErrorCode::duplicate_sequence;
    case streams::AppendRefusal::fenced_producer: return ErrorCode::invalid_producer_epoch;
    case streams::AppendRefusal::unknown_producer: return ErrorCode::unknown_producer_id;
    case streams::AppendRefusal::view: return ErrorCode::policy_violation;
  }
  return ErrorCode::unknown_server_error;
}

}  // namespace

ErrorCode error_of(const Reply& reply) {
  if (reply.ok()) return ErrorCode::none;
  switch (*reply.error) {
    case Errc::overloaded: return ErrorCode::not_enough_replicas;  // retriable everywhere, and says: nothing was kept
    case Errc::no_space: return ErrorCode::kafka_storage_error;
    case Errc::deadline:
    case Errc::closed: return ErrorCode::request_timed_out;
    case Errc::too_large: return ErrorCode::message_too_large;
    case Errc::corrupt: return ErrorCode::corrupt_message;
    case Errc::refused: return ErrorCode::policy_violation;                   // a view: it has no other writer
    case Errc::unauthorised: return ErrorCode::cluster_authorization_failed;  // changed since it was let in
    default: break;
  }
  if (reply.detail != 0) return error_of_refused_append(static_cast<streams::AppendRefusal>(reply.detail));
  if (*reply.error == Errc::not_found) return ErrorCode::unknown_topic_or_partition;
  return ErrorCode::unknown_server_error;
}

void Request::on_deadline() {
  session_.counters().requests_past_deadline.fetch_add(1, std::memory_order_relaxed);
  close("no answer from the shard before the deadline");
}

void Request::close(std::string_view why) {
  done_ = true;
  close_why_ = why;
}

void Request::malformed() {
  session_.counters().malformed_requests.fetch_add(1, std::memory_order_relaxed);
  close("malformed request");
}

void Request::answer_raw(Bytes bytes) {
  ByteWriter out;
  out.be(static_cast<int32_t>(bytes.size()));
  out.append(bytes);
  response_ = {Buffer::take(out.release())};
  done_ = true;
}

void Request::set_deadline(int64_t deadline_ns) {
  deadline_ns_ = deadline_ns;
  session_.schedule(deadline_ns);
}

// Length, then the header: correlation id, and tagged fields in flexible versions except of ApiVersions, whose answer an
// older client must be able to read.
Encoder Request::begin_answer(int16_t version) {
  const bool flexible = version >= api_.first_flexible;
  Encoder encoder({version, flexible});
  encoder.out().zeros(kLengthBytes);
  encoder.out().be(header_.correlation_id);
  if (flexible && api_.key != ApiKey::api_versions) encoder.empty_tagged_fields();
  return encoder;
}

int32_t Request::throttle(size_t answer_bytes) { return session_.throttle(answer_bytes); }

void Request::finish_answer(Encoder& encoder) {
  store_be(encoder.out().at(0), static_cast<int32_t>(encoder.size() - kLengthBytes));
  response_ = encoder.finish();
  done_ = true;
}

std::unique_ptr<Request> make_request(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                      Bytes body) {
  const auto make = [&](MakeRequest& maker) { return maker(session, api, header, std::move(frame), body); };
  switch (api.key) {
    case ApiKey::produce: return make(make_produce);
    case ApiKey::fetch: return make(make_fetch);
    case ApiKey::list_offsets: return make(make_list_offsets);
    case ApiKey::metadata: return make(make_metadata);
    case ApiKey::offset_commit: return make(make_offset_commit);
    case ApiKey::offset_fetch: return make(make_offset_fetch);
    case ApiKey::find_coordinator: return make(make_find_coordinator);
    case ApiKey::join_group: return make(make_join_group);
    case ApiKey::heartbeat: return make(make_heartbeat);
    case ApiKey::leave_group: return make(make_leave_group);
    case ApiKey::sync_group: return make(make_sync_group);
    case ApiKey::describe_groups: return make(make_describe_groups);
    case ApiKey::list_groups: return make(make_list_groups);
    case ApiKey::sasl_handshake: return make(make_sasl_handshake);
    case ApiKey::api_versions: return make(make_api_versions);
    case ApiKey::create_topics: return make(make_create_topics);
    case ApiKey::create_partitions: return make(make_create_partitions);
    case ApiKey::delete_topics: return make(make_delete_topics);
    case ApiKey::delete_records: return make(make_delete_records);
    case ApiKey::init_producer_id: return make(make_init_producer_id);
    case ApiKey::offset_for_leader_epoch: return make(make_offset_for_leader_epoch);
    case ApiKey::describe_configs: return make(make_describe_configs);
    case ApiKey::alter_configs: return make(make_alter_configs);
    case ApiKey::sasl_authenticate: return make(make_sasl_authenticate);
    case ApiKey::delete_groups: return make(make_delete_groups);
    case ApiKey::incremental_alter_configs: return make(make_incremental_alter_configs);
  }
  return nullptr;
}

}  // namespace heptane::data::kafka
