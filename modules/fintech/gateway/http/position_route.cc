// GET the position of a transfer: which command made it. The transfer's place among all is the offset of its record in the view
// of transfers, unless the view began later than the ledger; the record names its command.
#include <algorithm>
#include <memory>

#include "kernel/admin/request_parameters.h"
#include "kernel/admin/stored_records.h"
#include "kernel/streams/view_batches.h"
#include "modules/fintech/gateway/http/ledger_answers.h"
#include "modules/fintech/gateway/http/ledger_routes.h"
#include "modules/fintech/machine/ledger/views.h"

namespace heptane::fintech::ledger_http {

namespace {

using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;

constexpr uint32_t kReadBytes = 1 << 20;
// What the view may have grown by between the two questions, in records.
constexpr int64_t kSlack = 1024;

class PositionRequest : public std::enable_shared_from_this<PositionRequest> {
 public:
  explicit PositionRequest(Uint128 id) : id_(id), key_(number_text(id)) {}

  void find(HttpExchange& exchange) {
    const Bytes payload{reinterpret_cast<const std::byte*>(&id_), sizeof id_};
    exchange.query(ledger_query(kQueryTransferPlace, Buffer::copy_of(payload)),
                   [self = shared_from_this()](HttpExchange& answered, const Reply& reply) {
                     if (!reply.ok()) return answered.respond(admin::refusal_response(reply));
                     self->place_ = reply.numbers[0];
                     self->behind_ = reply.numbers[1] - reply.numbers[0];
                     self->find_view(answered);
                   });
  }

 private:
  void find_view(HttpExchange& exchange) {
    admin::find_partition(exchange, std::string(kTransfersStream), 0,
                          [self = shared_from_this()](HttpExchange& answered, const streams::PartitionInfo& partition) {
                            self->partition_ = partition;
                            self->read(answered, self->place_, true);
                          });
  }

  // At its place; then, page after page, around the same place counted from the view's end.
  void read(HttpExchange& exchange, int64_t offset, bool first) {
    if (first && (offset < partition_.log_start || offset >= partition_.durable_end)) return read_from_end(exchange);
    ReadRequest request;
    request.partition = partition_.id;
    request.offset = next_ = std::max<Offset>(offset, partition_.log_start);
    request.max_bytes = first ? 1 : kReadBytes;
    exchange.read(request, [self = shared_from_this(), first](HttpExchange& answered, const net::RecordsRead& records) {
      self->on_records(answered, records, first);
    });
  }

  void read_from_end(HttpExchange& exchange) {
    const int64_t around = partition_.durable_end - behind_;
    last_ = around + kSlack;
    read(exchange, around - kSlack, false);
  }

  void on_records(HttpExchange& exchange, const net::RecordsRead& read, bool first) {
    if (read.error) return exchange.respond(admin::error_response(admin::read_error(read)));
    const Offset before = next_;
    for (const Buffer& batch : read.batches) {
      const Result<void> looked =
          admin::for_each_stored(batch.view(), [this](const streams::RecordView& record) { look_at(record); });
      if (!looked) return exchange.respond(admin::error_response(looked.error()));
    }
    if (!position_.empty()) return answer(exchange);
    if (first) return read_from_end(exchange);
    if (next_ > before && next_ <= last_) return this->read(exchange, next_, false);
    exchange.respond(
        admin::error_response({Errc::not_found,
                               "the record of transfer " + key_ + " is not in " + std::string(kTransfersStream) +
                                   ": it was made before there was such a stream, or went with its retention",
                               0}));
  }

  void look_at(const streams::RecordView& record) {
    next_ = std::max(next_, record.offset + 1);
    if (!record.has_key || as_text(record.key) != key_) return;
    offset_ = record.offset;
    position_ = admin::header_of(record, streams::kPositionHeader);
  }

  void answer(HttpExchange& exchange) const {
    JsonWriter out;
    out.begin_object().key("id").text(key_).key("position").text(position_);
    out.key("stream").text(kTransfersStream).key("offset").number(offset_).end_object();
    exchange.respond(HttpResponse::json(200, out.take()));
  }

  const Uint128 id_;
  const std::string key_;
  int64_t place_ = 0;
  int64_t behind_ = 0;  // transfers from this one on
  streams::PartitionInfo partition_;
  std::string position_;
  Offset offset_ = 0;
  Offset next_ = 0;
  Offset last_ = 0;
};

void position_of(HttpExchange& exchange) {
  const std::optional<Uint128> id = parse_number(exchange.request().param("id"));
  if (!id) return exchange.respond(admin::error_response(admin::invalid("id must be a whole number")));
  std::make_shared<PositionRequest>(*id)->find(exchange);
}

constexpr std::string_view kSchema =
    R"({"type":"object","required":["id","position","stream","offset"],"properties":{"id":{"type":"string"},)"
    R"("position":{"type":"string"},"stream":{"type":"string"},"offset":{"type":"integer"}}})";

}  // namespace

void add_position_route(http::HttpRouter& router) {
  router.add(http::Method::get, "/api/v1/ledger/transfers/{id}/position", position_of,
             {.needs = needs("transfers", auth::Verb::read),
              .doc = {"Which command made a transfer",
                      "`heptane explain` says more of that position.",
                      {},
                      {},
                      {{200, "as of what is synced", {{kSchema}}}}}});
}

}  // namespace heptane::fintech::ledger_http
