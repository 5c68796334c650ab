// Transcripts of a session: a file of cases separated by `---`, each a script (`> `, `>| `, `! `) and what came back
// (`< ` lines, `<| ` for a last line without its end). HEPTANE_WRITE_TRANSCRIPTS=1 writes what came back into the file,
// for a person to review. Test support.
#pragma once

#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

namespace heptane::http::test {

struct TranscriptCase {
  std::vector<std::string> script;  // comments, `>` and `!` lines
  std::string expected;             // `<` lines with their ends
};

inline std::vector<TranscriptCase> read_transcript(const std::string& path) {
  std::ifstream file(path);
  std::vector<TranscriptCase> cases(1);
  for (std::string line; std::getline(file, line);) {
    if (line == "---")
      cases.emplace_back();
    else if (line.starts_with('<'))
      cases.back().expected += line + '\n';
    else
      cases.back().script.push_back(line);
  }
  return cases;
}

// `< ` before every line of the output; CRLF shows as a line end, a lone LF as `\n`.
inline std::string as_expected(const std::string& output, bool closed) {
  std::string text;
  std::string line;
  const auto end_line = [&](const char* mark) {
    text += mark + (line.empty() ? std::string() : ' ' + line) + '\n';
    line.clear();
  };
  for (size_t i = 0; i < output.size(); ++i) {
    if (output.compare(i, 2, "\r\n") == 0) {
      end_line("<");
      ++i;
    } else if (output[i] == '\n') {
      end_line("<|");
    } else {
      line += output[i];
    }
  }
  if (!line.empty()) end_line("<|");
  if (closed) text += "<closed\n";
  return text;
}

inline bool writing_transcripts() { return std::getenv("HEPTANE_WRITE_TRANSCRIPTS") != nullptr; }

inline void write_transcript(const std::string& path, const std::vector<TranscriptCase>& cases) {
  std::ofstream file(path);
  for (size_t i = 0; i < cases.size(); ++i) {
    if (i > 0) file << "---\n";
    for (const std::string& line : cases[i].script) file << line << '\n';
    file << cases[i].expected;
  }
}

}  // namespace heptane::http::test
