// The broker for operators: /api/v1/mqtt/... on the admin listener. Connected clients are looked at in the broker itself, on the
// I/O thread that serves all of them; durable sessions and retained messages are asked of the machine. What an operator changes is
// in the audit trail before it is done. See the module's README for the forms.
#pragma once

#include <functional>

#include "kernel/net/http/router.h"
#include "modules/iot/gateway/mqtt/broker.h"

namespace heptane::iot::mqtt_http {

// Null: the module is off. Called on the I/O thread, for as long as the router is used.
using GetBroker = std::function<mqtt::Broker*()>;

void add_routes(http::HttpRouter& router, GetBroker broker);

// Its parts.
void add_client_routes(http::HttpRouter& router, const GetBroker& broker);
void add_session_routes(http::HttpRouter& router, const GetBroker& broker);
void add_group_route(http::HttpRouter& router, const GetBroker& broker);
void add_subscription_route(http::HttpRouter& router, const GetBroker& broker);
void add_retained_routes(http::HttpRouter& router, const GetBroker& broker);
void add_trace_route(http::HttpRouter& router, const GetBroker& broker);
void add_method_route(http::HttpRouter& router, const GetBroker& broker);

}  // namespace heptane::iot::mqtt_http
