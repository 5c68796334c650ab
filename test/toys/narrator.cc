#include "test/toys/narrator.h"

#include "kernel/streams/streams_machine.h"

namespace heptane::test {

namespace {

constexpr LogTime kLater = 1'000'000;

Telling decode(Bytes payload) {
  ByteReader reader(payload);
  Telling telling;
  telling.lines = reader.le<uint16_t>();
  telling.notes = reader.le<uint16_t>();
  telling.doubt = static_cast<Doubt>(reader.u8());
  telling.text = as_text(reader.rest());
  return telling;
}

void render_lines(uint64_t told, const Telling& telling, RecordWriter& out) {
  for (uint64_t i = 0; i < telling.lines && !out.full(); ++i) {
    if (!out.wants()) {
      out.skip();
      continue;
    }
    const std::string key = line_key(told + i);
    const std::string value = line_value(telling.text, i);
    out.add({as_bytes(key), true, as_bytes(value)});
  }
}

// A result: where the lines begin; of a telling by timer, the telling as well.
void render(const LoggedCommand& logged, uint16_t number, RecordWriter& out) {
  const std::vector<Command> commands = commands_for(logged.command, kNarratorId);
  for (size_t i = 0; i < logged.results.size(); ++i) {
    ByteReader result(logged.results[i]);
    const auto told = result.le<uint64_t>();
    const Telling telling = decode(i < commands.size() ? commands[i].payload : result.rest());
    if (number == kLinesView.number) {
      render_lines(told, telling, out);
    } else {
      const std::string value = telling_value(logged.command.sequence, telling.lines);
      out.add({{}, false, as_bytes(value)});
    }
  }
}

}  // namespace

Buffer encode(const Telling& telling) {
  ByteWriter out;
  out.le(telling.lines);
  out.le(telling.notes);
  out.u8(static_cast<uint8_t>(telling.doubt));
  out.append(telling.text);
  return Buffer::take(out.release());
}

std::string line_key(uint64_t number) { return "line " + std::to_string(number); }
std::string line_value(std::string_view text, uint64_t index) {
  return std::to_string(index) + " of " + std::string(text);
}
std::string telling_value(Sequence sequence, uint64_t lines) {
  return std::to_string(sequence) + " told " + std::to_string(lines);
}

void Narrator::apply(const Command& command, Effects& effects) {
  const Telling telling = decode(command.payload);
  if (command.type == kTellLater) {
    effects.arm(command.time + kLater, kTell, command.payload);
    return effects.reply(0);
  }
  const bool later = telling.text.starts_with("later");  // by timer: there is no payload to render from
  const uint64_t first = told_;
  if (telling.doubt == Doubt::in_scope) {
    effects.open_scope();
    tell(telling, later, command.sequence, effects);
    effects.close_scope(ScopeOutcome::roll_back);
  }
  if (telling.doubt == Doubt::refused) {
    effects.open_scope();
    tell(telling, later, command.sequence, effects);
    effects.close_scope(ScopeOutcome::roll_back);
    return effects.refuse(Errc::refused, 0, "a story that nobody may hear");
  }
  tell(telling, later, command.sequence, effects);
  effects.reply(static_cast<int64_t>(first), telling.lines);
}

void Narrator::tell(const Telling& telling, bool later, Sequence sequence, Effects& effects) {
  auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
  const std::optional<PartitionId> lines = streams.ensure_view(kLines, kLinesView, sequence);
  const std::optional<PartitionId> tellings = streams.ensure_view(kTellings, kTellingsView, sequence);
  HEPTANE_ASSERT(lines && tellings, "the toy's streams are somebody else's");
  ByteWriter result;
  result.le<uint64_t>(told_ + (diverges_ ? 1 : 0));
  if (later) result.append(encode(telling).view());
  effects.log_result(result.view());
  effects.emit_view(*tellings, 1);
  effects.emit_view(*lines, telling.lines);
  for (uint16_t i = 0; i < telling.notes; ++i)
    effects.emit({streams.ensure_stream(kNotes, sequence),
                  {},
                  false,
                  telling.text.empty() ? as_bytes("-") : as_bytes(telling.text)});
  told_ += telling.lines;
}

void Narrator::query(const Query& query, Reply& reply) const {
  (void)query;
  reply.numbers[0] = static_cast<int64_t>(told_);
}

void Narrator::close_scope(ScopeOutcome outcome) {
  if (outcome == ScopeOutcome::roll_back) told_ = scopes_.back();
  scopes_.pop_back();
}

Result<void> Narrator::restore(SnapshotReader& reader) {
  told_ = reader.le<uint64_t>();
  if (reader.failed()) return Error{Errc::corrupt, "toy_narrator does not read back"};
  return {};
}

RenderView Narrator::renderer() const { return render; }

}  // namespace heptane::test
