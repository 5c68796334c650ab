// Consumer groups as far as they are there: a group is what has committed offsets, and has no members. Joining one is
// refused with UNSUPPORTED_VERSION, which clients report as what it is and do not retry for ever without a word.

#include <algorithm>

#include "modules/data/gateway/kafka/messages_groups.h"
#include "modules/data/gateway/kafka/parted_request.h"
#include "modules/data/machine/consumer_offsets/api.h"

namespace heptane::data::kafka {

namespace {

constexpr size_t kGroupsMax = 10'000;
constexpr std::string_view kEmpty = "Empty";
constexpr std::string_view kDead = "Dead";

bool valid_group(std::string_view group) { return !group.empty() && group.size() <= offsets::kGroupLimitBytes; }

// JoinGroup, SyncGroup, Heartbeat, LeaveGroup.
template <class RequestMessage, class Response, ErrorCode error>
class Refusal final : public Request {
 public:
  using Request::Request;

  void start() override {
    RequestMessage request;
    if (!decode(request)) return;
    Response response;
    const bool allowed = session_.may_group(auth::Verb::read, request.group_id);
    response.error_code = wire(allowed ? error : ErrorCode::group_authorization_failed);
    answer(response);
  }
};

class ListGroups final : public Request {
 public:
  using Request::Request;

  bool answers_at_length() const override { return true; }

  void start() override {
    if (!decode(request_)) return;
    set_deadline(session_.now_ns() + KafkaSession::kRequestDeadlineNs);
    const auto& states = request_.states_filter;
    if (!states.empty() && std::find(states.begin(), states.end(), kEmpty) == states.end()) return answer(response_);
    next_page({});
  }

  void on_reply(uint32_t tag, const Reply& reply) override {
    (void)tag;
    if (done()) return;
    const auto names = offsets::decode_groups(reply.payload.view());
    if (!reply.ok() || !names) return fail(reply.ok() ? ErrorCode::unknown_server_error : error_of(reply));
    pages_.push_back(reply.payload);
    for (const std::string_view name : *names)
      if (session_.sees("groups", name)) response_.groups.push_back({name, "", kEmpty});
    if (reply.numbers[0] != 0 && !names->empty()) return next_page(names->back());
    answer(response_);
  }

 private:
  void next_page(std::string_view after) {
    QueryRequest query;
    query.machine = offsets::kMachineId;
    query.type = offsets::kListGroups;
    query.payload = offsets::encode(offsets::ListGroupsQuery{after});
    if (!session_.query(*this, 0, std::move(query))) fail(ErrorCode::coordinator_load_in_progress);
  }

  void fail(ErrorCode error) {
    response_.groups.clear();
    response_.error_code = wire(error);
    answer(response_);
  }

  ListGroupsRequest request_;
  ListGroupsResponse response_;
  std::vector<Buffer> pages_;  // what the answer's texts lie in
};

class DescribeGroups final : public PartedRequest {
 public:
  using PartedRequest::PartedRequest;

  void start() override {
    if (!decode(request_)) return;
    set_deadline(session_.now_ns() + KafkaSession::kRequestDeadlineNs);
    if (request_.groups.size() > kGroupsMax) return close("a request that describes too many groups");
    for (const std::string_view name : request_.groups) {
      DescribeGroupsResponse::Group& group = response_.groups.emplace_back();
      group.group_id = name;
      group.group_state = kDead;
    }
    begin_parts(request_.groups.size());
  }

  void on_reply(uint32_t tag, const Reply& reply) override {
    if (done()) return;
    DescribeGroupsResponse::Group& group = response_.groups[tag];
    group.error_code = wire(error_of(reply));
    if (reply.ok() && reply.numbers[0] > 0) group.group_state = kEmpty;
    part_done();
  }

 private:
  bool ask(size_t index) override {
    DescribeGroupsResponse::Group& group = response_.groups[index];
    if (!valid_group(group.group_id)) {
      group.error_code = wire(ErrorCode::invalid_group_id);
      return false;
    }
    if (!session_.may_group(auth::Verb::read, group.group_id)) {
      group.error_code = wire(ErrorCode::group_authorization_failed);
      return false;
    }
    QueryRequest query;
    query.machine = offsets::kMachineId;
    query.type = offsets::kGroupSize;
    query.payload = offsets::encode(offsets::DeleteGroup{group.group_id});
    if (session_.query(*this, static_cast<uint32_t>(index), std::move(query))) return true;
    group.error_code = wire(ErrorCode::coordinator_load_in_progress);
    return false;
  }

