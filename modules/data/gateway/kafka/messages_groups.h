// The messages of consumer groups. As in messages.h.
#pragma once

#include "modules/data/gateway/kafka/codec.h"

namespace heptane::data::kafka {

struct JoinGroupRequest {
  struct Protocol {
    std::string_view name;
    Bytes metadata;
    static constexpr auto table() {
      return std::make_tuple(field("name", &Protocol::name), field("metadata", &Protocol::metadata));
    }
  };
  std::string_view group_id;
  int32_t session_timeout_ms = 0;
  int32_t rebalance_timeout_ms = -1;
  std::string_view member_id;
  std::optional<std::string_view> group_instance_id;
  std::string_view protocol_type;
  std::vector<Protocol> protocols;
  static constexpr auto table() {
    using T = JoinGroupRequest;
    return std::make_tuple(field("group_id", &T::group_id), field("session_timeout_ms", &T::session_timeout_ms),
                           field("rebalance_timeout_ms", &T::rebalance_timeout_ms, since(1)),
                           field("member_id", &T::member_id),
                           field("group_instance_id", &T::group_instance_id, since(5), since(5)),
                           field("protocol_type", &T::protocol_type), field("protocols", &T::protocols));
  }
};

struct JoinGroupResponse {
  struct Member {
    std::string_view member_id;
    std::optional<std::string_view> group_instance_id;
    Bytes metadata;
    static constexpr auto table() {
      using T = Member;
      return std::make_tuple(field("member_id", &T::member_id),
                             field("group_instance_id", &T::group_instance_id, since(5), since(5)),
                             field("metadata", &T::metadata));
    }
  };
  int32_t throttle_time_ms = 0;
  int16_t error_code = 0;
  int32_t generation_id = -1;
  std::string_view protocol_name;
  std::string_view leader;
  std::string_view member_id;
  std::vector<Member> members;
  static constexpr auto table() {
    using T = JoinGroupResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms, since(2)),
                           field("error_code", &T::error_code), field("generation_id", &T::generation_id),
                           field("protocol_name", &T::protocol_name), field("leader", &T::leader),
                           field("member_id", &T::member_id), field("members", &T::members));
  }
};

struct SyncGroupRequest {
  struct Assignment {
    std::string_view member_id;
    Bytes assignment;
    static constexpr auto table() {
      return std::make_tuple(field("member_id", &Assignment::member_id), field("assignment", &Assignment::assignment));
    }
  };
  std::string_view group_id;
  int32_t generation_id = 0;
  std::string_view member_id;
  std::optional<std::string_view> group_instance_id;
  std::vector<Assignment> assignments;
  static constexpr auto table() {
    using T = SyncGroupRequest;
    return std::make_tuple(
        field("group_id", &T::group_id), field("generation_id", &T::generation_id), field("member_id", &T::member_id),
        field("group_instance_id", &T::group_instance_id, since(3), since(3)), field("assignments", &T::assignments));
  }
};

struct SyncGroupResponse {
  int32_t throttle_time_ms = 0;
  int16_t error_code = 0;
  Bytes assignment;
  static constexpr auto table() {
    using T = SyncGroupResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms, since(1)),
                           field("error_code", &T::error_code), field("assignment", &T::assignment));
  }
};

struct HeartbeatRequest {
  std::string_view group_id;
  int32_t generation_id = 0;
  std::string_view member_id;
  std::optional<std::string_view> group_instance_id;
  static constexpr auto table() {
    using T = HeartbeatRequest;
    return std::make_tuple(field("group_id", &T::group_id), field("generation_id", &T::generation_id),
                           field("member_id", &T::member_id),
                           field("group_instance_id", &T::group_instance_id, since(3), since(3)));
  }
};

struct HeartbeatResponse {
  int32_t throttle_time_ms = 0;
  int16_t error_code = 0;
  static constexpr auto table() {
    using T = HeartbeatResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms, since(1)),
                           field("error_code", &T::error_code));
  }
};

struct LeaveGroupRequest {
  struct Member {
    std::string_view member_id;
    std::optional<std::string_view> group_instance_id;
    static constexpr auto table() {
      return std::make_tuple(field("member_id", &Member::member_id),
                             field("group_instance_id", &Member::group_instance_id, kAllVersions, kAllVersions));
    }
  };
  std::string_view group_id;
  std::string_view member_id;
  std::vector<Member> members;
  static constexpr auto table() {
    using T = LeaveGroupRequest;
    return std::make_tuple(field("group_id", &T::group_id), field("member_id", &T::member_id, between(0, 2)),
                           field("members", &T::members, since(3)));
  }
};