  void respond() override { answer(response_); }

  DescribeGroupsRequest request_;
  DescribeGroupsResponse response_;
};

// A large group takes several commands.
class DeleteGroups final : public PartedRequest {
 public:
  using PartedRequest::PartedRequest;

  void start() override {
    if (!decode(request_)) return;
    set_deadline(session_.now_ns() + KafkaSession::kRequestDeadlineNs);
    if (request_.groups_names.size() > kGroupsMax) return close("a request that deletes too many groups");
    for (const std::string_view name : request_.groups_names) response_.results.push_back({name, 0});
    begin_parts(request_.groups_names.size());
  }

  void on_reply(uint32_t tag, const Reply& reply) override {
    if (done()) return;
    DeleteGroupsResponse::Result& result = response_.results[tag];
    if (!reply.ok())
      result.error_code = wire(*reply.error == Errc::not_found ? ErrorCode::group_id_not_found : error_of(reply));
    else if (reply.numbers[1] > 0 && send(tag))
      return;
    part_done();
  }

 private:
  bool ask(size_t index) override {
    DeleteGroupsResponse::Result& result = response_.results[index];
    if (!valid_group(result.group_id))
      result.error_code = wire(ErrorCode::invalid_group_id);
    else if (!session_.may_group(auth::Verb::remove, result.group_id))
      result.error_code = wire(ErrorCode::group_authorization_failed);
    else
      return send(static_cast<uint32_t>(index));
    return false;
  }

  bool send(uint32_t index) {
    DeleteGroupsResponse::Result& result = response_.results[index];
    Buffer command = offsets::encode(offsets::DeleteGroup{result.group_id});
    if (session_.submit(*this, index,
                        streams::make_command(offsets::kMachineId, offsets::kDeleteGroup, std::move(command))))
      return true;
    result.error_code = wire(ErrorCode::coordinator_load_in_progress);
    return false;
  }

  void respond() override { answer(response_); }

  DeleteGroupsRequest request_;
  DeleteGroupsResponse response_;
};

using JoinGroup = Refusal<JoinGroupRequest, JoinGroupResponse, ErrorCode::unsupported_version>;
using SyncGroup = Refusal<SyncGroupRequest, SyncGroupResponse, ErrorCode::unknown_member_id>;
using Heartbeat = Refusal<HeartbeatRequest, HeartbeatResponse, ErrorCode::unknown_member_id>;
using LeaveGroup = Refusal<LeaveGroupRequest, LeaveGroupResponse, ErrorCode::unknown_member_id>;

}  // namespace

std::unique_ptr<Request> make_join_group(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                         Bytes body) {
  return std::make_unique<JoinGroup>(session, api, header, std::move(frame), body);
}

std::unique_ptr<Request> make_sync_group(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                         Bytes body) {
  return std::make_unique<SyncGroup>(session, api, header, std::move(frame), body);
}

std::unique_ptr<Request> make_heartbeat(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                        Bytes body) {
  return std::make_unique<Heartbeat>(session, api, header, std::move(frame), body);
}

std::unique_ptr<Request> make_leave_group(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                          Bytes body) {
  return std::make_unique<LeaveGroup>(session, api, header, std::move(frame), body);
}

std::unique_ptr<Request> make_list_groups(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                          Bytes body) {
  return std::make_unique<ListGroups>(session, api, header, std::move(frame), body);
}

std::unique_ptr<Request> make_describe_groups(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                              Bytes body) {
  return std::make_unique<DescribeGroups>(session, api, header, std::move(frame), body);
}

std::unique_ptr<Request> make_delete_groups(KafkaSession& session, const Api& api, RequestHeader header, Buffer frame,
                                            Bytes body) {
  return std::make_unique<DeleteGroups>(session, api, header, std::move(frame), body);
}

}  // namespace heptane::data::kafka