struct LeaveGroupResponse {
  struct Member {
    std::string_view member_id;
    std::optional<std::string_view> group_instance_id;
    int16_t error_code = 0;
    static constexpr auto table() {
      return std::make_tuple(field("member_id", &Member::member_id),
                             field("group_instance_id", &Member::group_instance_id, kAllVersions, kAllVersions),
                             field("error_code", &Member::error_code));
    }
  };
  int32_t throttle_time_ms = 0;
  int16_t error_code = 0;
  std::vector<Member> members;
  static constexpr auto table() {
    using T = LeaveGroupResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms, since(1)),
                           field("error_code", &T::error_code), field("members", &T::members, since(3)));
  }
};

struct DescribeGroupsRequest {
  std::vector<std::string_view> groups;
  bool include_authorized_operations = false;
  static constexpr auto table() {
    using T = DescribeGroupsRequest;
    return std::make_tuple(field("groups", &T::groups),
                           field("include_authorized_operations", &T::include_authorized_operations, since(3)));
  }
};

struct DescribeGroupsResponse {
  struct Member {
    std::string_view member_id;
    std::optional<std::string_view> group_instance_id;
    std::string_view client_id;
    std::string_view client_host;
    Bytes member_metadata;
    Bytes member_assignment;
    static constexpr auto table() {
      using T = Member;
      return std::make_tuple(
          field("member_id", &T::member_id), field("group_instance_id", &T::group_instance_id, since(4), since(4)),
          field("client_id", &T::client_id), field("client_host", &T::client_host),
          field("member_metadata", &T::member_metadata), field("member_assignment", &T::member_assignment));
    }
  };
  struct Group {
    int16_t error_code = 0;
    std::string_view group_id;
    std::string_view group_state;
    std::string_view protocol_type;
    std::string_view protocol_data;
    std::vector<Member> members;
    int32_t authorized_operations = std::numeric_limits<int32_t>::min();
    static constexpr auto table() {
      using T = Group;
      return std::make_tuple(field("error_code", &T::error_code), field("group_id", &T::group_id),
                             field("group_state", &T::group_state), field("protocol_type", &T::protocol_type),
                             field("protocol_data", &T::protocol_data), field("members", &T::members),
                             field("authorized_operations", &T::authorized_operations, since(3)));
    }
  };
  int32_t throttle_time_ms = 0;
  std::vector<Group> groups;
  static constexpr auto table() {
    using T = DescribeGroupsResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms, since(1)), field("groups", &T::groups));
  }
};

struct ListGroupsRequest {
  std::vector<std::string_view> states_filter;
  static constexpr auto table() {
    using T = ListGroupsRequest;
    return std::make_tuple(field("states_filter", &T::states_filter, since(4)));
  }
};

struct ListGroupsResponse {
  struct Group {
    std::string_view group_id;
    std::string_view protocol_type;
    std::string_view group_state;
    static constexpr auto table() {
      return std::make_tuple(field("group_id", &Group::group_id), field("protocol_type", &Group::protocol_type),
                             field("group_state", &Group::group_state, since(4)));
    }
  };
  int32_t throttle_time_ms = 0;
  int16_t error_code = 0;
  std::vector<Group> groups;
  static constexpr auto table() {
    using T = ListGroupsResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms, since(1)),
                           field("error_code", &T::error_code), field("groups", &T::groups));
  }
};

struct DeleteGroupsRequest {
  std::vector<std::string_view> groups_names;
  static constexpr auto table() {
    using T = DeleteGroupsRequest;
    return std::make_tuple(field("groups_names", &T::groups_names));
  }
};

struct DeleteGroupsResponse {
  struct Result {
    std::string_view group_id;
    int16_t error_code = 0;
    static constexpr auto table() {
      return std::make_tuple(field("group_id", &Result::group_id), field("error_code", &Result::error_code));
    }
  };
  int32_t throttle_time_ms = 0;
  std::vector<Result> results;
  static constexpr auto table() {
    using T = DeleteGroupsResponse;
    return std::make_tuple(field("throttle_time_ms", &T::throttle_time_ms), field("results", &T::results));
  }
};

}  // namespace heptane::data::kafka
